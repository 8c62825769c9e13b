//! Which queries want one row of a group only, the last or the first in time, or any: the last values of
//! series, the different values of tags. Their scans are told, and leave out what cannot be that row.

use std::sync::Arc;

use datafusion::{
    common::{Column, Result, tree_node::Transformed},
    datasource::{DefaultTableSource, source_as_provider},
    logical_expr::{
        Aggregate, Expr, LogicalPlan,
        expr::{AggregateFunction, NullTreatment},
        utils::split_conjunction,
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

use crate::model::schema::TIME_COLUMN;

use super::provider::SnapshotTable;

/// Which row of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selector {
    Last,
    First,
    Any,
}

/// What a scan may leave out: rows that are followed, or preceded, in time by one of the same group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupSelector {
    /// Positions of the group's columns in the table.
    pub by: Vec<usize>,
    pub end: Selector,
}

/// Tells the scans below aggregates that want one row of each group. The rows that it leaves in are
/// aggregated as before, so that it never decides what the answer is.
#[derive(Debug)]
pub(super) struct SelectorPushdown;

impl OptimizerRule for SelectorPushdown {
    fn name(&self) -> &'static str {
        "ends_of_groups"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        let Some((groups, end)) = selector_of(aggregate) else { return Ok(Transformed::no(plan)) };
        let Some(input) = push_into_scan(&aggregate.input, &groups, end, &mut Vec::new())? else {
            return Ok(Transformed::no(plan));
        };
        let expressions = plan.expressions();
        Ok(Transformed::yes(plan.with_new_exprs(expressions, vec![input])?))
    }
}

/// The columns that an aggregate groups by, and the row that all it computes comes from.
fn selector_of(aggregate: &Aggregate) -> Option<(Vec<&Column>, Selector)> {
    let groups: Vec<&Column> = aggregate.group_expr.iter().map(Expr::try_as_col).collect::<Option<_>>()?;
    if groups.is_empty() {
        return None;
    }
    let mut end = Selector::Any;
    for expression in &aggregate.aggr_expr {
        let Expr::AggregateFunction(function) = expression.clone().unalias() else { return None };
        let found = end_of(&function, &groups)?;
        if end != Selector::Any && end != found {
            return None;
        }
        end = found;
    }
    Some((groups, end))
}

/// The row of a group that decides a function's value.
fn end_of(function: &AggregateFunction, groups: &[&Column]) -> Option<Selector> {
    let parameters = &function.params;
    let respects_nulls = parameters.null_treatment.is_none_or(|nulls| nulls == NullTreatment::RespectNulls);
    if parameters.filter.is_some() || !respects_nulls || parameters.args.iter().any(Expr::is_volatile) {
        return None;
    }
    let is_time = |expression: &Expr| expression.try_as_col().is_some_and(|column| column.name == TIME_COLUMN);
    match (function.func.name(), parameters.args.as_slice()) {
        ("max", [of]) if is_time(of) => Some(Selector::Last),
        ("min", [of]) if is_time(of) => Some(Selector::First),
        (name @ ("first_value" | "last_value"), [_]) => {
            // Within a group its own columns do not order anything.
            let is_constant =
                |expression: &Expr| expression.try_as_col().is_some_and(|column| groups.contains(&column));
            let order = parameters.order_by.iter().find(|order| !is_constant(&order.expr))?;
            let end = if (name == "last_value") == order.asc { Selector::Last } else { Selector::First };
            is_time(&order.expr).then_some(end)
        }
        _ => None,
    }
}

/// The same plan with its scan told; `None` if there is none that may be, or it was told before.
/// `conditions`: what the filters met on the way ask of a row.
fn push_into_scan<'a>(
    plan: &'a LogicalPlan,
    groups: &[&Column],
    end: Selector,
    conditions: &mut Vec<&'a Expr>,
) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
            let Ok(provider) = source_as_provider(&scan.source) else { return Ok(None) };
            let Some(table) = provider.downcast_ref::<SnapshotTable>().filter(|table| table.ends.is_none()) else {
                return Ok(None);
            };
            let place = |column: &&Column| table.schema.index_of(&column.name).ok();
            let Some(by) = groups.iter().map(place).collect::<Option<Vec<usize>>>() else { return Ok(None) };
            // The scan filters before it leaves rows out. A condition that it was not given (one that is
            // volatile, or asks another query) would find the row gone that it passes.
            let is_given = |condition: &&Expr| scan.filters.contains(condition);
            if !conditions.iter().all(is_given) || !scan.filters.iter().all(|filter| table.on_keys(filter)) {
                return Ok(None);
            }
            let table = table.wanting(GroupSelector { by, end });
            let mut scan = scan.clone();
            scan.source = Arc::new(DefaultTableSource::new(Arc::new(table)));
            Ok(Some(LogicalPlan::TableScan(scan)))
        }
        LogicalPlan::Filter(filter) => {
            conditions.extend(split_conjunction(&filter.predicate));
            below(plan, groups, end, conditions)
        }
        LogicalPlan::SubqueryAlias(_) => below(plan, groups, end, conditions),
        LogicalPlan::Projection(projection) if projection.expr.iter().all(|each| each.try_as_col().is_some()) => {
            below(plan, groups, end, conditions)
        }
        _ => Ok(None),
    }
}

fn below<'a>(
    plan: &'a LogicalPlan,
    groups: &[&Column],
    end: Selector,
    conditions: &mut Vec<&'a Expr>,
) -> Result<Option<LogicalPlan>> {
    let inputs = plan.inputs();
    let [input] = inputs.as_slice() else { return Ok(None) };
    let Some(input) = push_into_scan(input, groups, end, conditions)? else { return Ok(None) };
    Ok(Some(plan.with_new_exprs(plan.expressions(), vec![input])?))
}
