//! File lists: descriptions of data files in objects of their own, so that a manifest does not grow with them.
//!
//! ```text
//! siltdb-leaf 1 <CRC-32C of the rest, 8 hex digits>\n
//! zstd of a JSON list of data files
//! ```
//!
//! A file list is never changed. To change one of its files, a commit takes the whole list back into the
//! manifest first.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ledger::decompress;
use crate::model::{DataFile, Digest, Error, OrderRange, Result};

const MAGIC: &str = "siltdb-leaf 1";

/// What the manifest knows of a file list: enough to tell whether a query or a job needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileList {
    /// Object name below the database's root, `leaf/<b>-<ulid>`.
    pub path: String,
    /// Bytes of the object.
    pub size: u64,
    /// How many data files it lists.
    pub files: usize,
    /// Bytes of those.
    pub bytes: u64,
    /// Rows of those.
    pub rows: u64,
    /// Smallest time of any, ticks of the database's precision.
    pub min_time: i64,
    /// Largest time of any.
    pub max_time: i64,
    /// The smallest range that holds the ranges of all.
    pub order: OrderRange,
    /// Sum of all.
    pub sum: Digest,
}

impl FileList {
    /// Describes a list of at least one file; `None` for an empty one.
    pub fn of(path: String, size: u64, files: &[Arc<DataFile>]) -> Option<FileList> {
        Some(FileList {
            path,
            size,
            files: files.len(),
            bytes: files.iter().map(|file| file.size).sum(),
            rows: files.iter().map(|file| file.rows).sum(),
            min_time: files.iter().map(|file| file.min_time).min()?,
            max_time: files.iter().map(|file| file.max_time).max()?,
            order: files.iter().map(|file| file.order).reduce(OrderRange::union)?,
            sum: files.iter().fold(Digest::default(), |sum, file| sum.plus(file.sum)),
        })
    }

    /// Whether any of its files may overlap the times and the segments.
    pub fn may_overlap(&self, order: OrderRange, min_time: i64, max_time: i64) -> bool {
        self.order.overlaps(order) && self.min_time <= max_time && min_time <= self.max_time
    }
}

/// A file list's bytes.
pub fn encode_leaf(files: &[Arc<DataFile>]) -> Result<Bytes> {
    let failed = |error: String| Error::internal(format!("a list of files cannot be encoded: {error}"));
    let list: Vec<&DataFile> = files.iter().map(AsRef::as_ref).collect();
    let text = serde_json::to_vec(&list).map_err(|error| failed(error.to_string()))?;
    let body = zstd::bulk::compress(&text, 3).map_err(|error| failed(error.to_string()))?;
    let mut bytes = format!("{MAGIC} {:08x}\n", crc32c::crc32c(&body)).into_bytes();
    bytes.extend_from_slice(&body);
    Ok(Bytes::from(bytes))
}

/// Reads a file list back, and verifies that it is what the manifest says; `key` names the object in errors.
pub fn decode_leaf(key: &str, leaf: &FileList, bytes: &[u8]) -> Result<Vec<Arc<DataFile>>> {
    let end = bytes.iter().take(64).position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| Error::corrupt(key, "it does not begin with a leaf's header"))?;
    let body = &bytes[end + 1..];
    if bytes[..end] != *format!("{MAGIC} {:08x}", crc32c::crc32c(body)).as_bytes() {
        return Err(Error::corrupt(key, "its header or its checksum does not match"));
    }
    let text = decompress(body).map_err(|error| Error::corrupt(key, error))?;
    let files: Vec<DataFile> = serde_json::from_slice(&text).map_err(|error| Error::corrupt(key, error))?;
    let files: Vec<Arc<DataFile>> = files.into_iter().map(Arc::new).collect();
    if FileList::of(leaf.path.clone(), bytes.len() as u64, &files).as_ref() != Some(leaf) {
        return Err(Error::corrupt(key, "it does not list what the manifest says"));
    }
    Ok(files)
}
