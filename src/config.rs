//! Settings: one table of them all, read once at the start from flags, environment and a file.
//!
//! In: what was said where. Out: [`Settings`], complete and checked. A flag wins over the
//! environment, the environment over the file, the file over the default; an empty variable counts
//! as none. Never: a decision that depends on more than the settings themselves.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use toml::de::{DeTable, DeValue};

use crate::engine::{EngineOptions, FlushTriggers};
use crate::http::HttpOptions;
use crate::model::limits::Limits;
use crate::model::{Code, Error, Result};

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// URL or folder of the store.
    pub store: String,
    /// `address:port` to listen on.
    pub listen: String,
    pub root_password: Option<SecretString>,
    /// A PHC string; wins over the password.
    pub root_password_hash: Option<SecretString>,
    /// A filter of tracing-subscriber.
    pub log: String,
    pub log_format: LogFormat,
    /// Whether the server flushes, merges, retains and collects by itself.
    pub maintenance: bool,
    /// How long requests under way may take when the server stops.
    pub stop_time: Duration,
    pub limits: Limits,
    pub flush: FlushTriggers,
    pub footer_cache_bytes: u64,
    pub tail_cache_bytes: u64,
    pub grace: Duration,
    pub http: HttpOptions,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        let engine = EngineOptions::default();
        Settings {
            store: "./siltdb-data".to_owned(),
            listen: "127.0.0.1:8902".to_owned(),
            root_password: None,
            root_password_hash: None,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            maintenance: true,
            stop_time: Duration::from_secs(30),
            limits: engine.limits,
            flush: engine.flush,
            footer_cache_bytes: engine.footer_cache_bytes,
            tail_cache_bytes: engine.tail_cache_bytes,
            grace: engine.grace,
            http: HttpOptions::default(),
        }
    }
}

impl Settings {
    /// Whether root has a password. Without one only this machine may connect.
    pub fn has_root_password(&self) -> bool {
        let is_set =
            |secret: &Option<SecretString>| secret.as_ref().is_some_and(|text| !text.expose_secret().is_empty());
        is_set(&self.root_password) || is_set(&self.root_password_hash)
    }

    /// What the engine is opened with.
    pub fn engine_options(&self) -> EngineOptions {
        EngineOptions {
            limits: self.limits.clone(),
            flush: self.flush.clone(),
            footer_cache_bytes: self.footer_cache_bytes,
            tail_cache_bytes: self.tail_cache_bytes,
            root_password_hash: self.root_password_hash.as_ref().map(|hash| hash.expose_secret().to_owned()),
            root_password: self.root_password.clone().unwrap_or_default(),
            grace: self.grace,
            ..EngineOptions::default()
        }
    }
}

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
    Switch(Access<bool>),
    LogFormat(Access<LogFormat>),
    Count(Access<usize>),
    Size(Access<usize>),
    LargeSize(Access<u64>),
    Time(Access<Duration>),
}

const fn everywhere(flag: &'static str, field: Field, help: &'static str) -> Setting {
    Setting { flag, scope: Scope::Everywhere, field, help }
}

const fn server(flag: &'static str, field: Field, help: &'static str) -> Setting {
    Setting { flag, scope: Scope::Server, field, help }
}

const fn secret(flag: &'static str, field: Field, help: &'static str) -> Setting {
    Setting { flag, scope: Scope::Secret, field, help }
}

use Field::{Count, LargeSize, Size, Switch, Text, Time};

/// All settings, in the order in which they are shown.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    everywhere("store", Text(|s| &mut s.store), "Where the data is: a folder, file://, memory:, s3://bucket/prefix"),
    server("listen", Text(|s| &mut s.listen), "Address and port to listen on"),
    secret("root-password", Field::Secret(|s| &mut s.root_password), "Password of root; without one only this machine may connect"),
    secret("root-password-hash", Field::Secret(|s| &mut s.root_password_hash), "The same as an argon2 PHC string; wins over the password"),
    everywhere("log", Text(|s| &mut s.log), "What is logged: error, warn, info, debug, trace, or a filter by module"),
    everywhere("log-format", Field::LogFormat(|s| &mut s.log_format), "Log lines as text or json"),
    server("maintenance", Switch(|s| &mut s.maintenance), "Flush, merge, retain and collect in the background"),
    server("stop-time", Time(|s| &mut s.stop_time), "Time that requests under way have when the server stops"),
    server("write-body-bytes", Size(|s| &mut s.limits.write_body_bytes), "Body of a write as sent"),
    server("sql-body-bytes", Size(|s| &mut s.limits.sql_body_bytes), "Body of a SQL request as sent"),
    server("decoded-body-bytes", Size(|s| &mut s.limits.decoded_body_bytes), "Any body when decoded"),
    server("body-memory-bytes", Size(|s| &mut s.http.body_memory_bytes), "All request bodies held at the same time"),
    server("body-idle-time", Time(|s| &mut s.http.body_idle), "Longest pause of a client that sends a body"),
    server("result-buffer-bytes", Size(|s| &mut s.http.result_buffer_bytes), "Part of a result that is gathered before its status is sent"),
    server("result-idle-time", Time(|s| &mut s.http.result_idle), "Longest pause of a client that takes a result"),
    server("line-bytes", Size(|s| &mut s.limits.line_bytes), "One line of line protocol"),
    server("tags-per-line", Count(|s| &mut s.limits.tags_per_line), "Tags of a line"),
    server("fields-per-line", Count(|s| &mut s.limits.fields_per_line), "Fields of a line"),
    server("columns-per-table", Count(|s| &mut s.limits.columns_per_table), "Columns of a table"),
    server("tables-per-database", Count(|s| &mut s.limits.tables_per_database), "Tables of a database"),
    server("concurrent-writes", Count(|s| &mut s.limits.concurrent_writes), "Writes at the same time"),
    server("concurrent-queries", Count(|s| &mut s.limits.concurrent_queries), "Queries at the same time"),
    server("query-memory-bytes", Size(|s| &mut s.limits.query_memory_bytes), "Memory of all queries together"),
    server("query-spill-bytes", LargeSize(|s| &mut s.limits.query_spill_bytes), "Temporary files of a query; 0 for none"),
    server("query-time", Time(|s| &mut s.limits.query_time), "Time of a query"),
    server("sql-text-bytes", Size(|s| &mut s.limits.sql_text_bytes), "Text of a statement"),
    server("live-segments", Count(|s| &mut s.limits.live_segments), "Unsettled segments of a database before its writers have to wait"),
    server("live-segment-bytes", LargeSize(|s| &mut s.limits.live_segment_bytes), "The same in bytes"),
    server("flush-segments", Count(|s| &mut s.flush.segments), "Segments of a tail that are settled at once"),
    server("flush-bytes", LargeSize(|s| &mut s.flush.bytes), "The same in bytes"),
    server("flush-age", Time(|s| &mut s.flush.age), "The same by the age of the oldest segment"),
    everywhere("grace", Time(|s| &mut s.grace), "How long replaced objects are kept for readers that still use them"),
    everywhere("footer-cache-bytes", LargeSize(|s| &mut s.footer_cache_bytes), "Cache of the footers of data files"),
    everywhere("tail-cache-bytes", LargeSize(|s| &mut s.tail_cache_bytes), "Cache of segments that are not settled"),
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
            Field::Text(_) | Field::Secret(_) => "TEXT",
            Field::Switch(_) => "true|false",
            Field::LogFormat(_) => "text|json",
            Field::Count(_) => "NUMBER",
            Field::Size(_) | Field::LargeSize(_) => "SIZE",
            Field::Time(_) => "TIME",
        }
    }

    /// The default as one would write it; empty for none.
    pub fn default_text(&self) -> String {
        let mut settings = Settings::default();
        let settings = &mut settings;
        match self.field {
            Field::Text(access) => access(settings).clone(),
            Field::Secret(_) => String::new(),
            Field::Switch(access) => access(settings).to_string(),
            Field::LogFormat(access) => match access(settings) {
                LogFormat::Text => "text".to_owned(),
                LogFormat::Json => "json".to_owned(),
            },
            Field::Count(access) => access(settings).to_string(),
            Field::Size(access) => render_size(*access(settings) as u64),
            Field::LargeSize(access) => render_size(*access(settings)),
            Field::Time(access) => humantime::format_duration(*access(settings)).to_string(),
        }
    }

    fn set(&self, settings: &mut Settings, text: &str) -> Result<(), String> {
        match self.field {
            Field::Text(access) => *access(settings) = text.to_owned(),
            Field::Secret(access) => *access(settings) = Some(SecretString::from(text)),
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
            Field::Count(access) => {
                let count = text.parse().ok().filter(|count| *count > 0);
                *access(settings) = count.ok_or("it must be a number from 1 on")?;
            }
            Field::Size(access) => {
                *access(settings) = usize::try_from(parse_size(text)?).map_err(|error| error.to_string())?;
            }
            Field::LargeSize(access) => *access(settings) = parse_size(text)?,
            Field::Time(access) => {
                *access(settings) = humantime::parse_duration(text)
                    .map_err(|error| format!("it must be a time such as 30s or 5m: {error}"))?;
            }
        }
        Ok(())
    }
}

fn unusable(message: String) -> Error {
    Error::new(Code::BadRequest, message)
}

/// Puts the settings together.
///
/// `flag` and `variable` look up what was said under a flag's and a variable's name; `file` is the
/// name and the text of the settings file.
///
/// # Errors
/// Names the flag, variable, or line of the file that does not make sense.
pub fn resolve(
    flag: impl Fn(&Setting) -> Option<String>,
    variable: impl Fn(&str) -> Option<String>,
    file: Option<(&str, &str)>,
) -> Result<Settings> {
    let from_file = match file {
        Some((name, text)) => read_file(name, text)?,
        None => Vec::new(),
    };
    let mut settings = Settings::default();
    for setting in SETTINGS {
        let variable_name = setting.variable();
        let said = if let Some(text) = flag(setting) {
            Some((text, format!("--{}", setting.flag)))
        } else if let Some(text) = variable(&variable_name).filter(|text| !text.is_empty()) {
            Some((text, variable_name))
        } else {
            from_file
                .iter()
                .find(|entry| entry.key == setting.key())
                .map(|entry| (entry.text.clone(), entry.place.clone()))
        };
        let Some((text, place)) = said else { continue };
        setting.set(&mut settings, &text).map_err(|why| {
            // A secret is not repeated.
            let shown = if setting.scope == Scope::Secret { String::new() } else { format!(" '{text}'") };
            unusable(format!("{place}{shown}: {why}"))
        })?;
    }
    Ok(settings)
}

/// One `key = value` of the file.
struct Entry {
    key: String,
    text: String,
    /// The key with the file's name and the line.
    place: String,
}

fn read_file(name: &str, text: &str) -> Result<Vec<Entry>> {
    let table = DeTable::parse(text).map_err(|error| unusable(format!("{name}: {error}")))?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let line = text[..key.span().start].matches('\n').count() + 1;
        let place = format!("{name}, line {line}: {}", key.get_ref());
        if !SETTINGS.iter().any(|setting| setting.key() == key.get_ref().as_ref()) {
            return Err(unusable(format!("{place} is not a setting; `siltdb settings` lists them")));
        }
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            _ => return Err(unusable(format!("{place} must be a text, a whole number, true or false"))),
        };
        entries.push(Entry { key: key.get_ref().to_string(), text, place });
    }
    Ok(entries)
}

/// Units of sizes, largest first.
const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A number of bytes: `512MiB`, `16M` (the same units), `1GB` (powers of ten), `1048576`.
fn parse_size(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let digits = trimmed.find(|character: char| !character.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        "t" | "ti" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err("it must be a size such as 512MiB, 16M or 1048576".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "it must be a size such as 512MiB, 16M or 1048576".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "it is too large".to_owned())
}

fn render_size(bytes: u64) -> String {
    match UNITS.into_iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve_with(flags: &[(&str, &str)], variables: &[(&str, &str)], file: Option<&str>) -> Result<Settings> {
        let find = |pairs: &[(&str, &str)], name: &str| {
            pairs.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
        };
        resolve(
            |setting| find(flags, setting.flag),
            |name| find(variables, name),
            file.map(|text| ("siltdb.toml", text)),
        )
    }

    #[test]
    fn flags_win_over_variables_over_the_file_over_defaults() {
        let file = Some(
            "# comment\nlisten = \"a:1\"\nstore = \"file\"\nlog = \"debug\"\nwrite_body_bytes = 5\nmaintenance = false\n",
        );
        let variables = [("SILTDB_LISTEN", "b:2"), ("SILTDB_STORE", "variable"), ("SILTDB_LOG", "")];
        let settings = resolve_with(&[("listen", "c:3")], &variables, file).unwrap();
        assert_eq!(
            (settings.listen.as_str(), settings.store.as_str(), settings.log.as_str()),
            ("c:3", "variable", "debug")
        );
        assert_eq!((settings.limits.write_body_bytes, settings.maintenance), (5, false));
        assert_eq!(settings.limits.sql_body_bytes, Limits::default().sql_body_bytes);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let message = |flags: &[(&str, &str)], variables: &[(&str, &str)], file| {
            resolve_with(flags, variables, file).unwrap_err().message
        };
        assert!(message(&[("query-time", "soon")], &[], None).starts_with("--query-time 'soon': it must be a time"));
        assert!(
            message(&[], &[("SILTDB_FLUSH_BYTES", "1x")], None)
                .starts_with("SILTDB_FLUSH_BYTES '1x': it must be a size")
        );
        assert_eq!(
            message(&[], &[], Some("log = \"info\"\n\nlisten_on = 1")),
            "siltdb.toml, line 3: listen_on is not a setting; `siltdb settings` lists them"
        );
        assert_eq!(
            message(&[], &[], Some("\nconcurrent_writes = 0")),
            "siltdb.toml, line 2: concurrent_writes '0': it must be a number from 1 on"
        );
        assert!(message(&[], &[], Some("[limits]\nx = 1")).contains("line 1: limits is not a setting"));
        assert!(message(&[], &[], Some("log = [1]")).contains("must be a text"));
        assert!(message(&[], &[], Some("log = ")).starts_with("siltdb.toml: "));
    }

    #[test]
    fn passwords_are_never_shown() {
        let variables = [("SILTDB_ROOT_PASSWORD", "hunter2")];
        let settings = resolve_with(&[], &variables, None).unwrap();
        assert!(settings.has_root_password());
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert!(!Settings::default().has_root_password());
        assert!(!resolve_with(&[], &[], Some("root_password = \"\"")).unwrap().has_root_password());
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("512MiB", 512 << 20), ("16M", 16 << 20), ("1 gb", 1_000_000_000), ("10b", 10), ("2KB", 2_000)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5M", "99999999999T", "1 potato"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(render_size(32 << 20), "32MiB");
        assert_eq!(render_size(1_000), "1000");
    }

    #[test]
    fn every_default_can_be_written_as_shown() {
        for setting in SETTINGS.iter().filter(|setting| setting.scope != Scope::Secret) {
            let shown = setting.default_text();
            setting.set(&mut Settings::default(), &shown).unwrap();
            assert!(setting.variable().starts_with("SILTDB_"));
        }
    }
}
