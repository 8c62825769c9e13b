//! Reading -0.0 as 0.0 where a file may hold it. Files that an older version wrote do not say that they
//! have one zero; of those, and of those alone, each column of doubles is read through a function.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::SchemaRef,
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    physical_expr::{PhysicalExpr, ScalarFunctionExpr, expressions::Column},
    physical_expr_adapter::{DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory},
};

use crate::table;

use super::opaque::positive_zero_function;

/// Brings expressions about a table to what one of its files holds.
#[derive(Debug)]
pub(super) struct OneZeroAdapters;

impl PhysicalExprAdapterFactory for OneZeroAdapters {
    fn create(&self, logical: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let inner = DefaultPhysicalExprAdapterFactory.create(logical, file.clone())?;
        if table::has_one_zero(file.metadata()) { Ok(inner) } else { Ok(Arc::new(OneZeroAdapter { inner, file })) }
    }
}

#[derive(Debug)]
struct OneZeroAdapter {
    inner: Arc<dyn PhysicalExprAdapter>,
    file: SchemaRef,
}

impl PhysicalExprAdapter for OneZeroAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let rewritten = self.inner.rewrite(expr)?.transform_down(|part| {
            let Some(column) = part.downcast_ref::<Column>() else { return Ok(Transformed::no(part)) };
            let field = self.file.field(column.index());
            if !field.data_type().is_floating() {
                return Ok(Transformed::no(part));
            }
            let function = positive_zero_function();
            let name = function.name().to_owned();
            let read: Arc<dyn PhysicalExpr> = Arc::new(ScalarFunctionExpr::new(
                &name,
                function,
                vec![part.clone()],
                Arc::new(field.clone()),
                Arc::new(ConfigOptions::default()),
            ));
            Ok(Transformed::new(read, true, TreeNodeRecursion::Jump))
        })?;
        Ok(rewritten.data)
    }
}
