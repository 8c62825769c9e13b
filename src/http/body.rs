//! Request bodies: read within limits of size, time and memory, then decoded.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::App;
use super::encoding::{self, Coding};
use super::respond::Failure;
use crate::model::{Code, Error, Result};

/// The memory that bodies may take is counted in pieces of this many bytes.
const PIECE_BYTES: usize = 1 << 10;
/// A client slower than this, in bytes a second, is given up once it has had the idle time.
const MINIMUM_RATE: u128 = 1 << 10;
/// What is read and thrown away of a body that was refused, so that its sender sees the answer
/// instead of a broken connection.
const LINGER_BYTES: usize = 256 << 20;
const LINGER: Duration = Duration::from_secs(10);

/// How much memory all bodies together may take.
pub struct Budget {
    pieces: Arc<Semaphore>,
    total: usize,
}

impl Budget {
    pub fn new(bytes: usize) -> Budget {
        let total = (bytes / PIECE_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Budget { pieces: Arc::new(Semaphore::new(total)), total }
    }

    pub fn held_bytes(&self) -> usize {
        self.total.saturating_sub(self.pieces.available_permits()) * PIECE_BYTES
    }

    /// Takes memory for some bytes, or fails at once: waiting for others could last for ever.
    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX);
        self.pieces.clone().try_acquire_many_owned(pieces).map_err(|_| {
            let message =
                "Memory Exhausted Retry Later: request bodies take all the memory they may, nothing was stored";
            Error::new(Code::TooManyWrites, message)
        })
    }
}

/// A body in memory, and its share of the budget.
pub struct Payload {
    pub bytes: Bytes,
    share: OwnedSemaphorePermit,
}

/// Refuses a body that announces more than `limit` bytes, before any of it is asked for.
///
/// # Errors
/// 413.
pub fn check_announced(headers: &HeaderMap, limit: usize) -> Result<()> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > limit as u64) { Err(too_large(limit)) } else { Ok(()) }
}

/// Reads a body of at most `limit` bytes. The first read lets a client that waits for it go on (`100
/// Continue`), so whatever can be refused without the body must be refused before.
///
/// # Errors
/// 413, 429, 408 when the client pauses or dawdles, 400 when it breaks off.
pub async fn read(app: &App, body: Body, limit: usize) -> Result<Payload, Failure> {
    let (mut body, budget, idle) = (body, &app.inner.body_memory, app.inner.options.body_idle);
    let began = Instant::now();
    let mut share = budget.take(0)?;
    let mut gathered: Vec<u8> = Vec::new();
    let mut first = Bytes::new();
    loop {
        let frame = tokio::time::timeout(idle, body.frame()).await;
        let frame = frame.map_err(|_| Failure::too_slow(format!("no byte of the body came for {idle:?}")))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            Error::new(Code::BodyDoesNotDecode, format!("the body could not be read to its end: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let length = first.len() + gathered.len() + data.len();
        if length > limit {
            return Err(too_large(limit).into());
        }
        let elapsed = began.elapsed();
        if elapsed > idle && (length as u128 * 1_000) < elapsed.as_millis() * MINIMUM_RATE {
            return Err(Failure::too_slow(format!("only {length} bytes of the body came in {elapsed:.1?}")));
        }
        share.merge(budget.take(data.len())?);
        if length == data.len() {
            first = data;
        } else {
            gathered.extend_from_slice(&std::mem::take(&mut first));
            gathered.extend_from_slice(&data);
        }
    }
    let bytes = if gathered.is_empty() { first } else { Bytes::from(gathered) };
    Ok(Payload { bytes, share })
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
        let decoded = tokio::task::spawn_blocking(move || {
            let (_turn, _share) = (turn, share);
            encoding::decode(coding, &bytes, limit)
        });
        let decoded = decoded.await.map_err(|error| Error::internal(format!("a decoder ended: {error}")))??;
        let share = app.inner.body_memory.take(decoded.len())?;
        Ok(Payload { bytes: Bytes::from(decoded), share })
    }

    /// The body and its share of the budget, which is given back when dropped.
    pub fn into_parts(self) -> (Bytes, OwnedSemaphorePermit) {
        (self.bytes, self.share)
    }
}
