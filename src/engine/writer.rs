//! The group-commit writer: one task a database. While segments are on their way, arriving
//! requests gather for the next one; no timer delays anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::{Engine, databases::OpenDatabase};
use crate::database::DatabaseState;
use crate::ledger::Manifest;
use crate::model::{Code, Error, OrderKey, Result};
use crate::store::{CreateOutcome, Meter, Store, paths::SegmentName};
use crate::wal::{self, Segment, TableRows};

/// A segment takes requests up to about this many bytes of rows in memory.
const GROUP_BYTES: usize = 32 << 20;
/// A group this large does not wait for the segment before it.
const IMPATIENT_BYTES: usize = 1 << 20;
/// Segments on their way at once.
const FLIGHTS: usize = 4;
/// Requests that may wait before senders do.
const QUEUE: usize = 1_024;
/// Groups of fewer rows are encoded where they are instead of on a thread for long work.
const INLINE_ROWS: usize = 256;
/// I18: a write ends within so many segments, however often its epoch is sealed under it.
const PUT_ATTEMPTS: usize = 6;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Acknowledged,
    /// A table was dropped meanwhile; nothing was acknowledged.
    TableGone,
}

/// The rows of one client request, and who waits for them.
#[derive(Debug)]
pub(super) struct Request {
    rows: Vec<TableRows>,
    bytes: usize,
    meter: Arc<Meter>,
    answer: oneshot::Sender<Result<Outcome>>,
    _pending: Pending,
}

/// Counts a request for as long as it is not answered.
#[derive(Debug)]
struct Pending(Arc<AtomicUsize>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Request {
    pub(super) fn new(
        rows: Vec<TableRows>,
        meter: Arc<Meter>,
        pending: Arc<AtomicUsize>,
    ) -> (Self, oneshot::Receiver<Result<Outcome>>) {
        let (answer, receiver) = oneshot::channel();
        pending.fetch_add(1, Ordering::SeqCst);
        let bytes = rows.iter().map(|rows| rows.batch.get_array_memory_size()).sum();
        (Request { rows, bytes, meter, answer, _pending: Pending(pending) }, receiver)
    }

    fn answer(self, outcome: Result<Outcome>) {
        // Nobody waits when the client has gone; the write stays done all the same.
        let _ = self.answer.send(outcome);
    }
}

/// Starts the writer of a database. It ends when the database is forgotten.
pub(super) fn start(engine: Engine, open: &Arc<OpenDatabase>) -> mpsc::Sender<Request> {
    let (sender, requests) = mpsc::channel(QUEUE);
    // The sender lives in the database: a strong pointer here would keep both for ever.
    tokio::spawn(run(engine, Arc::downgrade(open), requests));
    sender
}

async fn run(engine: Engine, open: std::sync::Weak<OpenDatabase>, mut requests: mpsc::Receiver<Request>) {
    let mut flights = JoinSet::new();
    let mut group: Vec<Request> = Vec::new();
    let mut bytes = 0;
    loop {
        tokio::select! {
            received = requests.recv(), if bytes < GROUP_BYTES => match received {
                Some(request) => {
                    bytes += request.bytes;
                    group.push(request);
                }
                None => break,
            },
            Some(_) = flights.join_next(), if !flights.is_empty() => {}
        }
        while bytes < GROUP_BYTES
            && let Ok(request) = requests.try_recv()
        {
            bytes += request.bytes;
            group.push(request);
        }
        let may_start = flights.is_empty() || (bytes >= IMPATIENT_BYTES && flights.len() < FLIGHTS);
        if group.is_empty() || !may_start {
            continue;
        }
        let Some(open) = open.upgrade() else { break };
        bytes = 0;
        let clock = engine.inner.hybrid.next(engine.inner.clock.now());
        flights.spawn(put_group(engine.clone(), open, std::mem::take(&mut group), clock));
    }
    while flights.join_next().await.is_some() {}
}

/// Makes one group durable and answers each of its requests.
async fn put_group(engine: Engine, open: Arc<OpenDatabase>, mut group: Vec<Request>, clock: u64) {
    let meter = Arc::new(Meter::default());
    let store = engine.inner.store.metered(&meter);
    let outcome = put(&engine, &open, &store, &mut group, clock).await;
    // What a group costs is what each of its requests reports: it would have cost one alone as much.
    for request in group {
        request.meter.add(meter.snapshot());
        request.answer(outcome.clone().map(|()| Outcome::Acknowledged));
    }
}

/// W2 and W3 of the protocol. Requests whose tables are gone are answered and leave the group.
async fn put(
    engine: &Engine,
    open: &OpenDatabase,
    store: &Store,
    group: &mut Vec<Request>,
    mut clock: u64,
) -> Result<()> {
    let mut manifest = open.ledger.current(store).await?;
    for attempt in 0..PUT_ATTEMPTS {
        dismiss_gone(&manifest, group);
        if group.is_empty() {
            return Ok(());
        }
        let requests = group.iter().map(|request| request.rows.clone()).collect();
        let (bytes, segment) = encode(requests).await?;
        let tables = Segment::table_bits(segment.tables.iter().map(|part| part.table));
        let order = OrderKey { epoch: manifest.state.epoch, clock, writer: engine.inner.writer };
        let name = SegmentName { order, tables };
        let size = bytes.len() as u64;
        match store.create_beside(&name.path(open.root()), bytes).await {
            CreateOutcome::Created => {}
            CreateOutcome::Taken(_) => {
                // Another process drew the same identity and clock reading.
                clock = engine.inner.hybrid.next(engine.inner.clock.now());
                continue;
            }
            // Proven not to be stored, and no earlier copy landed.
            CreateOutcome::Unknown(error) if attempt == 0 && error.code != Code::OutcomeUnknown => return Err(error),
            CreateOutcome::Unknown(error) => return Err(outcome_unknown(&error)),
        }
        engine.inner.totals.segments_written.fetch_add(1, Ordering::Relaxed);
        let segment = Arc::new(Segment { size, ..segment });
        let confirmed = confirm(open, store, &manifest).await.map_err(|error| outcome_unknown(&error))?;
        match confirmed {
            Confirmed::Open => {
                engine.inner.segments.insert(open.root(), name, segment).await;
                open.grow_tail(order, size);
                return Ok(());
            }
            // The epoch was closed: what landed may or may not be settled with it. Acknowledging
            // because it is would break the order of acknowledged writes, so it is written again.
            Confirmed::Sealed(newer) => manifest = newer,
        }
        clock = engine.inner.hybrid.next(engine.inner.clock.now());
    }
    Err(Error::new(Code::OutcomeUnknown, "whether the points are durable is unknown: every epoch was sealed too soon"))
}

fn outcome_unknown(error: &Error) -> Error {
    Error::new(Code::OutcomeUnknown, format!("whether the points are durable is unknown: {error}"))
}

enum Confirmed {
    Open,
    Sealed(Arc<Manifest<DatabaseState>>),
}

async fn confirm(open: &OpenDatabase, store: &Store, manifest: &Arc<Manifest<DatabaseState>>) -> Result<Confirmed> {
    if open.ledger.is_newest(store, manifest).await? {
        return Ok(Confirmed::Open);
    }
    let newer = open.ledger.load(store).await?.manifest;
    // Dropping a database or table opens an epoch, so an unchanged epoch means unchanged tables.
    if newer.state.epoch == manifest.state.epoch { Ok(Confirmed::Open) } else { Ok(Confirmed::Sealed(newer)) }
}

/// Answers the requests that write to tables which are no longer there.
fn dismiss_gone(manifest: &Manifest<DatabaseState>, group: &mut Vec<Request>) {
    let state = &manifest.state;
    let alive = |rows: &TableRows| !state.dropped && state.tables.values().any(|table| table.id == rows.table);
    let (stay, gone): (Vec<_>, Vec<_>) = group.drain(..).partition(|request| request.rows.iter().all(alive));
    *group = stay;
    for request in gone {
        request.answer(Ok(Outcome::TableGone));
    }
}

async fn encode(requests: Vec<Vec<TableRows>>) -> Result<(bytes::Bytes, Segment)> {
    let rows: usize = requests.iter().flatten().map(|rows| rows.batch.num_rows()).sum();
    let work = move || {
        let segment = wal::build(&requests)?;
        let bytes = wal::encode(&segment.tables)?;
        Ok((bytes, segment))
    };
    if rows <= INLINE_ROWS {
        return work();
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal(format!("encoding a segment failed: {error}")))?
}
