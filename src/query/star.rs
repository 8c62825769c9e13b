//! `SELECT *` of wide tables. DataFusion writes a `*` out, and then looks each of its columns up, by
//! name, among all of them, in every pass over the plan: four thousand columns took seconds. Where `*`
//! stands alone it chooses nothing, so the plan is made for one column and loses its projections.

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::LogicalPlan,
    sql::{
        parser::Statement,
        sqlparser::ast::{
            self, Expr, GroupByExpr, Ident, Select, SelectItem, SetExpr, TableFactor, WildcardAdditionalOptions,
        },
    },
};

use crate::model::schema::TIME_COLUMN;

/// Columns from which on this is worth the while.
pub(super) const WIDE: usize = 256;

/// The same statement for the column of time alone, which every table has, first. `None` where that is
/// another statement but for its columns.
pub(super) fn narrowed(statement: &Statement) -> Option<Statement> {
    let Statement::Statement(statement) = statement else { return None };
    let ast::Statement::Query(query) = statement.as_ref() else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    if query.with.is_some() || !query.pipe_operators.is_empty() || !is_star(select) {
        return None;
    }
    let mut query = query.clone();
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = vec![SelectItem::UnnamedExpr(Expr::Identifier(Ident::with_quote('"', TIME_COLUMN)))];
    }
    Some(Statement::Statement(Box::new(ast::Statement::Query(query))))
}

/// Whether a select is `*` of one table, as it is, with nothing that looks at the select list.
fn is_star(select: &Select) -> bool {
    let [SelectItem::Wildcard(options)] = select.projection.as_slice() else { return false };
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike: None,
        opt_exclude: None,
        opt_except: None,
        opt_replace: None,
        opt_rename: None,
        opt_alias: None,
    } = options
    else {
        return false;
    };
    let one_table = match select.from.as_slice() {
        [from] => from.joins.is_empty() && matches!(from.relation, TableFactor::Table { args: None, .. }),
        _ => false,
    };
    let ungrouped =
        matches!(&select.group_by, GroupByExpr::Expressions(by, modifiers) if by.is_empty() && modifiers.is_empty());
    one_table && ungrouped && select.distinct.is_none() && select.having.is_none() && select.qualify.is_none()
}

/// The plan of such a statement with all columns again.
pub(super) fn widened(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up(|node| match node {
        LogicalPlan::Projection(projection) => Ok(Transformed::yes(projection.input.as_ref().clone())),
        other => Ok(Transformed::yes(other.recompute_schema()?)),
    })?;
    Ok(plan.data)
}
