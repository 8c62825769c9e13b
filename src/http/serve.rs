//! Connections: accepted up to a number, each HTTP/1.1 with limits on its heads, all ended in good
//! order. Which one gives way to a new one is decided in `connections`.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::IntoResponse;
use futures::FutureExt;
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::connections::{ConnectionSlot, Connections};
use super::error_response::ErrorResponse;
use super::patience::Patient;
use super::throttle::Throttle;
use super::{App, metrics_page, router};
use crate::model::{Code, Error};

/// How long the first head of a connection may take, from when it was accepted.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(10);
/// How long each later one may take, and how long an idle connection is kept for it: hyper times both as one. Less
/// would race with clients that write every ten seconds.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// What hyper reads of a head before it refuses with an empty 431. The limits proper are a layer
/// of the router, which can say what is wrong, so these are wider. It is also what hyper holds of a body at a time, for
/// strangers too.
const HEAD_BYTES: usize = 64 << 10;
const HEAD_COUNT: usize = 256;
/// A pause after the system has refused to accept, for example without file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that are told at the same time that there is no place; more are closed without a word.
const TURNED_AWAY_AT_ONCE: usize = 64;
/// Connections of those who only read metrics.
const SCRAPERS: usize = 64;

/// Serves until `stop` is ready, then takes no more connections and lets the requests under way end,
/// for at most `patience`.
pub async fn serve(listener: TcpListener, app: App, stop: impl Future<Output = ()>, patience: Duration) {
    let (stopping, stopped) = watch::channel(false);
    let acceptor = Acceptor::new(router(app.clone()), &app, app.inner.connections.clone(), stopped);
    acceptor.accept_until(listener, stop).await;
    app.drain();
    stopping.send_replace(true);
    drop(acceptor);
    // Each connection holds a receiver.
    if tokio::time::timeout(patience, stopping.closed()).await.is_err() {
        tracing::warn!(?patience, "requests were still under way when the time to stop ran out");
    }
}

/// Serves metrics and pings, to whoever can reach the listener, for as long as it is polled.
pub async fn serve_metrics(listener: TcpListener, app: App) {
    let (_stopping, stopped) = watch::channel(false);
    let connections = Connections::new(SCRAPERS, SCRAPERS);
    let acceptor = Acceptor::new(metrics_page::router(app.clone()), &app, connections, stopped);
    acceptor.accept_until(listener, std::future::pending()).await;
}

/// What every connection is served with.
struct Acceptor {
    service: Router,
    /// How long a client may take hardly anything of what it is sent.
    window: Duration,
    connections: Connections,
    stopped: watch::Receiver<bool>,
    turned_away: Arc<Semaphore>,
    warnings: Throttle,
}

impl Acceptor {
    fn new(service: Router, app: &App, connections: Connections, stopped: watch::Receiver<bool>) -> Acceptor {
        let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_AT_ONCE));
        let window = app.inner.options.result_idle;
        Acceptor { service, window, connections, stopped, turned_away, warnings: Throttle::default() }
    }

    async fn accept_until(&self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => match self.connections.admit(address.ip()) {
                    Some(place) => {
                        tokio::spawn(serve_connection(
                            stream,
                            self.window,
                            self.service.clone(),
                            self.stopped.clone(),
                            place,
                        ));
                    }
                    None => self.reject_connection(stream),
                },
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if let Some(untold) = self.warnings.turn(Instant::now()) {
                        tracing::warn!(%error, untold, "a connection could not be accepted");
                    }
                    self.connections.give_way();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Answers 503 without reading a request.
    fn reject_connection(&self, stream: TcpStream) {
        if let Ok(turn) = self.turned_away.clone().try_acquire_owned() {
            tokio::spawn(async move {
                let _turn = turn;
                // A client that does not take the answer has no claim to it.
                let _ = tokio::time::timeout(Duration::from_secs(1), tell_to_leave(stream)).await;
            });
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// One connection, from its first request to its last.
async fn serve_connection(
    stream: TcpStream,
    window: Duration,
    service: Router,
    mut stopped: watch::Receiver<bool>,
    place: ConnectionSlot,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
        return;
    }
    let (service, link) = (TowerToHyperService::new(service), place.0.clone());
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(link.clone());
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_COUNT)
        .serve_connection(TokioIo::new(Patient::new(stream, window, stopped.clone())), service);
    let mut connection = pin!(connection);
    let mut reason = pin!(reason_to_end(&mut stopped, &place));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        reason = &mut reason => {
            connection.as_mut().graceful_shutdown();
            // What is under way is finished in any case. Who has to make room and sends a head, or has not taken
            // the end of an answer, is cut.
            if reason == Reason::Stopping || place.0.is_busy() {
                connection.await
            } else {
                connection.now_or_never().unwrap_or(Ok(()))
            }
        }
    };
    if let Err(error) = ended {
        // The client's doing, nearly always: it left, or was too slow, or spoke no HTTP.
        tracing::debug!(%error, "a connection ended");
    }
}

/// Why a connection is ended from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Stopping,
    /// Another one gets its place.
    GivesWay,
    /// No head came.
    Silent,
}

async fn reason_to_end(stopped: &mut watch::Receiver<bool>, place: &ConnectionSlot) -> Reason {
    let silent = async {
        tokio::time::sleep(FIRST_HEAD_TIME).await;
        if place.0.has_asked() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // An error means that the server itself is gone, which asks for the same.
        _ = stopped.wait_for(|stopped| *stopped) => Reason::Stopping,
        () = place.0.gives_way() => Reason::GivesWay,
        () = silent => Reason::Silent,
    }
}

async fn tell_to_leave(mut stream: TcpStream) -> io::Result<()> {
    let failure = ErrorResponse::from(Error::new(Code::Unavailable, "too many connections, nothing was stored"));
    let (parts, body) = failure.into_response().into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut answer = format!("HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: {}\r\n", parts.status, body.len());
    for (name, value) in &parts.headers {
        answer.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
    }
    answer.push_str("\r\n");
    stream.write_all(answer.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}
