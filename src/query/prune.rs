//! What the manifest says about files, in DataFusion's terms: bounds to prune by, statistics to plan
//! with.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, BooleanArray, UInt64Array},
        datatypes::{Schema, SchemaRef, TimeUnit},
    },
    common::{
        Column as ColumnReference, ColumnStatistics, Result, ScalarValue, Statistics, pruning::PruningStatistics,
        stats::Precision as Certainty,
    },
    physical_expr::PhysicalExpr,
    physical_optimizer::pruning::PruningPredicateBuilder,
};

use crate::model::{Column, ColumnId, ColumnKind, DataFile, Precision, TableSchema};

/// What is known of some rows without reading them. Of tail parts and of lists of files only the time is.
#[derive(Debug, Clone, Copy)]
pub(super) enum PruningInput<'a> {
    File(&'a DataFile),
    Times { min: i64, max: i64, rows: u64 },
}

/// Which of `known` may hold a row that passes `predicate`, which must be about key columns alone.
pub(super) fn may_match(
    predicate: &Arc<dyn PhysicalExpr>,
    schema: &TableSchema,
    query_schema: &SchemaRef,
    precision: Precision,
    known: &[PruningInput<'_>],
) -> Result<Vec<bool>> {
    let pruning = PruningPredicateBuilder::new().with_file_schema(query_schema.clone()).try_build(predicate.clone())?;
    if pruning.always_true() || known.is_empty() {
        return Ok(vec![true; known.len()]);
    }
    pruning.prune(&Bounds { schema, precision, known })
}

struct Bounds<'a> {
    schema: &'a TableSchema,
    precision: Precision,
    known: &'a [PruningInput<'a>],
}

impl Bounds<'_> {
    fn bounds(&self, reference: &ColumnReference, end: End) -> Option<ArrayRef> {
        let column = self.schema.column(reference.name())?;
        let value = |known: &PruningInput<'_>| match (column.kind, known) {
            (ColumnKind::Time, known) => timestamp(self.precision, Some(known.time(end))),
            (ColumnKind::Tag, PruningInput::File(file)) => ScalarValue::Utf8View(tag_bound(file, column.id, end)),
            (ColumnKind::Tag, PruningInput::Times { .. }) => ScalarValue::Utf8View(None),
            (ColumnKind::Field(_), _) => ScalarValue::Null,
        };
        if matches!(column.kind, ColumnKind::Field(_)) {
            return None;
        }
        ScalarValue::iter_to_array(self.known.iter().map(value)).ok()
    }
}

#[derive(Debug, Clone, Copy)]
enum End {
    Min,
    Max,
}

impl PruningInput<'_> {
    fn time(self, end: End) -> i64 {
        match (self, end) {
            (PruningInput::File(file), End::Min) => file.min_time,
            (PruningInput::File(file), End::Max) => file.max_time,
            (PruningInput::Times { min, .. }, End::Min) => min,
            (PruningInput::Times { max, .. }, End::Max) => max,
        }
    }

    fn rows(self) -> u64 {
        match self {
            PruningInput::File(file) => file.rows,
            PruningInput::Times { rows, .. } => rows,
        }
    }

    fn nulls(self, column: &Column) -> Option<u64> {
        match self {
            PruningInput::File(file) => null_count(file, column),
            PruningInput::Times { .. } => (column.kind == ColumnKind::Time).then_some(0),
        }
    }
}

impl PruningStatistics for Bounds<'_> {
    fn min_values(&self, column: &ColumnReference) -> Option<ArrayRef> {
        self.bounds(column, End::Min)
    }

    fn max_values(&self, column: &ColumnReference) -> Option<ArrayRef> {
        self.bounds(column, End::Max)
    }

    fn num_containers(&self) -> usize {
        self.known.len()
    }

    fn null_counts(&self, reference: &ColumnReference) -> Option<ArrayRef> {
        let column = self.schema.column(reference.name())?;
        let counts: UInt64Array = self.known.iter().map(|known| known.nulls(column)).collect();
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts: UInt64Array = self.known.iter().map(|known| Some(known.rows())).collect();
        Some(Arc::new(counts))
    }

    fn contained(&self, _: &ColumnReference, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

fn tag_bound(file: &DataFile, id: ColumnId, end: End) -> Option<String> {
    let range = file.tags.iter().find(|range| range.id == id)?;
    match end {
        End::Min => range.min.clone(),
        End::Max => range.max.clone(),
    }
}

/// Rows of a file without a value in the column, if that is known.
fn null_count(file: &DataFile, column: &Column) -> Option<u64> {
    if column.kind == ColumnKind::Time {
        return Some(0);
    }
    if !file.columns.contains(&column.id) {
        return Some(file.rows);
    }
    file.tags.iter().find(|range| range.id == column.id).map(|range| range.nulls)
}

/// A moment in the type of the time column.
pub(super) fn timestamp(precision: Precision, ticks: Option<i64>) -> ScalarValue {
    match precision.time_unit() {
        TimeUnit::Second => ScalarValue::TimestampSecond(ticks, None),
        TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(ticks, None),
        TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(ticks, None),
        TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(ticks, None),
    }
}

/// Statistics of one file over all columns of its table. Counts and times are exact. A tag's bounds
/// may have been shortened, so they are exact only where they are one value.
pub(super) fn statistics(file: &DataFile, schema: &TableSchema, precision: Precision) -> Statistics {
    let rows = usize::try_from(file.rows).map_or(Certainty::Absent, Certainty::Exact);
    let column = |column: &Column| {
        let mut known = ColumnStatistics::new_unknown();
        if let Some(nulls) = null_count(file, column).and_then(|nulls| usize::try_from(nulls).ok()) {
            known.null_count = Certainty::Exact(nulls);
        }
        match column.kind {
            ColumnKind::Time => {
                known.min_value = Certainty::Exact(timestamp(precision, Some(file.min_time)));
                known.max_value = Certainty::Exact(timestamp(precision, Some(file.max_time)));
            }
            ColumnKind::Tag => {
                let min = tag_bound(file, column.id, End::Min);
                let max = tag_bound(file, column.id, End::Max);
                let one = min == max;
                let certainty = |value: Option<String>| match value {
                    None => Certainty::Absent,
                    Some(value) if one => Certainty::Exact(ScalarValue::Utf8View(Some(value))),
                    Some(value) => Certainty::Inexact(ScalarValue::Utf8View(Some(value))),
                };
                known.min_value = certainty(min);
                known.max_value = certainty(max);
            }
            ColumnKind::Field(_) => {}
        }
        known
    };
    let bytes = usize::try_from(file.size).map_or(Certainty::Absent, Certainty::Inexact);
    Statistics {
        num_rows: rows,
        total_byte_size: bytes,
        column_statistics: schema.columns.iter().map(column).collect(),
    }
}

/// Statistics of files that hold no row twice, all together.
pub(super) fn sum<'a>(files: impl IntoIterator<Item = &'a Statistics>, schema: &Schema) -> Result<Statistics> {
    Statistics::try_merge_iter(files, schema)
}
