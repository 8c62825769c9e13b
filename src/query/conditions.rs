//! Conditions apply from left to right: what an earlier one leaves out, a later one that fails on some
//! values never sees. A scan of data files has them apply like that; a filter over anything else looks
//! at all rows with both sides of an `AND`, so that `i <> 0 AND 10 / i > 1` was an error or not,
//! depending on where the rows were.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr, ScalarFunctionExpr, conjunction,
        expressions::{BinaryExpr, CastExpr},
        split_conjunction,
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        filter::{FilterExec, FilterExecBuilder},
    },
};

/// Gives a condition that may fail a filter of its own, above those that come before it.
#[derive(Debug)]
pub(super) struct GuardedConditions;

impl PhysicalOptimizerRule for GuardedConditions {
    fn name(&self) -> &'static str {
        "guarded_conditions"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let guarded =
            plan.transform_up(|node| match node.downcast_ref::<FilterExec>().map(guarded).transpose()? {
                Some(Some(guarded)) => Ok(Transformed::yes(guarded)),
                _ => Ok(Transformed::no(node)),
            })?;
        Ok(guarded.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The filters that one filter becomes; `None` if it stays as it is.
fn guarded(filter: &FilterExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut steps: Vec<Vec<Arc<dyn PhysicalExpr>>> = Vec::new();
    for condition in split_conjunction(filter.predicate()) {
        match steps.last_mut() {
            Some(step) if !may_fail(condition)? => step.push(Arc::clone(condition)),
            _ => steps.push(vec![Arc::clone(condition)]),
        }
    }
    let Some(last) = steps.pop().filter(|_| !steps.is_empty()) else { return Ok(None) };
    let mut input = Arc::clone(filter.input());
    for step in steps {
        input = Arc::new(FilterExecBuilder::new(conjunction(step), input).build()?);
    }
    // The last one has what the whole has: the columns that are kept, the rows that are wanted.
    let last = FilterExecBuilder::from(filter).with_predicate(conjunction(last)).with_input(input);
    Ok(Some(Arc::new(last.build()?)))
}

/// Whether evaluating a condition may end in an error for some values.
fn may_fail(condition: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    condition.exists(|part| {
        let divides = |part: &BinaryExpr| matches!(part.op(), Operator::Divide | Operator::Modulo);
        Ok(part.downcast_ref::<BinaryExpr>().is_some_and(divides)
            || part.downcast_ref::<CastExpr>().is_some()
            || part.downcast_ref::<ScalarFunctionExpr>().is_some())
    })
}
