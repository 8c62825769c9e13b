//! Settled data: a table's points in partitions, as ordinary Parquet files.
//!
//! In: batches sorted by key without duplicates (as `merge` makes them), a table's schema, the
//! store. Out: data files and what the manifest has to know of each ([`DataFile`]); and batches again.
//!
//! A *storage batch*, which goes in and comes out, has the columns of a [`TableSchema`] in its order
//! and under its names: time as a timestamp of the database's unit, tags and strings as `Utf8View`
//! (going in, also as `Utf8` or `Dictionary(Int32, Utf8)`), fields in their storage type. In a file,
//! columns go by the user's names, and their ids are Parquet's field ids.
//!
//! Invariants: a data file is written once, under a name that holds random bits, and never changed,
//! so that its footer may be kept for as long as there is room; its statistics in the manifest are
//! true bounds; its [`Digest`] is that of the rows that went in. Footers carry neither an Arrow schema
//! nor sorting columns, because readers draw wrong conclusions from them.
//!
//! Never: decides what to write, merge or delete; knows manifests, segments or SQL.

mod checksums;
mod footers;
mod layout;
mod partition;
mod read;
mod summary;
#[cfg(test)]
mod tests;
mod write;

use parquet::errors::ParquetError;

use crate::model::{Code, Error, RESTORE};
#[cfg(doc)]
use crate::model::{DataFile, Digest, TableSchema};

pub use checksums::verify_beginning;
pub use footers::{CacheStatistics, Footers};
pub use layout::{has_one_zero, ticks};
pub use partition::{MAXIMUM_PARTITIONS, Span, choose_span, partition_of, split_by_partition};
pub use read::{ObjectReader, read_file};
pub use write::{DataFileTarget, write_files};

const MISSING: &str = "is not in the store: it was collected, or is lost; ";

/// The error for a data file, or a list of such, that is not there. A snapshot that is older than the collector's grace
/// meets it, and has to be taken again.
pub fn missing(path: &str) -> Error {
    Error::new(Code::Corrupt, format!("{path} {MISSING}{RESTORE}"))
}

/// Whether an error says that a data file, or a list of such, is not there.
pub fn is_missing(error: &Error) -> bool {
    let what = error.message.strip_suffix(RESTORE).filter(|_| error.code == Code::Corrupt);
    what.is_some_and(|what| what.ends_with(MISSING))
}

/// The error behind one of Parquet's: ours, if a store gave it; else the file is damaged.
fn unreadable(path: &str, error: ParquetError) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        if let Some(ours) = current.downcast_ref::<Error>() {
            return ours.clone();
        }
        cause = match current.downcast_ref::<ParquetError>() {
            Some(ParquetError::External(inner)) => Some(inner.as_ref()),
            _ => current.source(),
        };
    }
    Error::corrupt(path, error)
}
