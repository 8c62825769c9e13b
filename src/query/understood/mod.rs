//! Only what is understood runs: the parser knows many dialects, and DataFusion's planner passes over
//! clauses that it does not know without a word. A filter that is passed over is a wrong answer.
//!
//! In: a parsed query. Out: nothing, or an error that names the first clause that nobody would obey.
//! Every structure of the syntax is taken apart field by field, without `..`, so that a field of a newer
//! parser does not compile until somebody decides about it; of alternatives, those listed are let through.
//!
//! Never: changes a query. What passes here the planner may still refuse.

mod expression;
mod query;
mod relation;
#[cfg(test)]
mod tests;
mod types;

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{Expr, Function, Query, Select, TableFactor, Visit, Visitor},
    tokenizer::Span,
};

use crate::model::{Code, Error, Result};

/// What the walk has to know of functions.
pub(super) trait Functions {
    /// Whether a name, in lower case, is that of a function of one row, to which the planner gives
    /// precedence, and of which it reads nothing but the arguments.
    fn is_of_one_row(&self, name: &str) -> bool;
}

/// Refuses, by name, what would be passed over.
///
/// Errors: [`Code::NotImplemented`], with line and column where the syntax tree has them.
pub(super) fn check(query: &Query, functions: &dyn Functions) -> Result<()> {
    let mut walk = Walk { functions, windows: HashSet::new(), depth: 0 };
    match query.visit(&mut walk) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Walk<'a> {
    functions: &'a dyn Functions,
    /// Calls whose named window the planner resolves, by address: the tree does not move.
    windows: HashSet<*const Function>,
    /// Expressions around what is visited.
    depth: usize,
}

impl Visitor for Walk<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        flow(query::query(query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        flow(query::select(select).and_then(|()| query::windows(select, self.depth, &mut self.windows)))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        flow(relation::table_factor(factor))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        self.depth += 1;
        flow(expression::expression(expr, self.functions, &self.windows))
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

/// Says that a clause is not obeyed. `place` is where it, or what it belongs to, stands.
fn refuse(clause: &str, place: Span) -> Result<()> {
    let mut message = format!("This feature is not implemented: {clause}");
    if place.start.line > 0 {
        message += &format!(" at Line: {}, Column: {}", place.start.line, place.start.column);
    }
    Err(Error::new(Code::NotImplemented, message))
}

/// Refuses a clause that is there.
fn absent(is_there: bool, clause: &str, place: Span) -> Result<()> {
    if is_there { refuse(clause, place) } else { Ok(()) }
}
