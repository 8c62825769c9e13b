//! Bounds on a statement before anything plans it: planning cannot be interrupted, so what would make
//! it explode is refused by counting. Tokens first (deep trees overflow the stack even when dropped),
//! then the parsed tree.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{Expr, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, TableFactor, Visit, Visitor},
    tokenizer::{Token, TokenWithSpan},
};

use crate::model::{Code, Error, Result, limits::Limits};

/// Parts of a statement other than literals: expressions, queries, relations.
pub const NODES: usize = 5_000;
/// `UNION`, `INTERSECT`, `EXCEPT`.
pub const SET_OPERATIONS: usize = 64;
/// Relations beyond the first of each `FROM`.
pub const JOINS: usize = 32;
/// Items of `IN (…)` lists.
pub const IN_ITEMS: usize = 10_000;
/// Expressions within expressions: `a + b + c + …` is as deep as it is long, and what walks it recurses.
pub const EXPRESSION_DEPTH: usize = 256;
/// `*` in select lists: each stands for every column.
pub const WILDCARDS: usize = 64;
/// Relations once every common table expression is written out where it is used.
pub const EXPANDED_RELATIONS: usize = 1_024;
/// `WITH` inside `WITH`: resolving names doubles with each level.
pub const WITH_DEPTH: usize = 8;

/// Refuses texts longer than the limit.
pub fn check_text(sql: &str, limits: &Limits) -> Result<()> {
    if sql.len() <= limits.sql_text_bytes {
        return Ok(());
    }
    let message = format!("the SQL text has {} bytes, the limit is {}", sql.len(), limits.sql_text_bytes);
    Err(Error::new(Code::Planning, message))
}

/// Refuses `INTERSECT ALL` and `EXCEPT ALL`: DataFusion counts the rows of one side alone (#12955, #12956).
fn check_quantifier(operator: SetOperator, quantifier: SetQuantifier) -> Result<()> {
    match (operator, quantifier) {
        (SetOperator::Union, _) | (_, SetQuantifier::None | SetQuantifier::Distinct) => Ok(()),
        _ => {
            let message = format!("This feature is not implemented: {operator} {quantifier}; {operator} without it is");
            Err(Error::new(Code::NotImplemented, message))
        }
    }
}

/// Refuses token lists that would parse into too large a tree. Literals, commas and parentheses are
/// not counted: the parser bounds nesting, and lists of literals are flat.
pub fn check_tokens(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut nodes = 0;
    let mut set_operations = 0;
    let mut previous = &Token::EOF;
    for token in tokens.iter().map(|token| &token.token) {
        match token {
            Token::Whitespace(_) | Token::EOF => continue,
            Token::Comma | Token::LParen | Token::RParen | Token::Number(..) | Token::SingleQuotedString(_) => {}
            Token::Minus | Token::Plus if matches!(previous, Token::Comma | Token::LParen) => {}
            Token::Word(word) if word.quote_style.is_none() => match word.value.to_ascii_uppercase().as_str() {
                "NULL" | "TRUE" | "FALSE" => {}
                "UNION" | "INTERSECT" | "EXCEPT" | "MINUS" => set_operations += 1,
                _ => nodes += 1,
            },
            _ => nodes += 1,
        }
        previous = token;
    }
    check(nodes, NODES, "expressions")?;
    check(set_operations, SET_OPERATIONS, "set operations")
}

/// Refuses queries that are out of proportion.
pub fn check_query(query: &Query) -> Result<()> {
    let mut counter = Counter::default();
    match query.visit(&mut counter) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn check(count: usize, limit: usize, what: &str) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    Err(Error::new(Code::Planning, format!("the statement is too complex: more than {limit} {what}")))
}

#[derive(Default)]
struct Counter {
    nodes: usize,
    set_operations: usize,
    joins: usize,
    in_items: usize,
    wildcards: usize,
    with_depth: usize,
    expression_depth: usize,
    /// Relations under each open query, written out.
    expanded: Vec<usize>,
    /// The weight of each common table expression met so far, by name in lower case.
    weights: HashMap<String, usize>,
    /// Which queries define a common table expression, by address: the tree does not move.
    definitions: HashMap<*const Query, String>,
}

impl Counter {
    fn body(&mut self, body: &SetExpr) -> Result<()> {
        let mut open = vec![body];
        while let Some(part) = open.pop() {
            match part {
                SetExpr::SetOperation { op, set_quantifier, left, right } => {
                    check_quantifier(*op, *set_quantifier)?;
                    self.set_operations += 1;
                    open.extend([left.as_ref(), right.as_ref()]);
                }
                SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => {}
                SetExpr::Insert(_)
                | SetExpr::Update(_)
                | SetExpr::Delete(_)
                | SetExpr::Merge(_)
                | SetExpr::Table(_) => {
                    let message = "This feature is not implemented: only SELECT and VALUES inside a query";
                    return Err(Error::new(Code::NotImplemented, message));
                }
            }
        }
        check(self.set_operations, SET_OPERATIONS, "set operations")
    }

    fn select(&mut self, select: &Select) -> Result<()> {
        if select.into.is_some() {
            return Err(Error::new(Code::NotImplemented, "This feature is not implemented: SELECT INTO"));
        }
        let relations = select.from.iter().map(|from| 1 + from.joins.len()).sum::<usize>();
        self.joins += relations.saturating_sub(1);
        let stars = |item: &&SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        self.wildcards += select.projection.iter().filter(stars).count();
        check(self.joins, JOINS, "joins")?;
        check(self.wildcards, WILDCARDS, "wildcards")
    }

    fn enter(&mut self, query: &Query) -> Result<()> {
        self.nodes += 1;
        self.expanded.push(0);
        if let Some(with) = &query.with {
            self.with_depth += 1;
            for cte in &with.cte_tables {
                self.definitions.insert(&raw const *cte.query, cte.alias.name.value.to_lowercase());
            }
        }
        check(self.with_depth, WITH_DEPTH, "levels of WITH")?;
        check(self.nodes, NODES, "expressions")?;
        self.body(&query.body)
    }

    fn leave(&mut self, query: &Query) {
        if query.with.is_some() {
            self.with_depth -= 1;
        }
        let expanded = self.expanded.pop().unwrap_or_default();
        if let Some(name) = self.definitions.remove(&(&raw const *query)) {
            let weight = self.weights.entry(name).or_default();
            *weight = (*weight).max(expanded.max(1));
        } else if let Some(outer) = self.expanded.last_mut() {
            *outer = outer.saturating_add(expanded);
        }
    }
}

fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl Visitor for Counter {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        flow(self.enter(query))
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        self.leave(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        flow(self.select(select))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        self.nodes += 1;
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            self.joins += table_with_joins.joins.len();
        }
        let weight = match factor {
            TableFactor::Table { name, .. } => self.weights.get(&name.to_string().to_lowercase()).copied().unwrap_or(1),
            _ => 0,
        };
        let expanded = match self.expanded.last_mut() {
            Some(expanded) => {
                *expanded = expanded.saturating_add(weight);
                *expanded
            }
            None => weight,
        };
        flow(
            check(self.joins, JOINS, "joins")
                .and_then(|()| check(expanded, EXPANDED_RELATIONS, "relations once WITH is written out")),
        )
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        self.expression_depth += 1;
        match expr {
            Expr::Value(_) => return ControlFlow::Continue(()),
            Expr::UnaryOp { expr, .. } if matches!(**expr, Expr::Value(_)) => return ControlFlow::Continue(()),
            Expr::InList { list, .. } => self.in_items += list.len(),
            _ => {}
        }
        self.nodes += 1;
        flow(
            check(self.nodes, NODES, "expressions")
                .and_then(|()| check(self.in_items, IN_ITEMS, "items of IN lists"))
                .and_then(|()| check(self.expression_depth, EXPRESSION_DEPTH, "operators in one expression")),
        )
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Error> {
        self.expression_depth -= 1;
        ControlFlow::Continue(())
    }
}
