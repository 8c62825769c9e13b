//! Request bodies: read within limits of size, time and memory, then decoded.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::App;
use super::budget::BodyReservation;
use super::encoding::{self, Coding};
use super::error_response::ErrorResponse;
use crate::model::{Code, Error, Result};

/// A client slower than this, in bytes a second over the idle time, is given up.
const MINIMUM_RATE: u128 = 1 << 10;
/// What is read and thrown away of a body that was refused, so that its sender sees the answer
/// instead of a broken connection.
const LINGER_BYTES: usize = 256 << 20;
const LINGER: Duration = Duration::from_secs(10);

/// A body in memory, and its share of the budget.
pub struct Payload {
    pub bytes: Bytes,
    share: BodyReservation,
}

/// Refuses a body that announces more than `limit` bytes, before any of it is asked for.
///
/// # Errors
/// 413.
pub fn check_announced(headers: &HeaderMap, limit: usize) -> Result<()> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > limit as u64) { Err(too_large(limit)) } else { Ok(()) }
}

/// Reads a body of at most `limit` bytes into a share of the memory for bodies. The first read lets a client that
/// waits for it go on (`100 Continue`), so whatever can be refused without the body must be refused before.
///
/// # Errors
/// 413, 429, 408 when the client pauses or dawdles, 400 when it breaks off.
pub async fn read(
    mut body: Body,
    limit: usize,
    idle: Duration,
    mut share: BodyReservation,
) -> Result<Payload, ErrorResponse> {
    let mut pace = Pace { since: Instant::now(), bytes: 0 };
    // What was announced, at most the limit. Memory that is asked for and not written to is nobody's yet; to grow by
    // doubling is to copy all that has come.
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0).min(limit);
    let mut gathered: Vec<u8> = Vec::new();
    let mut first = Bytes::new();
    loop {
        let frame = tokio::time::timeout(idle, body.frame()).await;
        let frame = frame.map_err(|_| ErrorResponse::too_slow(format!("no byte of the body came for {idle:?}")))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            Error::new(Code::BodyDoesNotDecode, format!("the body could not be read to its end: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let length = first.len() + gathered.len() + data.len();
        if length > limit {
            return Err(too_large(limit).into());
        }
        pace.came(data.len(), Instant::now(), idle)?;
        share.grow(data.len())?;
        if length == data.len() {
            first = data;
        } else {
            if gathered.is_empty() {
                gathered.reserve_exact(announced.max(length));
            }
            gathered.extend_from_slice(&std::mem::take(&mut first));
            gathered.extend_from_slice(&data);
        }
    }
    let bytes = if gathered.is_empty() { first } else { Bytes::from(gathered) };
    Ok(Payload { bytes, share })
}

/// How fast a body comes, measured anew in each window of the idle time: what came at once in the beginning pays
/// for no pause later on.
struct Pace {
    since: Instant,
    bytes: usize,
}

impl Pace {
    /// # Errors
    /// 408 at the end of a window in which less than the minimum came.
    fn came(&mut self, bytes: usize, now: Instant, idle: Duration) -> Result<(), ErrorResponse> {
        self.bytes += bytes;
        let elapsed = now.duration_since(self.since);
        if elapsed <= idle {
            return Ok(());
        }
        if (self.bytes as u128 * 1_000) < elapsed.as_millis() * MINIMUM_RATE {
            let came = self.bytes;
            return Err(ErrorResponse::too_slow(format!("only {came} bytes of the body came within {elapsed:.1?}")));
        }
        *self = Pace { since: now, bytes: 0 };
        Ok(())
    }
}

fn too_large(limit: usize) -> Error {
    Error::new(Code::BodyTooLarge, format!("the body is larger than the limit of {limit} bytes: send it in parts"))
}

/// Whether a client sends its body only once it is told to (RFC 9110 section 10.1.1).
pub fn waits_to_continue(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The body of a request, whose rest is read and thrown away when nobody wants it, so that a client which
/// sends all before it reads sees why it was refused. Of a client that still waits for `100 Continue` nothing
/// is read: that would tell it to go on.
pub fn lingering(request: Request) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    let waits = waits_to_continue(request.headers());
    request.map(|body| Body::new(Lingering { body, waits, ended: false }))
}

struct Lingering {
    body: Body,
    /// Nothing was read yet of a body that its client holds back.
    waits: bool,
    ended: bool,
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.waits = false;
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.ended = matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.waits || self.ended || self.body.is_end_stream() {
            return;
        }
        // Without a runtime the process is at its end, and so is the connection.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(drain(std::mem::take(&mut self.body)));
        }
    }
}

/// Reads on for a while and forgets.
async fn drain(mut body: Body) {
    let read = async {
        let mut drained = 0;
        while let Some(Ok(frame)) = body.frame().await {
            drained += frame.data_ref().map_or(0, Bytes::len);
            if drained > LINGER_BYTES {
                return;
            }
        }
    };
    // Past the time the rest is dropped with the connection, which is all there is to do.
    let _ = tokio::time::timeout(LINGER, read).await;
}

impl Payload {
    /// The body without its content coding.
    ///
    /// # Errors
    /// As [`encoding::decode`]; 429 when the budget does not hold the decoded bytes.
    pub async fn decode(self, app: &App, coding: Coding) -> Result<Payload> {
        let limit = app.engine().limits().decoded_body_bytes;
        if coding == Coding::Identity {
            return if self.bytes.len() > limit { Err(too_large(limit)) } else { Ok(self) };
        }
        let turn = app.inner.decoding.clone().acquire_owned().await;
        let turn = turn.map_err(|_| Error::internal("the queue of decoders is closed"))?;
        let Payload { bytes, share } = self;
        let mut fresh = share.fresh();
        let decoded = tokio::task::spawn_blocking(move || {
            let (_turn, _share) = (turn, share);
            encoding::decode(coding, &bytes, limit)
        });
        let decoded = decoded.await.map_err(|error| Error::internal(format!("a decoder ended: {error}")))??;
        fresh.grow(decoded.len())?;
        Ok(Payload { bytes: Bytes::from(decoded), share: fresh })
    }

    /// The body and its share of the budget, which is given back when dropped.
    pub fn into_parts(self) -> (Bytes, BodyReservation) {
        (self.bytes, self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_at_once_pays_for_no_pause() {
        let (began, idle) = (Instant::now(), Duration::from_secs(30));
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut pace = Pace { since: began, bytes: 0 };
        pace.came(32 << 20, at(0), idle).unwrap();
        pace.came(1, at(29), idle).unwrap();
        pace.came(1, at(58), idle).unwrap();
        pace.came(1, at(87), idle).unwrap();
        let slow = pace.came(1, at(89), idle).unwrap_err();
        assert_eq!(slow.error.message, "only 2 bytes of the body came within 31.0s");
        let mut steady = Pace { since: began, bytes: 0 };
        assert!((1..1_000).all(|seconds| steady.came(1 << 10, at(seconds), idle).is_ok()));
    }
}
