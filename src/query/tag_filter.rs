//! Tail parts cut down to the series that a query asks for, before it is run: a segment's rows are sorted
//! by series, so a condition on tags is decided once a series instead of once a row.

use std::{collections::HashSet, ops::Range, sync::Arc};

use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, RecordBatch, RecordBatchOptions, new_null_array,
        },
        compute::cast,
        datatypes::{DataType, Field, Int32Type, Schema, SchemaRef},
        row::{RowConverter, SortField},
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
    merge::KeyColumns,
    model::{self, Column, TableSchema},
    wal::SeriesRuns,
};

use super::{errors::external, provider::SnapshotTable, tail::TailSelection};

/// A condition on tags.
struct Condition {
    predicate: Arc<dyn PhysicalExpr>,
    /// The tags it speaks of.
    schema: SchemaRef,
    /// Their names in segments.
    ids: Vec<String>,
    /// What a tag must be one of for the condition to hold: position in `ids`, sorted values.
    one_of: Vec<(usize, Vec<String>)>,
}

/// The rows of the series that pass the filters on tags; parts of which nothing is left are gone.
pub(super) fn filter_series(
    table: &SnapshotTable,
    state: &dyn Session,
    filters: &[Expr],
    tail: Vec<TailPart>,
) -> Result<Vec<TailSelection>> {
    let Some(condition) = Condition::new(table, state, filters)? else {
        return Ok(tail.into_iter().map(TailSelection::all).collect());
    };
    let mut narrowed = Vec::with_capacity(tail.len());
    for part in tail {
        let series = part.rows().series().map_err(external)?;
        let passing = condition.passes(series)?;
        if passing.is_empty() {
            continue;
        }
        let runs = joined(passing.into_iter().map(|number| series.runs[number].clone()));
        narrowed.push(TailSelection::some(part, runs));
    }
    Ok(narrowed)
}

/// Runs that follow each other as one.
fn joined(runs: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if last.end == run.start => last.end = run.end,
            _ => joined.push(run),
        }
    }
    joined
}

impl Condition {
    /// `None` if nothing is asked of the tags alone.
    fn new(table: &SnapshotTable, state: &dyn Session, filters: &[Expr]) -> Result<Option<Condition>> {
        let columns = &table.table.schema.columns;
        let on_tags = |filter: &&Expr| table.on_tags(filter) && !filter.column_refs().is_empty();
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
    fn passes(&self, series: &SeriesRuns) -> Result<Vec<usize>> {
        let mut left: Option<Vec<usize>> = None;
        for (tag, values) in &self.one_of {
            let name = &self.ids[*tag];
            let Some(tags) = series.tags.column_by_name(name).and_then(|tags| tags.as_dictionary_opt()) else {
                return Ok(Vec::new());
            };
            let sorted = left.is_none() && series.tags.schema_ref().field(0).name() == name;
            let held = if sorted { found(tags, values) } else { holding(tags, values, left) };
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

    fn evaluate(&self, series: &SeriesRuns) -> Result<BooleanArray> {
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
    let mut values = guarantee.literals.iter().map(text).collect::<Option<Vec<_>>>()?;
    values.sort_unstable();
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

/// Which of all series have one of the values of the tag that they are sorted by first.
fn found(tags: &DictionaryArray<Int32Type>, values: &[String]) -> Vec<usize> {
    let (keys, known) = (tags.keys(), tags.values().as_string::<i32>());
    // Nulls come first.
    let text = |number: usize| {
        let key = keys.is_valid(number).then(|| usize::try_from(keys.value(number)).ok()).flatten();
        key.filter(|key| known.is_valid(*key)).map(|key| known.value(key))
    };
    let before = |smaller: &dyn Fn(Option<&str>) -> bool| {
        let (mut low, mut high) = (0, keys.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if smaller(text(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    };
    let with = |value: &String| {
        let value = Some(value.as_str());
        before(&|text| text < value)..before(&|text| text <= value)
    };
    values.iter().flat_map(with).collect()
}

/// Of each series the last row alone, in a table with tags. The parts share no time, so that the last part
/// that has a series has its last row.
pub(super) fn last_rows(tail: Vec<TailSelection>, schema: &TableSchema) -> model::Result<Vec<TailSelection>> {
    let tags: Vec<String> = KeyColumns::of(schema).tags.iter().map(|tag| schema.columns[*tag].id.to_string()).collect();
    let tag_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let converter = RowConverter::new(tags.iter().map(|_| SortField::new(tag_type.clone())).collect())?;
    let mut by_time = Vec::with_capacity(tail.len());
    for rows in tail {
        // Any row tells, since parts share no time.
        let time = rows.positions().next().and_then(|first| rows.times().ok()?.get(first).copied());
        by_time.push((time, rows));
    }
    by_time.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    let mut seen: HashSet<Box<[u8]>> = HashSet::new();
    let mut last = Vec::with_capacity(by_time.len());
    for (_, rows) in by_time {
        let series = rows.part.rows().series()?;
        let column = |id: &String| match series.tags.column_by_name(id) {
            Some(column) => column.clone(),
            None => new_null_array(&tag_type, series.runs.len()),
        };
        let columns: Vec<ArrayRef> = tags.iter().map(column).collect();
        let keys = converter.convert_columns(&columns)?;
        let mut ends = Vec::new();
        for (number, row) in last_of_runs(&series.runs, rows.positions()) {
            let key = keys.row(number);
            // Copied only if it is new: most have been seen.
            let is_new = !seen.contains(key.as_ref()) && seen.insert(key.as_ref().into());
            if is_new {
                ends.push(row..row + 1);
            }
        }
        if !ends.is_empty() {
            last.push(TailSelection::some(rows.part, ends));
        }
    }
    Ok(last)
}

/// The number of each run that has one of these rows, and the last such row. Both are in order.
fn last_of_runs(runs: &[Range<usize>], rows: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut last: Vec<(usize, usize)> = Vec::new();
    let mut number = 0;
    for row in rows {
        while runs.get(number).is_some_and(|run| run.end <= row) {
            number += 1;
        }
        match last.last_mut() {
            Some(previous) if previous.0 == number => previous.1 = row,
            _ => last.push((number, row)),
        }
    }
    last
}
