//! Unnesting beside values that are copied for each element: a row with a long list is cut into several,
//! each with a part of the list.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, GenericListArray, OffsetSizeTrait, RecordBatch},
        buffer::OffsetBuffer,
        datatypes::{ArrowNativeType, DataType, SchemaRef},
    },
    common::{Result, exec_err},
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext},
    physical_plan::{ExecutionPlan, unnest::UnnestExec},
};
use futures::Stream;

use super::{
    super::pass_through::{PassThrough, PassThroughExec},
    pieces::{PART, WHOLE},
    weight,
};

/// Below an [`UnnestExec`] that repeats values which are copied.
#[derive(Debug)]
pub struct ShortLists {
    lists: Vec<usize>,
    /// Whether a list can be cut: lists of lists are unnested level by level, side by side with others.
    flat: bool,
}

impl ShortLists {
    /// `None` where nothing is repeated that is copied.
    pub fn below(unnest: &UnnestExec) -> Option<Arc<dyn ExecutionPlan>> {
        let lists: Vec<usize> =
            unnest.list_column_indices().iter().map(|column| column.index_in_input_schema).collect();
        let input = unnest.input();
        let schema = input.schema();
        let repeated = |(number, field): (usize, _)| !lists.contains(&number) && weight::is_heavy(field);
        if !schema.fields().iter().map(AsRef::as_ref).enumerate().any(repeated) {
            return None;
        }
        let flat = unnest.list_column_indices().iter().all(|column| column.depth == 1);
        Some(PassThroughExec::over(input.clone(), ShortLists { lists, flat }))
    }

    /// What to unnest at once: rows, or one row and elements of its lists.
    fn plan(&self, batch: &RecordBatch) -> Result<VecDeque<Part>> {
        let beside: Vec<&ArrayRef> = (0..batch.num_columns())
            .filter(|number| !self.lists.contains(number))
            .map(|number| batch.column(number))
            .collect();
        let width = |row: usize| beside.iter().map(|column| weight::of_array(column.slice(row, 1).as_ref())).sum();
        let mut parts = VecDeque::new();
        let mut from = 0;
        let mut bytes = 0_usize;
        for row in 0..batch.num_rows() {
            let (width, elements): (usize, usize) = (width(row), self.elements(batch, row));
            let row_bytes = width.saturating_mul(elements);
            if bytes.saturating_add(row_bytes) > WHOLE {
                parts.push_back(Part::Rows(from..row));
                (from, bytes) = (row, 0);
            }
            if row_bytes <= WHOLE {
                bytes += row_bytes;
                continue;
            }
            if !self.flat || !self.lists.iter().all(|list| can_be_cut(batch.column(*list).data_type())) {
                return exec_err!(
                    "unnest would repeat {width} bytes {elements} times: select fewer texts and lists beside it, or \
                     cast texts by arrow_cast(…, 'Utf8View'), which is not copied"
                );
            }
            let length = (PART / width.max(1)).max(1);
            let cut = |start: usize| Part::Elements { row, elements: start..(start + length).min(elements) };
            parts.extend((0..elements).step_by(length).map(cut));
            from = row + 1;
        }
        parts.push_back(Part::Rows(from..batch.num_rows()));
        Ok(parts)
    }

    /// How many rows come of one.
    fn elements(&self, batch: &RecordBatch, row: usize) -> usize {
        self.lists.iter().map(|list| length(batch.column(*list), row)).max().unwrap_or(1)
    }

    fn part(&self, batch: &RecordBatch, part: &Part) -> Result<RecordBatch> {
        let (row, elements) = match part {
            Part::Rows(rows) => return Ok(batch.slice(rows.start, rows.len())),
            Part::Elements { row, elements } => (*row, elements),
        };
        let column = |number: usize| {
            let column = batch.column(number);
            match (self.lists.contains(&number), column.data_type()) {
                (true, DataType::List(_)) => some_elements::<i32>(column, row, elements),
                (true, DataType::LargeList(_)) => some_elements::<i64>(column, row, elements),
                _ => Ok(column.slice(row, 1)),
            }
        };
        let columns = (0..batch.num_columns()).map(column).collect::<Result<_>>()?;
        Ok(RecordBatch::try_new(batch.schema(), columns)?)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Rows(Range<usize>),
    Elements { row: usize, elements: Range<usize> },
}

fn can_be_cut(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::LargeList(_))
}

fn length(list: &ArrayRef, row: usize) -> usize {
    match list.data_type() {
        _ if list.is_null(row) => 0,
        DataType::List(_) => list.as_list::<i32>().value_length(row).as_usize(),
        DataType::LargeList(_) => list.as_list::<i64>().value_length(row).as_usize(),
        DataType::FixedSizeList(_, length) => usize::try_from(*length).unwrap_or(0),
        _ => weight::of_array(list.slice(row, 1).as_ref()),
    }
}

/// One list of some elements of a row's.
fn some_elements<O: OffsetSizeTrait>(column: &ArrayRef, row: usize, elements: &Range<usize>) -> Result<ArrayRef> {
    let list = column.as_list::<O>();
    if list.is_null(row) {
        return Ok(column.slice(row, 1));
    }
    let (DataType::List(field) | DataType::LargeList(field)) = list.data_type() else {
        return Ok(column.slice(row, 1));
    };
    let values = list.value(row);
    let (start, end) = (elements.start.min(values.len()), elements.end.min(values.len()));
    let values = values.slice(start, end - start);
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    Ok(Arc::new(GenericListArray::<O>::try_new(field.clone(), offsets, values, None)?))
}

impl PassThrough for ShortLists {
    const NAME: &'static str = "ShortListsExec";

    fn rows(
        self: &Arc<Self>,
        exec: &PassThroughExec<Self>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = exec.input().execute(partition, context)?;
        Ok(Box::pin(Shortening { input, lists: self.clone(), batch: None }))
    }
}

struct Shortening {
    input: SendableRecordBatchStream,
    lists: Arc<ShortLists>,
    batch: Option<(RecordBatch, VecDeque<Part>)>,
}

impl Stream for Shortening {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some((batch, mut parts)) = self.batch.take()
                && let Some(part) = parts.pop_front()
            {
                let made = self.lists.part(&batch, &part);
                self.batch = Some((batch, parts));
                return Poll::Ready(Some(made));
            }
            match ready!(self.input.as_mut().poll_next(context)) {
                Some(Ok(batch)) => {
                    let parts = self.lists.plan(&batch)?;
                    self.batch = Some((batch, parts));
                }
                other => return Poll::Ready(other),
            }
        }
    }
}

impl RecordBatchStream for Shortening {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
