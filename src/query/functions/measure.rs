//! How large the output of a call will be, from its arguments: bytes of all levels of nesting.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray},
        compute::cast,
        datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit},
    },
    common::{Result, exec_err},
    logical_expr::ColumnarValue,
};

use super::{
    CALL_BYTES, CALL_ELEMENTS, ELEMENTS, VALUE_BYTES,
    pattern::Search,
    weigh::{Measure, Unit, least_width, weight},
};

/// The longest text a number, a date or a boolean becomes.
const TEXT_OF_A_SCALAR: u64 = 64;
/// Bytes of an element beside what it holds: an offset, or a view.
const ELEMENT_BYTES: u64 = 16;
/// The longest that two characters of a format become: the name of a zone, a moment with its fractions.
const FORMATTED: u64 = 64;

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
    /// (text, pattern): each group of the pattern.
    RegexpMatch,
    /// All arguments one after another.
    Sum,
    /// (separator, parts…)
    Join,
    /// (text, format)
    Encode,
    /// (moment, format)
    Format,
    /// (text, separator): a list.
    Split,
    /// (start, end, step): elements of a list.
    Series,
    /// (element, times): elements of a list.
    ListRepeat,
    /// (list, length, value): elements of a list.
    ListResize,
    /// All lists one after another.
    ListSum,
    /// All arguments, of whatever type, in one list or map.
    Holds,
    /// All lists beside each other, the shorter ones filled up.
    Zip,
    /// (list, from, to)
    ListReplace,
    /// (list, separator, text of null)
    ListJoin,
    /// (list, lambda): see [`super::lambda`].
    Lambda,
}

impl Growth {
    /// Whether what is measured is what will be made, and not the most that may be.
    pub(super) fn is_exact(self) -> bool {
        use Growth::{Holds, Join, ListRepeat, ListResize, ListSum, Repeat, Series, Sum, Zip};
        matches!(self, Holds | Join | ListRepeat | ListResize | ListSum | Repeat | Series | Sum | Zip)
    }
}

/// Bytes of each row that a call makes.
///
/// Errors: they are too many, or too many elements.
pub(super) fn check(function: &str, growth: Growth, arguments: &[ColumnarValue]) -> Result<Measure> {
    let columns = arguments.iter().filter_map(|argument| match argument {
        ColumnarValue::Array(array) => Some(array.len()),
        ColumnarValue::Scalar(_) => None,
    });
    let rows = columns.max().unwrap_or(1);
    if let Some(elements) = elements(growth, arguments)? {
        refuse(function, &elements.spread(rows), (ELEMENTS, CALL_ELEMENTS, "elements"))?;
    }
    let bytes = bytes(function, growth, arguments)?.spread(rows);
    let each = if makes_texts(growth) { VALUE_BYTES } else { CALL_BYTES };
    refuse(function, &bytes, (each, CALL_BYTES, "bytes"))?;
    Ok(bytes)
}

fn makes_texts(growth: Growth) -> bool {
    use Growth::{Encode, Format, Join, ListJoin, Pad, RegexpReplace, Repeat, Replace, Sum};
    matches!(growth, Encode | Format | Join | ListJoin | Pad | RegexpReplace | Repeat | Replace | Sum)
}

/// Refuses a call whose output would be too large: (a value, all of them, of what).
pub(super) fn refuse(function: &str, sizes: &Measure, (each, all, unit): (u64, u64, &str)) -> Result<()> {
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

/// Elements of the outermost list, where they are more than those of the arguments.
fn elements(growth: Growth, arguments: &[ColumnarValue]) -> Result<Option<Measure>> {
    Ok(match growth {
        Growth::Series => Some(series(arguments)?),
        Growth::ListRepeat | Growth::ListResize => arguments.get(1).map(number).transpose()?,
        Growth::ListSum => {
            let lengths = Columns::new(arguments, length)?;
            Some(lengths.rows(|row| lengths.sum(0, row)))
        }
        _ => None,
    })
}

/// What is measured of several arguments.
struct Columns(Vec<Measure>);

impl Columns {
    fn new(arguments: &[ColumnarValue], measure: impl Fn(&ColumnarValue) -> Result<Measure>) -> Result<Columns> {
        Ok(Columns(arguments.iter().map(measure).collect::<Result<_>>()?))
    }

    fn at(&self, argument: usize, row: usize) -> u64 {
        self.0.get(argument).map_or(0, |measure| measure.at(row))
    }

    fn sum(&self, first: usize, row: usize) -> u64 {
        (first..self.0.len()).fold(0, |sum: u64, argument| sum.saturating_add(self.at(argument, row)))
    }

    fn rows(&self, size: impl Fn(usize) -> u64) -> Measure {
        let rows = self.0.iter().map(Measure::rows).max().unwrap_or_default();
        Measure::Each((0..rows).map(size).collect())
    }
}

fn bytes(function: &str, growth: Growth, arguments: &[ColumnarValue]) -> Result<Measure> {
    match growth {
        Growth::Series => {
            let elements = series(arguments)?;
            Ok(Measure::Each((0..elements.rows()).map(|row| elements.at(row).saturating_mul(ELEMENT_BYTES)).collect()))
        }
        Growth::Lambda => Ok(Measure::Same(0)),
        Growth::RegexpMatch => {
            let search = Search::new(function, false, arguments)?;
            Ok(search.captured())
        }
        Growth::ListRepeat
        | Growth::ListResize
        | Growth::ListSum
        | Growth::Holds
        | Growth::Zip
        | Growth::ListReplace
        | Growth::ListJoin => of_lists(growth, arguments),
        _ => of_texts(growth, arguments),
    }
}

fn of_texts(growth: Growth, arguments: &[ColumnarValue]) -> Result<Measure> {
    let lengths = Columns::new(arguments, length)?;
    let times = match growth {
        Growth::Repeat | Growth::Pad => arguments.get(1).map_or(Ok(Measure::Same(0)), number)?,
        _ => Measure::Same(0),
    };
    let at = |argument: usize, row: usize| lengths.at(argument, row);
    let found = |row: usize| at(0, row).checked_div(at(1, row)).unwrap_or(at(0, row)).saturating_add(1);
    let size_at = |row: usize| match growth {
        Growth::Repeat => at(0, row).saturating_mul(times.at(row)),
        Growth::Pad => times.at(row).saturating_mul(4),
        Growth::Replace => found(row).saturating_mul(at(2, row)).saturating_add(at(0, row)),
        Growth::RegexpReplace => (at(0, row) + 1).saturating_mul(at(2, row) + 1),
        Growth::Encode => at(0, row).saturating_mul(2),
        Growth::Format => at(1, row).saturating_mul(FORMATTED / 2).saturating_add(FORMATTED),
        Growth::Split => found(row).saturating_mul(ELEMENT_BYTES + 4).saturating_add(at(0, row)),
        Growth::Join => {
            let separators = at(0, row).saturating_mul(lengths.0.len() as u64);
            lengths.sum(1, row).saturating_add(separators)
        }
        _ => lengths.sum(0, row),
    };
    let rows = lengths.rows(size_at);
    // A scalar text, and a column of how often.
    if times.rows() > rows.rows() { Ok(Measure::Each((0..times.rows()).map(size_at).collect())) } else { Ok(rows) }
}

fn of_lists(growth: Growth, arguments: &[ColumnarValue]) -> Result<Measure> {
    let unit = if growth == Growth::ListJoin { Unit::Text } else { Unit::Bytes };
    let weights = Columns::new(arguments, |argument| weight(argument, unit))?;
    let counts = match growth {
        Growth::ListRepeat | Growth::ListResize => Columns::new(arguments, number)?,
        Growth::Zip | Growth::ListReplace | Growth::ListJoin => Columns::new(arguments, length)?,
        _ => Columns(Vec::new()),
    };
    let widths: u64 = arguments.iter().map(|argument| element_width(&argument.data_type())).sum();
    let size_at = |row: usize| {
        let (weight, count) = (|argument| weights.at(argument, row), |argument| counts.at(argument, row));
        match growth {
            Growth::ListRepeat => count(1).saturating_mul(weight(0).max(1)),
            Growth::ListResize => count(1).saturating_mul(weight(2).max(widths)).saturating_add(weight(0)),
            Growth::Zip => {
                let longest = (0..counts.0.len()).map(count).max().unwrap_or_default();
                longest.saturating_mul(widths).saturating_add(weights.sum(0, row))
            }
            Growth::ListReplace => count(0).saturating_mul(weight(2)).saturating_add(weight(0)),
            Growth::ListJoin => count(0).saturating_mul(weight(1).saturating_add(weight(2))).saturating_add(weight(0)),
            _ => weights.sum(0, row),
        }
    };
    let rows = weights.0.iter().chain(&counts.0).map(Measure::rows).max().unwrap_or_default();
    Ok(Measure::Each((0..rows).map(size_at).collect()))
}

/// Bytes of an element of a list, even of one that is null.
fn element_width(list: &DataType) -> u64 {
    match list {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            least_width(field.data_type())
        }
        _ => 0,
    }
}

/// Bytes of texts, elements of lists, a fixed size for anything else.
pub(super) fn length(value: &ColumnarValue) -> Result<Measure> {
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
        DataType::FixedSizeBinary(width) => rows.map(|_| *width as u64).collect(),
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
