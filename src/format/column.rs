//! One reading of Arrow's arrays for the text formats: each of its many types becomes one of a few.

use arrow::array::cast::AsArray;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, LargeStringArray, StringArray,
    StringViewArray, UInt64Array,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::calendar::{Fraction, Interval};
use super::unwritable;
use crate::model::Result;

/// A column of one batch, ready to be written row by row.
pub struct OutputColumn {
    nulls: Option<NullBuffer>,
    pub values: OutputValues,
}

/// The values of a column. What is written at a null row is of no meaning.
pub enum OutputValues {
    Null,
    Boolean(BooleanArray),
    Signed(Int64Array),
    Unsigned(UInt64Array),
    Single(Float32Array),
    Double(Float64Array),
    Text(OutputStrings),
    /// Text by its place among few values: a tag.
    Coded {
        places: Vec<usize>,
        values: OutputStrings,
    },
    /// Ticks since 1970; `utc` when the type names that zone.
    Timestamp {
        ticks: ScalarBuffer<i64>,
        per_second: i64,
        utc: bool,
    },
    /// Days since 1970.
    Date(ScalarBuffer<i32>),
    /// Numbers already written: decimals.
    Digits(StringArray),
    /// Bytes already written, in hexadecimal.
    Binary,
    /// Intervals already written.
    Interval(StringArray),
    Nested(ArrayRef),
}

/// The three layouts of text.
pub enum OutputStrings {
    Small(StringArray),
    Large(LargeStringArray),
    View(StringViewArray),
}

impl OutputStrings {
    pub fn value(&self, row: usize) -> &str {
        match self {
            OutputStrings::Small(array) => array.value(row),
            OutputStrings::Large(array) => array.value(row),
            OutputStrings::View(array) => array.value(row),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            OutputStrings::Small(array) => array.len(),
            OutputStrings::Large(array) => array.len(),
            OutputStrings::View(array) => array.len(),
        }
    }

    fn of(array: &dyn Array) -> Option<OutputStrings> {
        match array.data_type() {
            DataType::Utf8 => Some(OutputStrings::Small(array.as_string::<i32>().clone())),
            DataType::LargeUtf8 => Some(OutputStrings::Large(array.as_string::<i64>().clone())),
            DataType::Utf8View => Some(OutputStrings::View(array.as_string_view().clone())),
            _ => None,
        }
    }
}

impl OutputColumn {
    /// Reads an array. `fraction` says how moments will be written, as text made here must agree.
    pub fn new(array: &ArrayRef, fraction: Fraction) -> Result<OutputColumn> {
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let values = values(array, fraction)?;
        Ok(OutputColumn { nulls, values })
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

fn values(array: &ArrayRef, fraction: Fraction) -> Result<OutputValues> {
    if let Some(strings) = OutputStrings::of(array.as_ref()) {
        return Ok(OutputValues::Text(strings));
    }
    let as_type = |target: DataType| cast(array, &target).map_err(unwritable);
    Ok(match array.data_type() {
        DataType::Null => OutputValues::Null,
        DataType::Boolean => OutputValues::Boolean(array.as_boolean().clone()),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            OutputValues::Signed(as_type(DataType::Int64)?.as_primitive::<Int64Type>().clone())
        }
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            OutputValues::Unsigned(as_type(DataType::UInt64)?.as_primitive::<UInt64Type>().clone())
        }
        DataType::Float16 | DataType::Float32 => {
            OutputValues::Single(as_type(DataType::Float32)?.as_primitive().clone())
        }
        DataType::Float64 => OutputValues::Double(array.as_primitive().clone()),
        DataType::Dictionary(_, target) => coded(array, target, fraction)?,
        DataType::RunEndEncoded(_, target) => values(&as_type(target.data_type().clone())?, fraction)?,
        DataType::Timestamp(unit, zone) => timestamp(array, *unit, zone.as_deref(), fraction)?,
        DataType::Date32 | DataType::Date64 => {
            OutputValues::Date(as_type(DataType::Date32)?.as_primitive::<Date32Type>().values().clone())
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            OutputValues::Binary
        }
        DataType::Interval(unit) => OutputValues::Interval(intervals(array, *unit)),
        DataType::Decimal32(_, _)
        | DataType::Decimal64(_, _)
        | DataType::Decimal128(_, _)
        | DataType::Decimal256(_, _) => OutputValues::Digits(rendered(array, None)?),
        other if other.is_nested() => OutputValues::Nested(array.clone()),
        _ => OutputValues::Text(OutputStrings::Small(rendered(array, None)?)),
    })
}

/// A dictionary: kept as such when its values are text, else spread out.
fn coded(array: &ArrayRef, target: &DataType, fraction: Fraction) -> Result<OutputValues> {
    let dictionary = array.as_any_dictionary();
    match OutputStrings::of(dictionary.values().as_ref()) {
        Some(values) if values.len() > 0 => Ok(OutputValues::Coded { places: dictionary.normalized_keys(), values }),
        Some(_) => Ok(OutputValues::Null),
        None => values(&cast(array, target).map_err(unwritable)?, fraction),
    }
}

fn timestamp(array: &ArrayRef, unit: TimeUnit, zone: Option<&str>, fraction: Fraction) -> Result<OutputValues> {
    let utc = match zone {
        None => false,
        Some("UTC" | "Z" | "+00:00" | "+00" | "+0000") => true,
        Some(_) => {
            let pattern = (fraction == Fraction::Nine).then_some("%Y-%m-%dT%H:%M:%S%.9f%:z");
            return Ok(OutputValues::Text(OutputStrings::Small(rendered(array, pattern)?)));
        }
    };
    let (ticks, per_second) = match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().values(), 1),
        TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().values(), 1_000),
        TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().values(), 1_000_000),
        TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().values(), 1_000_000_000),
    };
    Ok(OutputValues::Timestamp { ticks: ticks.clone(), per_second, utc })
}

/// The values as Arrow writes them. `zoned` is the pattern for moments with a zone.
fn rendered(array: &ArrayRef, zoned: Option<&str>) -> Result<StringArray> {
    let options = FormatOptions::new().with_display_error(false).with_timestamp_tz_format(zoned);
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options).map_err(unwritable)?;
    let texts: Result<Vec<String>> =
        (0..array.len()).map(|row| formatter.value(row).try_to_string().map_err(unwritable)).collect();
    Ok(StringArray::from(texts?))
}

/// Intervals in the words of [`Interval::words`].
pub fn intervals(array: &dyn Array, unit: IntervalUnit) -> StringArray {
    let texts: Vec<String> = match unit {
        IntervalUnit::YearMonth => {
            let words = |months: &i32| Interval { years: months / 12, months: months % 12, ..Interval::default() };
            array.as_primitive::<IntervalYearMonthType>().values().iter().map(|value| words(value).words(2)).collect()
        }
        IntervalUnit::DayTime => {
            let values = array.as_primitive::<IntervalDayTimeType>().values().iter();
            let words = |days, milliseconds: i32| {
                Interval { days, nanoseconds: i64::from(milliseconds) * 1_000_000, ..Interval::default() }.words(3)
            };
            values.map(|value| words(value.days, value.milliseconds)).collect()
        }
        IntervalUnit::MonthDayNano => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().values().iter();
            let words = |months, days, nanoseconds| Interval { years: 0, months, days, nanoseconds }.words(9);
            values.map(|value| words(value.months, value.days, value.nanoseconds)).collect()
        }
    };
    StringArray::from(texts)
}
