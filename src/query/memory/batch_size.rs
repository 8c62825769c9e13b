//! Operators that are told another number of rows of a batch than the rest of the plan.

use std::sync::Arc;

use datafusion::{
    common::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{ExecutionPlan, replace_children_if_necessary},
};

use super::super::pass_through::{PassThrough, PassThroughExec};

/// Rows of a batch that may be wide ones.
pub const FEW: usize = 128;
/// Rows of a batch for who puts small batches together until they have so many: it passes all on as they come.
/// It would put together so many whatever they hold.
pub const AS_THEY_COME: usize = 1;

/// An operator that makes batches of `rows`, and its inputs, which make `usual` ones.
///
/// # Errors
/// The operator cannot be made.
pub fn of_rows(node: Arc<dyn ExecutionPlan>, rows: usize, usual: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let over = |input: &Arc<dyn ExecutionPlan>| PassThroughExec::over(input.clone(), BatchSize { rows: usual });
    let inputs = node.children().into_iter().map(over).collect();
    Ok(PassThroughExec::over(replace_children_if_necessary(node, inputs)?, BatchSize { rows }))
}

/// What is below it makes batches of so many rows, in which what is below that may not be.
#[derive(Debug)]
struct BatchSize {
    rows: usize,
}

impl PassThrough for BatchSize {
    const NAME: &'static str = "BatchSizeExec";

    fn rows(
        self: &Arc<Self>,
        exec: &PassThroughExec<Self>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        // No operator looks up a function while it runs.
        let resized = TaskContext::new(
            context.task_id(),
            context.session_id(),
            context.session_config().clone().with_batch_size(self.rows),
            Default::default(),
            Default::default(),
            Default::default(),
            Default::default(),
            context.runtime_env(),
        );
        exec.input().execute(partition, Arc::new(resized))
    }
}
