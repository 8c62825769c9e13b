//! Expressions, and calls of functions with all that may stand around their arguments.

use std::collections::HashSet;

use datafusion::sql::sqlparser::{
    ast::{
        Array, CaseWhen, CeilFloorKind, DateTimeField, DuplicateTreatment, Expr, Function, FunctionArg,
        FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Interval, Spanned,
        TypedString, WindowFrame, WindowSpec, WindowType,
    },
    tokenizer::Span,
};

use crate::model::Result;

use super::{Functions, absent, query, refuse, types};

/// Functions whose answer depends on whether NULL counts as a value.
const OF_NULLS: [&str; 6] = ["lead", "lag", "first_value", "last_value", "nth_value", "array_agg"];

/// Aggregates that count each value once if they are told to, or whose answer is the same either way.
const OF_DISTINCT: [&str; 24] = [
    "approx_distinct",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "count",
    "first_value",
    "last_value",
    "max",
    "mean",
    "median",
    "min",
    "percentile_cont",
    "quantile_cont",
    "string_agg",
    "sum",
    "var",
    "var_pop",
    "var_population",
    "var_samp",
    "var_sample",
];

/// Functions that the planner makes without looking for them among those it knows.
const OF_THE_PLANNER: [&str; 3] = ["unnest", "unnest_outer", "make_map"];

/// Whether all that such an expression can say is obeyed, or refused, by the planner.
fn is_read_whole(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::CompoundFieldAccess { root: _, access_chain: _ }
            | Expr::JsonAccess { value: _, path: _ }
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsDistinctFrom(_, _)
            | Expr::IsNotDistinctFrom(_, _)
            | Expr::InList { expr: _, list: _, negated: _ }
            | Expr::InSubquery { expr: _, subquery: _, negated: _ }
            | Expr::Between { expr: _, negated: _, low: _, high: _ }
            | Expr::BinaryOp { left: _, op: _, right: _ }
            | Expr::Like { negated: _, any: false, expr: _, pattern: _, escape_char: _ }
            | Expr::ILike { negated: _, any: false, expr: _, pattern: _, escape_char: _ }
            | Expr::SimilarTo { negated: _, expr: _, pattern: _, escape_char: _ }
            | Expr::AnyOp { left: _, compare_op: _, right: _, is_some: _ }
            | Expr::AllOp { left: _, compare_op: _, right: _ }
            | Expr::UnaryOp { op: _, expr: _ }
            | Expr::AtTimeZone { timestamp: _, time_zone: _ }
            | Expr::Extract { field: _, syntax: _, expr: _ }
            | Expr::Ceil { expr: _, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) }
            | Expr::Floor { expr: _, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) }
            | Expr::Position { expr: _, r#in: _ }
            | Expr::Substring { expr: _, substring_from: _, substring_for: _, special: _, shorthand: _ }
            | Expr::Trim { trim_where: _, trim_what: _, expr: _, trim_characters: _ }
            | Expr::Overlay { expr: _, overlay_what: _, overlay_from: _, overlay_for: _ }
            | Expr::Nested(_)
            | Expr::Value(_)
            | Expr::Exists { subquery: _, negated: _ }
            | Expr::Subquery(_)
            | Expr::GroupingSets(_)
            | Expr::Cube(_)
            | Expr::Rollup(_)
            | Expr::Tuple(_)
            | Expr::Struct { values: _, fields: _ }
            | Expr::Named { expr: _, name: _ }
            | Expr::Dictionary(_)
            | Expr::Map(_)
            | Expr::Array(Array { elem: _, named: _ })
            | Expr::Wildcard(_)
            | Expr::QualifiedWildcard(_, _)
            | Expr::Lambda(_)
    )
}

/// One expression; those within it are visited by themselves.
pub(super) fn expression(expr: &Expr, functions: &dyn Functions, windows: &HashSet<*const Function>) -> Result<()> {
    match expr {
        expr if is_read_whole(expr) => Ok(()),
        Expr::Cast { kind: _, expr: cast, data_type, array, format } => {
            absent(*array || format.is_some(), "CAST with ARRAY or FORMAT", cast.span())?;
            types::data_type(data_type, cast.span())
        }
        Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: _ }) => {
            types::data_type(data_type, value.span)
        }
        Expr::Case { case_token: _, end_token: _, operand: _, conditions, else_result: _ } => {
            conditions.iter().for_each(|CaseWhen { condition: _, result: _ }| {});
            Ok(())
        }
        Expr::Interval(interval) => self::interval(interval),
        Expr::Function(call) => function(call, functions, windows),
        other => refuse(&format!("the expression {}", shortened(&other.to_string())), other.span()),
    }
}

/// The beginning of a text for a message.
fn shortened(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    if short.len() < text.len() { short + "…" } else { short }
}

fn interval(interval: &Interval) -> Result<()> {
    let Interval { value, leading_field: _, leading_precision, last_field, fractional_seconds_precision } = interval;
    let precise = leading_precision.is_some() || fractional_seconds_precision.is_some();
    absent(precise || last_field.is_some(), "an INTERVAL with TO or a precision", value.span())
}

fn function(call: &Function, functions: &dyn Functions, windows: &HashSet<*const Function>) -> Result<()> {
    let Function { name, uses_odbc_syntax: _, parameters, args, filter, null_treatment, over, within_group } = call;
    let place = name.span();
    let name = name.to_string().to_lowercase();
    absent(*parameters != FunctionArguments::None, &format!("parameters of {name} before its arguments"), place)?;
    let clauses = arguments(args, place)?;
    let nulls = null_treatment.is_some()
        || clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::IgnoreOrRespectNulls(_)));
    let quantified = match args {
        FunctionArguments::List(list) => list.duplicate_treatment,
        FunctionArguments::None | FunctionArguments::Subquery(_) => None,
    };
    if functions.is_of_one_row(&name) || OF_THE_PLANNER.contains(&name.as_str()) {
        let refuse_if = |there: bool, clause: &str| {
            absent(there, &format!("{clause} of {name}, which is a function of one row,"), place)
        };
        refuse_if(quantified.is_some(), "DISTINCT or ALL")?;
        refuse_if(filter.is_some(), "FILTER")?;
        refuse_if(over.is_some(), "OVER")?;
        refuse_if(!within_group.is_empty(), "WITHIN GROUP")?;
        refuse_if(nulls, "IGNORE or RESPECT NULLS")?;
        refuse_if(!clauses.is_empty(), "ORDER BY")?;
    }
    let distinct = quantified == Some(DuplicateTreatment::Distinct);
    absent(distinct && !OF_DISTINCT.contains(&name.as_str()), &format!("DISTINCT of {name}"), place)?;
    absent(nulls && !OF_NULLS.contains(&name.as_str()), &format!("IGNORE or RESPECT NULLS of {name}"), place)?;
    within_group.iter().try_for_each(query::order_by_expression)?;
    match over {
        None => Ok(()),
        Some(WindowType::WindowSpec(window)) => self::window(window),
        Some(WindowType::NamedWindow(window)) => {
            let resolved = windows.contains(&(&raw const *call));
            absent(!resolved, "OVER with a window's name outside of the select list", window.span)
        }
    }
}

/// The clauses that stand within the parentheses.
fn arguments(arguments: &FunctionArguments, place: Span) -> Result<&[FunctionArgumentClause]> {
    let FunctionArguments::List(list) = arguments else {
        absent(matches!(arguments, FunctionArguments::Subquery(_)), "a query as the argument of a function", place)?;
        return Ok(&[]);
    };
    let FunctionArgumentList { duplicate_treatment: _, args, clauses } = list;
    for argument in args {
        let value = match argument {
            FunctionArg::Named { name: _, arg, operator: _ } | FunctionArg::Unnamed(arg) => arg,
            FunctionArg::ExprNamed { .. } => {
                return refuse("an expression as an argument's name", place).map(|()| &[][..]);
            }
        };
        match value {
            FunctionArgExpr::Expr(_) | FunctionArgExpr::QualifiedWildcard(_) | FunctionArgExpr::Wildcard => {}
            FunctionArgExpr::WildcardWithOptions(_) => refuse("* with options as an argument", place)?,
        }
    }
    for clause in clauses {
        match clause {
            FunctionArgumentClause::IgnoreOrRespectNulls(_) => {}
            FunctionArgumentClause::OrderBy(order) => order.iter().try_for_each(query::order_by_expression)?,
            other => refuse(&format!("{} within an argument list", shortened(&other.to_string())), place)?,
        }
    }
    Ok(clauses)
}

pub(super) fn window(window: &WindowSpec) -> Result<()> {
    let WindowSpec { window_name, partition_by: _, order_by, window_frame } = window;
    if let Some(name) = window_name {
        refuse("a window that extends a named one", name.span)?;
    }
    order_by.iter().try_for_each(query::order_by_expression)?;
    let (None | Some(WindowFrame { units: _, start_bound: _, end_bound: _ })) = window_frame;
    Ok(())
}
