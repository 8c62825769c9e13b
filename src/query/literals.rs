//! `VALUES` without a planner: the common `INSERT`, however long, and each cell by itself, whatever
//! stands in the rows beside it.

use datafusion::{
    common::ScalarValue,
    sql::sqlparser::ast::{Expr, Query, SetExpr, UnaryOperator, Value},
};

/// What stands in one place of `VALUES`.
#[derive(Debug)]
pub(super) enum Cell<'a> {
    Literal(ScalarValue),
    /// To be evaluated.
    Expression(&'a Expr),
}

/// The rows of a query that is nothing but `VALUES`; `None` for any other query.
pub(super) fn rows(query: &Query) -> Option<Vec<Vec<Cell<'_>>>> {
    let plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty();
    match query.body.as_ref() {
        SetExpr::Values(values) if plain && !values.value_keyword => {
            Some(values.rows.iter().map(|row| row.content.iter().map(cell).collect()).collect())
        }
        _ => None,
    }
}

fn cell(expr: &Expr) -> Cell<'_> {
    literal(expr).map_or(Cell::Expression(expr), Cell::Literal)
}

fn literal(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => number(text),
            Value::SingleQuotedString(text) => Some(ScalarValue::Utf8(Some(text.clone()))),
            Value::Boolean(value) => Some(ScalarValue::Boolean(Some(*value))),
            Value::Null => Some(ScalarValue::Null),
            _ => None,
        },
        Expr::UnaryOp { op, expr } => match (op, expr.as_ref()) {
            (UnaryOperator::Minus, Expr::Value(value)) => match &value.value {
                Value::Number(text, _) => number(&format!("-{text}")),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// As SQL types numbers: whole ones BIGINT, then BIGINT UNSIGNED, the rest DOUBLE.
fn number(text: &str) -> Option<ScalarValue> {
    if let Ok(value) = text.parse::<i64>() {
        return Some(ScalarValue::Int64(Some(value)));
    }
    if let Ok(value) = text.parse::<u64>() {
        return Some(ScalarValue::UInt64(Some(value)));
    }
    text.parse::<f64>().ok().map(|value| ScalarValue::Float64(Some(value)))
}
