//! No double is ever -0.0. Stored ones are not, so this rule sees to those that a statement computes:
//! `v * -1`, `-v`, `round(-0.4)`, `'-0.0'::DOUBLE`. SQL has one zero, but DataFusion 55 looks up lists,
//! bounds of joins and `CASE` by bits, sorts by them, and shows the sign of whichever zero it met first.

use datafusion::{
    arrow::datatypes::DataType,
    common::{
        DFSchema, Result, ScalarValue,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
        utils::normalize_float_zero_scalar,
    },
    logical_expr::{
        BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, TryCast, expr::AggregateFunction,
        expr_rewriter::NamePreserver,
    },
    optimizer::AnalyzerRule,
};

use super::{
    guard::{any_part, schema_of_parts},
    opaque::{is_identity, positive_zero},
};

/// Aggregates that take both zeros alike and give a positive one.
const BLIND: [&str; 9] = ["avg", "count", "stddev", "stddev_pop", "stddev_samp", "sum", "var", "var_pop", "var_samp"];

/// Functions that only pass on what they were given, or give no negative zero.
const PASSING: [&str; 8] = ["abs", "check_length", "coalesce", "greatest", "least", "nullif", "nvl", "random"];

#[derive(Debug)]
pub(super) struct PositiveZeros;

impl AnalyzerRule for PositiveZeros {
    fn name(&self) -> &'static str {
        "positive_zeros"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|node| {
            if !any_part(&node, is_candidate)? {
                return Ok(Transformed::no(node));
            }
            let schema = schema_of_parts(&node);
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(positive(expr, &schema, false)?.update_data(|expr| name.restore(expr)))
            })?
            .map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(rewritten.data)
    }
}

/// Whether an expression might be -0.0: most are told apart from those at a glance.
fn is_candidate(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => is_arithmetic(*op),
        Expr::Literal(value, _) => is_negative_zero(value),
        Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. }) => field.data_type().is_floating(),
        Expr::ScalarFunction(call) => !is_identity(call) && !PASSING.contains(&call.name()),
        Expr::Negative(_) => true,
        _ => false,
    }
}

/// The expression with no -0.0 where one could matter. `blind`: what is around it takes both zeros alike
/// and lets none through.
fn positive(expr: Expr, schema: &DFSchema, blind: bool) -> Result<Transformed<Expr>> {
    if let Expr::Literal(value, metadata) = expr {
        let normal = normalize_float_zero_scalar(value.clone());
        // They are equal, so the bits decide.
        let changed = is_negative_zero(&value);
        return Ok(Transformed::new_transformed(Expr::Literal(normal, metadata), changed));
    }
    let children_blind = is_blind(&expr);
    let rewritten = expr.map_children(|child| positive(child, schema, children_blind))?;
    if blind || !may_be_negative_zero(&rewritten.data, schema) {
        return Ok(rewritten);
    }
    Ok(Transformed::yes(positive_zero(rewritten.data)))
}

fn is_negative_zero(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float64(Some(value)) => *value == 0.0 && value.is_sign_negative(),
        ScalarValue::Float32(Some(value)) => *value == 0.0 && value.is_sign_negative(),
        _ => false,
    }
}

/// Whether an expression takes both zeros of its parts alike: its own result is looked at for itself.
fn is_blind(expr: &Expr) -> bool {
    match expr {
        // What is divided by a zero shows its sign.
        Expr::BinaryExpr(BinaryExpr { op: Operator::Divide | Operator::Modulo, .. }) => false,
        Expr::BinaryExpr(BinaryExpr { op, .. }) => is_arithmetic(*op) || is_comparison(*op),
        Expr::Negative(_) | Expr::IsNull(_) | Expr::IsNotNull(_) => true,
        Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. }) => {
            field.data_type().is_floating() || field.data_type().is_integer()
        }
        Expr::AggregateFunction(AggregateFunction { func, params }) => !params.distinct && BLIND.contains(&func.name()),
        Expr::ScalarFunction(call) => is_identity(call) || call.name() == "abs",
        _ => false,
    }
}

fn is_arithmetic(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
}

/// Comparisons that DataFusion makes by value. Not equality: it may become the key of a join, whose bounds
/// are looked up by bits.
fn is_comparison(op: Operator) -> bool {
    matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq | Operator::NotEq)
}

/// Whether the value of an expression can be -0.0, its parts being what [`positive`] leaves.
fn may_be_negative_zero(expr: &Expr, schema: &DFSchema) -> bool {
    let is_floating = |expr: &Expr| expr.get_type(schema).is_ok_and(|data_type| data_type.is_floating());
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
            // 0.0 + -0.0 is 0.0.
            may_be_negative_zero(left, schema) && may_be_negative_zero(right, schema)
        }
        // -0.0 - 0.0 is -0.0, but 0.0 - 0.0 and 0.0 - -0.0 are 0.0.
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, .. }) => may_be_negative_zero(left, schema),
        Expr::BinaryExpr(BinaryExpr { op, .. }) => is_arithmetic(*op) && is_floating(expr),
        Expr::Negative(_) => is_floating(expr),
        Expr::Cast(Cast { expr: from, field, .. }) | Expr::TryCast(TryCast { expr: from, field, .. }) => {
            field.data_type().is_floating()
                && !is_whole(from, schema)
                && (!same_type(from, field.data_type(), schema) || may_be_negative_zero(from, schema))
        }
        Expr::ScalarFunction(call) => !is_identity(call) && !PASSING.contains(&call.name()) && is_floating(expr),
        _ => false,
    }
}

fn is_whole(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| data_type.is_integer() || data_type == DataType::Boolean)
}

fn same_type(expr: &Expr, data_type: &DataType, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|found| found == *data_type)
}
