//! The leaf of a plan that reads tail parts which overlap nothing: brings them into the columns and types
//! of the query, and many small ones into few batches.

use std::fmt;
use std::sync::Arc;

use datafusion::{
    arrow::array::RecordBatch,
    common::{Result, Statistics, internal_err, stats::Precision as Certainty, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
        statistics::StatisticsArgs,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, stream};

use crate::engine::SegmentProjection;

use super::{
    errors::external,
    tail::{TailSelection, gather},
};

/// Parts of more rows than this share of a full batch are passed on instead of copied.
const COPIED_SHARE: usize = 8;

/// Reads tail parts.
#[derive(Debug, Clone)]
pub(super) struct TailExec {
    /// By partition.
    parts: Arc<Vec<Vec<TailSelection>>>,
    projection: SegmentProjection,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TailExec {
    pub(super) fn new(parts: Vec<Vec<TailSelection>>, projection: SegmentProjection, limit: Option<usize>) -> TailExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(projection.schema().clone()),
            Partitioning::UnknownPartitioning(parts.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        TailExec {
            parts: Arc::new(parts),
            projection,
            limit,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    pub(super) fn rows(&self, partition: Option<usize>) -> usize {
        let of = |parts: &Vec<TailSelection>| parts.iter().map(TailSelection::count).sum::<usize>();
        match partition {
            Some(partition) => self.parts.get(partition).map_or(0, of),
            None => self.parts.iter().map(of).sum(),
        }
    }
}

/// One partition being read.
struct Reading {
    parts: Arc<Vec<Vec<TailSelection>>>,
    partition: usize,
    next: usize,
    projection: SegmentProjection,
    batch_rows: usize,
    left: usize,
}

impl Reading {
    /// One large part, or as many small ones as fill a batch.
    fn step(&mut self) -> Result<Option<RecordBatch>> {
        let parts = &self.parts[self.partition][self.next..];
        let (Some(first), true) = (parts.first(), self.left > 0) else { return Ok(None) };
        let is_small = |part: &&TailSelection| part.count() * COPIED_SHARE <= self.batch_rows;
        let mut rows = 0;
        let fits = |part: &&TailSelection| {
            rows += part.count();
            is_small(part) && rows <= self.batch_rows
        };
        let batch = match parts.iter().take_while(fits).count() {
            0 | 1 => {
                self.next += 1;
                first.project(&self.projection)
            }
            several => {
                self.next += several;
                gather(&parts[..several], &self.projection)
            }
        };
        let batch = batch.map_err(external)?;
        let batch = batch.slice(0, batch.num_rows().min(self.left));
        self.left -= batch.num_rows();
        Ok(Some(batch))
    }
}

impl DisplayAs for TailExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: usize = self.parts.iter().map(Vec::len).sum();
        write!(formatter, "TailExec: tail_parts={parts}")?;
        match self.limit {
            Some(limit) => write!(formatter, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for TailExec {
    fn name(&self) -> &'static str {
        "TailExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition >= self.parts.len() {
            return internal_err!("a tail has no partition {partition}");
        }
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let batch_rows = context.session_config().batch_size();
        let reading = Reading {
            parts: self.parts.clone(),
            partition,
            next: 0,
            projection: self.projection.clone(),
            batch_rows,
            left: self.limit.unwrap_or(usize::MAX),
        };
        let rows =
            stream::try_unfold(reading, |mut reading| async move { Ok(reading.step()?.map(|batch| (batch, reading))) })
                .inspect(move |batch| {
                    if let Ok(batch) = batch {
                        baseline.record_output(batch.num_rows());
                    }
                });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    /// Nothing is there twice, so that a count is known without reading.
    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let rows = self.rows(args.partition());
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = match self.limit {
            Some(limit) => Certainty::Inexact(rows.min(limit)),
            None => Certainty::Exact(rows),
        };
        Ok(Arc::new(statistics))
    }
}
