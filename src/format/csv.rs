//! Comma-separated values (RFC 4180, lines ending in `\n`), and the same with tabs.
//!
//! Always one header line. A field is quoted only when it must be; NULL is an empty field, and a
//! row that is one empty field is written `""`, since an empty line would be no row.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::Serialize;

use super::DocumentEncoder;
use super::calendar::{Fraction, push_date, push_timestamp};
use super::column::{OutputColumn, OutputValues};
use super::number::{push_float, push_whole};
use crate::model::{Code, Error, Result};

/// Writes csv, or with a tab as separator tsv.
pub struct Csv {
    schema: SchemaRef,
    separator: u8,
    headed: bool,
}

impl Csv {
    /// # Errors
    /// [`Code::FetchResult`] when a column is of a type with parts, or of bytes.
    pub fn new(schema: SchemaRef, separator: u8) -> Result<Csv> {
        let nested = schema.fields().iter().map(|field| field.data_type()).find(|kind| kind.is_nested());
        if let Some(kind) = nested {
            let message = format!("Fetch result: Csv error: Nested type {kind} is not supported in CSV");
            return Err(Error::new(Code::FetchResult, message));
        }
        if let Some(field) = schema.fields().iter().find(|field| field.data_type().is_binary()) {
            let (name, kind) = (field.name(), field.data_type());
            let message = format!("Fetch result: Csv error: column {name} of type {kind} is not supported in CSV");
            return Err(Error::new(Code::FetchResult, message));
        }
        Ok(Csv { schema, separator, headed: false })
    }

    fn header(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.headed, true) {
            return;
        }
        let start = out.len();
        for (place, field) in self.schema.fields().iter().enumerate() {
            if place > 0 {
                out.push(self.separator);
            }
            push_text(out, field.name(), self.separator);
        }
        self.end_row(start, out);
    }

    /// Ends the row that began at `start`.
    fn end_row(&self, start: usize, out: &mut Vec<u8>) {
        if out.len() == start && self.schema.fields().len() == 1 {
            out.extend_from_slice(b"\"\"");
        }
        out.push(b'\n');
    }
}

impl DocumentEncoder for Csv {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.header(out);
        let columns: Result<Vec<Field>> = batch
            .columns()
            .iter()
            .map(|array| Field::new(OutputColumn::new(array, Fraction::Nine)?, self.separator))
            .collect();
        let columns = columns?;
        for row in 0..batch.num_rows() {
            let start = out.len();
            for (place, column) in columns.iter().enumerate() {
                if place > 0 {
                    out.push(self.separator);
                }
                if !column.column.is_null(row) {
                    column.push(row, out, self.separator)?;
                }
            }
            self.end_row(start, out);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.header(out);
        Ok(())
    }
}

/// A column, and for coded text its values quoted once.
struct Field {
    column: OutputColumn,
    quoted: Vec<Vec<u8>>,
}

impl Field {
    fn new(column: OutputColumn, separator: u8) -> Result<Field> {
        let mut quoted = Vec::new();
        if let OutputValues::Coded { places, values } = &column.values
            && values.len() <= places.len()
        {
            for place in 0..values.len() {
                let mut bytes = Vec::new();
                push_text(&mut bytes, values.value(place), separator);
                quoted.push(bytes);
            }
        }
        Ok(Field { column, quoted })
    }

    /// Appends the value of a row that is not null.
    fn push(&self, row: usize, out: &mut Vec<u8>, separator: u8) -> Result<()> {
        match &self.column.values {
            OutputValues::Null => {}
            OutputValues::Boolean(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            OutputValues::Signed(values) => push_whole(out, values.value(row))?,
            OutputValues::Unsigned(values) => push_whole(out, values.value(row))?,
            OutputValues::Single(values) => push_any_float(out, f64::from(values.value(row)), values.value(row))?,
            OutputValues::Double(values) => push_any_float(out, values.value(row), values.value(row))?,
            OutputValues::Text(values) => push_text(out, values.value(row), separator),
            OutputValues::Coded { places, values } => match self.quoted.get(places[row]) {
                Some(bytes) => out.extend_from_slice(bytes),
                None => push_text(out, values.value(places[row]), separator),
            },
            OutputValues::Timestamp { ticks, per_second, utc } => {
                push_timestamp(out, ticks[row], *per_second, Fraction::Nine);
                out.extend_from_slice(if *utc { b"+00:00" } else { b"" });
            }
            OutputValues::Date(days) => push_date(out, i64::from(days[row])),
            OutputValues::Digits(values) | OutputValues::Interval(values) => {
                push_text(out, values.value(row), separator)
            }
            OutputValues::Binary | OutputValues::Nested(_) => {
                return Err(Error::internal("csv was given a type it refused"));
            }
        }
        Ok(())
    }
}

/// Appends a float, also one that is no number; `value` is written, `wide` is the same.
fn push_any_float(out: &mut Vec<u8>, wide: f64, value: impl Serialize) -> Result<()> {
    let text: &[u8] = match wide {
        wide if wide.is_finite() => return push_float(out, wide.abs(), value),
        wide if wide.is_nan() => b"NaN",
        wide if wide > 0.0 => b"inf",
        _ => b"-inf",
    };
    out.extend_from_slice(text);
    Ok(())
}

/// Appends text, quoted when it holds the separator, a quote or the end of a line.
fn push_text(out: &mut Vec<u8>, text: &str, separator: u8) {
    let special = |byte: u8| byte == separator || byte == b'"' || byte == b'\n' || byte == b'\r';
    if !text.bytes().any(special) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
