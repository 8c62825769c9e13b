//! Windows, of which DataFusion 55.2 reserves nothing: `WindowAggExec` holds all of its input, twice, and
//! puts out one batch; `BoundedWindowAggExec` holds what its frames may still look at ([`super::recent`]).

use std::sync::Arc;

use datafusion::{
    common::{Result, internal_err, utils::memory::RecordBatchMemoryCounter},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryReservation},
    physical_plan::{
        ExecutionPlan,
        metrics::BaselineMetrics,
        replace_children_if_necessary,
        stream::RecordBatchStreamAdapter,
        windows::{BoundedWindowAggExec, WindowAggExec},
    },
};
use futures::TryStreamExt;

use super::{
    super::pass_through::{PassThrough, PassThroughExec},
    pieces::Cutting,
    recent::Recent,
    reservation, weight,
};

/// Bytes that it holds of each row and window: the results by partition, and all of them as one.
const RESULT_BYTES: usize = 24;

/// Above windows: reserves what they hold.
#[derive(Debug)]
pub struct Windows;

impl Windows {
    pub fn over(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        PassThroughExec::over(input, Windows)
    }
}

impl PassThrough for Windows {
    const NAME: &'static str = "WindowMemoryExec";

    fn rows(
        self: &Arc<Self>,
        exec: &PassThroughExec<Self>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let held = Arc::new(reservation(exec.input().name(), &context));
        let baseline = BaselineMetrics::new(exec.metrics_set(), partition);
        let rows: SendableRecordBatchStream = if let Some(windows) = exec.input().downcast_ref::<WindowAggExec>() {
            let input = Holding::over(windows, &held);
            let windows = replace_children_if_necessary(exec.input().clone(), vec![input])?;
            Box::pin(Cutting::holding(windows.execute(partition, context)?, held))
        } else if let Some(windows) = exec.input().downcast_ref::<BoundedWindowAggExec>() {
            Recent::new(held).rows(windows, partition, context)?
        } else {
            return internal_err!("{} stands above no window", Self::NAME);
        };
        let rows = rows.inspect_ok(move |batch| baseline.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(exec.schema(), rows)))
    }
}

/// Below `WindowAggExec`: reserves all that goes into it, for as long as its output is not handed on.
#[derive(Debug)]
struct Holding {
    held: Arc<MemoryReservation>,
    /// Columns that are made, and whose values may be as long as any that goes in.
    far: usize,
    row_bytes: usize,
}

impl Holding {
    fn over(windows: &WindowAggExec, held: &Arc<MemoryReservation>) -> Arc<dyn ExecutionPlan> {
        let schema = windows.schema();
        let results = &schema.fields()[windows.input().schema().fields().len()..];
        let far = results.iter().filter(|field| !field.data_type().is_primitive()).count();
        let holding = Holding { held: held.clone(), far, row_bytes: results.len() * RESULT_BYTES };
        PassThroughExec::over(windows.input().clone(), holding)
    }
}

impl PassThrough for Holding {
    const NAME: &'static str = "HoldingExec";

    fn rows(
        self: &Arc<Self>,
        exec: &PassThroughExec<Self>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let holding = self.clone();
        let mut counter = RecordBatchMemoryCounter::new();
        let rows = exec.input().execute(partition, context)?.and_then(move |batch| {
            // The batches, and all of them as one.
            let (held, copied) = (counter.count_batch(&batch), weight::of_references(&batch));
            let bytes = held * (1 + holding.far) + copied + batch.num_rows() * holding.row_bytes;
            futures::future::ready(holding.held.try_grow(bytes).map(|()| batch))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(exec.schema(), rows)))
    }
}
