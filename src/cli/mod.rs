//! The command line: opens what the settings name, wires it together, and waits.
//!
//! | file | commands |
//! |---|---|
//! | `serve` | `siltdb serve` |
//! | `care` | `siltdb maintain`, `check`, `doctor` |
//! | `ping` | `siltdb ping` |
//! | `settings` | `siltdb config` |
//! | `sql/` | `siltdb sql`: statements from the command line, a file or a prompt |
//! | `write/` | `siltdb write`: line protocol from files |
//! | `target`, `remote`, `local` | where `sql` and `write` work: a server, or a store without one |
//!
//! In: arguments, environment, files, the terminal. Out: an exit status: 0, 1 for what failed, 2 for a
//! command that makes no sense. Invariants: what a command prints on standard output is its result and
//! nothing else; a reader that leaves ends the command quietly. Never: a decision that another door
//! would have to make as well.

mod admin;
mod local;
mod outcome;
mod output;
mod ping;
mod remote;
mod serve;
mod settings;
mod sql;
mod target;
mod write;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{self, Machine, Resolved, SETTINGS, Scope, Settings};
use crate::engine::Engine;
use crate::format::Format;
use crate::model::clock::SystemClock;
use crate::model::{Code, Error, Result};
use crate::store::Store;

use output::print;

const CONFIG_FLAG: &str = "config";
const CONFIG_VARIABLE: &str = "SILTDB_CONFIG";
/// What `sysexits.h` and most programs use for a command that makes no sense.
const USAGE_FAILURE: u8 = 2;
/// What is logged by commands whose user looks at a result and not at a log.
const QUIET_LOG: &str = "warn";

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    let outcome = match matches.subcommand() {
        Some((name @ (settings::TABLE | settings::ROUTES), _)) => print(&settings::manual(name)),
        Some(("config", matches)) => settings::show(matches),
        Some((name, matches)) => start(name, matches),
        None => Ok(ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        output::complain(&format!("siltdb: {error}"));
        ExitCode::from(if error.code == Code::BadRequest { USAGE_FAILURE } else { 1 })
    })
}

fn command() -> Command {
    let maintain = "Flush, merge, retain and collect until nothing is left to do";
    Command::new("siltdb")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A time-series database whose only state is a bucket")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(Command::new("serve").about("Serve HTTP"), Scope::Server))
        .subcommand(sql::command())
        .subcommand(write::command())
        .subcommand(
            with_settings(Command::new("maintain").about(maintain), Scope::Everywhere)
                .arg(
                    Arg::new("duty")
                        .value_parser(["all", "flush", "merge", "retain", "collect"])
                        .default_value("all")
                        .help("What to do"),
                )
                .arg(
                    Arg::new("accept-loss")
                        .long("accept-loss")
                        .action(ArgAction::SetTrue)
                        .help("Flush although acknowledged segments are missing from the log, and give them up"),
                ),
        )
        .subcommand(with_settings(
            Command::new("check").about("Verify a whole store; fails when anything is wrong"),
            Scope::Everywhere,
        ))
        .subcommand(
            Command::new("doctor")
                .about("Try whether a store keeps what SiltDB rests on")
                .arg(Arg::new("url").required(true).value_name("URL").help("The store: a folder or a URL")),
        )
        .subcommand(ping::command())
        .subcommand(settings::command())
        .subcommands([settings::TABLE, settings::ROUTES].map(|name| Command::new(name).hide(true)))
}

/// Adds the flags of a scope, and the one of the settings file.
fn with_settings(command: Command, scope: Scope) -> Command {
    let file = Arg::new(CONFIG_FLAG)
        .long(CONFIG_FLAG)
        .value_name("FILE")
        .help(format!("{} [env: {CONFIG_VARIABLE}]", settings::CONFIG_HELP));
    let flags = SETTINGS.iter().filter(|setting| setting.scope == Scope::Everywhere || setting.scope == scope);
    flags.fold(command.arg(file), |command, setting| {
        let (variable, default) = (setting.variable(), setting.default_text());
        command.arg(
            Arg::new(setting.flag)
                .long(setting.flag)
                .value_name(setting.value_name())
                .help(format!("{} [env: {variable}] [default: {default}]", setting.help)),
        )
    })
}

/// The settings that a command was given, from all places.
fn settings(matches: &ArgMatches) -> Result<Resolved> {
    let flag = |name: &str| matches.try_get_one::<String>(name).ok().flatten().cloned();
    let variable = |name: &str| std::env::var(name).ok();
    let file = flag(CONFIG_FLAG).or_else(|| variable(CONFIG_VARIABLE).filter(|name| !name.is_empty()));
    let text = match &file {
        Some(name) => {
            let read = std::fs::read_to_string(name);
            Some(read.map_err(|error| usage_error(format!("{name} cannot be read: {error}")))?)
        }
        None => None,
    };
    let file = file.as_deref().zip(text.as_deref());
    config::resolve(|setting| flag(setting.flag), variable, file, &Machine::look())
}

/// Formats that can be printed, by the names they have on the command line.
const FORMATS: [(&str, Format); 5] = [
    ("table", Format::Table),
    ("csv", Format::Csv),
    ("tsv", Format::Tsv),
    ("json", Format::Json),
    ("nd-json", Format::NdJson),
];

fn format_option() -> Arg {
    let names = FORMATS.map(|(name, _)| name);
    Arg::new("format").long("format").value_parser(names).value_name("FORMAT").help("How the result is printed")
}

/// The format asked for.
fn format_of(matches: &ArgMatches) -> Option<Format> {
    let wanted = matches.get_one::<String>("format")?;
    FORMATS.iter().find(|(name, _)| name == wanted).map(|(_, format)| *format)
}

/// Runs a command that needs threads.
fn start(name: &str, matches: &ArgMatches) -> Result<ExitCode> {
    let mut settings = match name {
        "doctor" | "ping" => Settings::default(),
        "sql" | "write" => {
            let resolved = settings(matches)?;
            let log = if resolved.is_said("log") { resolved.settings.log.clone() } else { QUIET_LOG.to_owned() };
            Settings { log, ..resolved.settings }
        }
        _ => settings(matches)?.settings,
    };
    if let Ok(Some(url)) = matches.try_get_one::<String>("url") {
        settings.store = url.clone();
    }
    config::init_logging(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::internal(format!("no threads could be started: {error}")))?;
    let outcome = runtime.block_on(async {
        match name {
            "serve" => serve::serve(settings).await,
            "sql" => sql::run(&settings, matches).await,
            "write" => write::run(&settings, matches).await,
            "maintain" => admin::maintain(&settings, matches).await,
            "check" => admin::check(&settings).await,
            "ping" => ping::run(matches).await,
            _ => admin::doctor(&settings).await,
        }
    });
    if matches!(name, "sql" | "write") {
        // Not waited for: a thread that reads standard input may never end by itself.
        runtime.shutdown_background();
    }
    outcome
}

/// Opens a store that is there.
async fn open(settings: &Settings) -> Result<Engine> {
    let store = Store::open(&settings.store).await?;
    Engine::open_existing(store, Arc::new(SystemClock), settings.engine_options()).await
}

/// The command makes no sense.
fn usage_error(message: String) -> Error {
    Error::new(Code::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
        let matches = command().get_matches_from(["siltdb", "serve", "--store", "memory:", "--query-time", "5s"]);
        let (_, matches) = matches.subcommand().unwrap();
        let settings = settings(matches).unwrap().settings;
        assert_eq!((settings.store.as_str(), settings.limits.query_time.as_secs()), ("memory:", 5));
        assert!(command().try_get_matches_from(["siltdb", "maintain", "merge", "--store", "x"]).is_ok());
        assert!(command().try_get_matches_from(["siltdb", "ping", "--server", "x"]).is_ok());
        assert!(command().try_get_matches_from(["siltdb", "serve", "--root-password", "x"]).is_err());
        assert!(
            command().try_get_matches_from(["siltdb", "sql", "--server", "x", "--store", "y", "SELECT 1"]).is_err()
        );
    }
}
