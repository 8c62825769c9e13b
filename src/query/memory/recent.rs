//! What `BoundedWindowAggExec` holds: of each partition the rows that a frame may still look at, and those
//! that have no result yet. Only its own expressions see the first, when they are evaluated over them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::{
    arrow::{
        array::RecordBatch,
        datatypes::{FieldRef, Schema, SchemaRef},
    },
    common::{Result, internal_err, utils::memory::RecordBatchMemoryCounter},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryReservation},
    logical_expr::{ColumnarValue, LimitEffect, PartitionEvaluator},
    physical_expr::{
        PhysicalExpr, PhysicalSortExpr,
        window::{SlidingAggregateWindowExpr, StandardWindowExpr, StandardWindowFunctionExpr, WindowExpr},
    },
    physical_plan::{ExecutionPlan, stream::RecordBatchStreamAdapter, windows::BoundedWindowAggExec},
};
use futures::TryStreamExt;

use super::{
    super::pass_through::{PassThrough, PassThroughExec},
    weight,
};

/// How often a row is copied that a frame may look at, besides the batch it came in: in the order it came, and
/// while that or its partition is put together anew.
const COPIES: usize = 2;

/// Rows of one partition of a plan.
#[derive(Debug)]
pub struct Recent {
    held: Arc<MemoryReservation>,
    /// What the first expression was evaluated over since the last batch came.
    seen: Mutex<Seen>,
    /// Rows that came in and have not come out.
    waiting: AtomicUsize,
    row_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Seen {
    /// Partitions of one batch share its buffers.
    buffers: RecordBatchMemoryCounter,
    copied: usize,
}

impl Recent {
    pub fn new(held: Arc<MemoryReservation>) -> Arc<Recent> {
        let (seen, waiting, row_bytes) = Default::default();
        Arc::new(Recent { held, seen, waiting, row_bytes })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of the windows, whose memory is reserved while they run.
    ///
    /// # Errors
    /// The windows cannot be made.
    pub fn rows(
        self: Arc<Self>,
        windows: &BoundedWindowAggExec,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut expressions = windows.window_expr().to_vec();
        let weighed = |window: &mut Arc<dyn WindowExpr>| match self.weighed(window) {
            Some(weighed) => {
                *window = weighed;
                true
            }
            None => false,
        };
        expressions.iter_mut().any(weighed);
        let input = PassThroughExec::over(windows.input().clone(), Arriving(self.clone()));
        let mode = windows.input_order_mode.clone();
        let windows = BoundedWindowAggExec::try_new(expressions, input, mode, false)?;
        let rows = windows.execute(partition, context)?.inspect_ok(move |batch| {
            // What is left is reserved anew with the next batch.
            let _ = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                Some(waiting.saturating_sub(batch.num_rows()))
            });
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(windows.schema(), rows)))
    }

    fn arrived(&self, batch: &RecordBatch) -> Result<()> {
        *self.seen() = Seen::default();
        let bytes = weight::of_batch(batch) + weight::of_references(batch) * COPIES;
        if let Some(row_bytes) = bytes.checked_div(batch.num_rows()) {
            self.row_bytes.store(row_bytes, Ordering::Relaxed);
        }
        self.waiting.fetch_add(batch.num_rows(), Ordering::Relaxed);
        self.reserve(0)
    }

    fn saw(&self, batch: &RecordBatch) -> Result<()> {
        let seen = {
            let mut seen = self.seen();
            seen.buffers.count_batch(batch);
            seen.copied += weight::of_references(batch) * COPIES;
            seen.buffers.memory_usage() + seen.copied
        };
        self.reserve(seen)
    }

    fn reserve(&self, seen: usize) -> Result<()> {
        let waiting = self.waiting.load(Ordering::Relaxed) * self.row_bytes.load(Ordering::Relaxed);
        self.held.try_resize(seen.max(waiting))
    }

    /// The same window, whose first argument is weighed; `None` if it has none, or looks back at nothing.
    fn weighed(self: &Arc<Self>, window: &Arc<dyn WindowExpr>) -> Option<Arc<dyn WindowExpr>> {
        if let Some(standard) = window.as_any().downcast_ref::<StandardWindowExpr>() {
            standard.expressions().first()?;
            let inner = standard.get_standard_func_expr().clone();
            let function = Arc::new(WeighedFunction { inner, recent: self.clone() });
            let frame = standard.get_window_frame().clone();
            return Some(Arc::new(StandardWindowExpr::new(
                function,
                standard.partition_by(),
                standard.order_by(),
                frame,
            )));
        }
        let sliding = window.as_any().downcast_ref::<SlidingAggregateWindowExpr>()?;
        let all = sliding.all_expressions();
        sliding.with_new_expressions(self.weigh_first(all.args), all.partition_by_exprs, all.order_by_exprs)
    }

    fn weigh_first(self: &Arc<Self>, mut arguments: Vec<Arc<dyn PhysicalExpr>>) -> Vec<Arc<dyn PhysicalExpr>> {
        if let Some(first) = arguments.first_mut() {
            *first = Arc::new(Weighed { inner: first.clone(), recent: self.clone() });
        }
        arguments
    }
}

/// Below the windows: tells when a batch comes.
#[derive(Debug)]
struct Arriving(Arc<Recent>);

impl PassThrough for Arriving {
    const NAME: &'static str = "ArrivingExec";

    fn rows(
        self: &Arc<Self>,
        exec: &PassThroughExec<Self>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let recent = self.0.clone();
        let rows = exec.input().execute(partition, context)?;
        let rows = rows.and_then(move |batch| futures::future::ready(recent.arrived(&batch).map(|()| batch)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(exec.schema(), rows)))
    }
}

/// A window function whose first argument is weighed.
#[derive(Debug)]
struct WeighedFunction {
    inner: Arc<dyn StandardWindowFunctionExpr>,
    recent: Arc<Recent>,
}

impl StandardWindowFunctionExpr for WeighedFunction {
    fn as_any(&self) -> &dyn std::any::Any {
        self.inner.as_any()
    }

    fn field(&self) -> Result<FieldRef> {
        self.inner.field()
    }

    fn expressions(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.recent.weigh_first(self.inner.expressions())
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn create_evaluator(&self) -> Result<Box<dyn PartitionEvaluator>> {
        self.inner.create_evaluator()
    }

    fn reverse_expr(&self) -> Option<Arc<dyn StandardWindowFunctionExpr>> {
        self.inner.reverse_expr()
    }

    fn get_result_ordering(&self, schema: &SchemaRef) -> Option<PhysicalSortExpr> {
        self.inner.get_result_ordering(schema)
    }

    fn limit_effect(&self) -> LimitEffect {
        self.inner.limit_effect()
    }
}

/// An expression that reserves the memory of the batch it is evaluated over.
#[derive(Debug)]
struct Weighed {
    inner: Arc<dyn PhysicalExpr>,
    recent: Arc<Recent>,
}

impl PartialEq for Weighed {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Weighed {}

impl Hash for Weighed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Weighed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl PhysicalExpr for Weighed {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.recent.saw(batch)?;
        self.inner.evaluate(batch)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match children.pop() {
            Some(inner) => Ok(Arc::new(Weighed { inner, recent: self.recent.clone() })),
            None => internal_err!("a weighed expression has one child"),
        }
    }

    fn fmt_sql(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(formatter)
    }
}
