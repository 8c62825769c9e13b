//! The one definition of order and of *duplicate*: sorting points, merging sorted batches, and the
//! sums that prove that neither lost or doubled anything.
//!
//! In: record batches and the place of their key columns ([`Key`]). Out: batches sorted by (tags in
//! the order of their ids, nulls first, bytewise; then time), no two rows with the same key.
//!
//! Invariants: of rows with the same key one remains, and each of its fields is the newest value
//! that is not null; what went in has the [`Digest`] of what came out plus what is reported as dropped;
//! merging is associative, so it does not matter who merged what first.
//!
//! Never: a store, a format of files, a clock; it waits for nothing but the streams it merges.

mod columns;
mod groups;
mod kway;
mod sort;
mod sum;
#[cfg(test)]
mod tests;
mod zero;

use arrow::record_batch::RecordBatch;

use crate::model::{ColumnId, Error, Result, TableSchema};

pub use kway::merge;
pub use sort::sort_points;
pub use sum::sum;
pub use zero::positive_zeros;

#[cfg(doc)]
use crate::model::Digest;

/// Positions of the key columns in a batch's schema: tags in ascending order of column id, and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumns {
    pub tags: Vec<usize>,
    pub time: usize,
}

impl KeyColumns {
    /// The key of batches whose columns are those of `schema`, in its order.
    pub fn of(schema: &TableSchema) -> KeyColumns {
        let mut tags: Vec<(ColumnId, usize)> = Vec::new();
        let mut time = 0;
        for (position, column) in schema.columns.iter().enumerate() {
            match column.kind {
                crate::model::ColumnKind::Time => time = position,
                crate::model::ColumnKind::Tag => tags.push((column.id, position)),
                crate::model::ColumnKind::Field(_) => {}
            }
        }
        tags.sort_unstable();
        KeyColumns { tags: tags.into_iter().map(|(_, position)| position).collect(), time }
    }

    fn holds(&self, position: usize) -> bool {
        self.time == position || self.tags.contains(&position)
    }

    /// Checks that the key and the ids fit a batch of `columns` columns.
    fn check(&self, columns: usize, ids: &[ColumnId]) -> Result<()> {
        let inside = self.time < columns && self.tags.iter().all(|tag| *tag < columns);
        if !inside || ids.len() != columns {
            return Err(Error::internal(format!(
                "key {self:?} and {} column ids do not fit a batch of {columns} columns",
                ids.len()
            )));
        }
        Ok(())
    }
}

/// The positions of the columns that are not of the key.
fn fields<'a>(batch: &'a RecordBatch, key: &'a KeyColumns) -> impl Iterator<Item = usize> + 'a {
    (0..batch.num_columns()).filter(|position| !key.holds(*position))
}
