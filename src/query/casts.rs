//! Aggregates, and window functions, that differ in a cast alone, as `min(v)` and `min(CAST(v AS VARCHAR))`.
//!
//! DataFusion leaves casts out of the names that it gives to expressions, and refuses a plan in which two
//! have one name. Such a statement is planned again with names for the casts.

use std::sync::Arc;

use datafusion::{
    common::{
        DataFusionError, Result, SchemaError,
        tree_node::{Transformed, TreeNode},
    },
    execution::{FunctionRegistry, SessionState},
    logical_expr::{
        Expr, LogicalPlan,
        planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawWindowExpr},
    },
    sql::parser::Statement,
};

/// The plan of a statement, with names for casts if it has none without.
pub(super) async fn statement_to_plan(state: &SessionState, statement: &Statement) -> Result<LogicalPlan> {
    match state.statement_to_plan(statement.clone()).await {
        Err(error) if is_duplicate(&error) => {
            let mut named = state.clone();
            named.register_expr_planner(Arc::new(NamedCasts))?;
            // What is refused again has names of its own that are equal: the first refusal says it.
            named.statement_to_plan(statement.clone()).await.map_err(|_| error)
        }
        other => other,
    }
}

fn is_duplicate(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::SchemaError(error, _) => matches!(**error, SchemaError::DuplicateUnqualifiedField { .. }),
        DataFusionError::Plan(text) => text.contains("require unique expression names"),
        _ => false,
    }
}

#[derive(Debug)]
struct NamedCasts;

impl ExprPlanner for NamedCasts {
    fn plan_aggregate(&self, mut aggregate: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        let arguments = std::mem::take(&mut aggregate.args);
        aggregate.args = arguments.into_iter().map(named).collect::<Result<_>>()?;
        Ok(PlannerResult::Original(aggregate))
    }

    fn plan_window(&self, mut window: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        let arguments = std::mem::take(&mut window.args);
        window.args = arguments.into_iter().map(named).collect::<Result<_>>()?;
        Ok(PlannerResult::Original(window))
    }
}

/// The expression with each cast under its full text.
fn named(expression: Expr) -> Result<Expr> {
    let named = expression.transform_up(|part| match part {
        Expr::Cast(_) | Expr::TryCast(_) => {
            let name = part.to_string();
            Ok(Transformed::yes(part.alias(name)))
        }
        _ => Ok(Transformed::no(part)),
    })?;
    Ok(named.data)
}
