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
        datatypes::SchemaRef,
    },
    common::{Result, Statistics},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{ExecutionPlan, metrics::BaselineMetrics, stream::RecordBatchStreamAdapter},
};
use futures::TryStreamExt;

use super::{
    pass_through::{PassThrough, PassThroughExec},
    selector::Selector,
};

/// Passes on what may be the wanted row of its group.
#[derive(Debug)]
pub(super) struct FilterBySelector {
    /// Positions of the group's columns.
    pub by: Vec<usize>,
    /// Position of time; not needed for [`Selector::Any`].
    pub time: Option<usize>,
    pub end: Selector,
}

impl FilterBySelector {
    pub(super) fn over(self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        PassThroughExec::over(input, self)
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
            Selector::Any => (same, BooleanBuffer::new_unset(pairs)),
            Selector::Last => (order(true)?, order(false)?),
            Selector::First => (order(false)?, order(true)?),
        };
        let goes = |row: usize| (row < pairs && first_goes.value(row)) || (row > 0 && second_goes.value(row - 1));
        let stays = BooleanArray::from(BooleanBuffer::collect_bool(batch.num_rows(), |row| !goes(row)));
        Ok(filter_record_batch(batch, &stays)?)
    }
}

impl PassThrough for FilterBySelector {
    const NAME: &'static str = "EndsExec";

    fn rows(
        self: &Arc<Self>,
        exec: &PassThroughExec<Self>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let baseline = BaselineMetrics::new(exec.metrics_set(), partition);
        let ends = self.clone();
        let rows = exec.input().execute(partition, context)?.and_then(move |batch| {
            let left = ends.left(&batch);
            baseline.record_output(left.as_ref().map_or(0, RecordBatch::num_rows));
            futures::future::ready(left)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(exec.schema(), rows)))
    }

    fn keeps_properties(&self) -> bool {
        false
    }

    fn gains_from_partitions(&self) -> bool {
        true
    }

    /// How many rows are left is not known before.
    fn statistics(&self, input: &Arc<Statistics>, schema: &SchemaRef) -> Arc<Statistics> {
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = input.num_rows.to_inexact();
        Arc::new(statistics)
    }

    fn describe(&self, schema: &SchemaRef, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.by.iter().map(|position| schema.field(*position).name().as_str()).collect();
        write!(formatter, ": {:?} of [{}]", self.end, names.join(", "))
    }
}
