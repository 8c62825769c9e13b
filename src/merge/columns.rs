//! The few physical types a point's columns come in, read alike.

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringArray, StringViewArray},
    datatypes::{
        DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType, UInt64Type,
    },
};

use crate::model::{Error, Result};

/// The ticks of a time column, which is never null.
pub(super) fn ticks(array: &ArrayRef) -> Result<&[i64]> {
    if array.null_count() > 0 {
        return Err(Error::internal("a time column holds nulls"));
    }
    let ticks = match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().values(),
        DataType::Timestamp(TimeUnit::Second, _) => array.as_primitive::<TimestampSecondType>().values(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => array.as_primitive::<TimestampMillisecondType>().values(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => array.as_primitive::<TimestampMicrosecondType>().values(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => array.as_primitive::<TimestampNanosecondType>().values(),
        other => return Err(Error::internal(format!("a time column is of type {other}"))),
    };
    Ok(ticks)
}

/// A column of strings in any of its three forms.
pub(super) enum TextColumn<'a> {
    Plain(&'a StringArray),
    View(&'a StringViewArray),
    Dictionary(&'a Int32Array, &'a StringArray),
}

impl<'a> TextColumn<'a> {
    pub(super) fn of(array: &'a ArrayRef) -> Result<TextColumn<'a>> {
        let unknown = || Error::internal(format!("a column of strings is of type {}", array.data_type()));
        match array.data_type() {
            DataType::Utf8 => Ok(TextColumn::Plain(array.as_string())),
            DataType::Utf8View => Ok(TextColumn::View(array.as_string_view())),
            DataType::Dictionary(..) => {
                let dictionary = array.as_dictionary_opt::<Int32Type>().ok_or_else(unknown)?;
                let values = dictionary.values().as_string_opt::<i32>().ok_or_else(unknown)?;
                Ok(TextColumn::Dictionary(dictionary.keys(), values))
            }
            _ => Err(unknown()),
        }
    }

    fn rows(&self) -> usize {
        match self {
            TextColumn::Plain(array) => array.len(),
            TextColumn::View(array) => array.len(),
            TextColumn::Dictionary(keys, _) => keys.len(),
        }
    }

    /// The value of a row. A dictionary may also hold null as a value.
    pub(super) fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            TextColumn::Plain(array) => array.is_valid(row).then(|| array.value(row)),
            TextColumn::View(array) => array.is_valid(row).then(|| array.value(row)),
            TextColumn::Dictionary(keys, values) => {
                let key = keys.is_valid(row).then(|| usize::try_from(keys.value(row)).ok()).flatten()?;
                values.is_valid(key).then(|| values.value(key))
            }
        }
    }

    /// One value a row, `null` where there is none. `convert` is asked once for each value of a
    /// dictionary, otherwise at least once for each run of equal neighbours.
    pub(super) fn map<T: Copy>(&self, null: T, mut convert: impl FnMut(&'a str) -> T) -> Vec<T> {
        match self {
            TextColumn::Dictionary(keys, values) if values.len() <= keys.len() => {
                let converted: Vec<T> = values.iter().map(|value| value.map_or(null, &mut convert)).collect();
                let of_key = |key: Option<i32>| {
                    key.and_then(|key| usize::try_from(key).ok()).and_then(|key| converted.get(key).copied())
                };
                keys.iter().map(|key| of_key(key).unwrap_or(null)).collect()
            }
            TextColumn::View(array) => {
                // Equal views are equal values, and comparing them is cheap.
                let mut previous: Option<(u128, T)> = None;
                let rows = array.views().iter().enumerate().map(|(row, view)| match previous {
                    _ if array.is_null(row) => null,
                    Some((known, converted)) if known == *view => converted,
                    _ => {
                        let converted = convert(array.value(row));
                        previous = Some((*view, converted));
                        converted
                    }
                });
                rows.collect()
            }
            _ => {
                let mut previous: Option<(&str, T)> = None;
                let rows = (0..self.rows()).map(|row| match (self.get(row), previous) {
                    (None, _) => null,
                    (Some(value), Some((known, converted))) if value == known => converted,
                    (Some(value), _) => {
                        let converted = convert(value);
                        previous = Some((value, converted));
                        converted
                    }
                });
                rows.collect()
            }
        }
    }
}

/// A field's values as the 64 bits that a sum digests.
pub(super) enum CellBits<'a> {
    Integers(&'a [i64]),
    Unsigned(&'a [u64]),
    Floats(&'a [f64]),
    Booleans(&'a BooleanArray),
    Texts(TextColumn<'a>),
}

impl<'a> CellBits<'a> {
    pub(super) fn of(array: &'a ArrayRef) -> Result<CellBits<'a>> {
        Ok(match array.data_type() {
            DataType::Int64 => CellBits::Integers(array.as_primitive::<Int64Type>().values()),
            DataType::UInt64 => CellBits::Unsigned(array.as_primitive::<UInt64Type>().values()),
            DataType::Float64 => CellBits::Floats(array.as_primitive::<Float64Type>().values()),
            DataType::Boolean => CellBits::Booleans(array.as_boolean()),
            DataType::Utf8 | DataType::Utf8View | DataType::Dictionary(..) => CellBits::Texts(TextColumn::of(array)?),
            other => return Err(Error::internal(format!("a field is of type {other}, which no field has"))),
        })
    }
}

/// A dictionary that keeps only the values its rows use, if most of them are not used; else as given.
pub(super) fn compact(array: ArrayRef) -> Result<ArrayRef> {
    let Some(dictionary) = array.as_any_dictionary_opt() else { return Ok(array) };
    if dictionary.values().len() <= 2 * array.len() + 64 {
        return Ok(array);
    }
    let plain = arrow::compute::cast(&array, &DataType::Utf8)?;
    Ok(arrow::compute::cast(&plain, array.data_type())?)
}
