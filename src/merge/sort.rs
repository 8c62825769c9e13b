//! Sorting the points of one batch.

use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch};

use super::{
    KeyColumns,
    columns::{TextColumn, ticks},
    groups::{KeyGroups, row_count},
};
use crate::model::{ColumnId, Digest, Result};

/// Sorts rows by key. Rows with the same key become one: per field the last value that is not null,
/// in the order of the rows, wins. Tags and strings may be `Dictionary(Int32, Utf8)`, `Utf8` or
/// `Utf8View`, and stay it. `ids` are the columns' ids in the batch's order. Returns the sum of what
/// was dropped beside the batch.
pub fn sort_points(batch: &RecordBatch, key: &KeyColumns, ids: &[ColumnId]) -> Result<(RecordBatch, Digest)> {
    key.check(batch.num_columns(), ids)?;
    let rows = row_count(batch)?;
    let ranks = key.tags.iter().map(|tag| Ranks::of(batch.column(*tag))).collect::<Result<Vec<Ranks>>>()?;
    let times = ticks(batch.column(key.time))?;
    match packed(&ranks, times) {
        Some(mut sorted) => {
            if sorted.is_sorted_by(|left, right| left >> 32 < right >> 32) {
                return Ok((batch.clone(), Digest::default()));
            }
            sorted.sort();
            let ordered = sorted.iter().map(|packed| *packed as u32);
            let repeats = |at: usize| at > 0 && sorted[at - 1] >> 32 == sorted[at] >> 32;
            finish(batch, key, ids, ordered, repeats)
        }
        None => {
            let mut sorted: Vec<u32> = (0..rows).collect();
            let whole = |row: u32| ranks.iter().map(move |ranks| ranks.of_row[row as usize]);
            let compare = |left: &u32, right: &u32| {
                whole(*left).cmp(whole(*right)).then_with(|| times[*left as usize].cmp(&times[*right as usize]))
            };
            sorted.sort_by(compare);
            let repeats = |at: usize| at > 0 && compare(&sorted[at - 1], &sorted[at]).is_eq();
            finish(batch, key, ids, sorted.iter().copied(), repeats)
        }
    }
}

fn finish(
    batch: &RecordBatch,
    key: &KeyColumns,
    ids: &[ColumnId],
    ordered: impl ExactSizeIterator<Item = u32>,
    repeats: impl Fn(usize) -> bool,
) -> Result<(RecordBatch, Digest)> {
    let mut groups = KeyGroups::with_capacity(ordered.len());
    for (at, row) in ordered.enumerate() {
        groups.push(row, repeats(at));
    }
    groups.collapse(batch, key, ids)
}

/// A tag's values as numbers in the same order; null is 0.
struct Ranks {
    of_row: Vec<u32>,
    largest: u32,
}

impl Ranks {
    fn of(tag: &ArrayRef) -> Result<Ranks> {
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut of_row = TextColumn::of(tag)?.map(0, |value| {
            let next = numbers.len() as u32 + 1;
            *numbers.entry(value).or_insert(next)
        });
        let mut values: Vec<(&str, u32)> = numbers.into_iter().collect();
        values.sort_unstable();
        let mut rank_of = vec![0u32; values.len() + 1];
        for (rank, (_, number)) in values.iter().enumerate() {
            rank_of[*number as usize] = rank as u32 + 1;
        }
        for number in &mut of_row {
            *number = rank_of[*number as usize];
        }
        Ok(Ranks { of_row, largest: values.len() as u32 })
    }
}

/// One number a row: its key in the upper 96 bits, its row number in the lower 32, so that sorting
/// plain numbers sorts the rows and keeps the order of equals. None if the keys need more bits.
fn packed(ranks: &[Ranks], times: &[i64]) -> Option<Vec<u128>> {
    let first = times.iter().copied().min().unwrap_or(0);
    let last = times.iter().copied().max().unwrap_or(0);
    let mut free = 96u32.checked_sub(width(last.abs_diff(first)))?;
    for tag in ranks {
        free = free.checked_sub(width(u64::from(tag.largest)))?;
    }
    let mut keys = vec![0u128; times.len()];
    for tag in ranks {
        let bits = width(u64::from(tag.largest));
        for (key, rank) in keys.iter_mut().zip(&tag.of_row) {
            *key = *key << bits | u128::from(*rank);
        }
    }
    let bits = width(last.abs_diff(first));
    for (row, (key, time)) in keys.iter_mut().zip(times).enumerate() {
        *key = (*key << bits | u128::from(time.abs_diff(first))) << 32 | row as u128;
    }
    Some(keys)
}

/// Bits that hold every number up to `largest`.
fn width(largest: u64) -> u32 {
    u64::BITS - largest.leading_zeros()
}
