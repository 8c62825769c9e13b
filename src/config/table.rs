//! The table of all settings: names, help, and where in [`Settings`] each is kept.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::portion::{self, Portion};
use super::{LogFormat, OpenMetrics, Settings, size};
use crate::catalog::check_hash;
use crate::model::Mode;

/// Which commands take a setting as a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All that open a store.
    Everywhere,
    Server,
    /// None: a command line can be seen by everybody on the machine.
    Secret,
}

/// One line of the table.
pub struct Setting {
    /// The flag without its dashes; the key in the file has `_` for `-`.
    pub flag: &'static str,
    pub scope: Scope,
    field: Field,
    pub help: &'static str,
}

type Access<T> = fn(&mut Settings) -> &mut T;

/// Where a setting is kept, which is also how it is written.
enum Field {
    Text(Access<String>),
    Secret(Access<Option<SecretString>>),
    /// The hash of a secret.
    Hash(Access<Option<SecretString>>),
    Switch(Access<bool>),
    LogFormat(Access<LogFormat>),
    Mode(Access<Mode>),
    OpenMetrics(Access<OpenMetrics>),
    Count(Access<usize>),
    Size(Access<usize>),
    LargeSize(Access<u64>),
    /// The memory of the process.
    Total(Access<usize>),
    /// A part of that, and what it is if nobody says.
    Part(Access<usize>, Portion),
    LargePart(Access<u64>, Portion),
    Time(Access<Duration>),
}

/// A part of the memory that is held beside the others.
const fn beside(per_mille: u64, most: u64) -> Portion {
    Portion { per_mille, most, is_beside: true }
}

/// A bound within another part.
const fn within(per_mille: u64, most: u64) -> Portion {
    Portion { per_mille, most, is_beside: false }
}

const MIB: u64 = 1 << 20;

const fn everywhere(flag: &'static str, field: Field, help: &'static str) -> Setting {
    Setting { flag, scope: Scope::Everywhere, field, help }
}

const fn server(flag: &'static str, field: Field, help: &'static str) -> Setting {
    Setting { flag, scope: Scope::Server, field, help }
}

const fn secret(flag: &'static str, field: Field, help: &'static str) -> Setting {
    Setting { flag, scope: Scope::Secret, field, help }
}

use Field::{Count, LargePart, LargeSize, Part, Size, Switch, Text, Time};

/// All settings, in the order in which they are shown.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    everywhere("store", Text(|s| &mut s.store), "Where the data is: a folder, file://, memory:, s3://bucket/prefix"),
    server("listen", Text(|s| &mut s.listen), "Address and port to listen on"),
    server("metrics-listen", Text(|s| &mut s.metrics_listen), "Another address and port, for /metrics and pings alone, without credentials"),
    server("open-metrics", Field::OpenMetrics(|s| &mut s.open_metrics), "Where the other address has /metrics without credentials: loopback, always or never"),
    server("mode", Field::Mode(|s| &mut s.http.mode), "What clients may do: read-write, read-only or write-only"),
    server("root-password-file", Text(|s| &mut s.root_password_file), "A file that holds the password of root, such as a secret that is mounted"),
    server("root-password-hash-file", Text(|s| &mut s.root_password_hash_file), "A file that holds its hash"),
    secret("root-password", Field::Secret(|s| &mut s.root_password), "Password of root; without one only this machine may connect"),
    secret("root-password-hash", Field::Hash(|s| &mut s.root_password_hash), "The same as an argon2 PHC string; wins over the password"),
    everywhere("log", Text(|s| &mut s.log), "What is logged: error, warn, info, debug, trace, or a filter by module"),
    everywhere("log-format", Field::LogFormat(|s| &mut s.log_format), "Log lines as text or json"),
    server("maintenance", Switch(|s| &mut s.maintenance), "Flush, merge, retain and collect in the background"),
    server("stop-time", Time(|s| &mut s.stop_time), "Time that requests under way have when the server stops"),
    everywhere("memory-bytes", Field::Total(|s| &mut s.limits.memory_bytes), "Memory of the process, of which the others are parts"),
    server("connections", Count(|s| &mut s.http.connections), "Connections at the same time; fewer where the limit of open files is low"),
    server("write-body-bytes", Size(|s| &mut s.limits.write_body_bytes), "Body of a write as sent"),
    server("sql-body-bytes", Size(|s| &mut s.limits.sql_body_bytes), "Body of a SQL request as sent"),
    server("decoded-body-bytes", Part(|s| &mut s.limits.decoded_body_bytes, within(125, 128 * MIB)), "Any body when decoded"),
    server("body-memory-bytes", Part(|s| &mut s.http.body_memory_bytes, beside(200, 1024 * MIB)), "All request bodies held at the same time"),
    server("body-idle-time", Time(|s| &mut s.http.body_idle), "Longest pause of a client that sends a body"),
    server("result-buffer-bytes", Part(|s| &mut s.http.result_buffer_bytes, within(30, 32 * MIB)), "Part of a result that is gathered before its status is sent"),
    server("result-idle-time", Time(|s| &mut s.http.result_idle), "Longest pause of a client that takes a result"),
    server("line-bytes", Size(|s| &mut s.limits.line_bytes), "One line of line protocol"),
    server("tags-per-line", Count(|s| &mut s.limits.tags_per_line), "Tags of a line"),
    server("fields-per-line", Count(|s| &mut s.limits.fields_per_line), "Fields of a line"),
    server("columns-per-table", Count(|s| &mut s.limits.columns_per_table), "Columns of a table"),
    server("tables-per-database", Count(|s| &mut s.limits.tables_per_database), "Tables of a database"),
    server("concurrent-writes", Count(|s| &mut s.limits.concurrent_writes), "Writes at the same time"),
    server("concurrent-queries", Count(|s| &mut s.limits.concurrent_queries), "Queries at the same time"),
    everywhere("query-memory-bytes", Part(|s| &mut s.limits.query_memory_bytes, beside(450, u64::MAX)), "Memory of all queries together"),
    server("query-spill-bytes", LargeSize(|s| &mut s.limits.query_spill_bytes), "Temporary files of a query; 0 for none"),
    server("query-spill-folder", Text(|s| &mut s.limits.query_spill_folder), "Folder for them; empty for the system's temporary files"),
    server("query-time", Time(|s| &mut s.limits.query_time), "Time of a query"),
    server("sql-text-bytes", Size(|s| &mut s.limits.sql_text_bytes), "Text of a statement"),
    server("live-segments", Count(|s| &mut s.limits.live_segments), "Unsettled segments of a database before its writers have to wait"),
    server("live-segment-bytes", LargeSize(|s| &mut s.limits.live_segment_bytes), "The same in bytes"),
    server("flush-segments", Count(|s| &mut s.flush.segments), "Segments of a tail that are settled at once"),
    server("flush-bytes", LargeSize(|s| &mut s.flush.bytes), "The same in bytes"),
    server("flush-age", Time(|s| &mut s.flush.age), "The same by the age of the oldest segment"),
    everywhere("grace", Time(|s| &mut s.grace), "How long replaced objects are kept for readers that still use them"),
    everywhere("footer-cache-bytes", LargePart(|s| &mut s.footer_cache_bytes, beside(50, 1024 * MIB)), "Cache of the footers of data files"),
    everywhere("tail-cache-bytes", LargePart(|s| &mut s.tail_cache_bytes, beside(125, 1024 * MIB)), "Cache of segments that are not settled"),
];

impl Setting {
    /// The key in the file.
    pub fn key(&self) -> String {
        self.flag.replace('-', "_")
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("SILTDB_{}", self.key().to_ascii_uppercase())
    }

    /// What kind of value it takes.
    pub fn value_name(&self) -> &'static str {
        match self.field {
            Field::Text(_) | Field::Secret(_) | Field::Hash(_) => "TEXT",
            Field::Switch(_) => "true|false",
            Field::LogFormat(_) => "text|json",
            Field::Mode(_) => "MODE",
            Field::OpenMetrics(_) => "WHERE",
            Field::Count(_) => "NUMBER",
            Field::Size(_) | Field::LargeSize(_) => "SIZE",
            Field::Total(_) | Field::Part(..) | Field::LargePart(..) => "SIZE",
            Field::Time(_) => "TIME",
        }
    }

    /// The default as one would write it; empty for none.
    pub fn default_text(&self) -> String {
        match self.field {
            Field::Secret(_) => String::new(),
            Field::Total(_) => portion::text_of_total(),
            Field::Part(_, portion) | Field::LargePart(_, portion) => portion.text(),
            _ => self.text(&Settings::default()),
        }
    }

    /// Whether it is the memory of the process.
    pub(super) fn is_total(&self) -> bool {
        matches!(self.field, Field::Total(_))
    }

    /// Which part of the memory it is.
    pub(super) fn portion(&self) -> Option<Portion> {
        match self.field {
            Field::Part(_, portion) | Field::LargePart(_, portion) => Some(portion),
            _ => None,
        }
    }

    /// The value of one that is a size; 0 of others.
    pub(super) fn bytes(&self, settings: &Settings) -> u64 {
        // The table keeps one way to reach a field, and it is for writing.
        let settings = &mut settings.clone();
        match self.field {
            Field::Size(access) | Field::Total(access) | Field::Part(access, _) => *access(settings) as u64,
            Field::LargeSize(access) | Field::LargePart(access, _) => *access(settings),
            _ => 0,
        }
    }

    /// Sets the value of one that is a size.
    pub(super) fn set_bytes(&self, settings: &mut Settings, bytes: u64) {
        match self.field {
            Field::Size(access) | Field::Total(access) | Field::Part(access, _) => {
                *access(settings) = usize::try_from(bytes).unwrap_or(usize::MAX);
            }
            Field::LargeSize(access) | Field::LargePart(access, _) => *access(settings) = bytes,
            _ => {}
        }
    }

    /// The value as one would write it; of a secret only whether it is there.
    pub fn text(&self, settings: &Settings) -> String {
        // The table keeps one way to reach a field, and it is for writing.
        let settings = &mut settings.clone();
        match self.field {
            Field::Text(access) => access(settings).clone(),
            Field::Secret(access) | Field::Hash(access) => match access(settings) {
                Some(secret) if !secret.expose_secret().is_empty() => "(set)".to_owned(),
                _ => "(not set)".to_owned(),
            },
            Field::Switch(access) => access(settings).to_string(),
            Field::LogFormat(access) => match access(settings) {
                LogFormat::Text => "text".to_owned(),
                LogFormat::Json => "json".to_owned(),
            },
            Field::Mode(access) => access(settings).name().to_owned(),
            Field::OpenMetrics(access) => access(settings).name().to_owned(),
            Field::Count(access) => access(settings).to_string(),
            Field::Size(_) | Field::LargeSize(_) | Field::Total(_) | Field::Part(..) | Field::LargePart(..) => {
                size::render(self.bytes(settings))
            }
            Field::Time(access) => humantime::format_duration(*access(settings)).to_string(),
        }
    }

    /// # Errors
    /// What the value would have to look like.
    pub(super) fn set(&self, settings: &mut Settings, text: &str) -> Result<(), String> {
        match self.field {
            Field::Text(access) => *access(settings) = text.to_owned(),
            Field::Secret(access) => *access(settings) = Some(SecretString::from(text)),
            Field::Hash(access) => {
                // Nothing is no hash, and as if it had not been said.
                if !text.is_empty() {
                    check_hash(text)?;
                }
                *access(settings) = Some(SecretString::from(text));
            }
            Field::Switch(access) => {
                *access(settings) = match text.to_ascii_lowercase().as_str() {
                    "true" | "on" | "1" => true,
                    "false" | "off" | "0" => false,
                    _ => return Err("it may be true or false".to_owned()),
                }
            }
            Field::LogFormat(access) => {
                *access(settings) = match text {
                    "text" => LogFormat::Text,
                    "json" => LogFormat::Json,
                    _ => return Err("it may be text or json".to_owned()),
                }
            }
            Field::Mode(access) => {
                let mode = Mode::ALL.into_iter().find(|mode| mode.name() == text);
                *access(settings) = mode.ok_or("it may be read-write, read-only or write-only")?;
            }
            Field::OpenMetrics(access) => {
                let found = OpenMetrics::ALL.into_iter().find(|known| known.name() == text);
                *access(settings) = found.ok_or("it may be loopback, always or never")?;
            }
            Field::Count(access) => {
                let count = text.parse().ok().filter(|count| *count > 0);
                *access(settings) = count.ok_or("it must be a number from 1 on")?;
            }
            Field::Size(_) | Field::LargeSize(_) | Field::Total(_) | Field::Part(..) | Field::LargePart(..) => {
                self.set_bytes(settings, size::parse(text)?);
            }
            Field::Time(access) => {
                *access(settings) = humantime::parse_duration(text)
                    .map_err(|error| format!("it must be a time such as 30s or 5m: {error}"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_can_be_written_as_shown() {
        for setting in SETTINGS.iter().filter(|setting| setting.scope != Scope::Secret) {
            if setting.is_total() || setting.portion().is_some() {
                // What follows from the machine's memory is shown as a share of it.
                assert!(setting.default_text().contains('%'));
                continue;
            }
            let shown = setting.default_text();
            setting.set(&mut Settings::default(), &shown).unwrap();
            assert!(setting.variable().starts_with("SILTDB_"));
        }
    }
}
