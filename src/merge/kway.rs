//! Merging sorted streams into one.

use std::{
    cmp::Ordering,
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::RecordBatch,
    compute::{concat_batches, interleave_record_batch},
    datatypes::SchemaRef,
    row::{OwnedRow, Row, RowConverter, Rows, SortField},
};
use futures::{
    StreamExt, TryStreamExt,
    future::join_all,
    stream::{self, BoxStream},
};

use super::{
    KeyColumns,
    groups::{KeyGroups, row_count},
};
use crate::model::{ColumnId, Digest, Error, Result};

type Source = BoxStream<'static, Result<RecordBatch>>;

/// Merges `sources`, the oldest first, each sorted by key without duplicates and of `schema`, into
/// batches of about `batch_rows` rows. Rows with the same key become one: per field the value of the
/// newest source that has one. The sum of what that dropped is added to `dropped` before the batch
/// it was dropped from comes out.
///
/// Holds one batch of each source, the rows of one batch to come, and their keys. Fails if a source
/// fails, or (as an internal error) if it is not sorted; nothing comes after a failure.
pub fn merge(
    sources: Vec<Source>,
    schema: SchemaRef,
    key: KeyColumns,
    ids: Vec<ColumnId>,
    batch_rows: usize,
    dropped: Option<Arc<Mutex<Digest>>>,
) -> BoxStream<'static, Result<RecordBatch>> {
    match Merger::new(sources, schema, key, ids, batch_rows.max(1), dropped) {
        Err(error) => stream::once(async { Err(error) }).boxed(),
        Ok(merger) => stream::try_unfold(merger, |mut merger| async move {
            let batch = merger.next().await?;
            Ok(batch.map(|batch| (batch, merger)))
        })
        .boxed(),
    }
}

struct Merger {
    schema: SchemaRef,
    key: KeyColumns,
    ids: Vec<ColumnId>,
    batch_rows: usize,
    dropped: Option<Arc<Mutex<Digest>>>,
    converter: RowConverter,
    streams: Vec<Source>,
    heads: Heads,
    /// A source whose batch is used up and which must be asked before anything else happens.
    empty: Option<usize>,
    started: bool,
    pending: Pending,
    /// The next row has the key of the last one taken.
    repeats: bool,
    ready: VecDeque<RecordBatch>,
}

impl Merger {
    fn new(
        streams: Vec<Source>,
        schema: SchemaRef,
        key: KeyColumns,
        ids: Vec<ColumnId>,
        batch_rows: usize,
        dropped: Option<Arc<Mutex<Digest>>>,
    ) -> Result<Merger> {
        key.check(schema.fields().len(), &ids)?;
        let columns = key.tags.iter().chain([&key.time]);
        let converter = RowConverter::new(
            columns.map(|column| SortField::new(schema.field(*column).data_type().clone())).collect(),
        )?;
        let heads = Heads { heap: Vec::new(), batches: streams.iter().map(|_| None).collect() };
        Ok(Merger {
            schema,
            key,
            ids,
            batch_rows,
            dropped,
            converter,
            streams,
            heads,
            empty: None,
            started: false,
            pending: Pending::default(),
            repeats: false,
            ready: VecDeque::new(),
        })
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if !self.started {
            self.started = true;
            self.start().await?;
        }
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            if let Some(source) = self.empty.take() {
                let batch = next_filled(&mut self.streams[source]).await?;
                let batch = batch.map(|batch| self.load(source, batch)).transpose()?;
                self.heads.replace_first(batch);
            } else if let Some(source) = self.heads.first() {
                self.take(source)?;
            } else if self.pending.rows > 0 {
                self.flush()?;
            } else {
                return Ok(None);
            }
        }
    }

    /// Asks all sources for their first batch, at once.
    async fn start(&mut self) -> Result<()> {
        let firsts = join_all(self.streams.iter_mut().map(next_filled)).await;
        for (source, batch) in firsts.into_iter().enumerate() {
            if let Some(batch) = batch? {
                let batch = self.load(source, batch)?;
                self.heads.insert(source, batch);
            }
        }
        Ok(())
    }

    /// Encodes a batch's keys and checks that they ascend, also from the source's batch before.
    fn load(&self, source: usize, batch: RecordBatch) -> Result<Current> {
        let unsorted = || Error::internal(format!("source {source} of a merge is not sorted or holds duplicates"));
        row_count(&batch)?;
        let batch = self.conform(source, batch)?;
        let columns: Vec<_> =
            self.key.tags.iter().chain([&self.key.time]).map(|at| batch.column(*at).clone()).collect();
        let keys = self.converter.convert_columns(&columns)?;
        if (1..keys.num_rows()).any(|row| keys.row(row - 1) >= keys.row(row)) {
            return Err(unsorted());
        }
        let previous = self.heads.batches[source].as_ref();
        if previous.is_some_and(|previous| previous.last.row() >= keys.row(0)) {
            return Err(unsorted());
        }
        let last = keys.row(keys.num_rows() - 1).owned();
        Ok(Current { batch, keys, last, position: 0, slot: None })
    }

    /// The batch under the one schema of the merge, whose types it must have.
    fn conform(&self, source: usize, batch: RecordBatch) -> Result<RecordBatch> {
        if Arc::ptr_eq(batch.schema_ref(), &self.schema) {
            return Ok(batch);
        }
        RecordBatch::try_new(self.schema.clone(), batch.columns().to_vec())
            .map_err(|error| Error::internal(format!("source {source} of a merge has another schema: {error}")))
    }

    /// Takes the rows of the source with the smallest key that come before every other source's.
    fn take(&mut self, source: usize) -> Result<()> {
        if !self.repeats && self.pending.rows >= self.batch_rows {
            self.flush()?;
        }
        let (run, tied) = self.heads.run(self.batch_rows)?;
        let repeats = std::mem::replace(&mut self.repeats, tied);
        let Some(current) = self.heads.batches[source].as_mut() else {
            return Err(Error::internal("a merge lost a source"));
        };
        let mut start = current.position;
        let end = start + run;
        current.position = end;
        if repeats {
            self.pending.push(current, start, 1, true);
            start += 1;
        }
        if end > start {
            let alone = !tied && (end - start) * 4 >= self.batch_rows;
            if alone {
                let slice = current.batch.slice(start, end - start);
                self.flush()?;
                self.ready.push_back(slice);
            } else {
                self.pending.push(current, start, end - start, false);
            }
        }
        if self.heads.spent(source) {
            self.empty = Some(source);
        } else {
            self.heads.sink_first();
        }
        Ok(())
    }

    /// Gathers the rows taken so far into a batch.
    fn flush(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        for current in self.heads.batches.iter_mut().flatten() {
            current.slot = None;
        }
        if pending.rows == 0 {
            return Ok(());
        }
        let mut batch = pending.gather(&self.schema)?;
        if !pending.repeats.is_empty() {
            let (collapsed, lost) = pending.groups().collapse(&batch, &self.key, &self.ids)?;
            batch = collapsed;
            if let Some(dropped) = &self.dropped {
                let mut dropped = dropped.lock().unwrap_or_else(PoisonError::into_inner);
                *dropped = dropped.plus(lost);
            }
        }
        self.ready.push_back(batch);
        Ok(())
    }
}

/// The next batch that has rows.
async fn next_filled(source: &mut Source) -> Result<Option<RecordBatch>> {
    while let Some(batch) = source.try_next().await? {
        if batch.num_rows() > 0 {
            return Ok(Some(batch));
        }
    }
    Ok(None)
}

/// The batch of a source that is being read.
struct Current {
    batch: RecordBatch,
    keys: Rows,
    last: OwnedRow,
    /// The next row.
    position: usize,
    /// Where the batch stands among those of [`Pending`], if it does.
    slot: Option<usize>,
}

impl Current {
    fn head(&self) -> Row<'_> {
        self.keys.row(self.position)
    }

    /// How many rows from the position on, which is one of them, lie before `bound`. Doubling steps
    /// first, so that short runs cost little and long ones only their logarithm.
    fn rows_before(&self, bound: Row<'_>) -> usize {
        let left = self.keys.num_rows() - self.position;
        let before = |offset: usize| self.keys.row(self.position + offset) < bound;
        let mut known = 1;
        let mut step = 1;
        while known + step <= left && before(known + step - 1) {
            known += step;
            step *= 2;
        }
        let mut end = left.min(known + step - 1);
        while known < end {
            let middle = known + (end - known) / 2;
            if before(middle) {
                known = middle + 1;
            } else {
                end = middle;
            }
        }
        known
    }
}

/// The sources' current batches, as a heap by the key of their next row; of equal ones the older
/// source is first.
struct Heads {
    heap: Vec<usize>,
    batches: Vec<Option<Current>>,
}

impl Heads {
    fn first(&self) -> Option<usize> {
        self.heap.first().copied()
    }

    fn key(&self, source: usize) -> Option<Row<'_>> {
        self.batches[source].as_ref().map(Current::head)
    }

    fn spent(&self, source: usize) -> bool {
        self.batches[source].as_ref().is_none_or(|current| current.position >= current.batch.num_rows())
    }

    /// How many rows of the first source come before every other's next row, at most `limit`; or
    /// one row, and true, if another source's next row has the same key.
    fn run(&self, limit: usize) -> Result<(usize, bool)> {
        let Some(current) = self.first().and_then(|first| self.batches[first].as_ref()) else {
            return Err(Error::internal("a merge has no source left"));
        };
        let second = match (self.heap.get(1), self.heap.get(2)) {
            (Some(left), Some(right)) if self.precedes(*right, *left) => Some(*right),
            (left, _) => left.copied(),
        };
        let Some(bound) = second.and_then(|second| self.key(second)) else {
            return Ok((limit.min(current.batch.num_rows() - current.position), false));
        };
        match current.head().cmp(&bound) {
            Ordering::Less => Ok((limit.min(current.rows_before(bound)), false)),
            Ordering::Equal => Ok((1, true)),
            Ordering::Greater => Err(Error::internal("the heap of a merge is out of order")),
        }
    }

    fn precedes(&self, left: usize, right: usize) -> bool {
        (self.key(left), left) < (self.key(right), right)
    }

    fn insert(&mut self, source: usize, batch: Current) {
        self.batches[source] = Some(batch);
        self.heap.push(source);
        let mut at = self.heap.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.precedes(self.heap[at], self.heap[parent]) {
                break;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    /// Gives the first source its next batch; without one it leaves the heap.
    fn replace_first(&mut self, batch: Option<Current>) {
        let Some(first) = self.first() else { return };
        if batch.is_none() {
            self.heap.swap_remove(0);
        }
        self.batches[first] = batch;
        self.sink_first();
    }

    /// Restores the heap after the first source moved on.
    fn sink_first(&mut self) {
        let mut at = 0;
        loop {
            let mut smallest = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.precedes(self.heap[child], self.heap[smallest]) {
                    smallest = child;
                }
            }
            if smallest == at {
                return;
            }
            self.heap.swap(at, smallest);
            at = smallest;
        }
    }
}

/// Rows taken from the sources, not yet gathered.
#[derive(Default)]
struct Pending {
    batches: Vec<RecordBatch>,
    /// Slot in `batches`, first row, number of rows.
    runs: Vec<(usize, usize, usize)>,
    rows: usize,
    /// Positions, among the rows here, of those with the key of the row before.
    repeats: Vec<usize>,
}

impl Pending {
    fn push(&mut self, current: &mut Current, start: usize, rows: usize, repeats: bool) {
        let slot = *current.slot.get_or_insert_with(|| {
            self.batches.push(current.batch.clone());
            self.batches.len() - 1
        });
        if repeats {
            self.repeats.push(self.rows);
        }
        self.runs.push((slot, start, rows));
        self.rows += rows;
    }

    fn gather(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        if let [(slot, start, rows)] = self.runs[..] {
            return Ok(self.batches[slot].slice(start, rows));
        }
        if self.rows >= 16 * self.runs.len() {
            let slices: Vec<RecordBatch> =
                self.runs.iter().map(|(slot, start, rows)| self.batches[*slot].slice(*start, *rows)).collect();
            return Ok(concat_batches(schema, &slices)?);
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let mut places = Vec::with_capacity(self.rows);
        for (slot, start, rows) in &self.runs {
            places.extend((*start..start + rows).map(|row| (*slot, row)));
        }
        Ok(interleave_record_batch(&batches, &places)?)
    }

    fn groups(&self) -> KeyGroups {
        let mut groups = KeyGroups::with_capacity(self.rows);
        let mut repeats = self.repeats.iter().peekable();
        for row in 0..self.rows {
            groups.push(row as u32, repeats.next_if(|repeat| **repeat == row).is_some());
        }
        groups
    }
}
