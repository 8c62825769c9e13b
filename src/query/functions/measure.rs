//! How large the output of a call will be, from the lengths of its arguments.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray},
        compute::cast,
        datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit},
    },
    common::{Result, exec_err},
    logical_expr::ColumnarValue,
};

use super::{CALL_BYTES, CALL_ELEMENTS, ELEMENTS, VALUE_BYTES};

/// The longest text a number, a date or a boolean becomes.
const TEXT_OF_A_SCALAR: u64 = 64;

/// How the output's size follows from the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// (text, times)
    Repeat,
    /// (text, characters, fill)
    Pad,
    /// (text, from, to)
    Replace,
    /// (text, pattern, to)
    RegexpReplace,
    /// All arguments one after another.
    Sum,
    /// (separator, parts…)
    Join,
    /// (text, format)
    Encode,
    /// (text, text): time, not space, is their product.
    Product,
    /// (start, end, step): elements of a list.
    Series,
    /// (element, times): elements of a list.
    ListRepeat,
    /// (list, length, value): elements of a list.
    ListResize,
    /// All lists one after another.
    ListSum,
    /// (list, separator)
    ListJoin,
}

impl Growth {
    /// For the functions that need a bound.
    pub(super) fn of(function: &str) -> Option<Growth> {
        Some(match function {
            "repeat" => Growth::Repeat,
            "lpad" | "rpad" => Growth::Pad,
            "replace" => Growth::Replace,
            "regexp_replace" => Growth::RegexpReplace,
            "concat" | "overlay" => Growth::Sum,
            "concat_ws" => Growth::Join,
            "encode" => Growth::Encode,
            "levenshtein" => Growth::Product,
            "range" | "generate_series" => Growth::Series,
            "array_repeat" => Growth::ListRepeat,
            "array_resize" => Growth::ListResize,
            "array_concat" => Growth::ListSum,
            "array_to_string" => Growth::ListJoin,
            _ => return None,
        })
    }

    fn makes_lists(self) -> bool {
        matches!(self, Growth::Series | Growth::ListRepeat | Growth::ListResize | Growth::ListSum)
    }
}

/// One number a row, or one for all rows.
enum Measure {
    Same(u64),
    Each(Vec<u64>),
}

impl Measure {
    fn at(&self, row: usize) -> u64 {
        match self {
            Measure::Same(value) => *value,
            Measure::Each(values) => values.get(row).copied().unwrap_or_default(),
        }
    }

    fn rows(&self) -> usize {
        match self {
            Measure::Same(_) => 1,
            Measure::Each(values) => values.len(),
        }
    }
}

/// Refuses a call whose output would be too large.
pub(super) fn check(function: &str, growth: Growth, arguments: &[ColumnarValue]) -> Result<()> {
    let (each, all, unit) =
        if growth.makes_lists() { (ELEMENTS, CALL_ELEMENTS, "elements") } else { (VALUE_BYTES, CALL_BYTES, "bytes") };
    let sizes = match growth {
        Growth::Series => series(arguments)?,
        _ => sizes(growth, arguments)?,
    };
    let mut total: u64 = 0;
    for row in 0..sizes.rows() {
        let size = sizes.at(row);
        if size > each {
            return exec_err!("{function} would make a value of {size} {unit}, the limit is {each}");
        }
        total = total.saturating_add(size);
    }
    if total > all {
        return exec_err!("{function} would make {total} {unit} in one batch, the limit is {all}");
    }
    Ok(())
}

fn sizes(growth: Growth, arguments: &[ColumnarValue]) -> Result<Measure> {
    let lengths: Vec<Measure> = arguments.iter().map(length).collect::<Result<_>>()?;
    let numbers: Vec<Measure> = match growth {
        Growth::Repeat | Growth::Pad | Growth::ListRepeat | Growth::ListResize => {
            arguments.iter().map(number).collect::<Result<_>>()?
        }
        _ => Vec::new(),
    };
    let length_of = |argument: usize, row: usize| lengths.get(argument).map_or(0, |measure| measure.at(row));
    let number_of = |argument: usize, row: usize| numbers.get(argument).map_or(0, |measure| measure.at(row));
    let size_at = |row: usize| match growth {
        Growth::Repeat => length_of(0, row).saturating_mul(number_of(1, row)),
        Growth::Pad => number_of(1, row).saturating_mul(4),
        Growth::Replace => {
            let matches = length_of(0, row).checked_div(length_of(1, row)).unwrap_or(length_of(0, row) + 1);
            matches.saturating_mul(length_of(2, row)).saturating_add(length_of(0, row))
        }
        Growth::RegexpReplace => (length_of(0, row) + 1).saturating_mul(length_of(2, row) + 1),
        Growth::Encode => length_of(0, row).saturating_mul(2),
        Growth::Product => length_of(0, row).saturating_mul(length_of(1, row)) / 16,
        Growth::Sum | Growth::ListSum => (0..lengths.len()).map(|argument| length_of(argument, row)).sum(),
        Growth::Join => {
            let parts: u64 = (1..lengths.len()).map(|argument| length_of(argument, row)).sum();
            parts.saturating_add(length_of(0, row).saturating_mul(lengths.len() as u64))
        }
        // A repeated list or text counts with what it holds.
        Growth::ListRepeat => number_of(1, row).saturating_mul((length_of(0, row) / 16).max(1)),
        Growth::ListResize => number_of(1, row).saturating_mul((length_of(2, row) / 16).max(1)),
        Growth::ListJoin => length_of(0, row).saturating_mul(length_of(1, row).saturating_add(1)),
        Growth::Series => 0,
    };
    let rows = lengths.iter().chain(&numbers).map(Measure::rows).max().unwrap_or_default();
    Ok(Measure::Each((0..rows).map(size_at).collect()))
}

/// Bytes of texts, elements of lists, a fixed size for anything else.
fn length(value: &ColumnarValue) -> Result<Measure> {
    match value {
        ColumnarValue::Scalar(scalar) => Ok(Measure::Same(lengths(&scalar.to_array()?).first().copied().unwrap_or(0))),
        ColumnarValue::Array(array) => match array.data_type() {
            data_type if data_type.is_primitive() || *data_type == DataType::Boolean => {
                Ok(Measure::Same(TEXT_OF_A_SCALAR))
            }
            _ => Ok(Measure::Each(lengths(array))),
        },
    }
}

fn lengths(array: &ArrayRef) -> Vec<u64> {
    let rows = 0..array.len();
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().lengths().map(u64::from).collect(),
        DataType::BinaryView => array.as_binary_view().lengths().map(u64::from).collect(),
        DataType::Utf8 => rows.map(|row| array.as_string::<i32>().value_length(row) as u64).collect(),
        DataType::LargeUtf8 => rows.map(|row| array.as_string::<i64>().value_length(row) as u64).collect(),
        DataType::Binary => rows.map(|row| array.as_binary::<i32>().value_length(row) as u64).collect(),
        DataType::LargeBinary => rows.map(|row| array.as_binary::<i64>().value_length(row) as u64).collect(),
        DataType::List(_) => rows.map(|row| array.as_list::<i32>().value_length(row) as u64).collect(),
        DataType::LargeList(_) => rows.map(|row| array.as_list::<i64>().value_length(row) as u64).collect(),
        DataType::FixedSizeList(_, length) => rows.map(|_| *length as u64).collect(),
        DataType::Dictionary(_, values) => match cast(array, values) {
            Ok(plain) => lengths(&plain),
            Err(_) => rows.map(|_| VALUE_BYTES).collect(),
        },
        _ => rows.map(|_| TEXT_OF_A_SCALAR).collect(),
    }
}

/// Whole numbers, negative ones and nulls as 0.
fn number(value: &ColumnarValue) -> Result<Measure> {
    if !value.data_type().is_numeric() {
        return Ok(Measure::Same(0));
    }
    let numbers = signed(value)?;
    Ok(Measure::Each(numbers.iter().map(|number| u64::try_from(number.unwrap_or(0)).unwrap_or(0)).collect())
        .collapse(value))
}

impl Measure {
    /// One number for a scalar.
    fn collapse(self, value: &ColumnarValue) -> Measure {
        match (value, self) {
            (ColumnarValue::Scalar(_), Measure::Each(values)) => {
                Measure::Same(values.first().copied().unwrap_or_default())
            }
            (_, measure) => measure,
        }
    }
}

/// As 64-bit numbers: whole numbers, and nanoseconds for times and intervals.
fn signed(value: &ColumnarValue) -> Result<Vec<Option<i64>>> {
    let array = match value {
        ColumnarValue::Scalar(scalar) => scalar.to_array()?,
        ColumnarValue::Array(array) => array.clone(),
    };
    let array = match array.data_type() {
        DataType::Interval(_) => {
            let target = DataType::Interval(IntervalUnit::MonthDayNano);
            let intervals = cast(&array, &target)?;
            const DAY: i64 = 86_400_000_000_000;
            // The shortest month: more elements rather than fewer.
            let length = |months: i32, days: i32, nanoseconds: i64| {
                let days = i64::from(months).saturating_mul(28).saturating_add(i64::from(days));
                days.saturating_mul(DAY).saturating_add(nanoseconds)
            };
            return Ok(intervals
                .as_primitive::<IntervalMonthDayNanoType>()
                .iter()
                .map(|value| value.map(|value| length(value.months, value.days, value.nanoseconds)))
                .collect());
        }
        DataType::Timestamp(_, zone) => {
            cast(&array, &DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Nanosecond, zone.clone()))?
        }
        DataType::Date32 | DataType::Date64 | DataType::Utf8 | DataType::Utf8View => {
            cast(&array, &DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Nanosecond, None))?
        }
        _ => array,
    };
    let numbers = cast(&array, &DataType::Int64)?;
    Ok(numbers.as_primitive::<Int64Type>().iter().collect())
}

/// Elements from start to end by step; start is 0 if there is one argument, step is 1 (a day for
/// dates) if there are two.
fn series(arguments: &[ColumnarValue]) -> Result<Measure> {
    let columns: Vec<Vec<Option<i64>>> = arguments.iter().map(signed).collect::<Result<_>>()?;
    let at = |column: usize, row: usize| {
        let values = columns.get(column)?;
        values.get(if values.len() == 1 { 0 } else { row }).copied().flatten()
    };
    let rows = columns.iter().map(Vec::len).max().unwrap_or_default();
    let elements = |row: usize| {
        let (start, end) = if columns.len() == 1 { (Some(0), at(0, row)) } else { (at(0, row), at(1, row)) };
        let step = if columns.len() == 3 { at(2, row) } else { Some(1) };
        match (start, end, step) {
            (Some(start), Some(end), Some(step)) if step != 0 => end.abs_diff(start) / step.unsigned_abs() + 1,
            _ => 0,
        }
    };
    Ok(Measure::Each((0..rows).map(elements).collect()))
}
