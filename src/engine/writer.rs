//! The group-commit writer: one task a database. While segments are on their way, arriving
//! requests gather for the next one; no timer delays anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::order::{Judgement, Ordered};
use super::{Effort, Engine, databases::OpenDatabase};
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
        let epoch = open.ledger.cached().map_or(0, |manifest| manifest.state.epoch);
        let ordered = engine.order(&open, epoch);
        flights.spawn(put_group(engine.clone(), open, std::mem::take(&mut group), ordered));
    }
    while flights.join_next().await.is_some() {}
}

/// Makes one group durable and answers each of its requests.
async fn put_group(engine: Engine, open: Arc<OpenDatabase>, mut group: Vec<Request>, ordered: Ordered) {
    let meter = Arc::new(Meter::default());
    let store = engine.inner.store.metered(&meter);
    let outcome = put(&engine, &open, &store, &mut group, ordered).await;
    if outcome.is_ok() {
        tidy_up(&engine, &open);
    }
    // What a group costs is what each of its requests reports: it would have cost one alone as much.
    for request in group {
        request.meter.add(meter.snapshot());
        request.answer(outcome.clone().map(|()| Outcome::Acknowledged));
    }
}

/// What a process that only writes owes to itself and others, done beside the writes and now and then: a look at the
/// whole log, and a hint at its own commits.
fn tidy_up(engine: &Engine, open: &Arc<OpenDatabase>) {
    let looks = open.ledger.claim_look(&engine.inner.store);
    if !looks && !open.ledger.is_behind() {
        return;
    }
    let (engine, open) = (engine.clone(), open.clone());
    tokio::spawn(async move {
        let store = &engine.inner.store;
        if looks && let Err(error) = engine.look(&open, store).await {
            tracing::debug!(database = %open.id, %error, "the log could not be looked at");
        }
        open.ledger.flush_hint(store).await;
    });
}

/// W2 and W3 of the protocol. Requests whose tables are gone are answered and leave the group.
async fn put(
    engine: &Engine,
    open: &OpenDatabase,
    store: &Store,
    group: &mut Vec<Request>,
    mut ordered: Ordered,
) -> Result<()> {
    let mut manifest = open.ledger.current(store).await?;
    let mut look = engine.has_to_look(open, manifest.state.epoch);
    for attempt in 0..PUT_ATTEMPTS {
        dismiss_gone(&manifest, group);
        if group.is_empty() {
            return Ok(());
        }
        if ordered.epoch != manifest.state.epoch {
            ordered = engine.order(open, manifest.state.epoch);
        }
        let (bytes, segment) = encode(group.iter().map(|request| request.rows.clone()).collect()).await?;
        let name = name_of(open, &manifest, &segment, ordered);
        let size = bytes.len() as u64;
        let path = name.path(open.root());
        // What others had written before this began is seen by one LIST, however often the segment is sent.
        let (created, seen) =
            tokio::join!(store.create_beside(&path, bytes), look_at(engine, open, store, &name, look));
        if !has_landed(open, &name, created, attempt)? {
            ordered = engine.order(open, manifest.state.epoch);
            continue;
        }
        engine.inner.totals.segments_written.fetch_add(1, Ordering::Relaxed);
        let seen = seen.map_err(|error| outcome_unknown(&error))?;
        look = false;
        match confirm(engine, open, store, &manifest).await.map_err(|error| outcome_unknown(&error))? {
            Confirmed::Open => match engine.judge(ordered, seen) {
                Judgement::Right => {
                    let segment = Arc::new(Segment { size, ..segment });
                    engine.inner.segments.insert(open.root(), name, segment).await;
                    open.grow_tail(name.order, size);
                    return Ok(());
                }
                Judgement::Behind => {}
                // As newer than what follows it would count until the epoch ends.
                Judgement::Ahead => {
                    manifest = end_epoch(engine, open).await.map_err(|error| outcome_unknown(&error))?
                }
            },
            // The epoch was closed: what landed may or may not be settled with it. Acknowledging
            // because it is would break the order of acknowledged writes, so it is written again.
            Confirmed::Sealed(newer) => {
                manifest = newer;
                look = engine.has_to_look(open, manifest.state.epoch);
            }
        }
        ordered = engine.order(open, manifest.state.epoch);
    }
    Err(Error::new(Code::OutcomeUnknown, "whether the points are durable is unknown: every epoch was sealed too soon"))
}

/// Whether a segment is on the store. `false`: another process drew the same identity and clock reading.
fn has_landed(open: &OpenDatabase, name: &SegmentName, created: CreateOutcome, attempt: usize) -> Result<bool> {
    match created {
        CreateOutcome::Created => {
            open.run.landed(name);
            Ok(true)
        }
        CreateOutcome::Taken(_) => {
            open.run.abandon(name);
            Ok(false)
        }
        CreateOutcome::Unknown(error) => {
            open.run.abandon(name);
            // Proven not to be stored, and no earlier copy landed.
            let nothing_stored = attempt == 0 && error.code != Code::OutcomeUnknown;
            Err(if nothing_stored { error } else { outcome_unknown(&error) })
        }
    }
}

/// The name of a segment of the open epoch.
fn name_of(
    open: &OpenDatabase,
    manifest: &Manifest<DatabaseState>,
    segment: &Segment,
    ordered: Ordered,
) -> SegmentName {
    let epoch = manifest.state.epoch;
    // A program that does not know numbered names would not see the segment. The manifest keeps it away.
    let (writer, place) = open.run.begin(epoch, manifest.knows_places());
    SegmentName {
        order: OrderKey { epoch, clock: ordered.clock, writer },
        tables: Segment::table_bits(segment.tables.iter().map(|part| part.table)),
        place,
    }
}

/// The largest reading that others have given out in a segment's epoch, by a LIST that begins now; 0 if there
/// is no need to look.
async fn look_at(engine: &Engine, open: &OpenDatabase, store: &Store, own: &SegmentName, look: bool) -> Result<u64> {
    if !look {
        return Ok(0);
    }
    let listing = engine.look(open, store).await?;
    let orders = listing.segments.iter().map(|(name, _)| name.order);
    let others = orders.filter(|order| order.epoch == own.order.epoch && order.writer != own.order.writer);
    Ok(others.map(|order| order.clock).max().unwrap_or(0))
}

fn outcome_unknown(error: &Error) -> Error {
    Error::new(Code::OutcomeUnknown, format!("whether the points are durable is unknown: {error}"))
}

enum Confirmed {
    Open,
    Sealed(Arc<Manifest<DatabaseState>>),
}

/// Flushes the open epoch and returns the manifest of a later one.
async fn end_epoch(engine: &Engine, open: &OpenDatabase) -> Result<Arc<Manifest<DatabaseState>>> {
    engine.flush_open(open, Effort::default()).await?;
    open.ledger.current(&engine.inner.store).await
}

async fn confirm(
    engine: &Engine,
    open: &OpenDatabase,
    store: &Store,
    manifest: &Arc<Manifest<DatabaseState>>,
) -> Result<Confirmed> {
    if open.ledger.is_newest(store, manifest).await? {
        return Ok(Confirmed::Open);
    }
    let newer = engine.look(open, store).await?.manifest;
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
