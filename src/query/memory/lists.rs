//! `array_agg` that tells what it holds: of texts DataFusion 55.2 counts the views, 16 bytes each, and not
//! what they point to.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, BooleanArray},
        datatypes::{DataType, FieldRef},
    },
    common::{Result, ScalarValue},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::AggregateOrderSensitivity,
    },
};

use super::weight::ViewBuffers;

/// The aggregates with this one in its place.
pub fn aggregate_functions(defaults: Vec<Arc<AggregateUDF>>) -> Vec<Arc<AggregateUDF>> {
    let weighed = |function: Arc<AggregateUDF>| match function.name() {
        "array_agg" => Arc::new(AggregateUDF::new_from_impl(WeighedLists { inner: function })),
        _ => function,
    };
    defaults.into_iter().map(weighed).collect()
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct WeighedLists {
    inner: Arc<AggregateUDF>,
}

/// Whether values are kept as they came. Where they are sorted or compared, they are copied and counted.
fn keeps_arrays(arguments: &AccumulatorArgs) -> bool {
    !arguments.is_distinct && arguments.order_bys.is_empty()
}

impl AggregateUDFImpl for WeighedLists {
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

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(fields)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(arguments)
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let keeps = keeps_arrays(&arguments);
        let inner = self.inner.accumulator(arguments)?;
        Ok(if keeps { Box::new(Weighed { inner, held: ViewBuffers::default() }) } else { inner })
    }

    fn create_sliding_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(arguments)
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let inner = self.inner.create_groups_accumulator(arguments)?;
        Ok(Box::new(WeighedGroups { inner, held: ViewBuffers::default() }))
    }

    fn with_beneficial_ordering(self: Arc<Self>, ordered: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let inner = self.inner.as_ref().clone().with_beneficial_ordering(ordered)?;
        Ok(inner.map(|inner| Arc::new(WeighedLists { inner: Arc::new(inner) }) as _))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.reverse_udf() {
            ReversedUDAF::Reversed(inner) => {
                ReversedUDAF::Reversed(Arc::new(AggregateUDF::new_from_impl(WeighedLists { inner })))
            }
            other => other,
        }
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

#[derive(Debug)]
struct Weighed {
    inner: Box<dyn Accumulator>,
    held: ViewBuffers,
}

impl Accumulator for Weighed {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values.iter().for_each(|array| self.held.hold(array.as_ref()));
        self.inner.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states.iter().for_each(|array| self.held.hold(array.as_ref()));
        self.inner.merge_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.inner.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn size(&self) -> usize {
        self.inner.size() + self.held.bytes()
    }
}

struct WeighedGroups {
    inner: Box<dyn GroupsAccumulator>,
    held: ViewBuffers,
}

impl WeighedGroups {
    fn emitted(&mut self, emit_to: EmitTo) {
        if matches!(emit_to, EmitTo::All) {
            self.held.clear();
        }
    }
}

impl GroupsAccumulator for WeighedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        values.iter().for_each(|array| self.held.hold(array.as_ref()));
        self.inner.update_batch(values, groups, filter, total)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        states.iter().for_each(|array| self.held.hold(array.as_ref()));
        self.inner.merge_batch(states, groups, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.emitted(emit_to);
        self.inner.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.emitted(emit_to);
        self.inner.state(emit_to)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.inner.size() + self.held.bytes()
    }
}
