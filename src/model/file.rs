//! A data file as the manifest knows it: enough to plan a query without touching it.

use serde::{Deserialize, Serialize};

use super::{ids::ColumnId, order::OrderRange, sum::Digest};

/// Bytes of a row group at most, encoded: what a reader of a whole file holds.
pub const ROW_GROUP_BYTES: usize = 16 << 20;

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
    /// Bytes at the end of the object that hold the pages' checksums, page index and footer: one GET
    /// fetches all.
    pub tail_bytes: u64,
    /// CRC-32C of these bytes. None of files that were written before there were checksums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail_crc: Option<u32>,
    pub rows: u64,
    /// Smallest time, ticks of the database's precision.
    pub min_time: i64,
    /// Largest time, ticks of the database's precision.
    pub max_time: i64,
    /// The segments it was made from.
    pub order: OrderRange,
    /// Range of each tag that the file holds, for pruning.
    pub tags: Vec<TagRange>,
    /// The span of its rows in the order they are sorted by; none if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyRange>,
    /// Columns that have at least one value that is not null (time included).
    pub columns: Vec<ColumnId>,
    pub sum: Digest,
}

/// A place in the order of rows: by the tags in the order of their ids, then by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyBound {
    /// By ascending column id, nulls first. Without nulls at the end, so that a tag that is new to
    /// the table changes no place, and a shorter list that begins a longer one comes before it.
    tags: Vec<Option<String>>,
    /// Ticks of the database's precision.
    time: i64,
}

/// The span between a file's first and last row, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    /// No larger than the key of any row.
    pub first: KeyBound,
    /// No smaller than the key of any row.
    pub last: KeyBound,
}

impl KeyBound {
    pub fn new(mut tags: Vec<Option<String>>, time: i64) -> KeyBound {
        while tags.last().is_some_and(Option::is_none) {
            tags.pop();
        }
        KeyBound { tags, time }
    }
}

impl KeyRange {
    pub fn overlaps(&self, other: &KeyRange) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl DataFile {
    /// Whether the file may hold a row with the tags and time of a row of another file.
    pub fn may_share_points(&self, other: &DataFile) -> bool {
        let apart = match (&self.keys, &other.keys) {
            (Some(own), Some(others)) => !own.overlaps(others),
            _ => false,
        };
        self.min_time <= other.max_time && other.min_time <= self.max_time && !apart
    }
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
