//! Which queries are small. Small ones run on threads of their own, so that long ones do not keep them
//! waiting: what computes does not give way between two batches, and the system shares processors among
//! threads, not among queries.
//!
//! Small is what reads few rows and does with them nothing that takes long. It is judged by the plan alone.

use std::sync::Arc;

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    datasource::{physical_plan::FileScanConfig, source::DataSourceExec},
    physical_expr::{PhysicalExpr, ScalarFunctionExpr},
    physical_plan::ExecutionPlan,
};

use super::{functions, merge_exec::MergeExec, parquet, tail_exec::TailExec};

/// The most rows that the files and tails of a small query hold, which takes a processor some hundredths of a second.
const SMALL_ROWS: usize = 1_000_000;

/// Operators that take about as long as there are rows. What may make many rows of few is not among them.
const LINEAR: &[&str] = &[
    "AggregateExec",
    "CoalesceBatchesExec",
    "CoalescePartitionsExec",
    "CooperativeExec",
    "CutExec",
    "DataSourceExec",
    "EmptyExec",
    "EndsExec",
    "FenceExec",
    "FilterExec",
    "GlobalLimitExec",
    "LocalLimitExec",
    "MergeExec",
    "PiecesExec",
    "PlaceholderRowExec",
    "ProjectionExec",
    "RepartitionExec",
    "SortExec",
    "SortExec(TopK)",
    "SortPreservingMergeExec",
    "TailExec",
    "UnionExec",
];

/// Whether a plan is that of a small query.
pub(super) fn is_small(plan: &Arc<dyn ExecutionPlan>) -> bool {
    rows(plan).is_some_and(|rows| rows <= SMALL_ROWS)
}

/// Rows that go into a plan; `None` where it may take longer than they tell.
fn rows(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    if !LINEAR.contains(&plan.name()) || !is_cheap(plan.as_ref()) {
        return None;
    }
    let children = plan.children();
    if children.is_empty() {
        return read(plan.as_ref());
    }
    children.into_iter().try_fold(0_usize, |sum, child| Some(sum.saturating_add(rows(child)?)))
}

/// Rows of a leaf.
fn read(leaf: &dyn ExecutionPlan) -> Option<usize> {
    if let Some(tail) = leaf.downcast_ref::<TailExec>() {
        return Some(tail.rows(None));
    }
    if let Some(merge) = leaf.downcast_ref::<MergeExec>() {
        return usize::try_from(merge.rows(None)).ok();
    }
    if let Some(source) = leaf.downcast_ref::<DataSourceExec>() {
        return source.data_source().downcast_ref::<FileScanConfig>().and_then(parquet::rows);
    }
    // No row, or one.
    Some(1)
}

/// Whether no function in an operator may take longer than to read its arguments, or make more.
fn is_cheap(operator: &dyn ExecutionPlan) -> bool {
    let mut cheap = true;
    let walked = operator.apply_expressions(&mut |expression: &Arc<dyn PhysicalExpr>| {
        expression.apply(|part| {
            let call = part.downcast_ref::<ScalarFunctionExpr>();
            cheap &= call.is_none_or(|call| functions::is_cheap(call.fun().name()));
            Ok(if cheap { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })
    });
    cheap && walked.is_ok()
}
