//! Joins of rows that are copied where they are repeated: texts that are no views, lists. What comes out of
//! a join of DataFusion 55.2 has 8,192 rows whatever they hold.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    common::{Result, exec_err},
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext},
    physical_plan::{ExecutionPlan, replace_children_if_necessary, stream::RecordBatchStreamAdapter},
};
use futures::{Stream, TryStreamExt};

use super::{
    super::pass_through::{PassThrough, PassThroughExec},
    batch_size,
    pieces::PART,
    weight,
};

/// Bytes of the widest row that goes into it.
const ROW_BYTES: usize = 512 << 10;

/// A join that puts out smaller batches, and its inputs, which do not.
///
/// # Errors
/// The join cannot be made.
pub fn in_small_batches(join: Arc<dyn ExecutionPlan>, usual: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let narrow = |input: &Arc<dyn ExecutionPlan>| {
        PassThroughExec::over(input.clone(), Narrow { heavy: weight::has_heavy(&input.schema()) })
    };
    let inputs = join.children().into_iter().map(narrow).collect();
    batch_size::of_rows(replace_children_if_necessary(join, inputs)?, batch_size::FEW, usual)
}

/// Refuses rows that are too wide to be repeated.
#[derive(Debug)]
struct Narrow {
    heavy: bool,
}

impl PassThrough for Narrow {
    const NAME: &'static str = "NarrowExec";

    fn rows(
        self: &Arc<Self>,
        exec: &PassThroughExec<Self>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = exec.input().execute(partition, context)?;
        if !self.heavy {
            return Ok(input);
        }
        let checked = input.and_then(|batch| futures::future::ready(narrow(batch)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(exec.schema(), checked)))
    }
}

fn narrow(batch: RecordBatch) -> Result<RecordBatch> {
    let widest = weight::widest_row(&batch);
    if widest > ROW_BYTES {
        return exec_err!(
            "a join would repeat rows of {widest} bytes, the limit is {ROW_BYTES}: leave out their texts and lists, or \
             cast texts by arrow_cast(…, 'Utf8View'), which is not copied"
        );
    }
    Ok(batch)
}

/// The widest row of the first input of a cross join, and the rows of the second as many at once as make up
/// a batch with it.
pub fn cross_inputs(inputs: Vec<Arc<dyn ExecutionPlan>>) -> Vec<Arc<dyn ExecutionPlan>> {
    let width = Arc::new(AtomicUsize::new(0));
    let over = |(number, input)| {
        let cross = Cross { width: width.clone(), first: number == 0 };
        PassThroughExec::over(input, cross)
    };
    inputs.into_iter().enumerate().map(over).collect()
}

#[derive(Debug)]
struct Cross {
    width: Arc<AtomicUsize>,
    first: bool,
}

impl PassThrough for Cross {
    const NAME: &'static str = "CrossInputExec";

    fn rows(
        self: &Arc<Self>,
        exec: &PassThroughExec<Self>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = exec.input().execute(partition, context)?;
        let width = self.width.clone();
        if !self.first {
            return Ok(Box::pin(BesideRows { input, width, rest: None }));
        }
        let measured = input.inspect_ok(move |batch| {
            width.fetch_max(weight::widest_row(batch), Ordering::Relaxed);
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(exec.schema(), measured)))
    }
}

/// A cross join repeats one row of its first input for each row of a batch of the second, which it asks for
/// when it has all of the first.
struct BesideRows {
    input: SendableRecordBatchStream,
    width: Arc<AtomicUsize>,
    rest: Option<RecordBatch>,
}

impl BesideRows {
    fn hand_out(&mut self, batch: RecordBatch) -> RecordBatch {
        let rows = (PART / self.width.load(Ordering::Relaxed).max(1)).max(1);
        if batch.num_rows() <= rows {
            return batch;
        }
        self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        batch.slice(0, rows)
    }
}

impl Stream for BesideRows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Some(Ok(self.hand_out(rest))));
        }
        match ready!(self.input.as_mut().poll_next(context)) {
            Some(Ok(batch)) => Poll::Ready(Some(Ok(self.hand_out(batch)))),
            other => Poll::Ready(other),
        }
    }
}

impl RecordBatchStream for BesideRows {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
