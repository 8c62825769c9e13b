//! Makes operators give way that turn one batch into very many: DataFusion yields at the leaves of a
//! plan, and a join may work for minutes on one batch of a leaf. Without this a query cannot be
//! cancelled while it does. A join that may compare a batch with every row of its other side before it
//! looks up also gets that batch in pieces, as small as it takes for one not to last long.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{ExecutionPlan, joins::HashJoinExec, replace_children_if_necessary},
};
use futures::Stream;

use super::pass_through::{PassThrough, PassThroughExec};

/// How long a task may work before it gives way.
const TURN: Duration = Duration::from_millis(10);

/// Rows of the first piece of a batch, for a join that compares much and puts out little. Pieces grow
/// fourfold where that is quick.
const FIRST_PIECE: usize = 8;

/// Operators whose output may be far larger than their input.
const MULTIPLYING: [&str; 8] = [
    "CrossJoinExec",
    "HashJoinExec",
    "NestedLoopJoinExec",
    "PiecewiseMergeJoinExec",
    "RecursiveQueryExec",
    "SortMergeJoinExec",
    "SymmetricHashJoinExec",
    "UnnestExec",
];

/// Puts a [`Yield`] above every multiplying operator, and below each of its inputs.
#[derive(Debug)]
pub(super) struct CooperativeJoins;

impl PhysicalOptimizerRule for CooperativeJoins {
    fn name(&self) -> &'static str {
        "yield_in_joins"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let wrapped = plan.transform_up(|node| {
            if !MULTIPLYING.contains(&node.name()) {
                return Ok(Transformed::no(node));
            }
            // The second input is the one that is compared with all of the first.
            let pieces = |input| input == 1 && filters_pairs(node.as_ref());
            let inputs = node.children().into_iter().enumerate();
            let inputs = inputs.map(|(number, input)| Yield::over(input.clone(), pieces(number))).collect();
            let node = replace_children_if_necessary(node, inputs)?;
            Ok(Transformed::yes(Yield::over(node, false)))
        })?;
        Ok(wrapped.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether a join may look at many pairs of rows without putting any out.
fn filters_pairs(node: &dyn ExecutionPlan) -> bool {
    let hash_join = node.downcast_ref::<HashJoinExec>();
    node.name() == "NestedLoopJoinExec" || hash_join.is_some_and(|join| join.filter().is_some())
}

/// Passes its input on, and gives way every now and then.
#[derive(Debug)]
struct Yield {
    /// Whether to hand batches out in pieces.
    pieces: bool,
}

impl Yield {
    fn over(input: Arc<dyn ExecutionPlan>, pieces: bool) -> Arc<dyn ExecutionPlan> {
        PassThroughExec::over(input, Yield { pieces })
    }
}

impl PassThrough for Yield {
    const NAME: &'static str = "YieldExec";

    fn rows(
        self: &Arc<Self>,
        exec: &PassThroughExec<Self>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = exec.input().execute(partition, context)?;
        let pieces = self.pieces.then(|| BatchSlicer { rows: FIRST_PIECE, rest: None, handed_out: None });
        Ok(Box::pin(CooperativeStream { input, pieces, since: Instant::now() }))
    }
}

struct CooperativeStream {
    input: SendableRecordBatchStream,
    pieces: Option<BatchSlicer>,
    /// When it last gave way.
    since: Instant,
}

/// A batch that is handed out in pieces.
struct BatchSlicer {
    /// Rows of the next piece.
    rows: usize,
    rest: Option<RecordBatch>,
    /// When the last piece was.
    handed_out: Option<Instant>,
}

impl BatchSlicer {
    /// The next piece is smaller if the last one took long, larger if it did not.
    fn adapt(&mut self) {
        match self.handed_out.take().map(|handed_out| handed_out.elapsed()) {
            Some(elapsed) if elapsed > TURN * 4 => self.rows = (self.rows / 4).max(1),
            Some(elapsed) if elapsed < TURN => self.rows = self.rows.saturating_mul(4),
            _ => {}
        }
    }

    fn hand_out(&mut self, batch: RecordBatch) -> RecordBatch {
        self.handed_out = Some(Instant::now());
        if batch.num_rows() <= self.rows {
            return batch;
        }
        self.rest = Some(batch.slice(self.rows, batch.num_rows() - self.rows));
        batch.slice(0, self.rows)
    }
}

impl Stream for CooperativeStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(pieces) = &mut self.pieces {
            pieces.adapt();
        }
        if self.since.elapsed() > TURN {
            self.since = Instant::now();
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(pieces) = &mut self.pieces
            && let Some(rest) = pieces.rest.take()
        {
            return Poll::Ready(Some(Ok(pieces.hand_out(rest))));
        }
        let polled = self.input.as_mut().poll_next(context);
        match (polled, &mut self.pieces) {
            (Poll::Ready(Some(Ok(batch))), Some(pieces)) => Poll::Ready(Some(Ok(pieces.hand_out(batch)))),
            (polled, _) => polled,
        }
    }
}

impl RecordBatchStream for CooperativeStream {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
