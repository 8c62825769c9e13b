//! Points → durable, acknowledged.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{
    ArrayRef, RecordBatch, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::compute::kernels::aggregate;
use arrow::datatypes::Schema;

use super::{Database, Engine, databases::DatabaseHandle, group_commit};
use crate::catalog;
use crate::database::{DatabaseState, Edit, NewColumns, Resolution, resolve};
use crate::ledger::Manifest;
use crate::model::{Code, ColumnId, ColumnKind, Error, PointBatch, Precision, Result, Subject, TableId};
use crate::store::{Meter, Store};
use crate::wal::{TableRows, field_for};

/// How often a write is prepared anew when tables change under it.
const ATTEMPTS: usize = 6;

/// An acknowledgement: the points are durable and every query from now on sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Points written, before any that share series and time became one.
    pub rows: usize,
}

/// Points with the ids of their table and columns, or what has to be created first.
enum Prepared {
    Ready(Vec<TableRows>),
    Missing(Vec<NewColumns>),
}

impl Engine {
    /// Writes the points of one request: all of them or, on an error, none (`OutcomeUnknown`
    /// excepted). Returns once they are durable and their epoch is proven to have been open.
    pub async fn write(&self, database: &Database, points: Vec<PointBatch>, meter: &Arc<Meter>) -> Result<Receipt> {
        let rows: usize = points.iter().map(PointBatch::rows).sum();
        let store = self.inner.store.metered(meter);
        let mut database = Cow::Borrowed(database);
        if rows == 0 {
            return Ok(Receipt { rows });
        }
        self.refuse_when_stopping()?;
        for _ in 0..ATTEMPTS {
            let manifest = database.handle.ledger.current(&store).await?;
            if manifest.state.dropped {
                let successor = self.database(database.tenant, &database.name).await?;
                if successor.options.precision != database.options.precision {
                    // The points' times are ticks of the database that is gone.
                    return Err(catalog::database_not_found(&database.name));
                }
                database = Cow::Owned(successor);
                continue;
            }
            self.refuse_expired(&manifest.state, &points)?;
            let Some(prepared) = self.prepare(&database.handle, &store, &manifest, &points).await? else { continue };
            let ready = match prepared {
                Prepared::Ready(ready) => ready,
                Prepared::Missing(wanted) => {
                    database.handle.commit(&store, self.limits(), &Edit::Define(wanted)).await?;
                    continue;
                }
            };
            self.refuse_when_behind(&database.handle)?;
            match self.submit(&database.handle, ready, meter).await? {
                group_commit::WriteOutcome::Acknowledged => {
                    self.inner.totals.points_written.fetch_add(rows as u64, Ordering::Relaxed);
                    return Ok(Receipt { rows });
                }
                group_commit::WriteOutcome::TableGone => {}
            }
        }
        Err(Error::new(
            Code::Unavailable,
            "tables kept changing while the points were written, nothing was stored; try again",
        ))
    }

    fn refuse_when_stopping(&self) -> Result<()> {
        if self.inner.stopping.load(Ordering::SeqCst) {
            return Err(Error::new(Code::Unavailable, "the server is stopping, nothing was stored"));
        }
        Ok(())
    }

    /// Asks writers to wait when more is unsettled than one LIST page shows.
    fn refuse_when_behind(&self, handle: &DatabaseHandle) -> Result<()> {
        let (tail, limits) = (handle.tail(), self.limits());
        if tail.segments < limits.live_segments && tail.bytes < limits.live_segment_bytes {
            return Ok(());
        }
        Err(Error::new(
            Code::TooManyWrites,
            format!(
                "Memory Exhausted Retry Later: {} segments ({} bytes) wait to be settled; nothing was stored",
                tail.segments, tail.bytes
            ),
        ))
    }

    fn refuse_expired(&self, state: &DatabaseState, points: &[PointBatch]) -> Result<()> {
        let Some(horizon) = horizon(state.options.precision, state.options.ttl, self.now()) else {
            return Ok(());
        };
        for batch in points {
            if let Some(oldest) = aggregate::min(&batch.time).filter(|oldest| *oldest < horizon) {
                return Err(Error::new(
                    Code::PointExpired,
                    format!(
                        "Operation not support: create expired bucket: table '{}' got a point at {oldest}, which is \
                         older than the database's TTL allows ({horizon})",
                        batch.table
                    ),
                )
                .about(Subject { table: batch.table.clone(), column: None, time: Some(oldest) }));
            }
        }
        Ok(())
    }

    /// Ties points to ids. `None`: a newer manifest was found on the way, try again with it.
    async fn prepare(
        &self,
        handle: &DatabaseHandle,
        store: &Store,
        manifest: &Manifest<DatabaseState>,
        points: &[PointBatch],
    ) -> Result<Option<Prepared>> {
        let refusal = match prepare(&manifest.state, points) {
            Ok(Prepared::Missing(wanted)) if manifest.state.options.strict_write => strict(&manifest.state, &wanted),
            Err(error) if error.code == Code::TypeConflict => error,
            other => return other.map(Some),
        };
        // It may be about a table that is gone by now, or that another process has made.
        if handle.ledger.is_newest(store, manifest).await? {
            return Err(refusal);
        }
        handle.ledger.load(store).await?;
        Ok(None)
    }

    /// Hands rows to the database's writer and waits for its answer. Dropping the returned future
    /// does not stop the write.
    async fn submit(
        &self,
        handle: &Arc<DatabaseHandle>,
        rows: Vec<TableRows>,
        meter: &Arc<Meter>,
    ) -> Result<group_commit::WriteOutcome> {
        let (request, answer) = group_commit::QueuedWrite::new(rows, meter.clone(), handle.pending.clone());
        let sender = handle.writer.get_or_init(|| group_commit::start(self.clone(), handle));
        sender.send(request).await.map_err(|_| Error::internal("the writer of the database has ended"))?;
        answer.await.map_err(|_| {
            Error::new(Code::OutcomeUnknown, "whether the points are durable is unknown: the writer ended early")
        })?
    }
}

/// Points before this moment (ticks) are past the retention; `None` when there is none.
pub(super) fn horizon(precision: Precision, ttl: Option<Duration>, now: i64) -> Option<i64> {
    let ticks = i64::try_from(ttl?.as_secs()).ok()?.checked_mul(precision.ticks_per_second())?;
    Some(precision.from_nanoseconds(now).saturating_sub(ticks))
}

fn strict(state: &DatabaseState, wanted: &[NewColumns]) -> Error {
    let Some(wish) = wanted.first() else { return Error::internal("nothing is missing") };
    let known = state.tables.contains_key(&wish.table);
    let column = wish.columns.first().map(|(column, _)| column.clone()).filter(|_| known);
    let subject = Subject { table: wish.table.clone(), column, time: None };
    let error = match wish.columns.first() {
        Some((column, kind)) if known => Error::new(
            Code::ColumnNotFound,
            format!("Column {column} not found ({} of table '{}', strict_write is on).", kind.name(), wish.table),
        ),
        _ => Error::new(Code::TableNotFound, format!("Table not found: \"{}\" (strict_write is on)", wish.table)),
    };
    error.about(subject)
}

fn prepare(state: &DatabaseState, points: &[PointBatch]) -> Result<Prepared> {
    let mut ready = Vec::with_capacity(points.len());
    let mut missing = Vec::new();
    for batch in points.iter().filter(|batch| batch.rows() > 0) {
        let columns = batch.columns.iter().map(|column| (column.name.as_str(), column.kind));
        match resolve(state, &batch.table, columns)? {
            Resolution::Known(table, ids) => ready.push(rows(batch, table, &ids, state.options.precision)?),
            Resolution::Missing(wanted) => missing.push(wanted),
        }
    }
    if missing.is_empty() { Ok(Prepared::Ready(ready)) } else { Ok(Prepared::Missing(missing)) }
}

/// The batch with ids for names, as segments hold it.
fn rows(batch: &PointBatch, table: TableId, ids: &[ColumnId], precision: Precision) -> Result<TableRows> {
    let mut fields = vec![field_for(ColumnId::TIME, ColumnKind::Time, precision)];
    let mut columns: Vec<ArrayRef> = vec![time_column(batch, precision)];
    for (column, id) in batch.columns.iter().zip(ids) {
        fields.push(field_for(*id, column.kind, precision));
        columns.push(column.values.clone());
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    Ok(TableRows { table, batch })
}

/// Ticks as timestamps of the database's unit, without copying.
fn time_column(batch: &PointBatch, precision: Precision) -> ArrayRef {
    let ticks = batch.time.values().clone();
    match precision {
        Precision::Nanosecond => Arc::new(TimestampNanosecondArray::new(ticks, None)),
        Precision::Microsecond => Arc::new(TimestampMicrosecondArray::new(ticks, None)),
        Precision::Millisecond => Arc::new(TimestampMillisecondArray::new(ticks, None)),
    }
}
