//! `siltdb config`: every setting, its value, and where that came from.

use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use clap::{ArgMatches, Command};

use super::{format_of, format_option, print, settings, with_settings};
use crate::config::{Resolved, SETTINGS, Scope};
use crate::format::Format;
use crate::model::Result;

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

/// All settings as a table for the README.
pub(super) fn table() -> String {
    let mut table = "| flag | variable | key in the file | default | |\n|---|---|---|---|---|\n".to_owned();
    for setting in SETTINGS {
        let flag = if setting.scope == Scope::Secret { "–".to_owned() } else { format!("`--{}`", setting.flag) };
        let default = setting.default_text();
        let default = if default.is_empty() { default } else { format!("`{default}`") };
        let line =
            format!("| {flag} | `{}` | `{}` | {default} | {} |\n", setting.variable(), setting.key(), setting.help);
        table.push_str(&line);
    }
    table
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
        assert!(table().contains("| `--listen` | `SILTDB_LISTEN` | `listen` | `127.0.0.1:8902` |"));
    }
}
