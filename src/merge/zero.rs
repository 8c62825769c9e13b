//! One zero: -0.0 equals 0.0, and is kept as 0.0. Points that an older version logged or settled may still
//! hold both.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Float64Array, RecordBatch},
    datatypes::{DataType, Float64Type},
};

use crate::model::Result;

/// The batch with every -0.0 as 0.0; `None` if it has no -0.0.
pub fn positive_zeros(batch: &RecordBatch) -> Result<Option<RecordBatch>> {
    let mut changed = false;
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| match negative_zeros(column) {
            None => column.clone(),
            Some(values) => {
                changed = true;
                // The sum of both zeros is the positive one; anything else stays as it is.
                Arc::new(values.unary::<_, Float64Type>(|value| value + 0.0)) as ArrayRef
            }
        })
        .collect();
    if changed { Ok(Some(RecordBatch::try_new(batch.schema(), columns)?)) } else { Ok(None) }
}

/// A column of doubles that has a -0.0.
fn negative_zeros(column: &ArrayRef) -> Option<&Float64Array> {
    if column.data_type() != &DataType::Float64 {
        return None;
    }
    let values = column.as_primitive::<Float64Type>();
    let negative = (-0.0_f64).to_bits();
    values.values().iter().any(|value| value.to_bits() == negative).then_some(values)
}
