//! `IN` with a subquery where DataFusion 55.2 forgets that its answer may be NULL.
//!
//! `a NOT IN (SELECT …)` is right as a condition of its own where `a` is a column and the subquery stands
//! alone. Where the subquery asks for columns of the query around it (#25336, #25347, #25480), where `a` is
//! no column (#25474), and within `OR`, `NOT` or `CASE`, NULL is taken for false. There it is written as
//! `EXISTS`, which is never NULL.
//!
//! A condition on the query around it below the side of an outer join that may be missing is drawn out of
//! that join, which changes what it means (#25507): refused.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, DFSchema, DataFusionError, ExprSchema, JoinType, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
        expr::{Exists, InSubquery},
        lit,
        utils::{conjunction, split_conjunction_owned},
        when,
    },
    optimizer::AnalyzerRule,
};

#[derive(Debug)]
pub(super) struct SubqueriesWithNulls;

impl AnalyzerRule for SubqueriesWithNulls {
    fn name(&self) -> &'static str {
        "subqueries_with_nulls"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_down_with_subqueries(|node| {
            node.apply_subqueries(|subquery| {
                refuse_conditions_below_outer_joins(subquery)?;
                Ok(TreeNodeRecursion::Jump)
            })?;
            match node {
                LogicalPlan::Filter(filter) if has_in_subquery(&filter.predicate) => {
                    let schema = filter.input.schema().clone();
                    let parts = split_conjunction_owned(filter.predicate);
                    let parts: Vec<Expr> =
                        parts.into_iter().map(|part| condition(part, &schema)).collect::<Result<_>>()?;
                    let predicate = conjunction(parts).unwrap_or_else(|| lit(true));
                    Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
                }
                other => Ok(Transformed::no(other)),
            }
        })?;
        Ok(rewritten.data)
    }
}

fn has_in_subquery(expr: &Expr) -> bool {
    expr.exists(|part| Ok(matches!(part, Expr::InSubquery(_)))).unwrap_or(false)
}

/// One condition of a filter, of which only the rows matter for which it is true.
fn condition(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    match expr {
        Expr::Not(inner) if matches!(*inner, Expr::InSubquery(_)) => match *inner {
            Expr::InSubquery(found) => condition(Expr::InSubquery(negated(found)), schema),
            other => Ok(other),
        },
        Expr::InSubquery(found) if found.negated => {
            let stands_alone = found.subquery.outer_ref_columns.is_empty();
            if stands_alone && matches!(*found.expr, Expr::Column(_)) {
                return Ok(Expr::InSubquery(found));
            }
            // True if no row is equal, nor may be.
            let equal = equality(&found, schema)?;
            Ok(exists(&found.subquery, equal.is_not_false(), true, schema)?)
        }
        found @ Expr::InSubquery(_) => Ok(found),
        other => within(other, schema, true),
    }
}

fn negated(found: InSubquery) -> InSubquery {
    InSubquery { negated: !found.negated, ..found }
}

/// A condition with subqueries somewhere in it. `only_truth`: false or NULL make no difference here.
fn within(expr: Expr, schema: &DFSchema, only_truth: bool) -> Result<Expr> {
    match expr {
        Expr::InSubquery(found) if only_truth && !found.negated => Ok(Expr::InSubquery(found)),
        Expr::InSubquery(found) => {
            let equal = equality(&found, schema)?;
            let yes = exists(&found.subquery, equal.clone(), false, schema)?;
            let perhaps = exists(&found.subquery, equal.is_null(), false, schema)?;
            when(yes, lit(!found.negated))
                .when(perhaps, lit(datafusion::common::ScalarValue::Boolean(None)))
                .otherwise(lit(found.negated))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let (left, right) = (within(*left, schema, only_truth)?, within(*right, schema, only_truth)?);
            Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
        }
        other => Ok(other.map_children(|child| Ok(Transformed::yes(within(child, schema, false)?)))?.data),
    }
}

/// `a = b` within the subquery, `a` being of the query around it and `b` what the subquery gives.
fn equality(found: &InSubquery, schema: &DFSchema) -> Result<Expr> {
    let outer = found.expr.as_ref().clone().transform(|part| match part {
        Expr::Column(column) => {
            let field = schema.field_from_column(&column)?;
            Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column)))
        }
        Expr::OuterReferenceColumn(..) => Err(DataFusionError::NotImplemented(
            "IN with a subquery, about a column of a query two levels around it; write it as EXISTS".to_owned(),
        )),
        other => Ok(Transformed::no(other)),
    })?;
    let (qualifier, field) = found.subquery.subquery.schema().qualified_field(0);
    Ok(outer.data.eq(Expr::Column(Column::new(qualifier.cloned(), field.name()))))
}

/// `EXISTS (SELECT … WHERE condition)`, or `NOT EXISTS`.
fn exists(subquery: &Subquery, condition: Expr, negated: bool, _: &DFSchema) -> Result<Expr> {
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).filter(condition)?.build()?;
    let outer_ref_columns = plan.all_out_ref_exprs();
    let subquery = Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: subquery.spans.clone() };
    Ok(Expr::Exists(Exists { subquery, negated }))
}

fn refuse_conditions_below_outer_joins(plan: &LogicalPlan) -> Result<()> {
    plan.apply(|node| {
        if let LogicalPlan::Join(join) = node {
            let (left, right) = match join.join_type {
                JoinType::Left | JoinType::LeftMark => (false, true),
                JoinType::Right | JoinType::RightMark => (true, false),
                JoinType::Full => (true, true),
                _ => (false, false),
            };
            let asks = |side: &LogicalPlan| !side.all_out_ref_exprs().is_empty();
            if (left && asks(&join.left)) || (right && asks(&join.right)) {
                return Err(DataFusionError::NotImplemented(
                    "a subquery with a condition on the query around it on the side of an outer join that may be \
                     missing; move the condition into ON, or write the join as a subquery of its own"
                        .to_owned(),
                ));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}
