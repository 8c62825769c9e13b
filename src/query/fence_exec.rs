//! Keeps an order that something wants of the rows behind an `OFFSET` from being made below it. DataFusion
//! 55.2 moves the sort down, and lets it keep as many rows as come out instead of as many as go in:
//! `SELECT * FROM (SELECT … LIMIT 4 OFFSET 3) ORDER BY …` answers one row (#24958).

use std::{fmt, sync::Arc};

use datafusion::{
    common::{
        Result, Statistics,
        config::ConfigOptions,
        internal_err,
        tree_node::{Transformed, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        limit::GlobalLimitExec,
        projection::ProjectionExec,
        replace_children_if_necessary,
        statistics::{ChildStats, StatisticsArgs},
    },
};

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
        return Ok(Transformed::yes(Arc::new(FenceExec::new(plan))));
    }
    Ok(Transformed::new_transformed(plan, changed))
}

/// Passes its input on, and says nothing of its order.
#[derive(Debug)]
struct FenceExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl FenceExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> FenceExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            input.properties().partitioning.clone(),
            input.properties().emission_type,
            input.properties().boundedness,
        );
        FenceExec { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for FenceExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FenceExec")
    }
}

impl ExecutionPlan for FenceExec {
    fn name(&self) -> &'static str {
        "FenceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.as_slice() {
            [input] => Ok(Arc::new(FenceExec::new(input.clone()))),
            _ => internal_err!("a fence has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match inputs.first() {
            Some(statistics) => Ok(statistics.clone()),
            None => internal_err!("a fence has one input"),
        }
    }
}
