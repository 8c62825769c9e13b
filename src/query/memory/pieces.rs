//! Batches cut by their bytes. What makes texts and lists out of less gets its input in pieces, as many
//! rows at once as came out at a bearable size before; and what comes out too large all the same is handed
//! on in parts of its own, so that who keeps one does not keep all.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array},
        compute::take,
        datatypes::{DataType, SchemaRef},
    },
    common::{Result, utils::memory::get_record_batch_memory_size},
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext, memory_pool::MemoryReservation},
    physical_plan::ExecutionPlan,
};
use futures::Stream;

use super::{
    super::pass_through::{PassThrough, PassThroughExec},
    reservation, weight,
};

/// Bytes of a batch that is not cut.
pub const WHOLE: usize = 8 << 20;
/// Bytes of the parts of one that is, and of what comes of a piece.
pub const PART: usize = 1 << 20;
/// Bytes of a row of which a batch of the usual 8,192 is not cut.
const NARROW: usize = WHOLE / 8192;
/// Rows of the first piece, when nothing has come out yet.
const FIRST_PIECE: usize = 256;
/// Rows of a piece where what comes out of an expression is not seen.
pub const UNSEEN: usize = 1024;

/// How wide the rows are that came out lately.
#[derive(Debug, Default)]
pub struct RecentWidth {
    row_bytes: AtomicUsize,
}

impl RecentWidth {
    fn saw(&self, batch: &RecordBatch, bytes: usize) {
        if let Some(row) = bytes.checked_div(batch.num_rows()) {
            self.row_bytes.store(row.max(1), Ordering::Relaxed);
        }
    }

    /// Rows of the next piece, after one of `last` rows.
    fn rows(&self, last: usize) -> usize {
        match self.row_bytes.load(Ordering::Relaxed) {
            0 => FIRST_PIECE,
            row if row <= NARROW => last.saturating_mul(4),
            row => (PART / row).clamp(1, last.saturating_mul(4)),
        }
    }
}

/// Below an operator: hands its batches on in pieces.
#[derive(Debug)]
pub struct SlicedInput {
    /// `None`: as many rows as [`UNSEEN`].
    pace: Option<Arc<RecentWidth>>,
}

impl SlicedInput {
    pub fn over(input: Arc<dyn ExecutionPlan>, pace: Option<Arc<RecentWidth>>) -> Arc<dyn ExecutionPlan> {
        PassThroughExec::over(input, SlicedInput { pace })
    }
}

impl PassThrough for SlicedInput {
    const NAME: &'static str = "PiecesExec";

    fn rows(
        self: &Arc<Self>,
        exec: &PassThroughExec<Self>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = exec.input().execute(partition, context)?;
        Ok(Box::pin(InPieces { input, pace: self.pace.clone(), rest: None, last: FIRST_PIECE }))
    }
}

struct InPieces {
    input: SendableRecordBatchStream,
    pace: Option<Arc<RecentWidth>>,
    rest: Option<RecordBatch>,
    /// Rows of the last piece.
    last: usize,
}

impl InPieces {
    fn hand_out(&mut self, batch: RecordBatch) -> RecordBatch {
        let rows = self.pace.as_ref().map_or(UNSEEN, |pace| pace.rows(self.last));
        self.last = rows;
        if batch.num_rows() <= rows {
            return batch;
        }
        self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        batch.slice(0, rows)
    }
}

impl Stream for InPieces {
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

impl RecordBatchStream for InPieces {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

/// Above an operator: cuts what is too large, and tells the pieces below how wide it is.
#[derive(Debug)]
pub struct Cut {
    pace: Option<Arc<RecentWidth>>,
}

impl Cut {
    pub fn over(input: Arc<dyn ExecutionPlan>, pace: Option<Arc<RecentWidth>>) -> Arc<dyn ExecutionPlan> {
        PassThroughExec::over(input, Cut { pace })
    }
}

/// Whether a plan's root cuts batches.
pub fn cuts(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<PassThroughExec<Cut>>().is_some()
}

impl PassThrough for Cut {
    const NAME: &'static str = "CutExec";

    fn rows(
        self: &Arc<Self>,
        exec: &PassThroughExec<Self>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let reservation = reservation("CutExec", &context);
        let input = exec.input().execute(partition, context)?;
        Ok(Box::pin(Cutting::new(input, self.pace.clone(), Arc::new(reservation))))
    }
}

/// Cuts batches, and holds a reservation while one of them is not handed out in full.
pub struct Cutting {
    input: SendableRecordBatchStream,
    pace: Option<Arc<RecentWidth>>,
    /// The batch, and how many of its rows were handed out.
    rest: Option<(RecordBatch, usize)>,
    rows: usize,
    reservation: Arc<MemoryReservation>,
    /// Whether what is reserved is for the batch that is being cut alone.
    own: bool,
}

impl Cutting {
    fn new(
        input: SendableRecordBatchStream,
        pace: Option<Arc<RecentWidth>>,
        reservation: Arc<MemoryReservation>,
    ) -> Cutting {
        Cutting { input, pace, rest: None, rows: 0, reservation, own: true }
    }

    /// As what an operator holds is reserved already, until its one batch is handed out.
    pub fn holding(input: SendableRecordBatchStream, reservation: Arc<MemoryReservation>) -> Cutting {
        Cutting { input, pace: None, rest: None, rows: 0, reservation, own: false }
    }

    fn begin(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let bytes = weight::of_batch(&batch);
        if let Some(pace) = &self.pace {
            pace.saw(&batch, bytes);
        }
        if bytes <= WHOLE || batch.num_rows() < 2 {
            return Ok(batch);
        }
        if self.own {
            self.reservation.try_grow(get_record_batch_memory_size(&batch))?;
        }
        self.rows = (PART / (bytes / batch.num_rows()).max(1)).max(1);
        self.part(batch, 0)
    }

    /// The next part, copied.
    fn part(&mut self, batch: RecordBatch, from: usize) -> Result<RecordBatch> {
        let rows = self.rows.min(batch.num_rows() - from);
        let part = copied(&batch.slice(from, rows))?;
        if from + rows < batch.num_rows() {
            self.rest = Some((batch, from + rows));
        } else if self.own {
            drop(batch);
            self.reservation.free();
        }
        Ok(part)
    }
}

impl Stream for Cutting {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some((batch, from)) = self.rest.take() {
            return Poll::Ready(Some(self.part(batch, from)));
        }
        match ready!(self.input.as_mut().poll_next(context)) {
            Some(Ok(batch)) => Poll::Ready(Some(self.begin(batch))),
            None => {
                self.reservation.free();
                Poll::Ready(None)
            }
            error => Poll::Ready(error),
        }
    }
}

impl RecordBatchStream for Cutting {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

/// The rows in buffers of their own, so that they do not keep those alive that they were cut from.
///
/// # Errors
/// None: every array can be copied.
fn copied(batch: &RecordBatch) -> Result<RecordBatch> {
    let all = UInt64Array::from_iter_values(0..batch.num_rows() as u64);
    let copy = |column: &ArrayRef| -> Result<ArrayRef> {
        Ok(match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => take(column.as_ref(), &all, None)?,
        })
    };
    let columns = batch.columns().iter().map(copy).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

#[cfg(test)]
mod tests {
    use datafusion::{
        arrow::{
            array::{Int64Array, StringViewArray},
            datatypes::{Field, Schema},
        },
        execution::memory_pool::{MemoryConsumer, MemoryPool},
        physical_plan::stream::RecordBatchStreamAdapter,
    };
    use futures::{TryStreamExt, stream};

    use super::{super::QueryPool, *};

    fn batch(rows: usize, text: usize) -> RecordBatch {
        let schema =
            Schema::new(vec![Field::new("n", DataType::Int64, false), Field::new("s", DataType::Utf8View, false)]);
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..rows).map(|_| "x".repeat(text))));
        RecordBatch::try_new(Arc::new(schema), vec![numbers, texts]).unwrap()
    }

    async fn cut(batch: &RecordBatch, pool: &Arc<dyn MemoryPool>) -> Result<Vec<RecordBatch>> {
        let input = RecordBatchStreamAdapter::new(batch.schema(), stream::iter([Ok(batch.clone())]));
        let reservation = MemoryConsumer::new("test").register(pool);
        Cutting::new(Box::pin(input), None, Arc::new(reservation)).try_collect().await
    }

    fn pool(bytes: usize) -> Arc<dyn MemoryPool> {
        Arc::new(QueryPool::new(bytes))
    }

    #[tokio::test]
    async fn what_is_small_passes_as_it_is() {
        let small = batch(8192, 100);
        let passed = cut(&small, &pool(0)).await.unwrap();
        assert_eq!(passed.len(), 1);
        for (before, after) in small.columns().iter().zip(passed[0].columns()) {
            assert!(Arc::ptr_eq(before, after), "it was copied");
        }
    }

    #[tokio::test]
    async fn what_is_large_is_handed_on_in_parts_of_their_own() {
        let large = batch(2_000, 10_000);
        assert!(cut(&large, &pool(1 << 20)).await.is_err());
        let pool = pool(64 << 20);
        let parts = cut(&large, &pool).await.unwrap();
        assert!(parts.len() > 15, "{} parts", parts.len());
        assert_eq!(parts.iter().map(RecordBatch::num_rows).sum::<usize>(), 2_000);
        for part in &parts {
            let held = get_record_batch_memory_size(part);
            assert!(held < 2 * PART, "a part of {} rows keeps {held} bytes", part.num_rows());
        }
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn pieces_follow_the_width_of_rows() {
        let pace = RecentWidth::default();
        assert_eq!(pace.rows(FIRST_PIECE), FIRST_PIECE);
        let narrow = batch(100, 50);
        pace.saw(&narrow, weight::of_batch(&narrow));
        assert_eq!(pace.rows(FIRST_PIECE), FIRST_PIECE * 4);
        let wide = batch(100, 100_000);
        pace.saw(&wide, weight::of_batch(&wide));
        assert_eq!(pace.rows(8192), 10);
    }
}
