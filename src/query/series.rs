//! Tail parts cut down to the series that a query asks for, before it is run: a segment's rows are sorted
//! by series, so a condition on tags is decided once a series instead of once a row.

use datafusion::{
    arrow::{
        array::{Array, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array},
        compute::take_record_batch,
        datatypes::{Field, Schema, SchemaRef},
    },
    catalog::Session,
    common::{DFSchema, Result},
    logical_expr::{Expr, utils::conjunction},
    physical_expr::PhysicalExpr,
};
use std::sync::Arc;

use crate::{
    engine::TailPart,
    model::{Column, ColumnKind},
    wal::Series,
};

use super::{errors::external, provider::SnapshotTable};

/// The parts with the rows of the series that pass the filters on tags. Those that were not taken from a
/// segment stay as they are; parts of which nothing is left are gone.
pub(super) fn narrow(
    table: &SnapshotTable,
    state: &dyn Session,
    filters: &[Expr],
    tail: Vec<TailPart>,
) -> Result<Vec<TailPart>> {
    let tags: Vec<&Column> =
        table.table.schema.columns.iter().filter(|column| column.kind == ColumnKind::Tag).collect();
    let on_tags = |filter: &&Expr| {
        let columns = filter.column_refs();
        !filter.is_volatile()
            && !columns.is_empty()
            && columns.iter().all(|column| tags.iter().any(|tag| tag.name == column.name))
    };
    let predicate = conjunction(filters.iter().filter(on_tags).cloned());
    let Some(predicate) = predicate.filter(|_| !tail.is_empty()) else { return Ok(tail) };
    let fields: Vec<Field> =
        tags.iter().map(|tag| Field::new(&tag.name, tag.kind.query_type(table.table.precision), true)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let predicate = state.create_physical_expr(predicate, &DFSchema::try_from(schema.clone())?)?;
    let mut narrowed = Vec::with_capacity(tail.len());
    for part in tail {
        let Some(rows) = part.segment.as_ref().and_then(|segment| segment.table(table.table.id)) else {
            narrowed.push(part);
            continue;
        };
        let series = rows.series().map_err(external)?;
        let passes = evaluate(&predicate, &schema, &tags, series)?;
        if let Some(batch) = pick(&part.batch, series, &passes)? {
            narrowed.push(TailPart { batch, segment: None, ..part });
        }
    }
    Ok(narrowed)
}

/// Which series pass.
fn evaluate(
    predicate: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    tags: &[&Column],
    series: &Series,
) -> Result<BooleanArray> {
    let count = series.runs.len();
    let column = |(tag, field): (&&Column, &Arc<Field>)| match series.tags.column_by_name(&tag.id.to_string()) {
        Some(values) => values.clone(),
        None => new_null_array(field.data_type(), count),
    };
    let columns = tags.iter().zip(schema.fields()).map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    Ok(predicate.evaluate(&batch)?.into_array(count)?.as_boolean().clone())
}

/// The rows of the series that pass: the batch itself, a slice of it, or a copy; none if there are none.
fn pick(batch: &RecordBatch, series: &Series, passes: &BooleanArray) -> Result<Option<RecordBatch>> {
    let passing = |number: usize| passes.is_valid(number) && passes.value(number);
    let runs: Vec<_> =
        (0..series.runs.len()).filter(|number| passing(*number)).map(|number| &series.runs[number]).collect();
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(None) };
    let rows: usize = runs.iter().map(|run| run.len()).sum();
    if first.start + rows == last.end {
        return Ok(Some(batch.slice(first.start, rows)));
    }
    let rows = runs.iter().flat_map(|run| (*run).clone()).filter_map(|row| u32::try_from(row).ok());
    Ok(Some(take_record_batch(batch, &UInt32Array::from_iter_values(rows))?))
}
