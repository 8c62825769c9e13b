//! Keeps DataFusion 55.2 from rewriting expressions into others that are not equal to them, by making a
//! part of such an expression opaque. What is guarded, each with the number of DataFusion's issue where there is one:
//!
//! * Two lists about one expression, `a IN (1) AND a IN (2)` or `a NOT IN (1) OR a NOT IN (2)`, become a
//!   constant where their lists have nothing in common, though the answer is NULL where `a` is, and
//!   `a IN (1) AND a NOT IN (2, NULL)` becomes true (#24246).
//! * `a ^ a` becomes 0 though `a` may be NULL (#24246).
//! * A cast to a smaller whole number disappears from a comparison, and with it the error, or the NULL of
//!   `TRY_CAST`, of a value that does not fit (#14303).
//! * An order within an aggregate that does not care for it, `avg(a ORDER BY time)`, makes a grouped query
//!   fail (#25401).
//! * A cast of a time that does not keep the order of times, as that to the time of day, is said to keep
//!   it, and an `ORDER BY` above it is left out (#25506). So are an interval of months added to a time, and
//!   times of a zone with summer time when they are truncated (#25353).
//!
//! And a test of truth, such as `b IS NOT TRUE`, becomes a comparison of which DataFusion does not know that it is never
//! NULL, though the statement's plan says so: `SELECT DISTINCT b IS NOT TRUE` would be refused.

use std::collections::HashMap;

use datafusion::{
    arrow::datatypes::DataType,
    common::{
        DFSchema, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        Between, BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, TryCast,
        expr::InList,
        expr_rewriter::NamePreserver,
        utils::{merge_schema, split_binary_owned},
    },
    optimizer::AnalyzerRule,
    physical_expr::expressions::CastExpr,
};

use super::opaque::{never_null, opaque};

/// Aggregates whose value does not depend on the order of rows.
const ORDERLESS: [&str; 15] = [
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "count",
    "max",
    "median",
    "min",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];

/// Functions that cut a time down to a multiple of something.
const TRUNCATING: [&str; 2] = ["date_bin", "date_trunc"];

#[derive(Debug)]
pub(super) struct GuardExpressions;

impl AnalyzerRule for GuardExpressions {
    fn name(&self) -> &'static str {
        "guard_expressions"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|node| {
            // A filter or a join gives no order that its input has not.
            let orders = !matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Join(_) | LogicalPlan::TableScan(_));
            if !any_part(&node, |part| is_candidate(part, orders))? {
                return Ok(Transformed::no(node));
            }
            let schema = schema_of_parts(&node);
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let guarded = expr.transform_down(guard_lists)?;
                let guarded = guarded.transform_data(|expr| expr.transform_up(|part| guard(part, &schema, orders)))?;
                Ok(guarded.update_data(|expr| name.restore(expr)))
            })?
            .map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(rewritten.data)
    }
}

/// Whether a node of a plan has an expression with such a part.
pub(super) fn any_part(node: &LogicalPlan, is_wanted: impl Fn(&Expr) -> bool) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found = found || expr.exists(|part| Ok(is_wanted(part)))?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// What the expressions of a node are about.
pub(super) fn schema_of_parts(node: &LogicalPlan) -> DFSchema {
    match node {
        LogicalPlan::TableScan(scan) => (*scan.projected_schema).clone(),
        other => merge_schema(&other.inputs()),
    }
}

/// Whether an expression might have to be guarded: most are told apart from those at a glance.
fn is_candidate(expr: &Expr, orders: bool) -> bool {
    match expr {
        Expr::InList(_) => true,
        Expr::BinaryExpr(BinaryExpr { op, .. }) => {
            matches!(op, Operator::Or | Operator::BitwiseXor)
                || (orders && matches!(op, Operator::Plus | Operator::Minus))
        }
        Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. }) => {
            field.data_type().is_integer() || (orders && field.data_type().is_temporal())
        }
        Expr::AggregateFunction(function) => !function.params.order_by.is_empty(),
        Expr::ScalarFunction(call) => TRUNCATING.contains(&call.name()),
        other => orders && is_test_of_truth(other),
    }
}

fn is_test_of_truth(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
    )
}

fn guard(expr: Expr, schema: &DFSchema, orders: bool) -> Result<Transformed<Expr>> {
    let narrows = |expr: &Expr| narrows(expr, schema);
    Ok(match expr {
        test if orders && is_test_of_truth(&test) => Transformed::yes(never_null(test)),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::BitwiseXor, right }) => {
            let right = Box::new(opaque(*right));
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op: Operator::BitwiseXor, right }))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if op.supports_propagation() && (narrows(&left) || narrows(&right)) =>
        {
            let close = |side: Box<Expr>| if narrows(&side) { Box::new(opaque(*side)) } else { side };
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: close(left), op, right: close(right) }))
        }
        Expr::InList(list) if narrows(&list.expr) => {
            Transformed::yes(Expr::InList(InList { expr: Box::new(opaque(*list.expr)), ..list }))
        }
        Expr::Between(between) if narrows(&between.expr) => {
            Transformed::yes(Expr::Between(Between { expr: Box::new(opaque(*between.expr)), ..between }))
        }
        Expr::AggregateFunction(mut function)
            if ORDERLESS.contains(&function.func.name()) && !function.params.order_by.is_empty() =>
        {
            function.params.order_by.clear();
            Transformed::yes(Expr::AggregateFunction(function))
        }
        expr if orders && is_said_to_keep_order(&expr, schema) => Transformed::yes(opaque(expr)),
        expr => Transformed::no(expr),
    })
}

/// Whether an expression is a cast of a number to whole numbers that cannot hold all of its kind, or a
/// cast of such a cast.
fn narrows(expr: &Expr, schema: &DFSchema) -> bool {
    let (Expr::Cast(Cast { expr: from, field, .. }) | Expr::TryCast(TryCast { expr: from, field, .. })) = expr else {
        return false;
    };
    let to = field.data_type();
    let all_fit = |from: &DataType| !from.is_numeric() || CastExpr::check_bigger_cast(to, from);
    (to.is_integer() && from.get_type(schema).is_ok_and(|from| !all_fit(&from))) || narrows(from, schema)
}

/// Whether DataFusion takes the order of an expression's parts for its own, and is wrong.
fn is_said_to_keep_order(expr: &Expr, schema: &DFSchema) -> bool {
    let type_of = |expr: &Expr| expr.get_type(schema).unwrap_or(DataType::Null);
    match expr {
        Expr::Cast(Cast { expr: from, field, .. }) | Expr::TryCast(TryCast { expr: from, field, .. }) => {
            let (from, to) = (type_of(from), field.data_type());
            from.is_temporal() && to.is_temporal() && !keeps_order(&from, to)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus | Operator::Minus, right }) => {
            has_interval(left) || has_interval(right)
        }
        Expr::ScalarFunction(call) => {
            TRUNCATING.contains(&call.name())
                && call.args.iter().any(|argument| matches!(type_of(argument), DataType::Timestamp(_, Some(_))))
        }
        _ => false,
    }
}

/// Whether there is an interval in an expression. Looks for what makes one, and not at types: of a long sum
/// each part would have to be typed anew.
fn has_interval(expr: &Expr) -> bool {
    let makes_one = |part: &Expr| match part {
        Expr::Literal(value, _) => matches!(value.data_type(), DataType::Interval(_)),
        Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. }) => {
            matches!(field.data_type(), DataType::Interval(_))
        }
        _ => false,
    };
    expr.exists(|part| Ok(makes_one(part))).unwrap_or(true)
}

/// Whether a later time is never an earlier one after the cast.
fn keeps_order(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Date64, Duration, Time32, Time64, Timestamp};
    from == to
        || matches!(
            (from, to),
            (Timestamp(_, None), Timestamp(_, None) | Date32 | Date64)
                | (Timestamp(_, Some(_)), Timestamp(_, Some(_)))
                | (Date32 | Date64, Date32 | Date64 | Timestamp(_, None))
                | (Time32(_) | Time64(_), Time32(_) | Time64(_))
                | (Duration(_), Duration(_))
        )
}

/// Of several lists about one expression in a chain of `AND` or `OR`, all but the first are made to be
/// about something else.
fn guard_lists(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) = &expr else {
        return Ok(Transformed::no(expr));
    };
    let op = *op;
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut changed = false;
    let mut chained: Option<Expr> = None;
    for part in split_binary_owned(expr, op) {
        let part = match list_of(&part) {
            // What `AND` makes of two `NOT IN`, and `OR` of two `IN`, is one list with the items of both.
            Some((tested, negated)) if negated || op == Operator::And => {
                let times = seen.entry(tested.to_string()).or_default();
                *times += 1;
                changed |= *times > 1;
                (1..*times).try_fold(part, |part, _| about_something_else(part, &tested))?
            }
            _ => part,
        };
        chained = Some(match chained {
            None => part,
            Some(chained) => Expr::BinaryExpr(BinaryExpr::new(Box::new(chained), op, Box::new(part))),
        });
    }
    let chained = chained.unwrap_or_default();
    Ok(Transformed::new_transformed(chained, changed))
}

/// The expression that a list, or a choice of lists and values, is about; and whether it is one of `NOT IN`.
fn list_of(expr: &Expr) -> Option<(Expr, bool)> {
    match expr {
        Expr::InList(list) => Some(((*list.expr).clone(), list.negated)),
        Expr::Not(inner) => list_of(inner).map(|(tested, negated)| (tested, !negated)),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let tested = |side: &Expr| list_of(side).or_else(|| value_of(side)).filter(|(_, negated)| !negated);
            let ((left, _), (right, _)) = (tested(left)?, tested(right)?);
            (left == right).then_some((left, false))
        }
        _ => None,
    }
}

/// `a = 1`, which `OR` takes for a list of one.
fn value_of(expr: &Expr) -> Option<(Expr, bool)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Literal(..), tested) | (tested, Expr::Literal(..)) => Some((tested.clone(), false)),
        _ => None,
    }
}

fn about_something_else(part: Expr, tested: &Expr) -> Result<Expr> {
    let mut hidden = tested.clone();
    let replaced = part.transform_down(|expr| {
        if expr != hidden {
            return Ok(Transformed::no(expr));
        }
        let expr = opaque(std::mem::take(&mut hidden));
        hidden = tested.clone();
        Ok(Transformed::new(expr, true, TreeNodeRecursion::Jump))
    })?;
    Ok(replaced.data)
}
