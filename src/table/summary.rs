//! What the manifest has to know of a file, gathered as its rows pass.

use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};

use super::layout::ticks;
use crate::{
    merge::{self, KeyColumns},
    model::{ColumnId, Digest, KeyBound, KeyRange, Result, TableSchema, TagRange},
};

/// Bytes of a tag's bounds in the manifest; a shortened upper bound may have three more.
const BOUND_BYTES: usize = 64;

/// Bounds, counts and sum of the rows so far.
#[derive(Debug)]
pub(super) struct Summary {
    key: KeyColumns,
    ids: Vec<ColumnId>,
    pub rows: u64,
    pub min_time: i64,
    pub max_time: i64,
    pub sum: Digest,
    tags: Vec<Bounds>,
    /// For each column, whether it has a value.
    filled: Vec<bool>,
    first: Option<KeyBound>,
    last: Option<KeyBound>,
}

#[derive(Debug, Default)]
struct Bounds {
    min: Option<String>,
    max: Option<String>,
    nulls: u64,
}

impl Summary {
    pub(super) fn new(schema: &TableSchema) -> Summary {
        let key = KeyColumns::of(schema);
        Summary {
            ids: schema.columns.iter().map(|column| column.id).collect(),
            rows: 0,
            min_time: i64::MAX,
            max_time: i64::MIN,
            sum: Digest::default(),
            tags: key.tags.iter().map(|_| Bounds::default()).collect(),
            filled: vec![false; schema.columns.len()],
            first: None,
            last: None,
            key,
        }
    }

    /// Adds the rows of a batch of the table's schema, tags being views.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(end) = batch.num_rows().checked_sub(1) else { return Ok(()) };
        if self.rows == 0 {
            self.first = Some(first_key(batch, &self.key, 0)?);
        }
        self.last = last_key(batch, &self.key, end)?;
        self.rows += batch.num_rows() as u64;
        for time in ticks(batch, self.key.time)? {
            self.min_time = self.min_time.min(*time);
            self.max_time = self.max_time.max(*time);
        }
        for (tag, bounds) in self.key.tags.iter().zip(&mut self.tags) {
            bounds.add(batch.column(*tag).as_string_view());
        }
        for (filled, column) in self.filled.iter_mut().zip(batch.columns()) {
            *filled |= column.null_count() < column.len();
        }
        self.sum = self.sum.plus(merge::sum(batch, &self.key, &self.ids)?);
        Ok(())
    }

    /// From the first row to the last.
    pub(super) fn keys(&self) -> Option<KeyRange> {
        Some(KeyRange { first: self.first.clone()?, last: self.last.clone()? })
    }

    /// Whether the row before those of `next` and its first one can be told apart by their bounds: only
    /// there may a file end and another one begin.
    pub(super) fn ends_before(&self, next: &RecordBatch) -> Result<bool> {
        let first = first_key(next, &self.key, 0)?;
        Ok(self.last.as_ref().is_some_and(|last| *last < first))
    }

    /// The columns that have a value.
    pub(super) fn columns(&self) -> Vec<ColumnId> {
        self.ids.iter().zip(&self.filled).filter(|(_, filled)| **filled).map(|(id, _)| *id).collect()
    }

    /// The ranges of the tags that have a value.
    pub(super) fn tag_ranges(&self) -> Vec<TagRange> {
        let tags = self.key.tags.iter().map(|tag| self.ids[*tag]).zip(&self.tags);
        tags.filter_map(|(id, bounds)| {
            let min = lower_bound(bounds.min.as_deref()?).to_owned();
            let max = bounds.max.as_deref().and_then(upper_bound);
            Some(TagRange { id, min: Some(min), max, nulls: bounds.nulls })
        })
        .collect()
    }
}

impl Bounds {
    fn add(&mut self, values: &StringViewArray) {
        self.nulls += values.null_count() as u64;
        // Rows are sorted, so neighbours are mostly equal; equal views are equal values.
        let mut previous = None;
        let mut bounds: Option<(&str, &str)> = None;
        for (row, view) in values.views().iter().enumerate() {
            if previous == Some(view) || values.is_null(row) {
                continue;
            }
            previous = Some(view);
            let value = values.value(row);
            bounds = Some(bounds.map_or((value, value), |(min, max)| (min.min(value), max.max(value))));
        }
        let Some((min, max)) = bounds else { return };
        if self.min.as_deref().is_none_or(|known| min < known) {
            self.min = Some(min.to_owned());
        }
        if self.max.as_deref().is_none_or(|known| known < max) {
            self.max = Some(max.to_owned());
        }
    }
}

/// A place no later than that of a row, and short.
fn first_key(batch: &RecordBatch, key: &KeyColumns, row: usize) -> Result<KeyBound> {
    let mut tags = Vec::with_capacity(key.tags.len());
    for tag in &key.tags {
        let values = batch.column(*tag).as_string_view();
        let value = (!values.is_null(row)).then(|| values.value(row));
        tags.push(value.map(|value| lower_bound(value).to_owned()));
        if value.is_some_and(|value| lower_bound(value).len() < value.len()) {
            return Ok(KeyBound::new(tags, i64::MIN));
        }
    }
    Ok(KeyBound::new(tags, ticks(batch, key.time)?[row]))
}

/// A place no earlier than that of a row, and short; none if there is no such.
fn last_key(batch: &RecordBatch, key: &KeyColumns, row: usize) -> Result<Option<KeyBound>> {
    let mut tags = Vec::with_capacity(key.tags.len());
    for tag in &key.tags {
        let values = batch.column(*tag).as_string_view();
        if values.is_null(row) {
            tags.push(None);
            continue;
        }
        let value = values.value(row);
        let Some(bound) = upper_bound(value) else { return Ok(None) };
        let shortened = bound != value;
        tags.push(Some(bound));
        if shortened {
            return Ok(Some(KeyBound::new(tags, i64::MAX)));
        }
    }
    Ok(Some(KeyBound::new(tags, ticks(batch, key.time)?[row])))
}

/// A value no larger than the given one, and short.
fn lower_bound(value: &str) -> &str {
    &value[..value.floor_char_boundary(BOUND_BYTES)]
}

/// A value no smaller than the given one, and short; none if there is no such.
fn upper_bound(value: &str) -> Option<String> {
    let prefix = lower_bound(value);
    if prefix.len() == value.len() {
        return Some(value.to_owned());
    }
    // The order of UTF-8 is that of characters: the next larger last character tops whatever followed.
    let mut bound = prefix.to_owned();
    while let Some(last) = bound.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            bound.push(next);
            return Some(bound);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortened_bounds_are_bounds() {
        let long = |last: char| format!("{}{last}{}", "a".repeat(60), "é\u{10ffff}z".repeat(10));
        for value in [String::new(), "short".into(), long('b'), long('\u{d7ff}'), long('\u{7f}'), long('\u{10ffff}')] {
            let (min, max) = (lower_bound(&value), upper_bound(&value).unwrap());
            assert!(min <= value.as_str() && value <= max, "{value:?} in {min:?}..={max:?}");
            assert!(min.len() <= 64 && max.len() <= 67);
        }
        assert_eq!(upper_bound(&"\u{10ffff}".repeat(20)), None);
        assert_eq!(upper_bound(&"\u{d7ff}".repeat(30)).unwrap(), format!("{}\u{e000}", "\u{d7ff}".repeat(20)));
        assert_eq!(upper_bound(&"x".repeat(64)).unwrap(), "x".repeat(64));
        assert_eq!(upper_bound(&"x".repeat(65)).unwrap(), format!("{}y", "x".repeat(63)));
    }
}
