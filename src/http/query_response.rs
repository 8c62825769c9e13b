//! Rows to an answer: gathered before its status is sent, or sent as they come.
//!
//! Invariants: one answer is one document of its format in one stream of its coding; an error
//! before the first byte has its status, one after it breaks the connection off, so that no client
//! takes a part for the whole; nothing is computed for a client that has left; what of an answer is in
//! memory is reserved, and holds its query's permit, until its client has taken it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::Response;
use futures::stream::{self, BoxStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::encoding::Coding;
use super::error_response::{COST, cost_header};
use super::rows::RowEncoder;
use crate::format::Format;
use crate::model::{Code, Error, Result};
use crate::query::HeldMemory;
use crate::store::Meter;

/// The query room ends a query in time by itself; this much later it is given up here.
const GRACE: Duration = Duration::from_secs(5);
/// A result is gathered up to here even where queries hold much memory.
const GATHERED_ANYHOW: usize = 1 << 20;
/// A piece of more bytes goes out in copies of [`COPY_BYTES`], so that what the connection keeps of it is little.
const LARGE_BYTES: usize = 4 << 20;
const COPY_BYTES: usize = 64 << 10;

/// A result, and how its client wants it.
pub struct QueryResponse {
    pub schema: SchemaRef,
    pub batches: BoxStream<'static, Result<RecordBatch>>,
    pub format: Format,
    pub coding: Coding,
    /// Send each batch at once.
    pub chunked: bool,
}

/// What an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct ResponseLimits {
    /// Bytes gathered before an unchunked answer begins.
    pub buffer_bytes: usize,
    /// How long the client may pause.
    pub idle: Duration,
    /// How long the query may run.
    pub time: Duration,
}

impl QueryResponse {
    /// Makes the response. `permit` and the memory are held until the last byte is taken; `share` is where
    /// it is reserved.
    ///
    /// # Errors
    /// Whatever ends the query before the answer has begun.
    pub async fn respond(
        self,
        limits: ResponseLimits,
        meter: &Arc<Meter>,
        permit: OwnedSemaphorePermit,
        share: HeldMemory,
    ) -> Result<Response> {
        let deadline = Instant::now() + limits.time + GRACE;
        let (format, coding, enough) = (self.format, self.coding, if self.chunked { 1 } else { limits.buffer_bytes });
        let writer = format.encoder(self.schema)?;
        let mut rows = RowEncoder::new(self.batches, writer, coding, self.chunked, limits.buffer_bytes, share)?;
        let mut ready = Ready { pieces: VecDeque::new(), bytes: 0, permit };
        while !rows.is_finished() && ready.bytes < enough && !(ready.bytes > GATHERED_ANYHOW && rows.is_crowded()) {
            timeout_at(deadline, rows.next()).await.map_err(|_| timed_out(limits.time))??;
            ready.take(&mut rows, enough.min(COPY_BYTES));
        }
        let (finished, encoded) = (rows.is_finished(), rows.written > 0);
        let length = ready.bytes;
        let mut response = Response::new(match finished {
            // Nothing stays nothing: no lines are no bytes, encoded or not.
            true if !encoded => Body::empty(),
            true if ready.pieces.len() == 1 && length <= LARGE_BYTES => ready.into_body(),
            _ => send_rest(rows, ready, limits),
        });
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        if coding != Coding::Identity && (encoded || !finished) {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        if finished && encoded {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        headers.insert(COST, cost_header(meter.snapshot()));
        Ok(response)
    }
}

fn timed_out(time: Duration) -> Error {
    let message = format!("the query took longer than {time:?} (setting 'query_time'): ask for less, or raise it");
    Error::new(Code::QueryTimeout, message)
}

/// Bytes that wait for their client.
struct Ready {
    pieces: VecDeque<Piece>,
    bytes: usize,
    permit: OwnedSemaphorePermit,
}

/// Some bytes of an answer, with what they hold until they are dropped, wherever that is.
struct Piece {
    bytes: Vec<u8>,
    _share: HeldMemory,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Ready {
    /// Takes what has been made, if it is the end or at least `least` bytes.
    fn take(&mut self, rows: &mut RowEncoder, least: usize) {
        if rows.made() == 0 || (rows.made() < least && !rows.is_finished()) {
            return;
        }
        let (bytes, share) = rows.take();
        self.bytes += bytes.len();
        self.pieces.push_back(Piece { bytes, _share: share, _permit: None });
    }

    /// The one piece that there is.
    fn into_body(mut self) -> Body {
        let Some(piece) = self.pieces.pop_front() else { return Body::empty() };
        Body::from(Bytes::from_owner(Piece { _permit: Some(self.permit), ..piece }))
    }
}

/// Sends what is ready and then the rest, from a task that ends when the client leaves or stops reading, or
/// when the query is told to end.
fn send_rest(mut rows: RowEncoder, mut ready: Ready, limits: ResponseLimits) -> Body {
    let (sender, receiver) = mpsc::channel::<Result<Bytes>>(1);
    tokio::spawn(async move {
        let out = Out { sender, idle: limits.idle, share: rows.share() };
        loop {
            while let Some(piece) = ready.pieces.pop_front() {
                if !out.piece(piece).await {
                    return;
                }
            }
            if rows.is_finished() {
                return out.finish().await;
            }
            let next = tokio::select! {
                biased;
                () = out.sender.closed() => return,
                next = timeout(limits.time + GRACE, rows.next()) => next,
            };
            if let Err(error) = next.unwrap_or_else(|_| Err(timed_out(limits.time))) {
                return out.break_off(error).await;
            }
            ready.take(&mut rows, 1);
        }
    });
    Body::from_stream(stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    }))
}

/// The way to the client.
struct Out {
    sender: mpsc::Sender<Result<Bytes>>,
    idle: Duration,
    /// Of nothing; knows whether the query has been told to end.
    share: HeldMemory,
}

impl Out {
    /// Sends a piece; `false` when that was the last.
    async fn piece(&self, piece: Piece) -> bool {
        if piece.bytes.len() <= LARGE_BYTES {
            return self.bytes(Bytes::from_owner(piece)).await;
        }
        for part in piece.bytes.chunks(COPY_BYTES) {
            if !self.bytes(Bytes::copy_from_slice(part)).await {
                return false;
            }
        }
        true
    }

    async fn bytes(&self, bytes: Bytes) -> bool {
        let sent = tokio::select! {
            biased;
            error = self.share.ended() => {
                self.break_off(error).await;
                return false;
            }
            sent = timeout(self.idle, self.sender.send(Ok(bytes))) => sent,
        };
        if sent.is_err() {
            tracing::info!(idle = ?self.idle, "a client stopped reading its result");
        }
        matches!(sent, Ok(Ok(())))
    }

    /// Waits until the last piece has been taken.
    async fn finish(&self) {
        // Whether it was, or the client is gone or slow: there is nothing more to do.
        let _ = timeout(self.idle, self.sender.reserve()).await;
    }

    async fn break_off(&self, error: Error) {
        let message = error.message.as_str();
        tracing::warn!(error = message, code = error.code.number(), "a result broke off");
        // Of a client that is gone nobody has to be told.
        let _ = timeout(self.idle, self.sender.send(Err(error))).await;
    }
}
