//! Flush: seal the open epoch, agree on its segments, settle them into data files, raise the floor.
//! Steps F1 to F4 of the protocol. Anyone may run it at any time; the first commit wins.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    Budget, Engine,
    databases::{Committed, DatabaseHandle},
    snapshot::{Losses, SegmentProjection, lost, missing},
};
use crate::database::{DatabaseState, Edit, FlushedTable, Table};
use crate::ledger::Manifest;
use crate::merge::{self, KeyColumns};
use crate::model::paths::SegmentName;
use crate::model::{DataFile, Digest, Error, OrderKey, OrderRange, Precision, Result};
use crate::store::Store;
use crate::table::{self, DataFileTarget};
use crate::wal::{self, Segment, SegmentTable};

/// Segment bytes that one commit settles: bounds the memory of a flush.
const JOB_BYTES: u64 = 8 << 20;
/// Segments fetched at once.
const FETCHES: usize = 8;
/// Rows of a batch on its way into a data file.
pub(super) const BATCH_ROWS: usize = 8_192;
/// Rows of all sources of a merge to have in memory at once, about.
const MERGED_ROWS: usize = 16 * BATCH_ROWS;
/// Fewer rows of a source at once cost more than they spare.
const LEAST_ROWS: usize = 512;
/// How often in a row a flush starts over when other commits get in its way.
const ATTEMPTS: usize = 16;

/// What a flush did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flushed {
    pub segments: usize,
    pub rows: u64,
    pub files: usize,
    /// Jobs that were not begun for lack of time, or given up because others kept getting in the way: 1, or 0.
    pub left: usize,
}

type Segments = Vec<(SegmentName, Arc<Segment>)>;

/// Batches of a table, sorted by key without duplicates.
pub(super) type RowStream = stream::BoxStream<'static, Result<RecordBatch>>;

impl Engine {
    /// Settles everything that was acknowledged before the call, or says in [`Flushed::left`] that it did not.
    pub(super) async fn flush_open(&self, handle: &DatabaseHandle, budget: Budget) -> Result<Flushed> {
        let _turn = handle.flushing.lock().await;
        let store = &self.inner.store;
        let mut done = Flushed::default();
        let mut sealed_here = false;
        let mut attempts = 0;
        let mut suspected = None;
        while attempts < ATTEMPTS {
            attempts += 1;
            let listing = self.look(handle, store).await?;
            if listing.manifest.state.dropped {
                return Ok(done);
            }
            if let (Some(missing), Losses::Refused) = (missing(handle, &listing), budget.losses) {
                // One LIST may pass by what lands while it is on its way; a later one shows it.
                if suspected.as_ref() == Some(&missing) {
                    return Err(lost(handle, &missing));
                }
                suspected = Some(missing);
                continue;
            }
            if !budget.allows(handle.tail().bytes.min(JOB_BYTES)) {
                done.left = handle.tail().segments.min(1);
                return Ok(done);
            }
            let state = &listing.manifest.state;
            let frozen = if state.frozen.is_some() {
                Some(listing.manifest)
            } else if state.is_sealed() {
                self.freeze(handle, store, &listing, budget.losses).await?
            } else if sealed_here || !listing.segments.iter().any(|(name, _)| state.sees(name.order)) {
                return Ok(done);
            } else {
                let committed = handle.commit(store, self.limits(), &Edit::Seal).await?;
                sealed_here = matches!(committed, Committed::Done(_));
                None
            };
            let Some(frozen) = frozen else { continue };
            let before = done.segments;
            if self.settle_frozen(handle, frozen, budget, &mut done).await? && sealed_here {
                return Ok(done);
            }
            if done.segments > before {
                attempts = 0;
            }
        }
        done.left = 1;
        Ok(done)
    }

    /// Settles a frozen list, job by job, each on what the one before has committed. `false` when somebody
    /// else got in the way, or for lack of time.
    async fn settle_frozen(
        &self,
        handle: &DatabaseHandle,
        mut manifest: Arc<Manifest<DatabaseState>>,
        budget: Budget,
        done: &mut Flushed,
    ) -> Result<bool> {
        while let Some(frozen) = &manifest.state.frozen {
            if !budget.allows(handle.tail().bytes.min(JOB_BYTES)) {
                return Ok(false);
            }
            let Some((part, next)) = self.flush_frozen(handle, &manifest, frozen, budget.losses).await? else {
                return Ok(false);
            };
            done.segments += part.segments;
            done.rows += part.rows;
            done.files += part.files;
            manifest = next;
        }
        Ok(true)
    }

    /// Settles the first segments of a frozen list, and returns what the commit made. `None` when somebody
    /// else did.
    async fn flush_frozen(
        &self,
        handle: &DatabaseHandle,
        manifest: &Manifest<DatabaseState>,
        frozen: &[SegmentName],
        losses: Losses,
    ) -> Result<Option<(Flushed, Arc<Manifest<DatabaseState>>)>> {
        let store = &self.inner.store;
        let Some((consumed, segments)) = self.fetch_prefix(handle, store, frozen, losses).await? else {
            return Ok(None);
        };
        let mut tables = Vec::new();
        for (name, table) in &manifest.state.tables {
            match self.flush_table(handle, manifest, name, table, &segments).await {
                Ok(flushed) => tables.extend(flushed),
                Err(error) if self.is_superseded(handle, manifest, &error).await? => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let report = Flushed {
            segments: segments.len(),
            rows: tables.iter().map(|table| table.consumed.rows).sum(),
            files: tables.iter().map(|table| table.files.len()).sum(),
            left: 0,
        };
        let edit =
            Edit::Flush { floor: manifest.state.floor, consumed: consumed.clone(), base: manifest.version, tables };
        match handle.commit(store, self.limits(), &edit).await? {
            Committed::Done(next) => {
                handle.shrink_tail(&consumed);
                self.inner.segments.remove(handle.root(), &consumed).await;
                self.inner.totals.flushes.fetch_add(1, Ordering::Relaxed);
                Ok(Some((report, next)))
            }
            _ => Ok(None),
        }
    }

    /// Whether an error only says that a collector has overtaken a job that took longer than the grace:
    /// since the fence was raised it could not commit any more, and its files may be gone.
    pub(super) async fn is_superseded(
        &self,
        handle: &DatabaseHandle,
        manifest: &Manifest<DatabaseState>,
        error: &Error,
    ) -> Result<bool> {
        Ok(table::is_missing(error)
            && handle.ledger.load(&self.inner.store).await?.manifest.state.gc_fence > manifest.version)
    }

    /// The first segments of the list, as many as one job takes: their names, and those that are there. `None`
    /// when one is missing because somebody else has settled it.
    async fn fetch_prefix(
        &self,
        handle: &DatabaseHandle,
        store: &Store,
        frozen: &[SegmentName],
        losses: Losses,
    ) -> Result<Option<(Vec<SegmentName>, Segments)>> {
        let (mut names, mut segments) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        let mut fetched =
            stream::iter(frozen.iter().copied())
                .map(|name| async move {
                    Ok::<_, Error>((name, self.inner.segments.get(store, handle.root(), name).await?))
                })
                .buffered(FETCHES);
        while let Some((name, segment)) = fetched.try_next().await? {
            names.push(name);
            let Some(segment) = segment else {
                let newest = handle.ledger.load(store).await?.manifest;
                if !newest.state.frozen.as_deref().is_some_and(|frozen| frozen.contains(&name)) {
                    return Ok(None);
                }
                if losses == Losses::Refused {
                    return Err(lost(handle, &name.file_name()));
                }
                continue;
            };
            bytes += segment.size;
            segments.push((name, segment));
            if bytes >= JOB_BYTES {
                break;
            }
        }
        Ok(Some((names, segments)))
    }

    /// One table's rows of the segments, merged into one data file a partition.
    async fn flush_table(
        &self,
        handle: &DatabaseHandle,
        manifest: &Manifest<DatabaseState>,
        name: &str,
        table: &Table,
        segments: &Segments,
    ) -> Result<Option<FlushedTable>> {
        let parts: Vec<(OrderKey, &SegmentTable)> = segments
            .iter()
            .filter_map(|(segment, rows)| rows.table(table.id).map(|part| (segment.order, part)))
            .collect();
        if parts.is_empty() {
            return Ok(None);
        }
        let consumed = parts.iter().fold(Digest::default(), |sum, (_, part)| sum.plus(part.sum));
        let precision = manifest.state.options.precision;
        let mut files = Vec::new();
        let mut dropped = Digest::default();
        let projection = SegmentProjection::new(&table.schema, precision);
        for (partition, sources) in partitions(precision, &parts)? {
            let job = FileJob { name, table, partition, base: manifest.version, order: order_of(&sources), precision };
            let piece = piece_rows(sources.len());
            let streams = sources.into_iter().map(|(_, rows)| project(rows, projection.clone(), piece)).collect();
            let (written, replaced) = self.write_merged(handle, job, streams).await?;
            files.extend(written);
            dropped = dropped.plus(replaced);
        }
        Ok(Some(FlushedTable { table: table.id, files, consumed, dropped }))
    }

    /// Merges sorted sources, oldest first, into new data files. Returns the sum of what newer points
    /// replaced.
    pub(super) async fn write_merged(
        &self,
        handle: &DatabaseHandle,
        job: FileJob<'_>,
        sources: Vec<RowStream>,
    ) -> Result<(Vec<DataFile>, Digest)> {
        let schema = &job.table.schema;
        let dropped = Arc::new(Mutex::new(Digest::default()));
        let ids = schema.columns.iter().map(|column| column.id).collect();
        let merged = merge::merge(
            sources,
            schema.query_schema(job.precision),
            KeyColumns::of(schema),
            ids,
            BATCH_ROWS,
            Some(dropped.clone()),
        );
        let target = DataFileTarget {
            root: handle.root().to_owned(),
            table_name: job.name.to_owned(),
            table: job.table.id,
            partition: job.partition,
            base: job.base,
            unique: self.new_ulid(),
            order: job.order,
        };
        let (store, file_bytes) = (&self.inner.store, self.inner.options.sizes.file_bytes);
        let files = table::write_files(store, &target, schema, job.precision, file_bytes, merged).await?;
        let dropped = *dropped.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((files, dropped))
    }

    /// A ULID: unique in every object name, sorted by the time of its making.
    pub(super) fn new_ulid(&self) -> String {
        let clock = &self.inner.clock;
        let milliseconds = u64::try_from(self.now() / 1_000_000).unwrap_or(0);
        let random = u128::from(clock.random()) << 64 | u128::from(clock.random());
        ulid::Ulid::from_parts(milliseconds, random).to_string()
    }
}

/// What a new data file is to be.
pub(super) struct FileJob<'a> {
    pub(super) name: &'a str,
    pub(super) table: &'a Table,
    pub(super) partition: String,
    /// Version of the manifest that the job began from.
    pub(super) base: u64,
    pub(super) order: OrderRange,
    pub(super) precision: Precision,
}

fn order_of(sources: &[(OrderKey, RecordBatch)]) -> OrderRange {
    let nothing = OrderKey { epoch: 0, clock: 0, writer: 0 };
    let first = sources.first().map_or(nothing, |(order, _)| *order);
    let last = sources.last().map_or(nothing, |(order, _)| *order);
    OrderRange { first, last }
}

/// The rows of each partition as they are logged, oldest segment first.
fn partitions(
    precision: Precision,
    parts: &[(OrderKey, &SegmentTable)],
) -> Result<BTreeMap<String, Vec<(OrderKey, RecordBatch)>>> {
    let place = |part: &SegmentTable| Ok::<_, Error>(wal::key_of(part.batch.schema_ref())?.time);
    let times = parts.iter().map(|(_, part)| table::ticks(&part.batch, place(part)?)).collect::<Result<Vec<_>>>()?;
    let span = table::choose_span(times, precision);
    let mut by_partition: BTreeMap<String, Vec<(OrderKey, RecordBatch)>> = BTreeMap::new();
    for (order, part) in parts {
        for (partition, rows) in table::split_by_partition(&part.batch, place(part)?, precision, span)? {
            by_partition.entry(partition).or_default().push((*order, rows));
        }
    }
    Ok(by_partition)
}

/// A segment's rows, brought into the table's columns piece by piece: as queries want them they take
/// three times the memory.
fn project(rows: RecordBatch, projection: SegmentProjection, piece: usize) -> RowStream {
    let starts = (0..rows.num_rows()).step_by(piece);
    let pieces = starts.map(move |start| projection.project(&rows.slice(start, piece.min(rows.num_rows() - start))));
    stream::iter(pieces).boxed()
}

/// Rows of each of so many sources to have in memory at once.
fn piece_rows(sources: usize) -> usize {
    (MERGED_ROWS / sources.max(1)).clamp(LEAST_ROWS, BATCH_ROWS)
}
