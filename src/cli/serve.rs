//! `siltdb serve`: the server, until it is asked to stop.

use std::fmt::Display;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::print;
use crate::config::Settings;
use crate::engine::{Engine, run_background, watch_refusals};
use crate::http::{self, App, HttpOptions};
use crate::model::clock::SystemClock;
use crate::model::{Code, Error, Mode, Result};
use crate::query::Queries;
use crate::store::{Store, probe};

/// Open files that are kept for the store, temporary files and what else is no connection.
const FILES_OF_THE_STORE: u64 = 256;
const LEAST_CONNECTIONS: usize = 64;
/// What a process may open at least, where nobody says how many.
const LEAST_FILES: u64 = 256;
/// A password of root with fewer is warned of, where others may try it.
const PASSWORD_CHARACTERS: usize = 16;

/// Serves until a signal asks to stop.
pub(super) async fn serve(settings: Settings) -> Result<ExitCode> {
    let files = raise_file_limit();
    let listener = listen(&settings).await?;
    let address = address_of(&listener)?;
    for what in doubts(&settings, address) {
        tracing::warn!(%address, "{what}");
    }
    let metrics = match settings.metrics_listen.as_str() {
        "" => None,
        address => Some(bind(address, &addresses_of(address).await?).await?),
    };
    let stop = stop_signal()?;
    let engine = open(&settings).await?;
    let url = engine.store().url();
    let queries = Queries::new(engine.clone())?;
    let app = App::new(engine.clone(), queries, http_options(&settings, address, files));
    let mut tasks = vec![tokio::spawn(watch_refusals(engine.clone()))];
    tasks.extend(settings.maintenance.then(|| tokio::spawn(run_background(engine.clone()))));
    if engine.has_made_store() {
        tracing::info!(store = url, "new store made");
        print(&format!("new store made at {url}\n"))?;
    }
    tracing::info!(%address, store = url, version = env!("CARGO_PKG_VERSION"), "serving");
    print(&format!("siltdb {} listens on http://{address}\n", env!("CARGO_PKG_VERSION")))?;
    if let Some(metrics) = metrics {
        let address = address_of(&metrics)?;
        tracing::info!(%address, "serving metrics");
        print(&format!("metrics on http://{address}/metrics\n"))?;
        tasks.push(tokio::spawn(http::serve_metrics(metrics, app.clone())));
    }
    http::serve(listener, app, stop, settings.stop_time).await;
    tasks.iter().for_each(JoinHandle::abort);
    engine.shutdown().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// What the wire is set up with on this address, with so many open files allowed.
fn http_options(settings: &Settings, address: SocketAddr, files: u64) -> HttpOptions {
    let options = settings.http.clone();
    let connections = usize::try_from(files.saturating_sub(FILES_OF_THE_STORE)).unwrap_or(usize::MAX);
    let connections = options.connections.min(connections.max(LEAST_CONNECTIONS));
    if connections < options.connections {
        tracing::info!(connections, files, "fewer connections than set, for the limit of open files is low");
    }
    HttpOptions {
        host: address.to_string(),
        connections,
        open_metrics: settings.open_metrics.is_open_at(address.ip()),
        local_names_only: !settings.has_root_password(),
        ..options
    }
}

/// Lets this process open as many files as it may, and says how many. Shells and service managers begin with few,
/// for programs that cannot handle more.
fn raise_file_limit() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        tracing::warn!(%error, "the limit of open files could not be raised");
        LEAST_FILES
    })
}

/// Opens the store, or makes a new one in an empty place.
///
/// # Errors
/// Also for a store that is there and may not be written, where clients are to write.
async fn open(settings: &Settings) -> Result<Engine> {
    let store = Store::open_or_make(&settings.store).await?;
    let engine = Engine::open(store, Arc::new(SystemClock), settings.engine_options()).await?;
    if settings.http.mode == Mode::ReadOnly || engine.has_made_store() {
        return Ok(engine);
    }
    match probe::try_write(engine.store()).await {
        Err(error) if error.code == Code::StoreRefused => Err(Error::new(
            error.code,
            format!("the store may not be written (with --mode read-only it is served as it is): {error}"),
        )),
        // Of a full one, or one that is out of reach for a moment, there may be something to read.
        Err(error) if error.code != Code::StoreFull => {
            tracing::warn!(%error, "whether the store takes writes could not be seen");
            Ok(engine)
        }
        _ => Ok(engine),
    }
}

/// Listens, unless that would let the whole network in without a password.
async fn listen(settings: &Settings) -> Result<TcpListener> {
    let addresses = addresses_of(&settings.listen).await?;
    if !settings.has_root_password() && addresses.iter().any(|address| !address.ip().is_loopback()) {
        let why = "without a password for root only this machine may connect; set SILTDB_ROOT_PASSWORD, \
                   or listen on 127.0.0.1";
        return Err(cannot_listen(&settings.listen, why));
    }
    bind(&settings.listen, &addresses).await
}

async fn addresses_of(text: &str) -> Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host(text).await.map_err(|error| cannot_listen(text, error))?;
    Ok(found.collect())
}

async fn bind(text: &str, addresses: &[SocketAddr]) -> Result<TcpListener> {
    TcpListener::bind(addresses).await.map_err(|error| cannot_listen(text, error))
}

fn cannot_listen(text: &str, why: impl Display) -> Error {
    Error::new(Code::BadRequest, format!("cannot listen on {text}: {why}"))
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr> {
    let address = listener.local_addr();
    address.map_err(|error| Error::internal(format!("the address listened on is not known: {error}")))
}

/// What somebody who listens on the network, or guesses, could make use of.
fn doubts(settings: &Settings, address: SocketAddr) -> Vec<String> {
    let mut doubts = Vec::new();
    if address.ip().is_loopback() {
        return doubts;
    }
    doubts.push(
        "HTTP is in the clear, passwords too, on an address that others can reach: a proxy with TLS belongs before it"
            .to_owned(),
    );
    let characters = settings.root_password.as_ref().map(|password| password.expose_secret().chars().count());
    if settings.root_password_hash.is_none() && characters.is_some_and(|count| count < PASSWORD_CHARACTERS) {
        doubts
            .push(format!("the password of root has fewer than {PASSWORD_CHARACTERS} characters, and may be guessed"));
    }
    doubts
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OpenMetrics;

    #[test]
    fn connections_leave_files_to_the_store() {
        let connections = |settings: &Settings, files| {
            http_options(settings, SocketAddr::from(([127, 0, 0, 1], 1)), files).connections
        };
        let mut settings = Settings::default();
        assert_eq!([100_000, 1_024, 100].map(|files| connections(&settings, files)), [4_096, 768, 64]);
        settings.http.connections = 10;
        assert_eq!(connections(&settings, 1_024), 10);
    }

    #[test]
    fn what_is_open_follows_from_address_and_password() {
        let options = |settings: &Settings, address: [u8; 4]| {
            let options = http_options(settings, SocketAddr::from((address, 1)), 10_000);
            (options.open_metrics, options.local_names_only)
        };
        let mut settings = Settings::default();
        assert_eq!(options(&settings, [127, 0, 0, 1]), (true, true));
        settings.root_password = Some("x".into());
        assert_eq!(options(&settings, [127, 0, 0, 1]), (true, false));
        assert_eq!(options(&settings, [0, 0, 0, 0]), (false, false));
        settings.open_metrics = OpenMetrics::Always;
        assert_eq!(options(&settings, [0, 0, 0, 0]), (true, false));
        settings.open_metrics = OpenMetrics::Never;
        assert_eq!(options(&settings, [127, 0, 0, 1]), (false, false));
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

    #[test]
    fn what_others_could_make_use_of_is_warned_of() {
        let with = |password: &str, address: &str| {
            let settings = Settings { root_password: Some(password.into()), ..Settings::default() };
            doubts(&settings, address.parse().unwrap())
        };
        assert!(with("x", "127.0.0.1:1").is_empty() && with("x", "[::1]:1").is_empty());
        let said = with("hunter2", "0.0.0.0:1");
        assert!(said[0].contains("in the clear") && said[1].contains("fewer than 16 characters"), "{said:?}");
        assert!(!said.concat().contains("hunter2"));
        assert_eq!(with("sixteen letters!", "192.0.2.1:1").len(), 1);
    }
}
