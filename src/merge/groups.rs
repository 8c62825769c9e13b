//! Rows with the same key become one.

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::take,
};

use super::{
    KeyColumns,
    columns::{CellBits, compact},
    fields,
    sum::{bits, cell, key_hashes, salt},
};
use crate::model::{ColumnId, Digest, Error, Result};

/// Rows of a batch in key order, cut into groups of one key, the older rows of a group first.
#[derive(Debug, Default)]
pub(super) struct KeyGroups {
    /// Row numbers in the batch.
    rows: Vec<u32>,
    /// For each group the number of rows up to its end.
    ends: Vec<u32>,
}

/// Where a group of more than one row lies.
struct Duplicates {
    group: usize,
    start: usize,
    end: usize,
}

impl KeyGroups {
    pub(super) fn with_capacity(rows: usize) -> KeyGroups {
        KeyGroups { rows: Vec::with_capacity(rows), ends: Vec::with_capacity(rows) }
    }

    /// Adds the next row; `repeats` tells that its key is that of the row before.
    pub(super) fn push(&mut self, row: u32, repeats: bool) {
        self.rows.push(row);
        let end = self.rows.len() as u32;
        match self.ends.last_mut() {
            Some(last) if repeats => *last = end,
            _ => self.ends.push(end),
        }
    }

    /// One row a group: in each column the newest value of the group that is not null. Also the sum
    /// of what did not survive.
    pub(super) fn collapse(
        &self,
        batch: &RecordBatch,
        key: &KeyColumns,
        ids: &[ColumnId],
    ) -> Result<(RecordBatch, Digest)> {
        let newest = UInt32Array::from_iter_values(self.ends.iter().map(|end| self.rows[*end as usize - 1]));
        let duplicates = self.duplicates();
        let hashes = self.hashes(batch, key, ids, &duplicates)?;
        let excess = (self.rows.len() - self.ends.len()) as u64;
        let mut dropped = Digest { rows: excess, cells: excess, hash: 0 };
        for (group, hash) in duplicates.iter().zip(&hashes) {
            let row = cell(*hash, salt(ColumnId::TIME), 0);
            dropped.hash = dropped.hash.wrapping_add(row.wrapping_mul((group.end - group.start - 1) as u64));
        }
        let mut columns = Vec::with_capacity(batch.num_columns());
        for column in batch.columns() {
            columns.push(compact(take(column, &newest, None)?)?);
        }
        if !duplicates.is_empty() {
            for position in fields(batch, key) {
                let column = batch.column(position);
                let (survivors, lost) = self.field(column, &newest, &duplicates, &hashes, salt(ids[position]))?;
                dropped = dropped.plus(lost);
                if let Some(survivors) = survivors {
                    columns[position] = compact(take(column, &survivors, None)?)?;
                }
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.ends.len()));
        Ok((RecordBatch::try_new_with_options(batch.schema(), columns, &options)?, dropped))
    }

    fn duplicates(&self) -> Vec<Duplicates> {
        let mut found = Vec::new();
        if self.rows.len() == self.ends.len() {
            return found;
        }
        let mut start = 0;
        for (group, end) in self.ends.iter().enumerate() {
            let end = *end as usize;
            if end - start > 1 {
                found.push(Duplicates { group, start, end });
            }
            start = end;
        }
        found
    }

    /// The key hash of each group of more than one row.
    fn hashes(&self, batch: &RecordBatch, key: &KeyColumns, ids: &[ColumnId], of: &[Duplicates]) -> Result<Vec<u64>> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let rows = UInt32Array::from_iter_values(of.iter().map(|group| self.rows[group.start]));
        let time = take(batch.column(key.time), &rows, None)?;
        let mut tags = Vec::with_capacity(key.tags.len());
        for tag in &key.tags {
            tags.push((ids[*tag], take(batch.column(*tag), &rows, None)?));
        }
        let tags: Vec<(ColumnId, &ArrayRef)> = tags.iter().map(|(id, tag)| (*id, tag)).collect();
        key_hashes(&tags, &time)
    }

    /// The rows whose value of this field survives, where they are not the newest ones throughout,
    /// and the sum of the values that do not survive.
    fn field(
        &self,
        column: &ArrayRef,
        newest: &UInt32Array,
        duplicates: &[Duplicates],
        hashes: &[u64],
        salt: u64,
    ) -> Result<(Option<UInt32Array>, Digest)> {
        let cells = CellBits::of(column)?;
        let nulls = column.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let mut survivors: Option<Vec<u32>> = None;
        let mut lost = Digest::default();
        for (group, hash) in duplicates.iter().zip(hashes) {
            let mut survivor = None;
            for row in self.rows[group.start..group.end].iter().rev() {
                if nulls.as_ref().is_some_and(|nulls| nulls.is_null(*row as usize)) {
                    continue;
                }
                if survivor.is_none() {
                    survivor = Some(*row);
                } else {
                    lost.cells += 1;
                    lost.hash = lost.hash.wrapping_add(cell(*hash, salt, bits(&cells, *row as usize)));
                }
            }
            if let Some(row) = survivor.filter(|row| *row != newest.value(group.group)) {
                survivors.get_or_insert_with(|| newest.values().to_vec())[group.group] = row;
            }
        }
        Ok((survivors.map(UInt32Array::from), lost))
    }
}

/// The number of rows as row numbers count them.
pub(super) fn row_count(batch: &RecordBatch) -> Result<u32> {
    u32::try_from(batch.num_rows()).map_err(|_| Error::internal(format!("a batch of {} rows", batch.num_rows())))
}
