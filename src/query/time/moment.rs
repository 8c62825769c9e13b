//! Moments as nanoseconds since 1970 in 128 bits, which hold every date that can be written.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, timezone::Tz},
        compute::{cast, kernels::cast_utils::string_to_datetime},
        datatypes::{DataType, Date64Type, Int64Type, TimeUnit},
        error::ArrowError,
    },
    common::{Result, ScalarValue},
    logical_expr::{Cast, Expr},
};

const SECOND: i128 = 1_000_000_000;

/// Nanoseconds in one tick.
pub(super) fn tick(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => SECOND,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// The moment that a text names, as a cast to a timestamp reads it, to the nanosecond.
pub(in crate::query) fn parse(text: &str) -> Result<i128, ArrowError> {
    let utc: Tz = "+00:00".parse()?;
    let moment = string_to_datetime(&utc, text)?;
    Ok(i128::from(moment.timestamp()) * SECOND + i128::from(moment.timestamp_subsec_nanos()))
}

/// Whether values of a type are moments, or texts that may name some. In another zone than this one a
/// timestamp without a zone is what a clock on a wall there shows: that is left to DataFusion.
pub(super) fn names_moments(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(_, zone) => zone.as_deref().is_none_or(|zone| ["UTC", "+00:00", "Z"].contains(&zone)),
        DataType::Date32 | DataType::Date64 | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        _ => false,
    }
}

/// The moments in an array of such a type.
///
/// Errors: a text that names none.
pub(super) fn moments(values: &ArrayRef) -> Result<Vec<Option<i128>>> {
    let integers = |values: &ArrayRef, factor: i128| -> Result<Vec<Option<i128>>> {
        let values = cast(values, &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>();
        Ok(values.iter().map(|value| value.map(|value| i128::from(value) * factor)).collect())
    };
    match values.data_type() {
        DataType::Timestamp(unit, _) => integers(values, tick(*unit)),
        DataType::Date32 => {
            let days = cast(values, &DataType::Int32)?;
            integers(&days, 86_400 * SECOND)
        }
        DataType::Date64 => {
            let milliseconds = values.as_primitive::<Date64Type>();
            Ok(milliseconds.iter().map(|value| value.map(|value| i128::from(value) * 1_000_000)).collect())
        }
        _ => {
            let texts = cast(values, &DataType::Utf8)?;
            texts.as_string::<i32>().iter().map(|text| Ok(text.map(parse).transpose()?)).collect()
        }
    }
}

/// The moment of an expression that is a literal, or casts of one. `None` for any other, for NULL, and
/// for what names no moment: the error is left to who evaluates it.
pub(super) fn of_literal(expr: &Expr) -> Option<i128> {
    if let Expr::Cast(Cast { expr, field }) = expr
        && matches!(field.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, None))
        && let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = expr.as_ref()
    {
        return parse(text).ok();
    }
    let value = literal(expr)?;
    if value.is_null() || !names_moments(&value.data_type()) {
        return None;
    }
    moments(&value.to_array().ok()?).ok()?.into_iter().next().flatten()
}

/// The value of a literal, and of casts of one.
fn literal(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(Cast { expr, field }) => literal(expr)?.cast_to(field.data_type()).ok(),
        _ => None,
    }
}
