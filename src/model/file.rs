//! A data file as the manifest knows it: enough to plan a query without touching it.

use serde::{Deserialize, Serialize};

use super::{ids::ColumnId, order::OrderRange, sum::Sum};

/// One immutable Parquet object: rows of one table and one partition, sorted by (tags, time), no
/// two with the same tags and time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// Object name below the database's root, `data/<table>~<id>/<partition>/<b>-<ulid>.parquet`.
    pub path: String,
    /// Folder form of the partition, `day=2026-11-24`.
    pub partition: String,
    /// Bytes.
    pub size: u64,
    /// Bytes at the end of the object that hold page index and footer: one GET fetches both.
    pub tail_bytes: u64,
    pub rows: u64,
    /// Smallest time, ticks of the database's precision.
    pub min_time: i64,
    /// Largest time, ticks of the database's precision.
    pub max_time: i64,
    /// The segments it was made from.
    pub order: OrderRange,
    /// Range of each tag that the file holds, for pruning.
    pub tags: Vec<TagRange>,
    /// Columns that have at least one value that is not null (time included).
    pub columns: Vec<ColumnId>,
    pub sum: Sum,
}

/// The range of a tag's values within a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRange {
    pub id: ColumnId,
    /// A value no larger than any in the file (perhaps shortened); none if all are null.
    pub min: Option<String>,
    /// A value no smaller than any in the file; none if unknown or all are null.
    pub max: Option<String>,
    /// Rows without the tag.
    pub nulls: u64,
}
