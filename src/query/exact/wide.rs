//! Sums of 64 bit numbers in 128 bits, and back.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray},
        compute::cast,
        datatypes::{DataType, Int64Type, UInt64Type},
        error::ArrowError,
    },
    common::{Result, ScalarValue},
};

/// What sums are kept in between: no sum of 2^40 numbers of 64 bits needs more than 38 digits.
pub(super) const STATE: DataType = DataType::Decimal128(38, 0);

/// A type whose values are summed.
pub(super) trait Wide:
    ArrowPrimitiveType<Native: Into<i128> + TryFrom<i128> + Send> + std::fmt::Debug + Send + Sync
{
    fn sum(values: &[Self::Native]) -> i128;
}

/// Values that are summed by halves: neither overflows 64 bits, and a processor adds several at a time.
const RUN: usize = 1 << 31;

impl Wide for Int64Type {
    fn sum(values: &[i64]) -> i128 {
        let run = |run: &[i64]| {
            let (mut high, mut low) = (0_i64, 0_u64);
            for value in run {
                high += value >> 32;
                low += *value as u64 & u64::from(u32::MAX);
            }
            (i128::from(high) << 32) + i128::from(low)
        };
        values.chunks(RUN).map(run).sum()
    }
}

impl Wide for UInt64Type {
    fn sum(values: &[u64]) -> i128 {
        let run = |run: &[u64]| {
            let (mut high, mut low) = (0_u64, 0_u64);
            for value in run {
                high += value >> 32;
                low += value & u64::from(u32::MAX);
            }
            (i128::from(high) << 32) + i128::from(low)
        };
        values.chunks(RUN).map(run).sum()
    }
}

/// An array of `T`; durations are seen as the numbers they are.
pub(super) fn numbers<T: Wide>(values: &ArrayRef) -> Result<PrimitiveArray<T>> {
    if values.data_type() == &T::DATA_TYPE {
        return Ok(values.as_primitive::<T>().clone());
    }
    Ok(cast(values, &T::DATA_TYPE)?.as_primitive::<T>().clone())
}

/// The sum of what is not NULL.
pub(super) fn sum_of<T: Wide>(values: &PrimitiveArray<T>) -> i128 {
    match values.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => T::sum(values.values()),
        Some(nulls) => nulls.valid_slices().map(|(start, end)| T::sum(&values.values()[start..end])).sum(),
    }
}

/// A sum as a value of `T`.
pub(super) fn narrow<T: Wide>(sum: i128, data_type: &DataType) -> Result<T::Native, ArrowError> {
    sum.try_into().map_err(|_| {
        ArrowError::ArithmeticOverflow(format!(
            "a sum is {sum}, which {data_type} cannot hold: cast what is summed to DOUBLE or DECIMAL"
        ))
    })
}

/// A sum as a value of `data_type`, NULL if there is none.
pub(super) fn scalar<T: Wide>(sum: Option<i128>, data_type: &DataType) -> Result<ScalarValue> {
    let sum = sum.map(|sum| narrow::<T>(sum, data_type)).transpose()?;
    let number = ScalarValue::new_primitive::<T>(sum, &T::DATA_TYPE)?;
    if data_type == &T::DATA_TYPE { Ok(number) } else { number.cast_to(data_type) }
}
