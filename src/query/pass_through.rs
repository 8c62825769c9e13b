//! What operators of ours have in common that hand on the rows of one input: all but what they do to the
//! stream of a partition.

use std::fmt;
use std::sync::Arc;

use datafusion::{
    arrow::datatypes::SchemaRef,
    common::{Result, Statistics, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
    },
};

/// What an operator does to the rows that it hands on.
pub(super) trait PassThrough: fmt::Debug + Send + Sync + Sized + 'static {
    /// As plans show it.
    const NAME: &'static str;

    /// The rows of one partition.
    ///
    /// # Errors
    /// Those of the input.
    fn rows(
        self: &Arc<Self>,
        exec: &PassThroughExec<Self>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        exec.input.execute(partition, context)
    }

    /// Whether what is known of the input's rows, their order among it, is said of its own, too.
    fn keeps_properties(&self) -> bool {
        true
    }

    /// Whether rows may be spread over more partitions below it.
    fn gains_from_partitions(&self) -> bool {
        false
    }

    /// What is known of its rows, from what is known of the input's.
    fn statistics(&self, input: &Arc<Statistics>, _: &SchemaRef) -> Arc<Statistics> {
        input.clone()
    }

    /// What plans show beside the name.
    fn describe(&self, _: &SchemaRef, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// The operator.
#[derive(Debug)]
pub(super) struct PassThroughExec<T> {
    does: Arc<T>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl<T: PassThrough> PassThroughExec<T> {
    /// Above an input.
    pub(super) fn over(input: Arc<dyn ExecutionPlan>, does: T) -> Arc<dyn ExecutionPlan> {
        Arc::new(PassThroughExec::new(input, Arc::new(does)))
    }

    fn new(input: Arc<dyn ExecutionPlan>, does: Arc<T>) -> PassThroughExec<T> {
        let properties = if does.keeps_properties() {
            input.properties().clone()
        } else {
            Arc::new(PlanProperties::new(
                EquivalenceProperties::new(input.schema()),
                input.properties().partitioning.clone(),
                input.properties().emission_type,
                input.properties().boundedness,
            ))
        };
        PassThroughExec { does, input, properties, metrics: ExecutionPlanMetricsSet::new() }
    }

    pub(super) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    pub(super) fn metrics_set(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }
}

impl<T: PassThrough> DisplayAs for PassThroughExec<T> {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::NAME)?;
        self.does.describe(&self.input.schema(), formatter)
    }
}

impl<T: PassThrough> ExecutionPlan for PassThroughExec<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![self.does.keeps_properties()]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![self.does.gains_from_partitions()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(PassThroughExec::new(input, self.does.clone()))),
            _ => internal_err!("{} has one input", T::NAME),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.does.rows(self, partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match inputs.first() {
            Some(input) => Ok(self.does.statistics(input, &self.input.schema())),
            None => internal_err!("{} has one input", T::NAME),
        }
    }
}
