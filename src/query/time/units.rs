//! Timestamps of several units that become one column, by `UNION`, `CASE`, `COALESCE` and the like: in
//! the finest of the units, so that none is cut. DataFusion takes the coarsest.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, TimeUnit},
    common::{DFSchema, Result},
    logical_expr::{Case, Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Union, expr::ScalarFunction},
};

use super::moment::tick;

/// Functions that return one of their arguments.
const CHOOSING: [&str; 6] = ["coalesce", "greatest", "least", "nullif", "nvl", "nvl2"];

/// A choice among timestamps in one unit; `None` if it is none, or they are.
pub(super) fn chosen(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    match expr {
        Expr::ScalarFunction(call) if CHOOSING.contains(&call.name()) => {
            let arguments = united(call.args.iter(), schema)?;
            Some(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&call.func), arguments)))
        }
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then).chain(case.else_expr.as_ref());
            let mut results = united(results.map(AsRef::as_ref), schema)?.into_iter().map(Box::new);
            let branches = case.when_then_expr.iter().map(|(when, _)| when.clone()).zip(results.by_ref()).collect();
            Some(Expr::Case(Case::new(case.expr.clone(), branches, results.next())))
        }
        _ => None,
    }
}

/// Expressions with all timestamps in the finest unit of any; `None` if nothing changes.
fn united<'a>(exprs: impl Iterator<Item = &'a Expr>, schema: &DFSchema) -> Option<Vec<Expr>> {
    let of = |expr: &Expr| match expr.get_type(schema) {
        Ok(DataType::Timestamp(unit, None)) => Some(unit),
        _ => None,
    };
    let exprs: Vec<(&Expr, Option<TimeUnit>)> = exprs.map(|expr| (expr, of(expr))).collect();
    let finest = finest_of(exprs.iter().filter_map(|(_, unit)| *unit))?;
    let in_finest = |(expr, unit): &(&Expr, Option<TimeUnit>)| match unit {
        Some(unit) if *unit != finest => {
            Expr::Cast(Cast::new(Box::new((*expr).clone()), DataType::Timestamp(finest, None)))
        }
        _ => (*expr).clone(),
    };
    Some(exprs.iter().map(in_finest).collect())
}

/// The finest of units that differ.
fn finest_of(units: impl Iterator<Item = TimeUnit>) -> Option<TimeUnit> {
    let units: Vec<TimeUnit> = units.collect();
    let differ = units.iter().any(|unit| Some(unit) != units.first());
    if differ { units.into_iter().min_by_key(|unit| tick(*unit)) } else { None }
}

/// The same union with its timestamps in one unit; `None` if they are.
pub(super) fn in_finest(union: &Union) -> Result<Option<LogicalPlan>> {
    let width = union.inputs.iter().map(|input| input.schema().fields().len()).min().unwrap_or(0);
    let of = |column| finest_of(union.inputs.iter().filter_map(|input| unit(input, column)));
    let finest: Vec<Option<TimeUnit>> = (0..width).map(of).collect();
    if finest.iter().all(Option::is_none) {
        return Ok(None);
    }
    let inputs = union.inputs.iter().map(|input| cast(input, &finest)).collect::<Result<Vec<_>>>()?;
    Ok(Some(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)))
}

fn unit(input: &LogicalPlan, column: usize) -> Option<TimeUnit> {
    match input.schema().field(column).data_type() {
        DataType::Timestamp(unit, None) => Some(*unit),
        _ => None,
    }
}

/// An input with these columns in these units.
fn cast(input: &Arc<LogicalPlan>, units: &[Option<TimeUnit>]) -> Result<Arc<LogicalPlan>> {
    let other = |column: usize| {
        units.get(column).copied().flatten().filter(|to| unit(input, column).is_some_and(|is| is != *to))
    };
    if (0..units.len()).all(|column| other(column).is_none()) {
        return Ok(Arc::clone(input));
    }
    let columns = (0..input.schema().fields().len()).map(|column| {
        let (qualifier, field) = input.schema().qualified_field(column);
        let expr = Expr::from((qualifier, field));
        match other(column) {
            None => expr,
            Some(unit) => Expr::Cast(Cast::new(Box::new(expr), DataType::Timestamp(unit, None)))
                .alias_qualified(qualifier.cloned(), field.name()),
        }
    });
    let columns: Vec<Expr> = columns.collect();
    Ok(Arc::new(LogicalPlanBuilder::from(input.as_ref().clone()).project(columns)?.build()?))
}
