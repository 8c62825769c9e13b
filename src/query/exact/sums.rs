//! `sum` of whole numbers and durations, `avg` of durations.

use std::marker::PhantomData;
use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray},
        datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type},
    },
    common::{Result, ScalarValue},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF, SetMonotonicity,
        Signature,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::{AggregateOrderSensitivity, format_state_name},
    },
};

use super::{
    distinct::DistinctSum,
    groups::GroupSums,
    wide::{self, STATE, Wide, numbers, scalar, sum_of},
};

/// DataFusion's aggregates with the sums in their place.
pub(in crate::query) fn aggregate_functions(defaults: Vec<Arc<AggregateUDF>>) -> Vec<Arc<AggregateUDF>> {
    let exact = |function: Arc<AggregateUDF>| match function.name() {
        "sum" => Arc::new(AggregateUDF::new_from_impl(Exact { inner: function, divided: false })),
        "avg" => Arc::new(AggregateUDF::new_from_impl(Exact { inner: function, divided: true })),
        _ => function,
    };
    defaults.into_iter().map(exact).collect()
}

/// What a sum is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Summed {
    Signed,
    Unsigned,
    /// Floats, decimals, intervals: DataFusion's own.
    Other,
}

/// A sum, or a sum divided by the number of values.
///
/// It is not taken from statistics, and no constant is taken out of it: `sum(a + 1)` is an error for
/// the same rows, whatever the plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Exact {
    inner: Arc<AggregateUDF>,
    divided: bool,
}

impl Exact {
    fn summed(&self, result: &DataType) -> Summed {
        match result {
            DataType::Duration(_) => Summed::Signed,
            DataType::Int64 if !self.divided => Summed::Signed,
            DataType::UInt64 if !self.divided => Summed::Unsigned,
            _ => Summed::Other,
        }
    }

    fn make<T: Wide>(&self, arguments: &AccumulatorArgs) -> Box<dyn Accumulator> {
        let data_type = arguments.return_type().clone();
        if arguments.is_distinct {
            return Box::new(DistinctSum::<T>::new(data_type, self.divided));
        }
        Box::new(Sum::<T> { sum: 0, count: 0, data_type, divided: self.divided, values: PhantomData })
    }
}

impl AggregateUDFImpl for Exact {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.summed(arguments.return_type()) {
            Summed::Signed => Ok(self.make::<Int64Type>(&arguments)),
            Summed::Unsigned => Ok(self.make::<UInt64Type>(&arguments)),
            Summed::Other => self.inner.accumulator(arguments),
        }
    }

    fn create_sliding_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.summed(arguments.return_type()) {
            Summed::Other => self.inner.create_sliding_accumulator(arguments),
            _ => self.accumulator(arguments),
        }
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if self.summed(arguments.return_type()) == Summed::Other {
            return self.inner.state_fields(arguments);
        }
        if arguments.is_distinct {
            let name = format_state_name(arguments.name, "distinct");
            let item = Field::new_list_field(arguments.return_type().clone(), true);
            return Ok(vec![Arc::new(Field::new_list(name, item, false))]);
        }
        let sum = Field::new(format_state_name(arguments.name, "sum"), STATE, true);
        if !self.divided {
            return Ok(vec![Arc::new(sum)]);
        }
        let count = Field::new(format_state_name(arguments.name, "count"), DataType::UInt64, true);
        Ok(vec![Arc::new(sum), Arc::new(count)])
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        match self.summed(arguments.return_type()) {
            Summed::Other => self.inner.groups_accumulator_supported(arguments),
            _ => !arguments.is_distinct && !self.divided,
        }
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let data_type = arguments.return_type().clone();
        match self.summed(&data_type) {
            Summed::Signed => Ok(Box::new(GroupSums::<Int64Type>::new(data_type))),
            Summed::Unsigned => Ok(Box::new(GroupSums::<UInt64Type>::new(data_type))),
            Summed::Other => self.inner.create_groups_accumulator(arguments),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// The sum of one group, from which values can be taken back.
#[derive(Debug)]
struct Sum<T> {
    sum: i128,
    /// Values in it.
    count: u64,
    data_type: DataType,
    divided: bool,
    values: PhantomData<T>,
}

impl<T: Wide> Accumulator for Sum<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        let values = numbers::<T>(values)?;
        self.sum += sum_of(&values);
        self.count += (values.len() - values.null_count()) as u64;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        let values = numbers::<T>(values)?;
        self.sum -= sum_of(&values);
        self.count = self.count.saturating_sub((values.len() - values.null_count()) as u64);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = (self.count > 0).then_some(self.sum);
        wide::scalar::<T>(if self.divided { sum.map(|sum| sum / i128::from(self.count)) } else { sum }, &self.data_type)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = ScalarValue::Decimal128((self.count > 0).then_some(self.sum), 38, 0);
        Ok(if self.divided { vec![sum, ScalarValue::UInt64(Some(self.count))] } else { vec![sum] })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(sums) = states.first() else { return Ok(()) };
        let sums = sums.as_primitive::<Decimal128Type>();
        self.sum += sums.iter().flatten().sum::<i128>();
        // Without a divisor it only matters whether there was a value.
        self.count += match states.get(1) {
            Some(counts) => counts.as_primitive::<UInt64Type>().iter().flatten().sum::<u64>(),
            None => (sums.len() - sums.null_count()) as u64,
        };
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// A sum of numbers of which each counts once.
pub(super) fn finish<T: Wide>(
    values: impl ExactSizeIterator<Item = T::Native>,
    divided: bool,
    data_type: &DataType,
) -> Result<ScalarValue> {
    let count = values.len() as i128;
    let sum: i128 = values.map(Into::into).sum();
    let sum = (count > 0).then(|| if divided { sum / count } else { sum });
    scalar::<T>(sum, data_type)
}
