//! `siltdb config`: every setting, its value, and where that came from.

use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use clap::{ArgMatches, Command};

use super::{CONFIG_FLAG, CONFIG_VARIABLE, format_of, format_option, print, settings, with_settings};
use crate::config::{Resolved, SETTINGS, Scope};
use crate::format::Format;
use crate::model::Result;

pub(super) const CONFIG_HELP: &str = "A TOML file of settings";
/// Hidden commands, which print the tables of the manual.
pub(super) const TABLE: &str = "settings";
pub(super) const ROUTES: &str = "routes";

/// The command with its options: those of `serve`, and the format.
pub(super) fn command() -> Command {
    let about = "Print every setting, its value and where it came from";
    with_settings(Command::new("config").about(about), Scope::Server).arg(format_option())
}

/// Prints the settings as the same flags, environment and file would give them to `serve`.
pub(super) fn show(matches: &ArgMatches) -> Result<ExitCode> {
    print(&render(&settings(matches)?, format_of(matches).unwrap_or(Format::Table))?)
}

fn render(resolved: &Resolved, format: Format) -> Result<String> {
    let lines: Vec<[String; 3]> = resolved
        .sources()
        .map(|(setting, source)| [setting.key(), setting.text(&resolved.settings), source.to_string()])
        .collect();
    let column = |place: usize| -> ArrayRef {
        Arc::new(lines.iter().map(|line| Some(line[place].as_str())).collect::<StringArray>())
    };
    let batch = RecordBatch::try_from_iter([("setting", column(0)), ("value", column(1)), ("source", column(2))])?;
    let mut encoder = format.encoder(batch.schema())?;
    let mut out = Vec::new();
    encoder.encode(&batch, &mut out)?;
    encoder.finish(&mut out)?;
    if !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// What a hidden command prints.
pub(super) fn manual(name: &str) -> String {
    if name == ROUTES { crate::http::routes() } else { table() }
}

/// All settings as the table of the manual, `docs/settings.md`. A test compares the page with it.
fn table() -> String {
    let mut table = "| flag | environment | default | meaning |\n|---|---|---|---|\n".to_owned();
    table.push_str(&row(&format!("`--{CONFIG_FLAG}`"), CONFIG_VARIABLE, "", CONFIG_HELP));
    for setting in SETTINGS {
        let (flag, default) = match setting.scope {
            Scope::Secret => Default::default(),
            _ => (format!("`--{}`", setting.flag), setting.default_text()),
        };
        // A share of the memory is no text that a setting takes.
        let default = if default.is_empty() || default.contains('%') { default } else { format!("`{default}`") };
        table.push_str(&row(&flag, &setting.variable(), &default, setting.help));
    }
    table
}

fn row(flag: &str, variable: &str, default: &str, help: &str) -> String {
    format!("| {flag} | `{variable}` | {default} | {} |\n", help.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Machine, resolve};

    #[test]
    fn settings_are_shown_with_their_source_and_without_their_secrets() {
        let variable = |name: &str| (name == "SILTDB_ROOT_PASSWORD").then(|| "hunter2".to_owned());
        let resolved =
            resolve(|_| None, variable, Some(("silt.toml", "grace = \"2h\"")), &Machine::function(1 << 30)).unwrap();
        let shown = render(&resolved, Format::Csv).unwrap();
        assert!(shown.contains("\ngrace,2h,\"file silt.toml, line 1\"\n"), "{shown}");
        assert!(shown.contains("\nroot_password,(set),environment variable SILTDB_ROOT_PASSWORD\n"), "{shown}");
        assert!(shown.contains("\nroot_password_hash,(not set),default\n"), "{shown}");
        assert!(!shown.contains("hunter2"));
        assert_eq!(shown.lines().count(), SETTINGS.len() + 1);
        assert!(table().contains("\n| `--listen` | `SILTDB_LISTEN` | `127.0.0.1:8902` | "));
        assert!(table().contains("\n|  | `SILTDB_ROOT_PASSWORD_HASH` |  | "));
    }
}
