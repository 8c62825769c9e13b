//! Fences that nothing is moved through, where DataFusion 55.2 moves it wrongly.
//!
//! An order that something wants of the rows behind an `OFFSET` is made below it, and keeps as many rows as
//! come out instead of as many as go in: `SELECT * FROM (SELECT … LIMIT 4 OFFSET 3) ORDER BY …` answers one
//! row (#24958).
//!
//! A filter on its way into a scan looks for its column by name, and above a join both sides may have the
//! name, as of `time` they always do: a condition on one side was applied to the other, as were the bounds
//! of `ORDER BY … LIMIT`.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan, filter::FilterExec, joins::HashJoinExec, limit::GlobalLimitExec, projection::ProjectionExec,
        replace_children_if_necessary, sorts::sort::SortExec,
    },
};

use super::pass_through::{PassThrough, PassThroughExec};

/// Puts a [`FenceExec`] above every `OFFSET` that is not the end of the plan. Runs before DataFusion sorts.
#[derive(Debug)]
pub(super) struct FenceOffsets;

impl PhysicalOptimizerRule for FenceOffsets {
    fn name(&self) -> &'static str {
        "fence_offsets"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(fence(plan, true)?.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// `last`: nothing above asks for an order.
fn fence(plan: Arc<dyn ExecutionPlan>, last: bool) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let skips = plan.downcast_ref::<GlobalLimitExec>().is_some_and(|limit| limit.skip() > 0);
    let passes = plan.downcast_ref::<ProjectionExec>().is_some() || plan.name() == "OutputRequirementExec";
    let mut changed = false;
    let mut children = Vec::new();
    for child in plan.children() {
        let child = fence(child.clone(), last && passes)?;
        changed |= child.transformed;
        children.push(child.data);
    }
    let plan = if changed { replace_children_if_necessary(plan, children)? } else { plan };
    if skips && !last {
        return Ok(Transformed::yes(FenceExec::over(plan, Fence { ordered: false })));
    }
    Ok(Transformed::new_transformed(plan, changed))
}

/// Puts a [`FenceExec`] below what sends filters down, where a name stands for two columns somewhere below.
/// Runs before each of DataFusion's rules that do so.
#[derive(Debug)]
pub(super) struct FenceDuplicates;

impl PhysicalOptimizerRule for FenceDuplicates {
    fn name(&self) -> &'static str {
        "fence_duplicates"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let fenced = plan.transform_up(|node| {
            let sends_filters = node.downcast_ref::<FilterExec>().is_some()
                || node.downcast_ref::<HashJoinExec>().is_some()
                || node.downcast_ref::<SortExec>().is_some_and(|sort| sort.fetch().is_some());
            let is_open = |input: &&Arc<dyn ExecutionPlan>| input.downcast_ref::<FenceExec>().is_none();
            if !sends_filters
                || !node.children().iter().filter(|input| is_open(input)).any(|input| doubles_names(input))
            {
                return Ok(Transformed::no(node));
            }
            let fence = |input: &Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> {
                if doubles_names(input) {
                    FenceExec::over(input.clone(), Fence { ordered: true })
                } else {
                    input.clone()
                }
            };
            let inputs = node.children().into_iter().map(fence).collect();
            Ok(Transformed::yes(replace_children_if_necessary(node, inputs)?))
        })?;
        Ok(fenced.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether some part of a plan puts out two columns of one name, with no fence above it.
fn doubles_names(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.downcast_ref::<FenceExec>().is_some() {
        return false;
    }
    let schema = plan.schema();
    let names: HashSet<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.len() < schema.fields().len() || plan.children().into_iter().any(doubles_names)
}

/// Passes its input on, and no filter down.
#[derive(Debug)]
struct Fence {
    /// Whether its output is said to have the order of its input.
    ordered: bool,
}

type FenceExec = PassThroughExec<Fence>;

impl PassThrough for Fence {
    const NAME: &'static str = "FenceExec";

    fn keeps_properties(&self) -> bool {
        self.ordered
    }
}

#[cfg(test)]
mod tests {
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

    /// Where the fences go hangs on the names of DataFusion's rules.
    #[test]
    fn filters_are_pushed_down_by_two_rules() {
        let rules = PhysicalOptimizer::new().rules;
        assert_eq!(rules.iter().filter(|rule| rule.name().starts_with("FilterPushdown")).count(), 2);
    }
}
