//! The group-commit writer: one task a database. While segments are on their way, arriving
//! requests gather for the next one; no timer delays anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::order::{Judgement, Ordered};
use super::{Budget, Engine, databases::DatabaseHandle};
use crate::database::DatabaseState;
use crate::ledger::Manifest;
use crate::model::paths::SegmentName;
use crate::model::{Code, Error, OrderKey, Result};
use crate::store::{CreateOutcome, Meter, Store};
use crate::wal::{self, Segment, TableRows};

/// A segment takes requests up to about this many bytes of rows in memory.
const GROUP_BYTES: usize = 32 << 20;
/// A group this large does not wait for the segment before it.
const SEND_NOW_BYTES: usize = 1 << 20;
/// Segments on their way at once.
const MAX_IN_FLIGHT: usize = 4;
/// Requests that may wait before senders do.
const QUEUE: usize = 1_024;
/// Groups of fewer rows are encoded where they are instead of on a thread for long work.
const INLINE_ROWS: usize = 256;
/// I18: a write ends within so many segments, however often its epoch is sealed under it.
const PUT_ATTEMPTS: usize = 6;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    Acknowledged,
    /// A table was dropped meanwhile; nothing was acknowledged.
    TableGone,
}

/// The rows of one client request, and who waits for them.
#[derive(Debug)]
pub(super) struct QueuedWrite {
    rows: Vec<TableRows>,
    bytes: usize,
    meter: Arc<Meter>,
    answer: oneshot::Sender<Result<WriteOutcome>>,
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

impl QueuedWrite {
    pub(super) fn new(
        rows: Vec<TableRows>,
        meter: Arc<Meter>,
        pending: Arc<AtomicUsize>,
    ) -> (Self, oneshot::Receiver<Result<WriteOutcome>>) {
        let (answer, receiver) = oneshot::channel();
        pending.fetch_add(1, Ordering::SeqCst);
        let bytes = rows.iter().map(|rows| rows.batch.get_array_memory_size()).sum();
        (QueuedWrite { rows, bytes, meter, answer, _pending: Pending(pending) }, receiver)
    }

    fn answer(self, outcome: Result<WriteOutcome>) {
        // Nobody waits when the client has gone; the write stays done all the same.
        let _ = self.answer.send(outcome);
    }
}

/// Starts the writer of a database. It ends when the database is forgotten.
pub(super) fn start(engine: Engine, handle: &Arc<DatabaseHandle>) -> mpsc::Sender<QueuedWrite> {
    let (sender, requests) = mpsc::channel(QUEUE);
    // The sender lives in the database: a strong pointer here would keep both for ever.
    tokio::spawn(run(engine, Arc::downgrade(handle), requests));
    sender
}

async fn run(engine: Engine, handle: std::sync::Weak<DatabaseHandle>, mut requests: mpsc::Receiver<QueuedWrite>) {
    let mut flights = JoinSet::new();
    let mut group: Vec<QueuedWrite> = Vec::new();
    let mut bytes = 0;
    loop {
        tokio::select! {
            // Not at random, so that a simulation is the same each time.
            biased;
            Some(_) = flights.join_next(), if !flights.is_empty() => {}
            received = requests.recv(), if bytes < GROUP_BYTES => match received {
                Some(request) => {
                    bytes += request.bytes;
                    group.push(request);
                }
                None => break,
            },
        }
        while bytes < GROUP_BYTES
            && let Ok(request) = requests.try_recv()
        {
            bytes += request.bytes;
            group.push(request);
        }
        let may_start = flights.is_empty() || (bytes >= SEND_NOW_BYTES && flights.len() < MAX_IN_FLIGHT);
        if group.is_empty() || !may_start {
            continue;
        }
        let Some(handle) = handle.upgrade() else { break };
        bytes = 0;
        let epoch = handle.ledger.cached().map_or(0, |manifest| manifest.state.epoch);
        let ordered = engine.order(&handle, epoch);
        flights.spawn(put_group(engine.clone(), handle, std::mem::take(&mut group), ordered));
    }
    while flights.join_next().await.is_some() {}
}

/// Makes one group durable and answers each of its requests.
async fn put_group(engine: Engine, handle: Arc<DatabaseHandle>, mut group: Vec<QueuedWrite>, ordered: Ordered) {
    let meter = Arc::new(Meter::default());
    let store = engine.inner.store.metered(&meter);
    let outcome = put(&engine, &handle, &store, &mut group, ordered).await;
    if outcome.is_ok() {
        tidy_up(&engine, &handle);
    }
    // What a group costs is what each of its requests reports: it would have cost one alone as much.
    for request in group {
        request.meter.add(meter.snapshot());
        request.answer(outcome.clone().map(|()| WriteOutcome::Acknowledged));
    }
}

/// What a process that only writes owes to itself and others, done beside the writes and now and then: a look at the
/// whole log, and a hint at its own commits.
fn tidy_up(engine: &Engine, handle: &Arc<DatabaseHandle>) {
    let looks = handle.ledger.claim_look(&engine.inner.store);
    if !looks && !handle.ledger.is_behind() {
        return;
    }
    let (engine, handle) = (engine.clone(), handle.clone());
    tokio::spawn(async move {
        let store = &engine.inner.store;
        if looks && let Err(error) = engine.look(&handle, store).await {
            tracing::debug!(database = %handle.id, %error, "the log could not be looked at");
        }
        handle.ledger.flush_hint(store).await;
    });
}

/// W2 and W3 of the protocol. Requests whose tables are gone are answered and leave the group.
async fn put(
    engine: &Engine,
    handle: &DatabaseHandle,
    store: &Store,
    group: &mut Vec<QueuedWrite>,
    mut ordered: Ordered,
) -> Result<()> {
    let mut manifest = handle.ledger.current(store).await?;
    let mut look = engine.has_to_look(handle, manifest.state.epoch);
    for attempt in 0..PUT_ATTEMPTS {
        reject_dropped_tables(&manifest, group);
        if group.is_empty() {
            return Ok(());
        }
        if ordered.epoch != manifest.state.epoch {
            ordered = engine.order(handle, manifest.state.epoch);
        }
        let (bytes, segment) = encode(group.iter().map(|request| request.rows.clone()).collect()).await?;
        let name = name_of(handle, &manifest, &segment, ordered);
        let size = bytes.len() as u64;
        let path = name.path(handle.root());
        // What others had written before this began is seen by one LIST, however often the segment is sent.
        let (created, seen) =
            futures::join!(store.create_beside(&path, bytes), look_at(engine, handle, store, &name, look));
        if !has_landed(handle, &name, created, attempt)? {
            ordered = engine.order(handle, manifest.state.epoch);
            continue;
        }
        engine.inner.totals.segments_written.fetch_add(1, Ordering::Relaxed);
        let seen = seen.map_err(|error| outcome_unknown(&error))?;
        look = false;
        match confirm(engine, handle, store, &manifest).await.map_err(|error| outcome_unknown(&error))? {
            Confirmed::Open => match engine.judge(ordered, seen) {
                Judgement::Right => {
                    let segment = Arc::new(Segment { size, ..segment });
                    engine.inner.segments.insert(handle.root(), name, segment).await;
                    handle.grow_tail(name.order, size);
                    return Ok(());
                }
                Judgement::Behind => {}
                // As newer than what follows it would count until the epoch ends.
                Judgement::Ahead => {
                    manifest = end_epoch(engine, handle).await.map_err(|error| outcome_unknown(&error))?
                }
            },
            // The epoch was closed: what landed may or may not be settled with it. Acknowledging
            // because it is would break the order of acknowledged writes, so it is written again.
            Confirmed::Sealed(newer) => {
                manifest = newer;
                look = engine.has_to_look(handle, manifest.state.epoch);
            }
        }
        ordered = engine.order(handle, manifest.state.epoch);
    }
    Err(Error::new(Code::OutcomeUnknown, "whether the points are durable is unknown: every epoch was sealed too soon"))
}

/// Whether a segment is on the store. `false`: another process drew the same identity and clock reading.
fn has_landed(handle: &DatabaseHandle, name: &SegmentName, created: CreateOutcome, attempt: usize) -> Result<bool> {
    match created {
        CreateOutcome::Created => {
            handle.run.landed(name);
            Ok(true)
        }
        CreateOutcome::Taken(_) => {
            handle.run.abandon(name);
            Ok(false)
        }
        CreateOutcome::Unknown(error) => {
            handle.run.abandon(name);
            // Proven not to be stored, and no earlier copy landed.
            let nothing_stored = attempt == 0 && error.code != Code::OutcomeUnknown;
            Err(if nothing_stored { error } else { outcome_unknown(&error) })
        }
    }
}

/// The name of a segment of the open epoch.
fn name_of(
    handle: &DatabaseHandle,
    manifest: &Manifest<DatabaseState>,
    segment: &Segment,
    ordered: Ordered,
) -> SegmentName {
    let epoch = manifest.state.epoch;
    // A program that does not know numbered names would not see the segment. The manifest keeps it away.
    let (writer, place) = handle.run.begin(epoch, manifest.knows_places());
    SegmentName {
        order: OrderKey { epoch, clock: ordered.clock, writer },
        tables: Segment::table_bits(segment.tables.iter().map(|part| part.table)),
        place,
    }
}

/// The largest reading that others have given out in a segment's epoch, by a LIST that begins now; 0 if there
/// is no need to look.
async fn look_at(
    engine: &Engine,
    handle: &DatabaseHandle,
    store: &Store,
    own: &SegmentName,
    look: bool,
) -> Result<u64> {
    if !look {
        return Ok(0);
    }
    let listing = engine.look(handle, store).await?;
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
async fn end_epoch(engine: &Engine, handle: &DatabaseHandle) -> Result<Arc<Manifest<DatabaseState>>> {
    engine.flush_open(handle, Budget::default()).await?;
    handle.ledger.current(&engine.inner.store).await
}

async fn confirm(
    engine: &Engine,
    handle: &DatabaseHandle,
    store: &Store,
    manifest: &Arc<Manifest<DatabaseState>>,
) -> Result<Confirmed> {
    if handle.ledger.is_newest(store, manifest).await? {
        return Ok(Confirmed::Open);
    }
    let newer = engine.look(handle, store).await?.manifest;
    // Dropping a database or table opens an epoch, so an unchanged epoch means unchanged tables.
    if newer.state.epoch == manifest.state.epoch { Ok(Confirmed::Open) } else { Ok(Confirmed::Sealed(newer)) }
}

/// Answers the requests that write to tables which are no longer there.
fn reject_dropped_tables(manifest: &Manifest<DatabaseState>, group: &mut Vec<QueuedWrite>) {
    let state = &manifest.state;
    let alive = |rows: &TableRows| !state.dropped && state.tables.values().any(|table| table.id == rows.table);
    let (stay, gone): (Vec<_>, Vec<_>) = group.drain(..).partition(|request| request.rows.iter().all(alive));
    *group = stay;
    for request in gone {
        request.answer(Ok(WriteOutcome::TableGone));
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
