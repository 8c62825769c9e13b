//! Leaves out rows of which the next or the one before, in the same batch, is of the same group and later
//! or earlier: of a group that wants its last row only, they are not it. Nothing is assumed about the order
//! of rows; it is only that, where they lie sorted by series and time, hardly any is left.

use std::fmt;
use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, BooleanArray, RecordBatch},
        buffer::BooleanBuffer,
        compute::{
            filter_record_batch,
            kernels::cmp::{gt, lt, not_distinct},
        },
    },
    common::{Result, Statistics, internal_err, stats::Precision as Certainty, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::TryStreamExt;

use super::ends::End;

/// Passes on what may be the wanted row of its group.
#[derive(Debug, Clone)]
pub(super) struct EndsExec {
    input: Arc<dyn ExecutionPlan>,
    /// Positions of the group's columns.
    by: Vec<usize>,
    /// Position of time; not needed for [`End::Any`].
    time: Option<usize>,
    end: End,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl EndsExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, by: Vec<usize>, time: Option<usize>, end: End) -> EndsExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            input.properties().partitioning.clone(),
            input.properties().emission_type,
            input.properties().boundedness,
        );
        EndsExec { input, by, time, end, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    fn left(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let pairs = batch.num_rows().saturating_sub(1);
        if pairs == 0 {
            return Ok(batch.clone());
        }
        let compare = |position: usize| {
            let column = batch.column(position);
            (column.slice(0, pairs), column.slice(1, pairs))
        };
        let mut same = BooleanBuffer::new_set(pairs);
        for position in &self.by {
            let (row, next) = compare(*position);
            same = &same & not_distinct(&row, &next)?.values();
        }
        let order = |before: bool| {
            let Some((row, next)) = self.time.map(compare) else { return Ok(BooleanBuffer::new_unset(pairs)) };
            let compared = if before { lt(&row, &next)? } else { gt(&row, &next)? };
            Ok::<_, datafusion::error::DataFusionError>(compared.values() & &same)
        };
        // Of a pair, the one that a later or an earlier one stands beside goes.
        let (first_goes, second_goes) = match self.end {
            End::Any => (same, BooleanBuffer::new_unset(pairs)),
            End::Last => (order(true)?, order(false)?),
            End::First => (order(false)?, order(true)?),
        };
        let goes = |row: usize| (row < pairs && first_goes.value(row)) || (row > 0 && second_goes.value(row - 1));
        let stays = BooleanArray::from(BooleanBuffer::collect_bool(batch.num_rows(), |row| !goes(row)));
        Ok(filter_record_batch(batch, &stays)?)
    }
}

impl DisplayAs for EndsExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.input.schema();
        let names: Vec<&str> = self.by.iter().map(|position| schema.field(*position).name().as_str()).collect();
        write!(formatter, "EndsExec: {:?} of [{}]", self.end, names.join(", "))
    }
}

impl ExecutionPlan for EndsExec {
    fn name(&self) -> &'static str {
        "EndsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
        match children.pop() {
            Some(input) => Ok(Arc::new(EndsExec::new(input, self.by.clone(), self.time, self.end))),
            None => internal_err!("EndsExec has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let plan = self.clone();
        let rows = self.input.execute(partition, context)?.and_then(move |batch| {
            let left = plan.left(&batch);
            baseline.record_output(left.as_ref().map_or(0, RecordBatch::num_rows));
            futures::future::ready(left)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    /// How many rows are left is not known before.
    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        let rows = inputs.first().map_or(Certainty::Absent, |input| input.num_rows.to_inexact());
        statistics.num_rows = rows;
        Ok(Arc::new(statistics))
    }
}
