//! `siltdb serve`: the server, until it is asked to stop.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::print;
use crate::config::Settings;
use crate::engine::{Engine, run_background, watch_refusals};
use crate::http::{self, App, HttpOptions};
use crate::model::clock::SystemClock;
use crate::model::{Code, Error, Mode, Result};
use crate::query::Queries;
use crate::store::{Store, probe};

/// A password of root with fewer is warned of, where others may try it.
const PASSWORD_CHARACTERS: usize = 16;

/// Serves until a signal asks to stop.
pub(super) async fn serve(settings: Settings) -> Result<ExitCode> {
    let listener = listen(&settings).await?;
    let address = listener
        .local_addr()
        .map_err(|error| Error::internal(format!("the address listened on is not known: {error}")))?;
    for what in doubts(&settings, address) {
        tracing::warn!(%address, "{what}");
    }
    let stop = stop_signal()?;
    let engine = open(&settings).await?;
    let url = engine.store().url();
    let queries = Queries::new(engine.clone())?;
    let options = HttpOptions { host: address.to_string(), ..settings.http.clone() };
    let app = App::new(engine.clone(), queries, options);
    let watch = tokio::spawn(watch_refusals(engine.clone()));
    let background = settings.maintenance.then(|| tokio::spawn(run_background(engine.clone())));
    if engine.has_made_store() {
        tracing::info!(store = url, "new store made");
        print(&format!("new store made at {url}\n"))?;
    }
    tracing::info!(%address, store = url, version = env!("CARGO_PKG_VERSION"), "serving");
    print(&format!("siltdb {} listens on http://{address}\n", env!("CARGO_PKG_VERSION")))?;
    http::serve(listener, app, stop, settings.stop_time).await;
    watch.abort();
    if let Some(background) = background {
        background.abort();
    }
    engine.shutdown().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
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
