//! Values into the types of a table's columns: exactly, or with an error that names row and column.
//! A decimal fraction becomes the nearest DOUBLE; nothing else is rounded, cut or guessed.

use std::fmt::Display;
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, new_null_array},
    compute::{CastOptions, cast_with_options, kernels::cmp::not_distinct},
    datatypes::{DataType, Float64Type, Int64Type, TimeUnit},
    util::display::{ArrayFormatter, FormatOptions},
};

use datafusion::common::utils::normalize_float_zero;

use crate::model::{Code, Column, ColumnKind, Error, FieldType, Precision, Result, schema::TIME_COLUMN};

use super::super::time;

/// Where values go, and from which row of the statement on, counted from 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct InsertTarget<'a> {
    pub column: &'a Column,
    pub precision: Precision,
    pub first_row: usize,
}

impl InsertTarget<'_> {
    /// The values as the column stores them; of the time column, ticks.
    pub(super) fn take(self, values: &ArrayRef) -> Result<ArrayRef> {
        match self.column.kind {
            ColumnKind::Time => self.ticks(values),
            ColumnKind::Tag => {
                let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
                self.cast(&self.cast(values, &DataType::Utf8)?, &dictionary)
            }
            ColumnKind::Field(field_type) => self.field(values, field_type),
        }
    }

    fn field(self, values: &ArrayRef, field_type: FieldType) -> Result<ArrayRef> {
        let target = field_type.storage_type();
        if values.data_type() == &target && field_type != FieldType::Double {
            return Ok(values.clone());
        }
        let taken = self.cast(values, &target)?;
        match field_type {
            FieldType::String => {}
            FieldType::Double => {
                let doubles = taken.as_primitive::<Float64Type>();
                let infinite = |row: &usize| doubles.is_valid(*row) && !doubles.value(*row).is_finite();
                if let Some(row) = (0..doubles.len()).find(infinite) {
                    let what = format!("{} is not stored: only finite numbers are", doubles.value(row));
                    return Err(self.refused(row, what));
                }
                return Ok(normalize_float_zero(&taken));
            }
            // A fraction that was cut, or a number that became a truth, does not come back the same.
            FieldType::BigInt | FieldType::BigIntUnsigned | FieldType::Boolean => {
                if values.data_type().is_numeric() {
                    let back = cast_with_options(&taken, values.data_type(), &SAFE)?;
                    if let Some(row) = first_difference(&back, values)? {
                        return Err(self.impossible(values, row, &target));
                    }
                }
            }
        }
        Ok(taken)
    }

    /// Whole numbers are ticks; anything else is a moment. A text has to be one exactly, moments that
    /// were computed are cut to the tick before, as the server's clock is.
    fn ticks(self, values: &ArrayRef) -> Result<ArrayRef> {
        if values.null_count() > 0 || (values.data_type() == &DataType::Null && !values.is_empty()) {
            return Err(time_is_null());
        }
        match values.data_type() {
            DataType::Null => Ok(new_null_array(&DataType::Int64, 0)),
            data_type if data_type.is_integer() => self.cast(values, &DataType::Int64),
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => self.computed(values),
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
                let texts = self.cast(values, &DataType::Utf8)?;
                let texts = texts.as_string::<i32>();
                let ticks = (0..texts.len()).map(|row| self.text(row, texts.value(row)));
                Ok(Arc::new(ticks.collect::<Result<Int64Array>>()?))
            }
            other => {
                let what = format!("Unsupported CAST from {other} to Timestamp({:?})", self.precision.time_unit());
                let place = self.described(0);
                Err(Error::new(Code::Planning, format!("Datafusion: Error during planning: {what}{place}")))
            }
        }
    }

    /// Ticks of moments that were computed.
    fn computed(self, values: &ArrayRef) -> Result<ArrayRef> {
        let nanoseconds = match values.data_type() {
            DataType::Timestamp(unit, _) => match unit {
                TimeUnit::Second => 1_000_000_000,
                TimeUnit::Millisecond => 1_000_000,
                TimeUnit::Microsecond => 1_000,
                TimeUnit::Nanosecond => 1,
            },
            DataType::Date32 => 86_400 * 1_000_000_000,
            _ => 1_000_000,
        };
        let whole = if values.data_type() == &DataType::Date32 { DataType::Int32 } else { DataType::Int64 };
        let counts = self.cast(&self.cast(values, &whole)?, &DataType::Int64)?;
        let counts = counts.as_primitive::<Int64Type>();
        let ticks = (0..counts.len()).map(|row| {
            let moment = i128::from(counts.value(row)) * nanoseconds;
            i64::try_from(moment.div_euclid(self.tick())).map_err(|_| self.out_of_range(values, row))
        });
        Ok(Arc::new(ticks.collect::<Result<Int64Array>>()?))
    }

    fn text(self, row: usize, text: &str) -> Result<i64> {
        let moment = time::parse(text).map_err(|error| self.refused(row, error))?;
        if moment.rem_euclid(self.tick()) != 0 {
            let unit = self.precision.name().to_lowercase();
            return Err(self.refused(row, format!("'{text}' is finer than the database's precision of 1 {unit}")));
        }
        i64::try_from(moment / self.tick())
            .map_err(|_| self.refused(row, format!("'{text}' is beyond the times that 64 bits hold")))
    }

    /// Nanoseconds of a tick.
    fn tick(self) -> i128 {
        i128::from(1_000_000_000 / self.precision.ticks_per_second())
    }

    /// A cast that says which value it failed on.
    fn cast(self, values: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
        if values.data_type() == target {
            return Ok(values.clone());
        }
        let taken = cast_with_options(values, target, &SAFE)?;
        if taken.null_count() == values.null_count() || values.data_type() == &DataType::Null {
            return Ok(taken);
        }
        match (0..values.len()).find(|row| values.is_valid(*row) && taken.is_null(*row)) {
            Some(row) => Err(self.impossible(values, row, target)),
            None => Ok(taken),
        }
    }

    fn impossible(self, values: &ArrayRef, row: usize, target: &DataType) -> Error {
        self.refused(row, format!("Can't cast value {} to type {target}", shown(values, row)))
    }

    fn out_of_range(self, values: &ArrayRef, row: usize) -> Error {
        self.refused(row, format!("{} is beyond the times that 64 bits hold", shown(values, row)))
    }

    fn refused(self, row: usize, what: impl Display) -> Error {
        Error::new(Code::Arrow, format!("Arrow: Cast error: {what}{}", self.described(row)))
    }

    fn described(self, row: usize) -> String {
        format!(" (row {}, column {})", self.first_row + row + 1, self.column.name)
    }
}

/// The first row in which two arrays of one numeric type differ.
fn first_difference(left: &ArrayRef, right: &ArrayRef) -> Result<Option<usize>> {
    // Of floating point, 0 and -0 are one number.
    if let (Some(left), Some(right)) = (left.as_primitive_opt::<Float64Type>(), right.as_primitive_opt::<Float64Type>())
    {
        let differ = |row: &usize| right.is_valid(*row) && left.value(*row) != right.value(*row);
        return Ok((0..right.len()).find(differ));
    }
    let same = not_distinct(left, right)?;
    Ok((0..same.len()).find(|row| !same.value(*row)))
}

/// What cannot be cast becomes NULL.
const SAFE: CastOptions<'static> =
    CastOptions { safe: true, format_options: FormatOptions::new().with_display_error(true) };

pub(super) fn time_is_null() -> Error {
    Error::new(Code::TimeIsNull, format!("Column {TIME_COLUMN} cannot be null."))
}

/// A value for a message.
fn shown(values: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::new().with_display_error(true);
    ArrayFormatter::try_new(values, &options).map_or_else(|_| "?".to_owned(), |cells| cells.value(row).to_string())
}
