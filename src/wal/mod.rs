//! The write-ahead log's objects: building, encoding and decoding segments, and a cache of
//! decoded ones.
//!
//! In: written rows of one database, with column ids. Out: bytes of a segment, or its rows again.
//! Invariants: within a segment no two rows of a table share tags and time; rows are sorted by
//! (tags, time); a segment holds whole requests; damaged bytes are an error, never fewer rows.
//! Never: manifests and their edits, Parquet.

mod cache;
mod codec;
mod gaps;
mod rows;
#[cfg(test)]
mod tests;

pub use cache::SegmentCache;
pub use codec::{decode, encode};
pub use gaps::{Gap, first_gap};
pub use rows::{Segment, SegmentTable, SeriesRuns, TableRows, build, column_ids, field_for, key_of};
