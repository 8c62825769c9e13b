//! `sum(DISTINCT …)`.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, PrimitiveArray},
        compute::cast,
        datatypes::DataType,
    },
    common::{Result, ScalarValue, utils::SingleRowListArrayBuilder},
    logical_expr::Accumulator,
};

use super::{
    sums::finish,
    wide::{Wide, numbers},
};

/// The distinct values of one group, each with how often it is there, so that it can be taken back.
#[derive(Debug)]
pub(super) struct DistinctSum<T: Wide> {
    seen: HashMap<i128, (T::Native, usize)>,
    data_type: DataType,
    divided: bool,
}

impl<T: Wide> DistinctSum<T> {
    pub(super) fn new(data_type: DataType, divided: bool) -> Self {
        DistinctSum { seen: HashMap::new(), data_type, divided }
    }
}

impl<T: Wide> Accumulator for DistinctSum<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        for value in numbers::<T>(values)?.iter().flatten() {
            self.seen.entry(value.into()).or_insert((value, 0)).1 += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        for value in numbers::<T>(values)?.iter().flatten() {
            let key: i128 = value.into();
            let gone = self.seen.get_mut(&key).is_some_and(|(_, count)| {
                *count = count.saturating_sub(1);
                *count == 0
            });
            if gone {
                self.seen.remove(&key);
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        finish::<T>(self.seen.values().map(|(value, _)| *value), self.divided, &self.data_type)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.seen.values().map(|(value, _)| Some(*value));
        let values: ArrayRef = Arc::new(values.collect::<PrimitiveArray<T>>());
        let values = if self.data_type == T::DATA_TYPE { values } else { cast(&values, &self.data_type)? };
        Ok(vec![SingleRowListArrayBuilder::new(values).build_list_scalar()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = states.first() else { return Ok(()) };
        lists.as_list::<i32>().iter().flatten().try_for_each(|values| self.update_batch(&[values]))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.seen.capacity() * (size_of::<(i128, T::Native, usize)>() + 1)
    }
}
