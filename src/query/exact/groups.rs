//! Sums of many groups at once.

use std::marker::PhantomData;
use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray},
        buffer::NullBuffer,
        compute::cast,
        datatypes::{DataType, Decimal128Type},
        error::ArrowError,
    },
    common::Result,
    logical_expr::{EmitTo, GroupsAccumulator},
    physical_expr::NullState,
};

use super::wide::{Wide, narrow, numbers};

#[derive(Debug)]
pub(super) struct GroupSums<T> {
    sums: Vec<i128>,
    /// Which groups have a value.
    nulls: NullState,
    data_type: DataType,
    values: PhantomData<T>,
}

impl<T: Wide> GroupSums<T> {
    pub(super) fn new(data_type: DataType) -> Self {
        GroupSums { sums: Vec::new(), nulls: NullState::new(), data_type, values: PhantomData }
    }
}

impl<T: Wide> GroupsAccumulator for GroupSums<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        self.sums.resize(total, 0);
        let sums = self.sums.as_mut_slice();
        self.nulls.accumulate(groups, &numbers::<T>(values)?, filter, total, |group, value| {
            sums[group] += value.into();
        });
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let Some(states) = states.first() else { return Ok(()) };
        self.sums.resize(total, 0);
        let sums = self.sums.as_mut_slice();
        self.nulls.accumulate(groups, states.as_primitive::<Decimal128Type>(), None, total, |group, sum| {
            sums[group] += sum;
        });
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let sums = emit.take_needed(&mut self.sums);
        let nulls = self.nulls.build(emit);
        let narrowed = sums.into_iter().map(|sum| narrow::<T>(sum, &self.data_type));
        let values = narrowed.collect::<Result<Vec<T::Native>, ArrowError>>()?;
        let values: ArrayRef = Arc::new(PrimitiveArray::<T>::new(values.into(), nulls));
        Ok(if self.data_type == T::DATA_TYPE { values } else { cast(&values, &self.data_type)? })
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = emit.take_needed(&mut self.sums);
        let nulls = self.nulls.build(emit);
        Ok(vec![state(sums, nulls)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(values) = values.first() else { return Ok(Vec::new()) };
        let values = numbers::<T>(values)?;
        let kept = filter.map(|filter| {
            let kept = match filter.nulls() {
                None => filter.values().clone(),
                Some(nulls) => filter.values() & nulls.inner(),
            };
            NullBuffer::new(kept)
        });
        let nulls = NullBuffer::union(values.nulls(), kept.as_ref());
        Ok(vec![state(values.values().iter().map(|value| (*value).into()).collect(), nulls)?])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.nulls.size()
    }
}

fn state(sums: Vec<i128>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let sums = PrimitiveArray::<Decimal128Type>::new(sums.into(), nulls);
    Ok(Arc::new(sums.with_precision_and_scale(38, 0)?))
}
