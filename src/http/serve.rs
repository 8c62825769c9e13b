//! Connections: accepted up to a number, each HTTP/1.1 with limits on its heads, all ended in good
//! order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::patience::Patient;
use super::respond::Failure;
use super::{App, router};
use crate::model::{Code, Error};

const CONNECTIONS: u32 = 4_096;
/// How long the head of a request may take, and how long an idle connection is kept for the next
/// one: hyper times both as one. Less would race with clients that write every ten seconds.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// What hyper reads of a head before it refuses with an empty 431. The limits proper are a layer
/// of the router, which can say what is wrong, so these are wider.
const HEAD_BYTES: usize = 128 << 10;
const HEAD_COUNT: usize = 256;
/// A pause after the system has refused to accept, for example without file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` is ready, then takes no more connections and lets the requests under way end,
/// for at most `patience`.
pub async fn serve(listener: TcpListener, app: App, stop: impl Future<Output = ()>, patience: Duration) {
    let places = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let (stopping, stopped) = watch::channel(false);
    let service = router(app.clone());
    let window = app.inner.options.result_idle;
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match (accepted, places.clone().try_acquire_owned()) {
            (Ok((stream, _)), Ok(place)) => {
                tokio::spawn(converse(stream, window, service.clone(), stopped.clone(), place));
            }
            (Ok((stream, _)), Err(_)) => {
                tokio::spawn(turn_away(stream));
            }
            (Err(error), _) if is_of_one_connection(&error) => {}
            (Err(error), _) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    app.drain();
    stopping.send_replace(true);
    if tokio::time::timeout(patience, places.acquire_many(CONNECTIONS)).await.is_err() {
        tracing::warn!(?patience, "requests were still under way when the time to stop ran out");
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// One connection, from its first request to its last.
async fn converse(
    stream: TcpStream,
    window: Duration,
    service: Router,
    mut stopped: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_COUNT)
        .serve_connection(
            TokioIo::new(Patient::new(stream, window, stopped.clone())),
            TowerToHyperService::new(service),
        );
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop_is_asked(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The client's doing, nearly always: it left, or was too slow, or spoke no HTTP.
        tracing::debug!(%error, "a connection ended");
    }
}

async fn stop_is_asked(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server itself is gone, which asks for the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Answers 503 without reading a request.
async fn turn_away(mut stream: TcpStream) {
    let failure = Failure::from(Error::new(Code::Unavailable, "too many connections, nothing was stored"));
    let (parts, body) = failure.into_response().into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut answer = format!("HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: {}\r\n", parts.status, body.len());
    for (name, value) in &parts.headers {
        answer.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
    }
    answer.push_str("\r\n");
    let send = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.shutdown().await
    };
    // A client that does not take the answer has no claim to it.
    let _ = tokio::time::timeout(Duration::from_secs(1), send).await;
}
