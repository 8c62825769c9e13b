//! Time as CnosDB means it: a number next to a timestamp is ticks of its unit, and a number that
//! becomes a timestamp is nanoseconds. And comparisons of times as mathematics means them.

mod bounds;
mod compare;
mod moment;
mod units;

pub(super) use moment::parse;

use datafusion::{
    arrow::datatypes::{DataType, TimeUnit},
    common::{
        DFSchema, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        Between, Cast, Expr, ExprSchemable, LogicalPlan,
        expr::{InList, ScalarFunction},
        expr_rewriter::NamePreserver,
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
        utils::merge_schema,
    },
    optimizer::AnalyzerRule,
    sql::sqlparser::ast::BinaryOperator,
};

/// Makes comparisons of timestamps with whole numbers while SQL is planned, so that their types
/// are known from the start.
#[derive(Debug)]
pub struct TimeComparisons;

impl ExprPlanner for TimeComparisons {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let compares = matches!(
            expr.op,
            BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq
        );
        if !compares {
            return Ok(PlannerResult::Original(expr));
        }
        let RawBinaryExpr { op, left, right } = expr;
        let (left_type, right_type) = (timestamp_type(&left, schema), timestamp_type(&right, schema));
        let left = in_unit(left, right_type.as_ref(), schema);
        let right = in_unit(right, left_type.as_ref(), schema);
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}

/// The rest, on the finished plan: `BETWEEN`, `IN`, casts, `to_timestamp`, and comparisons with what is
/// not in the same unit.
#[derive(Debug)]
pub struct TimeSemantics;

impl AnalyzerRule for TimeSemantics {
    fn name(&self) -> &'static str {
        "time_semantics"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|node| {
            let schema = match &node {
                LogicalPlan::TableScan(scan) => (*scan.projected_schema).clone(),
                other => merge_schema(&other.inputs()),
            };
            let node = in_one_unit(node)?;
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(|part| rewrite(part, &schema))?.update_data(|expr| name.restore(expr)))
            })?
            .map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(rewritten.data)
    }
}

/// A join with its keys in one unit, a union with its columns.
fn in_one_unit(node: LogicalPlan) -> Result<LogicalPlan> {
    Ok(match node {
        LogicalPlan::Union(union) => units::in_finest(&union)?.unwrap_or(LogicalPlan::Union(union)),
        LogicalPlan::Join(mut join) if !join.on.is_empty() => {
            join.on = compare::join_keys(join.left.schema(), join.right.schema(), std::mem::take(&mut join.on));
            LogicalPlan::Join(join)
        }
        other => other,
    })
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut rewritten = ticks(expr, schema)?;
    if let Some(exact) = compare::exact(&rewritten.data, schema)? {
        rewritten = Transformed::yes(exact);
    }
    if let Some(united) = units::chosen(&rewritten.data, schema) {
        rewritten = Transformed::yes(united);
    }
    Ok(rewritten)
}

fn ticks(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Between(Between { expr, negated, low, high }) => {
            let Some(timestamp) = timestamp_type(&expr, schema) else {
                return Ok(Transformed::no(Expr::Between(Between { expr, negated, low, high })));
            };
            let low = Box::new(in_unit(*low, Some(&timestamp), schema));
            let high = Box::new(in_unit(*high, Some(&timestamp), schema));
            Ok(Transformed::yes(Expr::Between(Between { expr, negated, low, high })))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let Some(timestamp) = timestamp_type(&expr, schema) else {
                return Ok(Transformed::no(Expr::InList(InList { expr, list, negated })));
            };
            let list = list.into_iter().map(|item| in_unit(item, Some(&timestamp), schema)).collect();
            Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
        }
        Expr::ScalarFunction(call) if call.name() == "to_timestamp" => to_timestamp(call, schema),
        Expr::Cast(cast) => nanoseconds(cast, schema),
        other => Ok(Transformed::no(other)),
    }
}

/// `to_timestamp(n)` is nanoseconds, not seconds.
fn to_timestamp(call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match call.args.as_slice() {
        [number] if is_integer(number, schema) => {
            let timestamp = DataType::Timestamp(TimeUnit::Nanosecond, None);
            Ok(Transformed::yes(Expr::Cast(Cast::new(Box::new(as_bigint(number.clone())), timestamp))))
        }
        _ => Ok(Transformed::no(Expr::ScalarFunction(call))),
    }
}

/// The planner makes `CAST(n AS TIMESTAMP)` a cast to seconds within a cast to nanoseconds.
fn nanoseconds(cast: Cast, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let outer = cast.field.data_type().clone();
    if let (DataType::Timestamp(TimeUnit::Nanosecond, _), Expr::Cast(inner)) = (&outer, cast.expr.as_ref())
        && matches!(inner.field.data_type(), DataType::Timestamp(TimeUnit::Second, _))
        && is_integer(&inner.expr, schema)
    {
        return Ok(Transformed::yes(Expr::Cast(Cast::new(inner.expr.clone(), outer))));
    }
    Ok(Transformed::no(Expr::Cast(cast)))
}

/// The type of a timestamp, `None` for anything else.
fn timestamp_type(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    expr.get_type(schema).ok().filter(|data_type| matches!(data_type, DataType::Timestamp(..)))
}

fn is_integer(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| data_type.is_integer())
}

/// A whole number as a timestamp of `timestamp`'s unit; anything else as it is.
fn in_unit(expr: Expr, timestamp: Option<&DataType>, schema: &DFSchema) -> Expr {
    match timestamp {
        Some(timestamp) if is_integer(&expr, schema) => {
            Expr::Cast(Cast::new(Box::new(as_bigint(expr)), timestamp.clone()))
        }
        _ => expr,
    }
}

fn as_bigint(expr: Expr) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), DataType::Int64))
}
