//! `query_memory` as a bound: what DataFusion 55.2 holds without reserving it is reserved, or is kept from
//! becoming large.
//!
//! The [`pool`] bounds the sum of what operators reserve. [`operators`] says of each operator what bounds it,
//! and [`BoundMemory`] puts the operators of this room around those that do not bound themselves. Batches that
//! are small pass through as they are; only what may make large ones is wrapped at all.

mod batch_size;
mod growth;
mod joins;
pub(super) mod lists;
pub(super) mod operators;
mod pieces;
mod pool;
mod recent;
mod unnest;
pub(super) mod weight;
mod windows;

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    execution::{
        TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{ExecutionPlan, repartition::RepartitionExec, replace_children_if_necessary, unnest::UnnestExec},
};

use operators::MemoryBound;
use pieces::{Cut, RecentWidth, SlicedInput};

pub use pool::{QueryPool, halves};

/// A reservation of its own.
fn reservation(name: &str, context: &TaskContext) -> MemoryReservation {
    MemoryConsumer::new(name).register(context.memory_pool())
}

/// Puts operators that cut and reserve around those that do neither. Runs last.
#[derive(Debug)]
pub(super) struct BoundMemory;

impl PhysicalOptimizerRule for BoundMemory {
    fn name(&self) -> &'static str {
        "bound_memory"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let batch_size = config.execution.batch_size.into();
        let bounded = plan.transform_up(|node| {
            let before = node.clone();
            let node = bound(node, batch_size)?;
            let changed = !Arc::ptr_eq(&before, &node);
            Ok(Transformed::new_transformed(node, changed))
        })?;
        Ok(bounded.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn bound(node: Arc<dyn ExecutionPlan>, batch_size: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let inputs = || node.children().into_iter().cloned();
    let copies = || inputs().any(|input| weight::has_heavy(&input.schema()));
    match operators::bound(node.name()) {
        MemoryBound::Batch | MemoryBound::Reserves => Ok(node),
        MemoryBound::Filters => as_it_comes(in_pieces(node)?, batch_size),
        MemoryBound::Coalesces => as_it_comes(node, batch_size),
        MemoryBound::Sorts if weight::has_heavy(&node.schema()) => {
            batch_size::of_rows(in_pieces(node)?, batch_size::FEW, batch_size)
        }
        MemoryBound::Sorts => in_pieces(node),
        MemoryBound::Aggregates if weight::has_heavy(&node.schema()) => Ok(Cut::over(in_pieces(node)?, None)),
        MemoryBound::Aggregates => in_pieces(node),
        MemoryBound::Windows => Ok(windows::Windows::over(in_pieces(node)?)),
        MemoryBound::Paced => paced(node),
        MemoryBound::SmallBatches if copies() => joins::in_small_batches(node, batch_size),
        MemoryBound::Beside if copies() => {
            let inputs = joins::cross_inputs(inputs().collect());
            replace_children_if_necessary(node, inputs)
        }
        MemoryBound::SmallBatches | MemoryBound::Beside => Ok(node),
        MemoryBound::ShortLists => match node.downcast_ref::<UnnestExec>().and_then(unnest::ShortLists::below) {
            Some(short) => replace_children_if_necessary(node, vec![short]),
            None => Ok(node),
        },
    }
}

/// An operator that puts no batches together, if their rows may be wide.
fn as_it_comes(node: Arc<dyn ExecutionPlan>, usual: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let merges = node.downcast_ref::<RepartitionExec>().is_some_and(RepartitionExec::preserve_order);
    if merges || !is_wide(&node) {
        return Ok(node);
    }
    batch_size::of_rows(node, batch_size::AS_THEY_COME, usual)
}

/// Whether rows may be wide: they are of a kind that is copied, or batches are cut somewhere below.
fn is_wide(node: &Arc<dyn ExecutionPlan>) -> bool {
    weight::has_heavy(&node.schema()) || is_cut(node)
}

fn is_cut(node: &Arc<dyn ExecutionPlan>) -> bool {
    pieces::cuts(node) || node.children().into_iter().any(is_cut)
}

/// An operator whose input comes in pieces, if its expressions make more than they are made of.
fn in_pieces(node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if !growth::grows(node.as_ref(), false)? {
        return Ok(node);
    }
    let inputs = node.children().into_iter().map(|input| SlicedInput::over(input.clone(), None)).collect();
    replace_children_if_necessary(node, inputs)
}

/// An operator whose input comes in pieces, as large as what comes out is bearable, if its expressions make
/// more than they are made of.
fn paced(node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if !growth::grows(node.as_ref(), true)? {
        return Ok(node);
    }
    let pace = Arc::new(RecentWidth::default());
    let inputs =
        node.children().into_iter().map(|input| SlicedInput::over(input.clone(), Some(pace.clone()))).collect();
    Ok(Cut::over(replace_children_if_necessary(node, inputs)?, Some(pace)))
}
