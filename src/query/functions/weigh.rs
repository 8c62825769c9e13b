//! How much the rows of a column hold, with all that lies within them.

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, OffsetSizeTrait},
    compute::cast,
    datatypes::{DataType, Float32Type, Float64Type, IntervalUnit},
};
use datafusion::{common::Result, logical_expr::ColumnarValue};

/// One number a row, or one for all rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Measure {
    Same(u64),
    Each(Vec<u64>),
}

impl Measure {
    pub(super) fn at(&self, row: usize) -> u64 {
        match self {
            Measure::Same(value) => *value,
            Measure::Each(values) => values.get(row).copied().unwrap_or_default(),
        }
    }

    pub(super) fn rows(&self) -> usize {
        match self {
            Measure::Same(_) => 1,
            Measure::Each(values) => values.len(),
        }
    }

    /// One number for a scalar, which is a column of one row.
    pub(super) fn collapse(self, value: &ColumnarValue) -> Measure {
        match (value, self) {
            (ColumnarValue::Scalar(_), Measure::Each(values)) => {
                Measure::Same(values.first().copied().unwrap_or_default())
            }
            (_, measure) => measure,
        }
    }

    /// One number a row, where one is for all.
    pub(super) fn spread(self, rows: usize) -> Measure {
        match self {
            Measure::Each(values) if values.len() != 1 => Measure::Each(values),
            one => Measure::Each(vec![one.at(0); rows]),
        }
    }

    fn map(self, change: impl Fn(u64) -> u64) -> Measure {
        match self {
            Measure::Same(value) => Measure::Same(change(value)),
            Measure::Each(values) => Measure::Each(values.into_iter().map(change).collect()),
        }
    }

    pub(super) fn plus(self, other: Measure) -> Measure {
        match (self, other) {
            (Measure::Same(left), right) => right.map(|right| left.saturating_add(right)),
            (left, Measure::Same(right)) => left.map(|left| left.saturating_add(right)),
            (Measure::Each(left), Measure::Each(right)) => {
                Measure::Each(left.iter().zip(right).map(|(left, right)| left.saturating_add(right)).collect())
            }
        }
    }

    /// What ranges of rows have together.
    fn of_ranges(&self, ranges: impl Iterator<Item = (usize, usize)>) -> Measure {
        match self {
            Measure::Same(value) => Measure::Each(
                ranges.map(|(start, end)| value.saturating_mul(end.saturating_sub(start) as u64)).collect(),
            ),
            Measure::Each(values) => {
                let mut sums = Vec::with_capacity(values.len() + 1);
                let mut sum = 0_u64;
                sums.push(sum);
                for value in values {
                    sum = sum.saturating_add(*value);
                    sums.push(sum);
                }
                let upto = |row: usize| sums.get(row).or(sums.last()).copied().unwrap_or_default();
                Measure::Each(ranges.map(|(start, end)| upto(end).saturating_sub(upto(start))).collect())
            }
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Bytes in memory.
    Bytes,
    /// Bytes as text, at most.
    Text,
}

/// The longest text of a number that is not a large or a tiny float, of a moment, or of a truth.
const TEXT_OF_A_SCALAR: u64 = 64;
/// The text of a float that is: all its digits are written.
const TEXT_OF_A_FLOAT: u64 = 330;

/// The rows of a column, or a scalar.
pub(super) fn weight(value: &ColumnarValue, unit: Unit) -> Result<Measure> {
    match value {
        ColumnarValue::Scalar(scalar) => Ok(weigh(&scalar.to_array()?, unit).collapse(value)),
        ColumnarValue::Array(array) => Ok(weigh(array, unit)),
    }
}

pub(super) fn weigh(array: &ArrayRef, unit: Unit) -> Measure {
    if let Some(width) = fixed_width(array.data_type()) {
        return if unit == Unit::Bytes { Measure::Same(width) } else { text_of_scalars(array) };
    }
    match array.data_type() {
        DataType::Utf8View => views(array.as_string_view().lengths(), unit),
        DataType::BinaryView => views(array.as_binary_view().lengths(), unit),
        DataType::Utf8 => texts(array.as_string::<i32>().offsets(), unit),
        DataType::LargeUtf8 => texts(array.as_string::<i64>().offsets(), unit),
        DataType::Binary => texts(array.as_binary::<i32>().offsets(), unit),
        DataType::LargeBinary => texts(array.as_binary::<i64>().offsets(), unit),
        DataType::List(_) => list(array.as_list::<i32>().values(), array.as_list::<i32>().offsets(), unit),
        DataType::LargeList(_) => list(array.as_list::<i64>().values(), array.as_list::<i64>().offsets(), unit),
        DataType::Map(_, _) => {
            let entries: ArrayRef = std::sync::Arc::new(array.as_map().entries().clone());
            list(&entries, array.as_map().offsets(), unit)
        }
        DataType::FixedSizeList(_, length) => {
            let length = usize::try_from(*length).unwrap_or_default();
            let ranges = (0..array.len()).map(|row| (row * length, (row + 1) * length));
            weigh(array.as_fixed_size_list().values(), unit).of_ranges(ranges)
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter();
            columns.fold(Measure::Same(0), |sum, column| sum.plus(weigh(column, unit)))
        }
        DataType::Dictionary(_, values) => match cast(array, values) {
            Ok(plain) => weigh(&plain, unit),
            Err(_) => whole(array),
        },
        _ => whole(array),
    }
}

/// What cannot be told row by row: each counts with all.
fn whole(array: &ArrayRef) -> Measure {
    Measure::Same(array.get_array_memory_size() as u64)
}

/// Bytes that a row of this type has whatever is in it; `None` if that depends.
pub(super) fn fixed_width(data_type: &DataType) -> Option<u64> {
    match data_type {
        DataType::Null => Some(0),
        DataType::Boolean => Some(1),
        DataType::FixedSizeBinary(width) => Some(u64::try_from(*width).unwrap_or_default()),
        DataType::Interval(IntervalUnit::MonthDayNano) => Some(16),
        other => other.primitive_width().map(|width| width as u64),
    }
}

/// Bytes that a row of this type takes at least, even where it is null.
pub(super) fn least_width(data_type: &DataType) -> u64 {
    match data_type {
        DataType::FixedSizeList(field, length) => {
            u64::try_from(*length).unwrap_or_default().saturating_mul(least_width(field.data_type()).max(1))
        }
        DataType::Struct(fields) => {
            fields.iter().fold(0, |sum: u64, field| sum.saturating_add(least_width(field.data_type())))
        }
        DataType::Utf8View | DataType::BinaryView => 16,
        other => fixed_width(other).unwrap_or(8),
    }
}

fn texts<O: OffsetSizeTrait>(offsets: &[O], unit: Unit) -> Measure {
    let own = if unit == Unit::Bytes { size_of::<O>() as u64 } else { 0 };
    Measure::Each(offsets.windows(2).map(|pair| (pair[1] - pair[0]).as_usize() as u64 + own).collect())
}

fn views(lengths: impl Iterator<Item = u32>, unit: Unit) -> Measure {
    /// Shorter texts lie in the view itself.
    const INLINE: u32 = 12;
    let bytes = |length: u32| if length > INLINE { 16 + u64::from(length) } else { 16 };
    Measure::Each(lengths.map(|length| if unit == Unit::Bytes { bytes(length) } else { u64::from(length) }).collect())
}

fn list<O: OffsetSizeTrait>(values: &ArrayRef, offsets: &[O], unit: Unit) -> Measure {
    let ranges = offsets.windows(2).map(|pair| (pair[0].as_usize(), pair[1].as_usize()));
    weigh(values, unit).of_ranges(ranges).map(|bytes| bytes.saturating_add(size_of::<O>() as u64))
}

fn text_of_scalars(array: &ArrayRef) -> Measure {
    let text = |value: f64| {
        let plain = value == 0.0 || (1e-15..1e17).contains(&value.abs());
        if plain { TEXT_OF_A_SCALAR } else { TEXT_OF_A_FLOAT }
    };
    match array.data_type() {
        DataType::Float64 => {
            Measure::Each(array.as_primitive::<Float64Type>().values().iter().copied().map(text).collect())
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            Measure::Each(values.iter().map(|value| text(f64::from(*value))).collect())
        }
        DataType::FixedSizeBinary(width) => Measure::Same(u64::try_from(*width).unwrap_or_default() * 2),
        _ => Measure::Same(TEXT_OF_A_SCALAR),
    }
}
