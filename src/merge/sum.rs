//! The digest of points that every flush and merge is checked with.
//!
//! All arithmetic is on 64 bits and wraps. The formula is stored in manifests and so never changes:
//!
//! ```text
//! mix(x)          = splitmix64's finaliser:  x ^= x >> 30; x *= 0xbf58476d1ce4e5b9;
//!                                            x ^= x >> 27; x *= 0x94d049bb133111eb;  x ^ x >> 31
//! salt(id)        = mix((id + 1) * 0x9e3779b97f4a7c15)           id: column id, time's is 0
//! text(s)         = XXH3 (64 bits, seed 0) of the bytes of s in UTF-8
//! series(point)   = sum over its tags that are not null of  mix(text(value) ^ salt(id))
//! key(point)      = mix(series + mix(time + 0x9e3779b97f4a7c15))  time: ticks, two's complement
//! cell(id, bits)  = mix((key ^ salt(id)) + bits)
//! hash(point)     = cell(0, 0) + sum over its fields that are not null of  cell(id, bits)
//! ```
//!
//! `bits` are those of the value: of an integer in two's complement, of a double in IEEE 754 (each
//! NaN by its own bits), 0 or 1 of a boolean, `text(s)` of a string. A null contributes nothing, in
//! tags either, so that sums stay true when a table gains a column. Nothing depends on the order of
//! rows or columns, nor on how strings are encoded.

use arrow::{
    array::{Array, ArrayRef},
    buffer::NullBuffer,
    record_batch::RecordBatch,
};
use twox_hash::XxHash3_64;

use super::{
    KeyColumns,
    columns::{CellBits, TextColumn, ticks},
    fields,
};
use crate::model::{ColumnId, Digest, Result};

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The sum of a batch's points, each row being one. `ids` are the columns' ids in the batch's order.
pub fn sum(batch: &RecordBatch, key: &KeyColumns, ids: &[ColumnId]) -> Result<Digest> {
    key.check(batch.num_columns(), ids)?;
    let tags: Vec<(ColumnId, &ArrayRef)> = key.tags.iter().map(|tag| (ids[*tag], batch.column(*tag))).collect();
    let keys = key_hashes(&tags, batch.column(key.time))?;
    let rows = batch.num_rows() as u64;
    let mut total = Digest { rows, cells: rows, hash: fold(&keys, ColumnId::TIME, None, |_| 0) };
    for position in fields(batch, key) {
        total = total.plus(field(&keys, ids[position], batch.column(position))?);
    }
    Ok(total)
}

/// One hash a row, of its tags that are not null and its time.
pub(super) fn key_hashes(tags: &[(ColumnId, &ArrayRef)], time: &ArrayRef) -> Result<Vec<u64>> {
    let mut hashes = vec![0u64; time.len()];
    for (id, tag) in tags {
        let salt = salt(*id);
        let values = TextColumn::of(tag)?.map(0, |value| mix(text(value) ^ salt));
        for (hash, value) in hashes.iter_mut().zip(values) {
            *hash = hash.wrapping_add(value);
        }
    }
    for (hash, time) in hashes.iter_mut().zip(ticks(time)?) {
        *hash = mix(hash.wrapping_add(mix((*time as u64).wrapping_add(GOLDEN))));
    }
    Ok(hashes)
}

/// What the values of a field add to the sum, `keys` being the rows' [`key_hashes`].
fn field(keys: &[u64], id: ColumnId, array: &ArrayRef) -> Result<Digest> {
    let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
    let nulls = nulls.as_ref();
    let hash = match CellBits::of(array)? {
        CellBits::Integers(values) => fold(keys, id, nulls, |row| values[row] as u64),
        CellBits::Unsigned(values) => fold(keys, id, nulls, |row| values[row]),
        CellBits::Floats(values) => fold(keys, id, nulls, |row| values[row].to_bits()),
        CellBits::Booleans(values) => fold(keys, id, nulls, |row| u64::from(values.value(row))),
        CellBits::Texts(values) => {
            let hashes = values.map(0, text);
            fold(keys, id, nulls, |row| hashes[row])
        }
    };
    let cells = (array.len() - nulls.map_or(0, NullBuffer::null_count)) as u64;
    Ok(Digest { rows: 0, cells, hash })
}

fn fold(keys: &[u64], id: ColumnId, nulls: Option<&NullBuffer>, bits: impl Fn(usize) -> u64) -> u64 {
    let salt = salt(id);
    let mut hash = 0u64;
    match nulls {
        None => {
            for (row, key) in keys.iter().enumerate() {
                hash = hash.wrapping_add(cell(*key, salt, bits(row)));
            }
        }
        Some(nulls) => {
            for row in nulls.valid_indices() {
                hash = hash.wrapping_add(cell(keys[row], salt, bits(row)));
            }
        }
    }
    hash
}

/// The bits of one value that is not null.
pub(super) fn bits(cells: &CellBits<'_>, row: usize) -> u64 {
    match cells {
        CellBits::Integers(values) => values[row] as u64,
        CellBits::Unsigned(values) => values[row],
        CellBits::Floats(values) => values[row].to_bits(),
        CellBits::Booleans(values) => u64::from(values.value(row)),
        CellBits::Texts(values) => values.get(row).map_or(0, text),
    }
}

/// The hash of one cell of a point whose key hashes to `key`.
#[inline]
pub(super) fn cell(key: u64, salt: u64, bits: u64) -> u64 {
    mix((key ^ salt).wrapping_add(bits))
}

pub(super) fn salt(id: ColumnId) -> u64 {
    mix((u64::from(id.0) + 1).wrapping_mul(GOLDEN))
}

fn text(value: &str) -> u64 {
    XxHash3_64::oneshot(value.as_bytes())
}

#[inline]
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
