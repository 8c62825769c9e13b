//! Tail parts cut down to the series that a query asks for, before it is run: a segment's rows are sorted
//! by series, so a condition on tags is decided once a series instead of once a row.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, RecordBatch, RecordBatchOptions, UInt32Array,
            new_null_array,
        },
        compute::{cast, take_record_batch},
        datatypes::{Field, Int32Type, Schema, SchemaRef},
    },
    catalog::Session,
    common::{DFSchema, Result, ScalarValue},
    logical_expr::{Expr, utils::conjunction},
    physical_expr::{
        PhysicalExpr,
        utils::{Guarantee, LiteralGuarantee},
    },
};

use crate::{
    engine::TailPart,
    model::{Column, ColumnKind},
    wal::Series,
};

use super::{errors::external, group::Piece, provider::SnapshotTable};

/// A condition on tags.
struct Condition {
    predicate: Arc<dyn PhysicalExpr>,
    /// The tags it speaks of.
    schema: SchemaRef,
    /// Their names in segments.
    ids: Vec<String>,
    /// What a tag must be one of for the condition to hold: position in `ids`, values.
    one_of: Vec<(usize, Vec<String>)>,
}

/// The rows of the series that pass the filters on tags; parts of which nothing is left are gone.
pub(super) fn narrow(
    table: &SnapshotTable,
    state: &dyn Session,
    filters: &[Expr],
    tail: &[TailPart],
) -> Result<Vec<Piece>> {
    let condition = Condition::new(table, state, filters)?;
    let mut narrowed = Vec::with_capacity(tail.len());
    for part in tail {
        let rows = part.rows();
        let left = match &condition {
            None => Some(rows.batch.clone()),
            Some(condition) => {
                let series = rows.series().map_err(external)?;
                pick(&rows.batch, series, &condition.passes(series)?)?
            }
        };
        if let Some(batch) = left {
            narrowed.push(Piece { order: part.order, min: rows.min_time, max: rows.max_time, batch });
        }
    }
    Ok(narrowed)
}

impl Condition {
    /// `None` if nothing is asked of the tags alone.
    fn new(table: &SnapshotTable, state: &dyn Session, filters: &[Expr]) -> Result<Option<Condition>> {
        let columns = &table.table.schema.columns;
        let is_tag = |name: &str| columns.iter().any(|column| column.kind == ColumnKind::Tag && column.name == name);
        let on_tags = |filter: &&Expr| {
            let columns = filter.column_refs();
            !filter.is_volatile() && !columns.is_empty() && columns.iter().all(|column| is_tag(&column.name))
        };
        let Some(predicate) = conjunction(filters.iter().filter(on_tags).cloned()) else { return Ok(None) };
        let named = predicate.column_refs();
        let tags: Vec<&Column> =
            columns.iter().filter(|column| named.iter().any(|named| named.name == column.name)).collect();
        let field = |tag: &&Column| Field::new(&tag.name, tag.kind.query_type(table.table.precision), true);
        let schema: SchemaRef = Arc::new(Schema::new(tags.iter().map(field).collect::<Vec<_>>()));
        let predicate = state.create_physical_expr(predicate, &DFSchema::try_from(schema.clone())?)?;
        let one_of = LiteralGuarantee::analyze(&predicate).into_iter().filter_map(|guarantee| one_of(&tags, guarantee));
        let one_of = one_of.collect();
        Ok(Some(Condition { predicate, schema, ids: tags.iter().map(|tag| tag.id.to_string()).collect(), one_of }))
    }

    /// Which series may pass. Rows of others do not: the filter itself is applied again later.
    fn passes(&self, series: &Series) -> Result<Vec<usize>> {
        let mut left: Option<Vec<usize>> = None;
        for (tag, values) in &self.one_of {
            let Some(tags) = series.tags.column_by_name(&self.ids[*tag]).and_then(|tags| tags.as_dictionary_opt())
            else {
                return Ok(Vec::new());
            };
            let held = holding(tags, values, left);
            if held.is_empty() {
                return Ok(held);
            }
            left = Some(held);
        }
        match left {
            Some(left) => Ok(left),
            None => {
                let passes = self.evaluate(series)?;
                Ok((0..passes.len()).filter(|number| passes.is_valid(*number) && passes.value(*number)).collect())
            }
        }
    }

    fn evaluate(&self, series: &Series) -> Result<BooleanArray> {
        let count = series.runs.len();
        let column = |(id, field): (&String, &Arc<Field>)| match series.tags.column_by_name(id) {
            Some(values) => cast(values, field.data_type()),
            None => Ok(new_null_array(field.data_type(), count)),
        };
        let columns: Vec<ArrayRef> =
            self.ids.iter().zip(self.schema.fields()).map(column).collect::<std::result::Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        Ok(self.predicate.evaluate(&batch)?.into_array(count)?.as_boolean().clone())
    }
}

/// The tag and the values of a guarantee that it is one of some.
fn one_of(tags: &[&Column], guarantee: LiteralGuarantee) -> Option<(usize, Vec<String>)> {
    let tag = tags.iter().position(|tag| tag.name == guarantee.column.name)?;
    let text = |literal: &ScalarValue| literal.try_as_str().flatten().map(str::to_owned);
    let values = guarantee.literals.iter().map(text).collect::<Option<Vec<_>>>()?;
    (guarantee.guarantee == Guarantee::In).then_some((tag, values))
}

/// Which of the series (all, or those left) have one of the values: they are looked up among the different
/// values of the segment, and then only numbers are compared.
fn holding(tags: &DictionaryArray<Int32Type>, values: &[String], left: Option<Vec<usize>>) -> Vec<usize> {
    let known = tags.values().as_string::<i32>();
    let is_wanted = |text: Option<&str>| text.is_some_and(|text| values.iter().any(|value| value == text));
    let wanted: Vec<i32> =
        (0_i32..).zip(known.iter()).filter_map(|(key, text)| is_wanted(text).then_some(key)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let keys = tags.keys();
    let holds = |number: &usize| keys.is_valid(*number) && wanted.contains(&keys.value(*number));
    match left {
        Some(left) => left.into_iter().filter(holds).collect(),
        None => (0..keys.len()).filter(holds).collect(),
    }
}

/// The rows of the series that pass, in their order: the batch itself, a slice of it, or a copy.
fn pick(batch: &RecordBatch, series: &Series, passing: &[usize]) -> Result<Option<RecordBatch>> {
    let runs: Vec<_> = passing.iter().map(|number| &series.runs[*number]).collect();
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(None) };
    let rows: usize = runs.iter().map(|run| run.len()).sum();
    if first.start + rows == last.end {
        return Ok(Some(batch.slice(first.start, rows)));
    }
    let rows = runs.iter().flat_map(|run| (*run).clone()).filter_map(|row| u32::try_from(row).ok());
    Ok(Some(take_record_batch(batch, &UInt32Array::from_iter_values(rows))?))
}
