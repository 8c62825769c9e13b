//! One column while it grows. A row that lacks it costs nothing until the column is met again.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, DictionaryArray, Int32Array, PrimitiveArray, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, UInt64Type};

use crate::model::{ColumnKind, FieldType, PointColumn, Result};

use super::{
    hash::KeyMap,
    scan::{unescape_key, unescape_string},
};

/// A column of one table of the body.
#[derive(Debug)]
pub(super) struct ColumnBuilder<'a> {
    /// The key as written, with the `=` behind it.
    pub(super) key: &'a [u8],
    /// The column that followed this one when it was last met: the guess for the next key.
    pub(super) next: usize,
    /// Where the key is first written.
    pub(super) at: usize,
    name: String,
    values: Values<'a>,
}

#[derive(Debug)]
enum Values<'a> {
    Tag(Tag<'a>),
    Double(Cells<f64>),
    BigInt(Cells<i64>),
    BigIntUnsigned(Cells<u64>),
    Boolean(Cells<bool>),
    String(Strings),
}

/// A field's value in a line.
#[derive(Debug, Clone, Copy)]
pub(super) enum FieldValue<'a> {
    Double(f64),
    BigInt(i64),
    BigIntUnsigned(u64),
    Boolean(bool),
    /// As written between the quotes.
    String(&'a str),
}

impl FieldValue<'_> {
    pub(super) fn kind(&self) -> ColumnKind {
        ColumnKind::Field(match self {
            FieldValue::Double(_) => FieldType::Double,
            FieldValue::BigInt(_) => FieldType::BigInt,
            FieldValue::BigIntUnsigned(_) => FieldType::BigIntUnsigned,
            FieldValue::Boolean(_) => FieldType::Boolean,
            FieldValue::String(_) => FieldType::String,
        })
    }
}

/// What became of a value offered to a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AppendOutcome {
    Taken,
    /// The row has a value already; the first one stays.
    Repeated,
    /// The column is of another kind or type.
    Conflict,
}

impl<'a> ColumnBuilder<'a> {
    pub(super) fn new(key: &'a [u8], at: usize, name: String, kind: ColumnKind) -> Self {
        let values = match kind {
            ColumnKind::Tag | ColumnKind::Time => Values::Tag(Tag::default()),
            ColumnKind::Field(FieldType::Double) => Values::Double(Cells::default()),
            ColumnKind::Field(FieldType::BigInt) => Values::BigInt(Cells::default()),
            ColumnKind::Field(FieldType::BigIntUnsigned) => Values::BigIntUnsigned(Cells::default()),
            ColumnKind::Field(FieldType::Boolean) => Values::Boolean(Cells::default()),
            ColumnKind::Field(FieldType::String) => Values::String(Strings::default()),
        };
        ColumnBuilder { key, next: 0, at, name, values }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn kind(&self) -> ColumnKind {
        match &self.values {
            Values::Tag(_) => ColumnKind::Tag,
            Values::Double(_) => ColumnKind::Field(FieldType::Double),
            Values::BigInt(_) => ColumnKind::Field(FieldType::BigInt),
            Values::BigIntUnsigned(_) => ColumnKind::Field(FieldType::BigIntUnsigned),
            Values::Boolean(_) => ColumnKind::Field(FieldType::Boolean),
            Values::String(_) => ColumnKind::Field(FieldType::String),
        }
    }

    /// Rows that have a value or are known to lack one.
    fn rows(&self) -> usize {
        match &self.values {
            Values::Tag(tag) => tag.keys.values.len(),
            Values::Double(cells) => cells.values.len(),
            Values::BigInt(cells) => cells.values.len(),
            Values::BigIntUnsigned(cells) => cells.values.len(),
            Values::Boolean(cells) => cells.values.len(),
            Values::String(strings) => strings.ends.len(),
        }
    }

    /// The dictionary key of a tag's value as written; none if this is no tag.
    #[inline]
    pub(super) fn tag_key(&mut self, raw: &'a str) -> Option<i32> {
        match &mut self.values {
            Values::Tag(tag) => Some(tag.key_of(raw)),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn set_tag(&mut self, row: usize, key: i32) -> AppendOutcome {
        match &mut self.values {
            Values::Tag(tag) => tag.keys.set(row, key),
            _ => AppendOutcome::Conflict,
        }
    }

    #[inline]
    pub(super) fn set_field(&mut self, row: usize, value: FieldValue<'a>) -> AppendOutcome {
        match (&mut self.values, value) {
            (Values::Double(cells), FieldValue::Double(value)) => return cells.set(row, value),
            (Values::BigInt(cells), FieldValue::BigInt(value)) => return cells.set(row, value),
            (Values::BigIntUnsigned(cells), FieldValue::BigIntUnsigned(value)) => return cells.set(row, value),
            (Values::Boolean(cells), FieldValue::Boolean(value)) => return cells.set(row, value),
            (Values::String(strings), FieldValue::String(raw)) => return strings.set(row, raw),
            _ => {}
        }
        let repeated = self.kind() != ColumnKind::Tag && self.rows() > row;
        if repeated { AppendOutcome::Repeated } else { AppendOutcome::Conflict }
    }

    /// The column for the model, `rows` long.
    pub(super) fn finish(self, rows: usize) -> Result<PointColumn> {
        let kind = self.kind();
        let values: ArrayRef = match self.values {
            Values::Tag(tag) => tag.finish(rows)?,
            Values::Double(cells) => cells.finish::<Float64Type>(rows)?,
            Values::BigInt(cells) => cells.finish::<Int64Type>(rows)?,
            Values::BigIntUnsigned(cells) => cells.finish::<UInt64Type>(rows)?,
            Values::Boolean(mut cells) => {
                let nulls = cells.close(rows);
                Arc::new(BooleanArray::new(BooleanBuffer::from(cells.values), nulls))
            }
            Values::String(strings) => strings.finish(rows)?,
        };
        Ok(PointColumn { name: self.name, kind, values })
    }
}

/// Values of rows, with zeros where a row lacks one.
#[derive(Debug, Default)]
struct Cells<T> {
    values: Vec<T>,
    gaps: Gaps,
}

impl<T: Copy + Default> Cells<T> {
    #[inline]
    fn set(&mut self, row: usize, value: T) -> AppendOutcome {
        if self.values.len() != row {
            if self.values.len() > row {
                return AppendOutcome::Repeated;
            }
            self.skip_to(row);
        }
        self.values.push(value);
        AppendOutcome::Taken
    }

    #[cold]
    fn skip_to(&mut self, row: usize) {
        self.gaps.add(self.values.len(), row);
        self.values.resize(row, T::default());
    }

    fn close(&mut self, rows: usize) -> Option<NullBuffer> {
        if self.values.len() < rows {
            self.skip_to(rows);
        }
        self.gaps.nulls(rows)
    }

    fn array<A: ArrowPrimitiveType<Native = T>>(mut self, rows: usize) -> Result<PrimitiveArray<A>>
    where
        T: arrow::datatypes::ArrowNativeType,
    {
        let nulls = self.close(rows);
        Ok(PrimitiveArray::try_new(ScalarBuffer::from(self.values), nulls)?)
    }

    fn finish<A: ArrowPrimitiveType<Native = T>>(self, rows: usize) -> Result<ArrayRef>
    where
        T: arrow::datatypes::ArrowNativeType,
    {
        Ok(Arc::new(self.array::<A>(rows)?))
    }
}

/// Runs of rows without a value, ascending.
#[derive(Debug, Default)]
struct Gaps(Vec<(usize, usize)>);

impl Gaps {
    fn add(&mut self, from: usize, to: usize) {
        self.0.push((from, to));
    }

    fn nulls(&self, rows: usize) -> Option<NullBuffer> {
        if self.0.is_empty() {
            return None;
        }
        let mut present = arrow::array::BooleanBufferBuilder::new(rows);
        for (from, to) in &self.0 {
            present.append_n(from - present.len(), true);
            present.append_n(to - from, false);
        }
        present.append_n(rows - present.len(), true);
        Some(NullBuffer::new(present.finish()))
    }
}

/// A tag: each row has the number of its value.
#[derive(Debug, Default)]
struct Tag<'a> {
    keys: Cells<i32>,
    values: Strings,
    /// From a value as written to its number. What is written and what it stands for are one to
    /// one, because what may be escaped must be.
    known: KeyMap<'a, i32>,
    /// The value of the row before, as written, and its number.
    last: Option<(&'a [u8], i32)>,
}

impl<'a> Tag<'a> {
    #[inline]
    fn key_of(&mut self, raw: &'a str) -> i32 {
        let bytes = raw.as_bytes();
        if let Some((last, key)) = self.last
            && last == bytes
        {
            return key;
        }
        // A body has fewer than 2^31 bytes, so numbers of values and ends of strings fit.
        let next = self.values.ends.len();
        let key = *self.known.entry(bytes).or_insert_with(|| {
            self.values.push(&unescape_key(raw));
            next as i32
        });
        self.last = Some((bytes, key));
        key
    }

    fn finish(self, rows: usize) -> Result<ArrayRef> {
        let keys: Int32Array = self.keys.array::<Int32Type>(rows)?;
        let count = self.values.ends.len();
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, self.values.finish(count)?)?))
    }
}

/// Text of rows, end to end.
#[derive(Debug, Default)]
struct Strings {
    bytes: Vec<u8>,
    ends: Vec<i32>,
    gaps: Gaps,
}

impl Strings {
    #[inline]
    fn set(&mut self, row: usize, raw: &str) -> AppendOutcome {
        if self.ends.len() != row {
            if self.ends.len() > row {
                return AppendOutcome::Repeated;
            }
            self.skip_to(row);
        }
        self.push(&unescape_string(raw));
        AppendOutcome::Taken
    }

    #[inline]
    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len() as i32);
    }

    #[cold]
    fn skip_to(&mut self, row: usize) {
        self.gaps.add(self.ends.len(), row);
        self.ends.resize(row, self.bytes.len() as i32);
    }

    fn finish(mut self, rows: usize) -> Result<ArrayRef> {
        if self.ends.len() < rows {
            self.skip_to(rows);
        }
        let nulls = self.gaps.nulls(rows);
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        offsets.append(&mut self.ends);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(self.bytes), nulls)?))
    }
}
