//! Types and parameters by which a statement tells how much memory a row, or a state, takes whatever is
//! in it.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::DataType,
    common::{DFSchema, Result, ScalarValue, plan_err},
    logical_expr::{Expr, ExprSchemable},
};

use super::weigh::least_width;

/// Bytes of a row of a type of fixed size.
const WIDTH: u64 = 32 << 10;
/// Parts of the sketch from which a percentile is estimated.
const CENTROIDS: i64 = 10_000;

/// Errors: an expression has a type, or an aggregate a state, that takes too much.
pub(super) fn check(expr: &Expr, schema: impl Fn() -> Arc<DFSchema>) -> Result<()> {
    match expr {
        Expr::Cast(cast) => of_type(cast.field.data_type()),
        Expr::TryCast(cast) => of_type(cast.field.data_type()),
        Expr::ScalarFunction(call) if names_a_type(call.name()) => match expr.get_type(schema().as_ref()) {
            Ok(data_type) => of_type(&data_type),
            Err(_) => Ok(()),
        },
        Expr::AggregateFunction(call) => {
            let place = match call.func.name() {
                "approx_percentile_cont" => 2,
                "approx_percentile_cont_with_weight" => 3,
                _ => return Ok(()),
            };
            call.params.args.get(place).map_or(Ok(()), centroids)
        }
        _ => Ok(()),
    }
}

fn names_a_type(function: &str) -> bool {
    matches!(function, "arrow_cast" | "arrow_try_cast" | "cast_to_type" | "try_cast_to_type")
}

fn of_type(data_type: &DataType) -> Result<()> {
    match least_width(data_type) {
        width if width > WIDTH => {
            plan_err!("the type {data_type} takes {width} bytes a row whatever is in it, the limit is {WIDTH}")
        }
        _ => Ok(()),
    }
}

fn centroids(argument: &Expr) -> Result<()> {
    let number = match argument {
        Expr::Cast(cast) => return centroids(&cast.expr),
        Expr::Literal(value, _) => value.cast_to(&DataType::Int64).ok(),
        _ => None,
    };
    match number {
        Some(ScalarValue::Int64(Some(number))) if number <= CENTROIDS => Ok(()),
        _ => plan_err!("the number of centroids is a whole number, the limit is {CENTROIDS}: {argument} is none"),
    }
}
