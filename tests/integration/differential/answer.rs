//! What a query is answered with, in cells that two engines agree on. `tests/differential/answer.py` says
//! how they are written, and writes those of DuckDB alike.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Float64Type, Time64MicrosecondType, TimeUnit, TimestampNanosecondType};
use arrow::util::display::array_value_to_string;

pub type Row = Vec<Option<String>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Rows(Vec<Row>),
    Refused(String),
}

impl Answer {
    /// The same rows, in the same order if it is `ordered`.
    pub fn agrees(&self, other: &Answer, ordered: bool) -> bool {
        match (self, other) {
            (Answer::Rows(left), Answer::Rows(right)) if ordered => left == right,
            (Answer::Rows(left), Answer::Rows(right)) => sorted(left) == sorted(right),
            (Answer::Refused(_), Answer::Refused(_)) => true,
            _ => false,
        }
    }

    /// For who reads of a difference.
    pub fn show(&self) -> String {
        match self {
            Answer::Refused(why) => format!("refused: {why}"),
            Answer::Rows(rows) => {
                let cell = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "NULL".to_owned());
                let row = |row: &Row| format!("    {}", row.iter().map(cell).collect::<Vec<_>>().join(" | "));
                let shown: Vec<String> = rows.iter().take(30).map(row).collect();
                format!("{} rows\n{}", rows.len(), shown.join("\n"))
            }
        }
    }
}

pub fn sorted(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort();
    rows
}

pub fn rows(batch: &RecordBatch) -> Vec<Row> {
    let columns: Vec<Vec<Option<String>>> = batch.columns().iter().map(|column| cells(column.as_ref())).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect()
}

fn cells(array: &dyn Array) -> Vec<Option<String>> {
    let as_type = |data_type: &DataType| cast(array, data_type).expect("a cast for comparing");
    let of =
        |cell: &dyn Fn(usize) -> String| (0..array.len()).map(|row| array.is_valid(row).then(|| cell(row))).collect();
    match array.data_type() {
        DataType::Null => vec![None; array.len()],
        data_type if data_type.is_floating() => {
            let values = as_type(&DataType::Float64);
            let values = values.as_primitive::<Float64Type>();
            of(&|row| double(values.value(row)))
        }
        DataType::Timestamp(..) => {
            let values = as_type(&DataType::Timestamp(TimeUnit::Nanosecond, None));
            let values = values.as_primitive::<TimestampNanosecondType>();
            of(&|row| format!("T{}", values.value(row).div_euclid(1_000)))
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            let values = as_type(&DataType::Time64(TimeUnit::Microsecond));
            let values = values.as_primitive::<Time64MicrosecondType>();
            of(&|row| format!("t{}", values.value(row)))
        }
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>();
            of(&|row| format!("D{}", values.value(row)))
        }
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            of(&|row| format!("s{}", array_value_to_string(array, row).expect("a text")))
        }
        _ => of(&|row| array_value_to_string(array, row).expect("a printable value")),
    }
}

/// A whole number in decimal, another by its bits.
fn double(value: f64) -> String {
    // The sign of a zero is shown: there must be none.
    let is_whole = value == value.trunc() && value.abs() < 9_007_199_254_740_992.0;
    match value {
        value if value == 0.0 && value.is_sign_negative() => "-0".to_owned(),
        value if is_whole => format!("{value}"),
        value if value.is_nan() => "nan".to_owned(),
        value if value.is_infinite() => if value > 0.0 { "inf" } else { "-inf" }.to_owned(),
        value => format!("x{:016x}", value.to_bits()),
    }
}
