//! Queries, selects, and their clauses.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{
        ConnectByKind, Cte, CteAsMaterialized, Distinct, Expr, ExprWithAlias, ExprWithAliasAndOrderBy, Function,
        GroupByExpr, GroupByWithModifier, LimitClause, NamedWindowDefinition, NamedWindowExpr, Offset, OrderBy,
        OrderByExpr, OrderByKind, OrderByOptions, PipeOperator, Query, Select, SelectFlavor, SelectItem,
        SelectItemQualifiedWildcardKind, SelectModifiers, SetExpr, Spanned, Values, WildcardAdditionalOptions,
        WindowType, With, visit_expressions,
    },
    tokenizer::Span,
};

use crate::model::Result;

use super::{absent, expression, refuse, relation};

pub(super) fn query(query: &Query) -> Result<()> {
    let Query { with, body, order_by, limit_clause, fetch, locks, for_clause, settings, format_clause, pipe_operators } =
        query;
    let nowhere = Span::empty();
    absent(fetch.is_some(), "FETCH", nowhere)?;
    absent(!locks.is_empty(), "FOR UPDATE, FOR SHARE", nowhere)?;
    absent(for_clause.is_some(), "FOR XML, FOR JSON, FOR BROWSE", nowhere)?;
    if let Some(settings) = settings {
        refuse("SETTINGS", settings.first().map_or(nowhere, |setting| setting.key.span))?;
    }
    absent(format_clause.is_some(), "FORMAT", nowhere)?;
    with.iter().try_for_each(self::with)?;
    if let SetExpr::Values(values) = body.as_ref() {
        self::values(values)?;
    }
    order_by.iter().try_for_each(|clause| self::order_by(clause, matches!(body.as_ref(), SetExpr::Select(_))))?;
    limit_clause.iter().try_for_each(limit)?;
    pipe_operators.iter().try_for_each(pipe_operator)
}

fn with(with: &With) -> Result<()> {
    let With { with_token: _, recursive, cte_tables } = with;
    for cte in cte_tables {
        let Cte { alias, query, from, materialized, closing_paren_token: _ } = cte;
        relation::alias(alias)?;
        let place = alias.name.span;
        absent(from.is_some(), "FROM after a common table expression", place)?;
        absent(matches!(materialized, Some(CteAsMaterialized::Materialized)), "AS MATERIALIZED", place)?;
        // Of what is recursive the planner takes the two sides of the UNION, and nothing around them.
        let union = matches!(query.body.as_ref(), SetExpr::SetOperation { .. });
        if *recursive && union {
            let around = query.with.is_some() || !query.pipe_operators.is_empty();
            absent(query.order_by.is_some(), "ORDER BY in WITH RECURSIVE", place)?;
            absent(query.limit_clause.is_some(), "LIMIT, OFFSET in WITH RECURSIVE", place)?;
            absent(around, "WITH, |> in WITH RECURSIVE", place)?;
        }
    }
    Ok(())
}

fn values(values: &Values) -> Result<()> {
    let Values { explicit_row: _, value_keyword, rows } = values;
    let place = rows.first().map_or(Span::empty(), |row| row.opening_token.0.span);
    absent(*value_keyword, "VALUE instead of VALUES", place)
}

fn order_by(order_by: &OrderBy, of_select: bool) -> Result<()> {
    let OrderBy { kind, interpolate } = order_by;
    absent(interpolate.is_some(), "INTERPOLATE", Span::empty())?;
    match kind {
        OrderByKind::Expressions(expressions) => expressions.iter().try_for_each(order_by_expression),
        OrderByKind::All(OrderByOptions { asc: _, nulls_first: _ }) => {
            absent(!of_select, "ORDER BY ALL of a set operation", Span::empty())
        }
    }
}

pub(super) fn order_by_expression(expression: &OrderByExpr) -> Result<()> {
    let OrderByExpr { expr, options: OrderByOptions { asc: _, nulls_first: _ }, with_fill } = expression;
    absent(with_fill.is_some(), "WITH FILL", expr.span())
}

fn limit(limit: &LimitClause) -> Result<()> {
    match limit {
        LimitClause::LimitOffset { limit: _, offset, limit_by } => {
            let (None | Some(Offset { value: _, rows: _ })) = offset;
            absent(!limit_by.is_empty(), "LIMIT BY", limit_by.first().map_or(Span::empty(), Spanned::span))
        }
        LimitClause::OffsetCommaLimit { offset: _, limit: _ } => Ok(()),
    }
}

pub(super) fn select(select: &Select) -> Result<()> {
    let Select {
        select_token,
        // A hint is a comment, to planners of others.
        optimizer_hints: _,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    let place = select_token.0.span;
    let of = |expressions: &[Expr]| expressions.first().map_or(place, Spanned::span);
    let (None | Some(Distinct::All | Distinct::Distinct | Distinct::On(_))) = distinct;
    select_modifiers.iter().try_for_each(|modifiers| self::select_modifiers(modifiers, place))?;
    absent(top.is_some(), "TOP", place)?;
    projection.iter().try_for_each(select_item)?;
    absent(exclude.is_some(), "EXCLUDE after the select list", place)?;
    absent(into.is_some(), "SELECT INTO", place)?;
    from.iter().try_for_each(relation::table_with_joins)?;
    absent(!lateral_views.is_empty(), "LATERAL VIEW", place)?;
    if let Some(prewhere) = prewhere {
        refuse("PREWHERE", prewhere.span())?;
    }
    connect_by.iter().try_for_each(self::connect_by)?;
    self::group_by(group_by, place)?;
    absent(!cluster_by.is_empty(), "CLUSTER BY", of(cluster_by))?;
    absent(!distribute_by.is_empty(), "DISTRIBUTE BY", of(distribute_by))?;
    absent(!sort_by.is_empty(), "SORT BY", sort_by.first().map_or(place, |first| first.expr.span()))?;
    for NamedWindowDefinition(_, window) in named_window {
        if let NamedWindowExpr::WindowSpec(window) = window {
            expression::window(window)?;
        }
    }
    absent(value_table_mode.is_some(), "SELECT AS VALUE, SELECT AS STRUCT", place)?;
    match flavor {
        SelectFlavor::Standard | SelectFlavor::FromFirst => Ok(()),
        SelectFlavor::FromFirstNoSelect => refuse("FROM without SELECT", place),
    }
}

fn select_modifiers(modifiers: &SelectModifiers, place: Span) -> Result<()> {
    let SelectModifiers {
        high_priority,
        straight_join,
        sql_small_result,
        sql_big_result,
        sql_buffer_result,
        sql_no_cache,
        sql_calc_found_rows,
    } = modifiers;
    absent(*high_priority, "HIGH_PRIORITY", place)?;
    absent(*straight_join, "STRAIGHT_JOIN", place)?;
    absent(*sql_small_result, "SQL_SMALL_RESULT", place)?;
    absent(*sql_big_result, "SQL_BIG_RESULT", place)?;
    absent(*sql_buffer_result, "SQL_BUFFER_RESULT", place)?;
    absent(*sql_no_cache, "SQL_NO_CACHE", place)?;
    absent(*sql_calc_found_rows, "SQL_CALC_FOUND_ROWS", place)
}

fn connect_by(connect_by: &ConnectByKind) -> Result<()> {
    match connect_by {
        ConnectByKind::ConnectBy { connect_token, nocycle: _, relationships: _ } => {
            refuse("CONNECT BY", connect_token.0.span)
        }
        ConnectByKind::StartWith { start_token, condition: _ } => refuse("START WITH", start_token.0.span),
    }
}

fn group_by(group_by: &GroupByExpr, place: Span) -> Result<()> {
    let modifiers = match group_by {
        GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => modifiers,
    };
    match modifiers.first() {
        None => Ok(()),
        Some(GroupByWithModifier::Rollup) => refuse("GROUP BY … WITH ROLLUP (write GROUP BY ROLLUP (…))", place),
        Some(GroupByWithModifier::Cube) => refuse("GROUP BY … WITH CUBE (write GROUP BY CUBE (…))", place),
        Some(GroupByWithModifier::Totals) => refuse("GROUP BY … WITH TOTALS", place),
        Some(GroupByWithModifier::GroupingSets(sets)) => refuse("GROUPING SETS after GROUP BY …", sets.span()),
    }
}

fn select_item(item: &SelectItem) -> Result<()> {
    match item {
        SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { expr: _, alias: _ } => Ok(()),
        SelectItem::ExprWithAliases { expr, aliases: _ } => refuse("several names of one expression", expr.span()),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(_), options)
        | SelectItem::Wildcard(options) => wildcard(options),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), _) => {
            refuse("* of an expression", expr.span())
        }
    }
}

pub(super) fn wildcard(options: &WildcardAdditionalOptions) -> Result<()> {
    let WildcardAdditionalOptions {
        wildcard_token,
        opt_ilike,
        opt_exclude: _,
        opt_except: _,
        opt_replace: _,
        opt_rename,
        opt_alias,
    } = options;
    let place = wildcard_token.0.span;
    absent(opt_ilike.is_some(), "* ILIKE", place)?;
    absent(opt_rename.is_some(), "* RENAME", place)?;
    absent(opt_alias.is_some(), "* AS", place)
}

/// Collects the calls over a named window that the planner resolves: those of its select list. It looks
/// into subqueries of that list, too, where it would take the outer window of the same name.
pub(super) fn windows(select: &Select, depth: usize, resolved: &mut HashSet<*const Function>) -> Result<()> {
    absent(depth > 0 && !select.named_window.is_empty(), "WINDOW in a subquery", select.select_token.0.span)?;
    for item in &select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let _ended: ControlFlow<()> = visit_expressions(expr, |expr| {
            if let Expr::Function(call) = expr
                && let Some(WindowType::NamedWindow(_)) = &call.over
            {
                resolved.insert(&raw const *call);
            }
            ControlFlow::Continue(())
        });
    }
    Ok(())
}

fn pipe_operator(operator: &PipeOperator) -> Result<()> {
    match operator {
        PipeOperator::Limit { expr: _, offset: _ }
        | PipeOperator::Where { expr: _ }
        | PipeOperator::As { alias: _ }
        | PipeOperator::Union { set_quantifier: _, queries: _ }
        | PipeOperator::Intersect { set_quantifier: _, queries: _ }
        | PipeOperator::Except { set_quantifier: _, queries: _ } => Ok(()),
        PipeOperator::OrderBy { exprs } => exprs.iter().try_for_each(order_by_expression),
        PipeOperator::Select { exprs } | PipeOperator::Extend { exprs } => exprs.iter().try_for_each(select_item),
        PipeOperator::Aggregate { full_table_exprs, group_by_expr } => {
            full_table_exprs.iter().chain(group_by_expr).try_for_each(|item| {
                let ExprWithAliasAndOrderBy { expr, order_by: OrderByOptions { asc, nulls_first } } = item;
                let ExprWithAlias { expr, alias: _ } = expr;
                absent(asc.is_some() || nulls_first.is_some(), "an order in |> AGGREGATE", expr.span())
            })
        }
        PipeOperator::Join(join) => relation::join(join),
        other => refuse(&format!("the operator |> {other}"), Span::empty()),
    }
}
