//! Leaves constants out of `PARTITION BY`: `count(*) OVER (PARTITION BY 1)` is `count(*) OVER ()`.
//!
//! DataFusion 55.2 asks for rows of one key to be in one part of a plan, finds that a constant key needs no
//! repartitioning, and then refuses the plan because its parts are several.

use datafusion::{
    common::{Result, tree_node::Transformed},
    logical_expr::{Expr, LogicalPlan, expr::Alias, expr_rewriter::NamePreserver},
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

#[derive(Debug)]
pub(super) struct ConstantPartitions;

impl OptimizerRule for ConstantPartitions {
    fn name(&self) -> &'static str {
        "constant_partitions"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !matches!(plan, LogicalPlan::Window(_)) {
            return Ok(Transformed::no(plan));
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(without_constants(expr).update_data(|expr| name.restore(expr)))
        })
    }
}

/// The window function, which may have a name, with the keys that differ between rows.
fn without_constants(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::Alias(Alias { expr, relation, name, metadata }) => without_constants(*expr)
            .update_data(|expr| Expr::Alias(Alias { expr: Box::new(expr), relation, name, metadata })),
        Expr::WindowFunction(mut window) => {
            let keys = &mut window.params.partition_by;
            let before = keys.len();
            keys.retain(|key| !matches!(key, Expr::Literal(..)));
            let changed = keys.len() < before;
            Transformed::new_transformed(Expr::WindowFunction(window), changed)
        }
        other => Transformed::no(other),
    }
}
