//! A segment's bytes.
//!
//! ```text
//! "SILTWAL1"
//! per table: an Arrow IPC stream with one record batch, buffers compressed by zstd
//! footer:    JSON {"tables":[{table, offset, length, crc, rows, min_time, max_time, sum}], "one_zero": true}
//! footer length, 4 bytes little endian · CRC-32C of the footer, likewise · "SILTWAL1"
//! ```

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::ipc::{CompressionType, reader::StreamReader, writer::IpcWriteOptions, writer::StreamWriter};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::rows::{Segment, SegmentTable, column_ids, describe, key_of};
use crate::merge;
use crate::model::{Digest, Error, Result, TableId};

const MAGIC: &[u8; 8] = b"SILTWAL1";
const TRAILER: usize = 4 + 4 + MAGIC.len();

#[derive(Serialize, Deserialize)]
struct Footer {
    tables: Vec<Entry>,
    /// Whether every zero is the positive one. Older segments do not say so.
    #[serde(default)]
    one_zero: bool,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    table: TableId,
    offset: usize,
    length: usize,
    crc: u32,
    min_time: i64,
    max_time: i64,
    sum: Digest,
}

/// The bytes of a segment.
pub fn encode(parts: &[SegmentTable]) -> Result<Bytes> {
    let mut bytes = MAGIC.to_vec();
    let mut tables = Vec::with_capacity(parts.len());
    for part in parts {
        let offset = bytes.len();
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
        let mut writer = StreamWriter::try_new_with_options(bytes, part.batch.schema_ref(), options)?;
        writer.write(&part.batch)?;
        bytes = writer.into_inner()?;
        tables.push(Entry {
            table: part.table,
            offset,
            length: bytes.len() - offset,
            crc: crc32c::crc32c(&bytes[offset..]),
            min_time: part.min_time,
            max_time: part.max_time,
            sum: part.sum,
        });
    }
    let footer = serde_json::to_vec(&Footer { tables, one_zero: true })
        .map_err(|error| Error::internal(format!("a segment's footer cannot be encoded: {error}")))?;
    let length = u32::try_from(footer.len()).map_err(|_| Error::internal("a segment's footer is over 4 GiB"))?;
    bytes.extend_from_slice(&footer);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
    bytes.extend_from_slice(MAGIC);
    Ok(Bytes::from(bytes))
}

/// Reads a segment back and verifies every checksum; `key` names the object in errors.
pub fn decode(key: &str, bytes: &[u8]) -> Result<Segment> {
    let footer = footer(key, bytes)?;
    let mut tables = Vec::with_capacity(footer.tables.len());
    for entry in &footer.tables {
        let end = entry.offset.checked_add(entry.length);
        let body = end.and_then(|end| bytes.get(entry.offset..end));
        let body = body.ok_or_else(|| Error::corrupt(key, "its footer points outside of it"))?;
        if crc32c::crc32c(body) != entry.crc {
            return Err(Error::corrupt(key, format!("the checksum of table {} does not match", entry.table)));
        }
        let batch = read_batch(body).map_err(|error| Error::corrupt(key, error))?;
        let part = describe(entry.table, batch, entry.sum).map_err(|error| Error::corrupt(key, error))?;
        if (part.min_time, part.max_time, part.batch.num_rows() as u64)
            != (entry.min_time, entry.max_time, entry.sum.rows)
        {
            return Err(Error::corrupt(key, format!("its footer does not describe table {}", entry.table)));
        }
        tables.push(if footer.one_zero { part } else { with_one_zero(part)? });
    }
    Ok(Segment { tables, size: bytes.len() as u64 })
}

/// The rows of an older segment as a newer one would have them, with the sum of those.
fn with_one_zero(part: SegmentTable) -> Result<SegmentTable> {
    let Some(batch) = merge::positive_zeros(&part.batch)? else { return Ok(part) };
    let (key, ids) = (key_of(batch.schema_ref())?, column_ids(batch.schema_ref())?);
    let sum = merge::sum(&batch, &key, &ids)?;
    describe(part.table, batch, sum)
}

fn footer(key: &str, bytes: &[u8]) -> Result<Footer> {
    let trailer_at = bytes.len().checked_sub(TRAILER).filter(|at| *at >= MAGIC.len());
    let trailer_at = trailer_at.ok_or_else(|| Error::corrupt(key, "it is too short for a segment"))?;
    let trailer = &bytes[trailer_at..];
    if &bytes[..MAGIC.len()] != MAGIC || &trailer[8..] != MAGIC {
        return Err(Error::corrupt(key, "it does not begin and end as a segment"));
    }
    let number = |at: usize| u32::from_le_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]]);
    let begin = trailer_at.checked_sub(number(0) as usize).filter(|begin| *begin >= MAGIC.len());
    let begin = begin.ok_or_else(|| Error::corrupt(key, "its footer is longer than the object"))?;
    let footer = &bytes[begin..trailer_at];
    if crc32c::crc32c(footer) != number(4) {
        return Err(Error::corrupt(key, "the checksum of its footer does not match"));
    }
    serde_json::from_slice(footer).map_err(|error| Error::corrupt(key, error))
}

fn read_batch(body: &[u8]) -> Result<RecordBatch> {
    let mut reader = StreamReader::try_new(Cursor::new(body), None)?;
    let batch = reader.next().ok_or_else(|| Error::internal("a table without a record batch"))??;
    match reader.next() {
        None => Ok(batch),
        Some(_) => Err(Error::internal("a table with more than one record batch")),
    }
}
