//! The plan of one table: prune by the manifest, group by overlap, scan what is alone, merge the rest.

use std::sync::Arc;

use datafusion::{
    catalog::Session,
    common::{DFSchema, Result},
    datasource::source::DataSourceExec,
    logical_expr::{Expr, col, lit, utils::conjunction},
    physical_expr::{PhysicalExpr, utils::reassign_expr_columns},
    physical_plan::{
        ExecutionPlan,
        empty::EmptyExec,
        filter::FilterExecBuilder,
        metrics::{ExecutionPlanMetricsSet, MetricBuilder},
        union::UnionExec,
    },
};

use crate::{
    database::FileList,
    engine::TailPart,
    model::{ColumnKind, DataFile, schema::TIME_COLUMN},
};

use super::{
    context::SCAN_PARTITIONS,
    errors::external,
    merge_exec::{MergeExec, Merging},
    overlap::{MergeInput, ScanGroups, group},
    parquet::{ScanFiles, ScanSpec},
    provider::SnapshotTable,
    prune::{self, PruningInput},
    selector::{GroupSelector, Selector},
    selector_exec::FilterBySelector,
    tag_filter,
    tail_exec::TailExec,
};

/// How many files there were, and how many of them need not be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pruned {
    total: usize,
    pruned: usize,
}

impl Pruned {
    /// For `EXPLAIN ANALYZE`.
    pub(super) fn report(self, metrics: &ExecutionPlanMetricsSet) {
        MetricBuilder::new(metrics).global_counter("manifest_files").add(self.total);
        MetricBuilder::new(metrics).global_counter("manifest_files_pruned").add(self.pruned);
    }
}

pub(super) fn plan(
    table: &SnapshotTable,
    files: Vec<Arc<DataFile>>,
    state: &dyn Session,
    projection: Option<&Vec<usize>>,
    filters: &[Expr],
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let age = too_old(table);
    let (files, tail) = survivors(table, files, key_predicate(table, state, filters, age.as_ref())?)?;
    let total = table.table.files.len() + table.table.leaves.iter().map(|leaf| leaf.files).sum::<usize>();
    let pruned = Pruned { total, pruned: total - files.len() };
    let age = age.filter(|_| holds_old_rows(table, &files, &tail));
    let keys = key_predicate(table, state, filters, age.as_ref())?;
    let age = age.map(|age| physical(table, state, age)).transpose()?;
    let output = projection.cloned().unwrap_or_else(|| (0..table.schema.fields().len()).collect());
    // What the filter on age needs comes last and is cut off above it.
    let time = table.table.schema.columns.iter().position(|column| column.kind == ColumnKind::Time).unwrap_or(0);
    let mut read = output.clone();
    if age.is_some() && !read.contains(&time) {
        read.push(time);
    }
    let limit = if age.is_some() { None } else { limit };
    let wanted = ScanSpec {
        projection: Some(read.clone()),
        limit,
        together: prefetch_columns(table, filters, &read),
        ..ScanSpec::default()
    };
    let tail = tag_filter::filter_series(table, state, filters, tail)?;
    let mut groups = group(files, tail).map_err(external)?;
    if may_take_last_of_tail(table, filters) {
        groups.tails = tag_filter::last_rows(groups.tails, &table.table.schema).map_err(external)?;
    }
    let plan = union(table, state, groups, wanted, keys, pruned)?;
    let plan = match age {
        None => plan,
        Some(predicate) => {
            let predicate = reassign_expr_columns(predicate, &plan.schema())?;
            let kept = (read.len() != output.len()).then(|| (0..output.len()).collect());
            Arc::new(FilterExecBuilder::new(predicate, plan).apply_projection(kept)?.build()?)
        }
    };
    let asked = if table.ends.is_some() { key_predicate(table, state, filters, None)? } else { None };
    ends(table, plan, asked, &output, time)
}

/// Whether of each series of the tail the last row alone can be in the answer: a filter on tags passes
/// all of a series or nothing.
fn may_take_last_of_tail(table: &SnapshotTable, filters: &[Expr]) -> bool {
    let is_tag = |position: &usize| table.table.schema.columns[*position].kind == ColumnKind::Tag;
    let wants_last = |ends: &GroupSelector| ends.end != Selector::First && ends.by.iter().all(is_tag);
    table.ends.as_ref().is_some_and(wants_last) && filters.iter().all(|filter| table.on_tags(filter))
}

/// Leaves out rows that are not at the end of their group, if that is all that is wanted. What does not
/// pass the filter on keys goes before.
fn ends(
    table: &SnapshotTable,
    plan: Arc<dyn ExecutionPlan>,
    keys: Option<Arc<dyn PhysicalExpr>>,
    output: &[usize],
    time: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(GroupSelector { by, end }) = &table.ends else { return Ok(plan) };
    let place = |position: &usize| output.iter().position(|column| column == position);
    let (by, time) = (by.iter().map(place).collect::<Option<Vec<usize>>>(), place(&time));
    let Some(by) = by.filter(|_| *end == Selector::Any || time.is_some()) else { return Ok(plan) };
    let plan = match keys {
        None => plan,
        Some(keys) => {
            let keys = reassign_expr_columns(keys, &plan.schema())?;
            Arc::new(FilterExecBuilder::new(keys, plan).build()?)
        }
    };
    Ok(FilterBySelector { by, time, end: *end }.over(plan))
}

/// `time >= now - TTL`.
fn too_old(table: &SnapshotTable) -> Option<Expr> {
    let oldest = table.oldest?;
    Some(col(TIME_COLUMN).gt_eq(lit(prune::timestamp(table.table.precision, Some(oldest)))))
}

fn holds_old_rows(table: &SnapshotTable, files: &[Arc<DataFile>], tail: &[TailPart]) -> bool {
    let times = files.iter().map(|file| file.min_time).chain(tail.iter().map(|part| part.rows().min_time));
    times.min().zip(table.oldest).is_some_and(|(first, oldest)| first < oldest)
}

/// The filters on nothing but tags and time, which may be applied below a merge.
fn key_predicate(
    table: &SnapshotTable,
    state: &dyn Session,
    filters: &[Expr],
    age: Option<&Expr>,
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let predicate = conjunction(filters.iter().filter(|filter| table.on_keys(filter)).chain(age).cloned());
    predicate.map(|predicate| physical(table, state, predicate)).transpose()
}

fn physical(table: &SnapshotTable, state: &dyn Session, expr: Expr) -> Result<Arc<dyn PhysicalExpr>> {
    state.create_physical_expr(expr, &DFSchema::try_from(table.schema.clone())?)
}

/// The lists of files that may name one with rows of the answer.
pub(super) fn lists(table: &SnapshotTable, state: &dyn Session, filters: &[Expr]) -> Result<Vec<FileList>> {
    let leaves = &table.table.leaves;
    if leaves.is_empty() {
        return Ok(Vec::new());
    }
    let Some(keys) = key_predicate(table, state, filters, too_old(table).as_ref())? else { return Ok(leaves.clone()) };
    let times = |leaf: &FileList| PruningInput::Times { min: leaf.min_time, max: leaf.max_time, rows: leaf.rows };
    let known: Vec<PruningInput<'_>> = leaves.iter().map(times).collect();
    let kept = prune::may_match(&keys, &table.table.schema, &table.schema, table.table.precision, &known)?;
    Ok(leaves.iter().zip(kept).filter(|(_, kept)| *kept).map(|(leaf, _)| leaf.clone()).collect())
}

/// The files and tail parts that may hold rows of the answer. Pruning by keys is safe before a merge:
/// what is dropped holds no version of any row that is asked for.
fn survivors(
    table: &SnapshotTable,
    files: Vec<Arc<DataFile>>,
    keys: Option<Arc<dyn PhysicalExpr>>,
) -> Result<(Vec<Arc<DataFile>>, Vec<TailPart>)> {
    let snapshot = &table.table;
    let Some(keys) = keys else { return Ok((files, snapshot.tail.clone())) };
    let times = |part: &TailPart| {
        let rows = part.rows();
        PruningInput::Times { min: rows.min_time, max: rows.max_time, rows: rows.batch.num_rows() as u64 }
    };
    let known: Vec<PruningInput<'_>> =
        files.iter().map(|file| PruningInput::File(file)).chain(snapshot.tail.iter().map(times)).collect();
    let kept = prune::may_match(&keys, &snapshot.schema, &table.schema, snapshot.precision, &known)?;
    let (of_files, of_tail) = kept.split_at(files.len());
    let tail = snapshot.tail.iter().zip(of_tail).filter(|(_, kept)| **kept).map(|(part, _)| part.clone()).collect();
    let files = files.iter().zip(of_files).filter(|(_, kept)| **kept).map(|(file, _)| file.clone()).collect();
    Ok((files, tail))
}

/// With filters a reader asks for one column after another; told of all it needs, it asks once.
fn prefetch_columns(table: &SnapshotTable, filters: &[Expr], read: &[usize]) -> Option<Arc<[String]>> {
    if filters.is_empty() {
        return None;
    }
    let mut names: Vec<String> = read.iter().map(|position| table.schema.field(*position).name().clone()).collect();
    for column in filters.iter().flat_map(Expr::column_refs) {
        if !names.contains(&column.name) {
            names.push(column.name.clone());
        }
    }
    Some(names.into())
}

fn union(
    table: &SnapshotTable,
    state: &dyn Session,
    groups: ScanGroups,
    wanted: ScanSpec,
    keys: Option<Arc<dyn PhysicalExpr>>,
    pruned: Pruned,
) -> Result<Arc<dyn ExecutionPlan>> {
    let partitions = state.config().target_partitions().max(SCAN_PARTITIONS);
    let options = state.config_options().execution.parquet.clone();
    let files = ScanFiles::new(
        table.store.clone(),
        table.footers.clone(),
        &table.table,
        table.schema.clone(),
        options,
        table.runtime.clone(),
    );
    let projection = wanted.projection.clone().unwrap_or_default();
    let mut inputs: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
    let mut report = Some(pruned);
    if !groups.files.is_empty() {
        let split = balanced(groups.files, partitions, |file| file.size);
        let scan = files.scan(split, wanted.clone(), |metrics| {
            report.take().into_iter().for_each(|pruned| pruned.report(metrics));
        })?;
        inputs.push(DataSourceExec::from_data_source(scan));
    }
    for (file, windows) in groups.partial {
        let wanted = ScanSpec { predicate: files.outside(&windows)?, ..wanted.clone() };
        let scan = files.scan(vec![vec![file]], wanted, |metrics| {
            report.take().into_iter().for_each(|pruned| pruned.report(metrics));
        })?;
        inputs.push(DataSourceExec::from_data_source(scan));
    }
    if !groups.tails.is_empty() {
        let split = balanced(groups.tails, partitions, |rows| rows.count() as u64);
        let projection = table.table.projection(&projection).map_err(external)?;
        inputs.push(Arc::new(TailExec::new(split, projection, wanted.limit)));
    }
    if !groups.overlapping.is_empty() {
        let size = |group: &Vec<MergeInput>| group.iter().map(MergeInput::rows).sum();
        let split = balanced(groups.overlapping, partitions, size);
        let merging = Merging { files, projection: projection.clone(), keys, limit: wanted.limit };
        let merge = MergeExec::new(split, merging, &table.table)?;
        report.take().into_iter().for_each(|pruned| pruned.report(merge.metrics_set()));
        inputs.push(Arc::new(merge));
    }
    if inputs.is_empty() {
        let schema = table.schema.project(&projection)?;
        return Ok(Arc::new(EmptyExec::new(Arc::new(schema))));
    }
    UnionExec::try_new(inputs)
}

/// Items in at most `count` parts of about the same size, each in the order given.
fn balanced<T>(items: Vec<T>, count: usize, size: impl Fn(&T) -> u64) -> Vec<Vec<T>> {
    let mut parts: Vec<(u64, Vec<T>)> = (0..count.min(items.len())).map(|_| (0, Vec::new())).collect();
    for item in items {
        let smallest = parts.iter_mut().min_by_key(|(total, part)| (*total, part.len()));
        if let Some((total, part)) = smallest {
            *total += size(&item).max(1);
            part.push(item);
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}
