//! Rows to an answer: gathered before its status is sent, or sent as they come.
//!
//! Invariants: one answer is one document of its format in one stream of its coding; an error
//! before the first byte has its status, one after it breaks the connection off, so that no client
//! takes a part for the whole; nothing is computed for a client that has left.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::response::Response;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::encoding::{self, Coding};
use super::respond::{COST, cost_header};
use crate::format::{self, Format};
use crate::model::{Code, Error, Result};
use crate::store::Meter;

/// The query room ends a query in time by itself; this much later it is given up here.
const GRACE: Duration = Duration::from_secs(5);

/// A result, and how its client wants it.
pub struct Answer {
    pub schema: SchemaRef,
    pub batches: BoxStream<'static, Result<RecordBatch>>,
    pub format: Format,
    pub coding: Coding,
    /// Send each batch at once.
    pub chunked: bool,
}

/// What an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes gathered before an unchunked answer begins.
    pub buffer_bytes: usize,
    /// How long the client may pause.
    pub idle: Duration,
    /// How long the query may run.
    pub time: Duration,
}

impl Answer {
    /// Makes the response. `permit` is held until the last byte is taken.
    ///
    /// # Errors
    /// Whatever ends the query before the answer has begun.
    pub async fn respond(self, limits: Limits, meter: &Arc<Meter>, permit: OwnedSemaphorePermit) -> Result<Response> {
        let deadline = Instant::now() + limits.time + GRACE;
        let (format, coding, chunked) = (self.format, self.coding, self.chunked);
        let mut rows = Rows::new(self, limits.buffer_bytes)?;
        let mut out = Vec::new();
        let enough = if chunked { 1 } else { limits.buffer_bytes };
        while !rows.is_finished() && out.len() < enough {
            timeout_at(deadline, rows.next(&mut out)).await.map_err(|_| timed_out(limits.time))??;
        }
        let (finished, encoded) = (rows.is_finished(), rows.written > 0);
        let body = match finished {
            // Nothing stays nothing: no lines are no bytes, encoded or not.
            true if !encoded => Body::empty(),
            true => Body::from(out),
            false => stream_rest(rows, out, limits, permit),
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        if coding != Coding::Identity && (encoded || !finished) {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        headers.insert(COST, cost_header(meter.snapshot()));
        Ok(response)
    }
}

fn timed_out(time: Duration) -> Error {
    let message = format!("the query took longer than {time:?} (setting 'query_time'): ask for less, or raise it");
    Error::new(Code::QueryTimeout, message)
}

/// Sends `begun` and then the rest, from a task that ends when the client leaves or stops reading.
fn stream_rest(mut rows: Rows, begun: Vec<u8>, limits: Limits, permit: OwnedSemaphorePermit) -> Body {
    let (sender, receiver) = mpsc::channel::<Result<Bytes>>(1);
    tokio::spawn(async move {
        let _permit = permit;
        let mut chunk = Ok(Bytes::from(begun));
        loop {
            let failed = chunk.is_err();
            match timeout(limits.idle, sender.send(chunk)).await {
                Ok(Ok(())) if !failed && !rows.is_finished() => {}
                Ok(_) => return,
                Err(_) => return tracing::info!(idle = ?limits.idle, "a client stopped reading its result"),
            }
            chunk = tokio::select! {
                biased;
                () = sender.closed() => return,
                next = rows.next_chunk(limits.time + GRACE) => next,
            };
            if let Err(error) = &chunk {
                tracing::warn!(%error, code = error.code.number(), "a result broke off");
            }
        }
    });
    Body::from_stream(stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    }))
}

/// Batches becoming bytes.
struct Rows {
    batches: BoxStream<'static, Result<RecordBatch>>,
    writer: Box<dyn format::Encoder + Send>,
    /// Gone once the stream has ended.
    coder: Option<encoding::Encoder>,
    text: Vec<u8>,
    flush: bool,
    /// Most bytes that the format may hold back.
    most_held: usize,
    /// Bytes before the coding.
    written: usize,
}

impl Rows {
    fn new(answer: Answer, most_held: usize) -> Result<Rows> {
        Ok(Rows {
            writer: answer.format.encoder(answer.schema)?,
            coder: Some(encoding::Encoder::new(answer.coding).map_err(unencodable)?),
            batches: answer.batches,
            text: Vec::new(),
            flush: answer.chunked,
            most_held,
            written: 0,
        })
    }

    fn is_finished(&self) -> bool {
        self.coder.is_none()
    }

    /// Appends the next batch, or the end, to `out`. Dropping it in between loses nothing that
    /// matters: the stream is then given up.
    async fn next(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let batch = self.batches.next().await.transpose()?;
        let Some(coder) = &mut self.coder else { return Ok(()) };
        self.text.clear();
        match &batch {
            Some(batch) => self.writer.encode(batch, &mut self.text)?,
            None => self.writer.finish(&mut self.text)?,
        }
        if self.writer.held() > self.most_held {
            let most = self.most_held;
            let message = format!(
                "Fetch result: the result has more than the {most} bytes that can be held for this format; ask for csv or json"
            );
            return Err(Error::new(Code::FetchResult, message));
        }
        self.written += self.text.len();
        coder.write(&self.text, out).map_err(unencodable)?;
        match batch {
            Some(_) if self.flush && !self.text.is_empty() => coder.flush(out).map_err(unencodable),
            Some(_) => Ok(()),
            None => self.coder.take().map_or(Ok(()), |coder| coder.finish(out)).map_err(unencodable),
        }
    }

    /// The next bytes; empty only at the end.
    async fn next_chunk(&mut self, time: Duration) -> Result<Bytes> {
        let mut out = Vec::new();
        while out.is_empty() && !self.is_finished() {
            timeout(time, self.next(&mut out)).await.map_err(|_| timed_out(time))??;
        }
        Ok(Bytes::from(out))
    }
}

fn unencodable(error: std::io::Error) -> Error {
    Error::internal(format!("the result could not be encoded: {error}"))
}
