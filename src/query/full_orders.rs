//! Where sorted parts are merged, each is sorted by all that they are merged by.
//!
//! DataFusion 55.2 leaves out of the sort of each part what is constant within every part, such as the
//! `9` and the `4` of `SELECT 9 … UNION ALL SELECT 4 … ORDER BY 1, 2 LIMIT 3`, or what is equal to an
//! earlier key. But the parts of a sort with a limit share their bound: the rows of one part that are
//! best by what is left put out better ones of another part. And the check of the finished plan does not
//! see through a union that the parts are sorted well enough, and refuses the query.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
    },
};

#[derive(Debug)]
pub(super) struct FullOrders;

impl PhysicalOptimizerRule for FullOrders {
    fn name(&self) -> &'static str {
        "full_orders"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let full = plan.transform_up(|node| match node.downcast_ref::<SortPreservingMergeExec>().and_then(full) {
            Some(full) => Ok(Transformed::yes(full)),
            None => Ok(Transformed::no(node)),
        })?;
        Ok(full.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The merge above a sort by all its keys, if there is a sort and it has others.
fn full(merge: &SortPreservingMergeExec) -> Option<Arc<dyn ExecutionPlan>> {
    let sort = merge.input().downcast_ref::<SortExec>()?;
    if sort.expr() == merge.expr() {
        return None;
    }
    let full = SortExec::new(merge.expr().clone(), sort.input().clone())
        .with_fetch(sort.fetch())
        .with_preserve_partitioning(sort.preserve_partitioning());
    Some(Arc::new(SortPreservingMergeExec::new(merge.expr().clone(), Arc::new(full)).with_fetch(merge.fetch())))
}
