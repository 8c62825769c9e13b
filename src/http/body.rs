//! Request bodies: read within limits of size, time and memory, then decoded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
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

/// Reads a body of at most `limit` bytes. One that announces more is refused before it is read.
///
/// # Errors
/// 413, 429, 408 when the client pauses or dawdles, 400 when it breaks off.
pub async fn read(app: &App, headers: &HeaderMap, body: Body, limit: usize) -> Result<Payload, Failure> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > limit as u64) {
        linger(body);
        return Err(too_large(limit).into());
    }
    let mut body = body;
    match gather(app, &mut body, limit).await {
        Err(failure) if failure.error.code == Code::BodyTooLarge || failure.error.code == Code::TooManyWrites => {
            linger(body);
            Err(failure)
        }
        result => result,
    }
}

async fn gather(app: &App, body: &mut Body, limit: usize) -> Result<Payload, Failure> {
    let (budget, idle) = (&app.inner.body_memory, app.inner.options.body_idle);
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
    Error::new(Code::BodyTooLarge, format!("the body is larger than the limit of {limit} bytes"))
}

/// Reads on for a while and forgets.
fn linger(mut body: Body) {
    if hyper::body::Body::is_end_stream(&body) {
        return;
    }
    tokio::spawn(async move {
        let drain = async {
            let mut drained = 0;
            while let Some(Ok(frame)) = body.frame().await {
                drained += frame.data_ref().map_or(0, Bytes::len);
                if drained > LINGER_BYTES {
                    return;
                }
            }
        };
        // Past the time the rest is dropped with the connection, which is all there is to do.
        let _ = tokio::time::timeout(LINGER, drain).await;
    });
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
