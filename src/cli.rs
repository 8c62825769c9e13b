//! The command line: opens what the settings name, wires it together, and waits.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Arg, ArgMatches, Command};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::{self, LogFormat, SETTINGS, Scope, Settings};
use crate::engine::{Duties, Engine, run_background};
use crate::http::{self, App, HttpOptions};
use crate::model::clock::{Clock, SystemClock};
use crate::model::{Code, Error, Result};
use crate::query::Queries;
use crate::store::{Store, paths, probe::probe};

const CONFIG_FLAG: &str = "config";
const CONFIG_VARIABLE: &str = "SILTDB_CONFIG";
/// What `sysexits.h` and most programs use for a command that makes no sense.
const USAGE_FAILURE: u8 = 2;

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    let outcome = match matches.subcommand() {
        Some(("settings", _)) => print(&settings_table()),
        Some((name, matches)) => start(name, matches),
        None => Ok(ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("siltdb: {error}");
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
        .subcommand(
            with_settings(Command::new("maintain").about(maintain), Scope::Everywhere).arg(
                Arg::new("duty")
                    .value_parser(["all", "flush", "merge", "retain", "collect"])
                    .default_value("all")
                    .help("What to do"),
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
        .subcommand(Command::new("settings").about("Print the table of all settings").hide(true))
}

/// Adds the flags of a scope, and the one of the settings file.
fn with_settings(command: Command, scope: Scope) -> Command {
    let file = Arg::new(CONFIG_FLAG)
        .long(CONFIG_FLAG)
        .value_name("FILE")
        .help(format!("A TOML file of settings [env: {CONFIG_VARIABLE}]"));
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
fn settings(matches: &ArgMatches) -> Result<Settings> {
    let flag = |name: &str| matches.try_get_one::<String>(name).ok().flatten().cloned();
    let variable = |name: &str| std::env::var(name).ok();
    let file = flag(CONFIG_FLAG).or_else(|| variable(CONFIG_VARIABLE).filter(|name| !name.is_empty()));
    let text = match &file {
        Some(name) => {
            let read = std::fs::read_to_string(name);
            Some(read.map_err(|error| Error::new(Code::BadRequest, format!("{name} cannot be read: {error}")))?)
        }
        None => None,
    };
    config::resolve(|setting| flag(setting.flag), variable, file.as_deref().zip(text.as_deref()))
}

/// Runs a command that needs a store.
fn start(name: &str, matches: &ArgMatches) -> Result<ExitCode> {
    let mut settings = if name == "doctor" { Settings::default() } else { settings(matches)? };
    if let Ok(Some(url)) = matches.try_get_one::<String>("url") {
        settings.store = url.clone();
    }
    begin_log(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::internal(format!("no threads could be started: {error}")))?;
    runtime.block_on(async {
        match name {
            "serve" => serve(settings).await,
            "maintain" => maintain(&settings, matches).await,
            "check" => check(&settings).await,
            _ => doctor(&settings).await,
        }
    })
}

fn begin_log(settings: &Settings) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| Error::new(Code::BadRequest, format!("log '{}' is not a filter: {error}", settings.log)))?;
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let begun = match settings.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| Error::internal(format!("the log could not be started: {error}")))
}

fn print(text: &str) -> Result<ExitCode> {
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| Error::internal(format!("nothing can be printed: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

async fn open(settings: &Settings) -> Result<Engine> {
    let store = Store::open(&settings.store).await?;
    Engine::open(store, Arc::new(SystemClock), settings.engine_options()).await
}

async fn serve(settings: Settings) -> Result<ExitCode> {
    let listener = listen(&settings).await?;
    let address = listener
        .local_addr()
        .map_err(|error| Error::internal(format!("the address listened on is not known: {error}")))?;
    let stop = stop_signal()?;
    let engine = open(&settings).await?;
    let queries = Queries::new(engine.clone())?;
    let options = HttpOptions { host: address.to_string(), ..settings.http.clone() };
    let app = App::new(engine.clone(), queries, options);
    let background = settings.maintenance.then(|| tokio::spawn(run_background(engine.clone())));
    tracing::info!(%address, store = engine.store().url(), version = env!("CARGO_PKG_VERSION"), "serving");
    print(&format!("siltdb {} listens on http://{address}\n", env!("CARGO_PKG_VERSION")))?;
    http::serve(listener, app, stop, settings.stop_time).await;
    if let Some(background) = background {
        background.abort();
    }
    engine.shutdown().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Listens, unless that would let the whole network in without a password.
async fn listen(settings: &Settings) -> Result<TcpListener> {
    let refuse = |why: String| Error::new(Code::BadRequest, format!("cannot listen on {}: {why}", settings.listen));
    let found = tokio::net::lookup_host(&settings.listen).await.map_err(|error| refuse(error.to_string()))?;
    let addresses: Vec<SocketAddr> = found.collect();
    if !settings.has_root_password() && addresses.iter().any(|address| !address.ip().is_loopback()) {
        let why = "without a password for root only this machine may connect; set SILTDB_ROOT_PASSWORD, \
                   or listen on 127.0.0.1";
        return Err(refuse(why.to_owned()));
    }
    TcpListener::bind(addresses.as_slice()).await.map_err(|error| refuse(error.to_string()))
}

/// Ready when the process is asked to end; asked a second time, it ends at once.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let watch = |kind| signal(kind).map_err(|error| Error::internal(format!("signals cannot be watched: {error}")));
    let (mut interrupt, mut terminate) = (watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: requests under way are finished first");
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    })
}

async fn maintain(settings: &Settings, matches: &ArgMatches) -> Result<ExitCode> {
    let duties = match matches.get_one::<String>("duty").map(String::as_str) {
        Some("flush") => Duties { flush: true, ..Duties::NONE },
        Some("merge") => Duties { merge: true, ..Duties::NONE },
        Some("retain") => Duties { retain: true, ..Duties::NONE },
        Some("collect") => Duties { collect: true, ..Duties::NONE },
        _ => Duties::ALL,
    };
    let engine = open(settings).await?;
    let report = engine.maintain(duties).await?;
    engine.shutdown().await;
    print(&format!("{report}\n"))
}

async fn check(settings: &Settings) -> Result<ExitCode> {
    let report = open(settings).await?.check().await?;
    print(&format!("{report}\n"))?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn doctor(settings: &Settings) -> Result<ExitCode> {
    let store = Store::open(&settings.store).await?;
    let report = probe(&store, paths::PROBE_PREFIX, SystemClock.random()).await;
    print(&format!("{report}"))?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All settings as a table for the README.
fn settings_table() -> String {
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

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
        let matches = command().get_matches_from(["siltdb", "serve", "--store", "memory:", "--query-time", "5s"]);
        let (_, matches) = matches.subcommand().unwrap();
        let settings = settings(matches).unwrap();
        assert_eq!((settings.store.as_str(), settings.limits.query_time.as_secs()), ("memory:", 5));
        assert!(command().try_get_matches_from(["siltdb", "maintain", "merge", "--store", "x"]).is_ok());
        assert!(command().try_get_matches_from(["siltdb", "serve", "--root-password", "x"]).is_err());
        assert!(settings_table().contains("| `--listen` | `SILTDB_LISTEN` | `listen` | `127.0.0.1:8902` |"));
    }

    #[tokio::test]
    async fn only_this_machine_is_served_without_a_password() {
        let mut settings = Settings { listen: "0.0.0.0:0".to_owned(), ..Settings::default() };
        let refused = listen(&settings).await.unwrap_err();
        assert!(refused.message.contains("SILTDB_ROOT_PASSWORD"), "{refused}");
        settings.root_password = Some("x".into());
        assert!(listen(&settings).await.is_ok());
        let local = Settings { listen: "127.0.0.1:0".to_owned(), ..Settings::default() };
        assert!(listen(&local).await.is_ok());
    }
}
