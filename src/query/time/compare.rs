//! Comparisons of a timestamp with a moment of another unit, a date or a text, exactly: what is finer
//! than a tick is never cut before it is compared, and what no tick reaches is beyond all of them.
//!
//! DataFusion casts both sides to one unit, and then takes the cast off the column again, which cuts
//! the literal: `time < '….0005'` left out rows of the millisecond before. Here the other side becomes
//! a bound in the column's own ticks, which prunes as any literal does.

use datafusion::{
    arrow::datatypes::{DataType, TimeUnit},
    common::{DFSchema, Result, ScalarValue, tree_node::TreeNode},
    logical_expr::{
        Between, BinaryExpr, Case, Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
        expr::{InList, InSubquery},
        lit, not,
    },
};

use super::{
    bounds::{Question, ask},
    moment::{names_moments, of_literal, tick},
};

/// The expression made exact, if it compares a timestamp with something of another kind; else `None`.
pub(super) fn exact(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => Ok(binary(left, *op, right, schema)),
        Expr::Between(between) => Ok(self::between(between, schema)),
        Expr::InList(list) => Ok(in_list(list, schema)),
        Expr::InSubquery(subquery) => in_subquery(subquery, schema),
        Expr::Case(case) => Ok(self::case(case, schema)),
        _ => Ok(None),
    }
}

/// What is compared in ticks of its own.
#[derive(Debug, Clone)]
struct Ticks {
    expr: Expr,
    unit: TimeUnit,
    nullable: bool,
}

impl Ticks {
    /// A timestamp without a zone; of one that was cast to a finer unit, what it was before.
    fn of(expr: &Expr, schema: &DFSchema) -> Option<Ticks> {
        let unit = unit(expr, schema)?;
        if let Expr::Cast(Cast { expr: inner, .. }) = expr
            && let Some(coarser) = self::unit(inner, schema)
            && tick(coarser) > tick(unit)
        {
            return Ticks::of(inner, schema);
        }
        let nullable = expr.nullable(schema).unwrap_or(true);
        Some(Ticks { expr: expr.clone(), unit, nullable })
    }

    fn literal(&self, ticks: i128) -> Option<Expr> {
        let ticks = Some(i64::try_from(ticks).ok()?);
        Some(lit(match self.unit {
            TimeUnit::Second => ScalarValue::TimestampSecond(ticks, None),
            TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(ticks, None),
            TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(ticks, None),
            TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(ticks, None),
        }))
    }

    /// True, but of NULL.
    fn always(&self) -> Expr {
        if !self.nullable {
            return lit(true);
        }
        self.expr.clone().is_not_null().or(lit(ScalarValue::Boolean(None)))
    }

    /// False, but of NULL.
    fn never(&self) -> Expr {
        if !self.nullable {
            return lit(false);
        }
        self.expr.clone().is_null().and(lit(ScalarValue::Boolean(None)))
    }

    /// The literal that is exactly this moment, if there is one.
    fn exactly(&self, moment: i128) -> Option<Expr> {
        if moment.rem_euclid(tick(self.unit)) == 0 { self.literal(moment.div_euclid(tick(self.unit))) } else { None }
    }

    fn with_moment(&self, op: Operator, moment: i128) -> Option<Expr> {
        let tick = tick(self.unit);
        let (floor, ceiling) = (moment.div_euclid(tick), -(-moment).div_euclid(tick));
        let (first, last) = (i128::from(i64::MIN), i128::from(i64::MAX));
        let bound = |ticks: i128| self.literal(ticks).map(|bound| comparison(&self.expr, op, bound));
        match op {
            Operator::Lt if ceiling > last => Some(self.always()),
            Operator::Lt if ceiling <= first => Some(self.never()),
            Operator::Lt => bound(ceiling),
            Operator::LtEq if floor >= last => Some(self.always()),
            Operator::LtEq if floor < first => Some(self.never()),
            Operator::LtEq => bound(floor),
            Operator::Gt if floor >= last => Some(self.never()),
            Operator::Gt if floor < first => Some(self.always()),
            Operator::Gt => bound(floor),
            Operator::GtEq if ceiling > last => Some(self.never()),
            Operator::GtEq if ceiling <= first => Some(self.always()),
            Operator::GtEq => bound(ceiling),
            _ => match (op, self.exactly(moment)) {
                (_, Some(same)) => Some(comparison(&self.expr, op, same)),
                (Operator::Eq, None) => Some(self.never()),
                (Operator::NotEq, None) => Some(self.always()),
                (Operator::IsDistinctFrom, None) => Some(lit(true)),
                (Operator::IsNotDistinctFrom, None) => Some(lit(false)),
                _ => None,
            },
        }
    }

    /// A comparison with a moment that is not known yet, as of a function's call.
    fn with_expression(&self, op: Operator, moment: &Expr) -> Option<Expr> {
        let ask = |question| ask(question, self.unit, moment.clone());
        let bound = |op, question| comparison(&self.expr, op, ask(question));
        match op {
            Operator::Lt => Some(bound(op, Question::Ceiling).or(ask(Question::TooLate))),
            Operator::GtEq => Some(bound(op, Question::Ceiling).and(not(ask(Question::TooLate)))),
            Operator::Gt => Some(bound(op, Question::Floor).or(ask(Question::TooEarly))),
            Operator::LtEq => Some(bound(op, Question::Floor).and(not(ask(Question::TooEarly)))),
            Operator::Eq => {
                let from = self.with_expression(Operator::GtEq, moment)?;
                Some(from.and(self.with_expression(Operator::LtEq, moment)?))
            }
            Operator::NotEq => Some(not(self.with_expression(Operator::Eq, moment)?)),
            Operator::IsNotDistinctFrom => {
                let same = self.with_expression(Operator::Eq, moment)?.is_true();
                Some(same.or(self.expr.clone().is_null().and(moment.clone().is_null())))
            }
            Operator::IsDistinctFrom => Some(not(self.with_expression(Operator::IsNotDistinctFrom, moment)?)),
            _ => None,
        }
    }

    /// A comparison with anything. `None`: DataFusion's own is exact, or it is none.
    fn compare(&self, op: Operator, other: &Expr, schema: &DFSchema) -> Option<Expr> {
        let data_type = other.get_type(schema).ok()?;
        if !names_moments(&data_type) {
            return None;
        }
        if is_same(self, other, schema) {
            return Some(comparison(&self.expr, op, other.clone()));
        }
        if let Some(moment) = of_literal(other) {
            return self.with_moment(op, moment);
        }
        if is_constant(other) {
            return self.with_expression(op, other);
        }
        match data_type {
            DataType::Timestamp(unit, None) => {
                let (left, right) = in_finer(self.expr.clone(), self.unit, other.clone(), unit);
                Some(comparison(&left, op, right))
            }
            DataType::Date32 | DataType::Date64 => None,
            _ => self.with_expression(op, other),
        }
    }
}

fn comparison(left: &Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left.clone()), op, Box::new(right)))
}

/// The unit of a timestamp without a zone.
fn unit(expr: &Expr, schema: &DFSchema) -> Option<TimeUnit> {
    match expr.get_type(schema) {
        Ok(DataType::Timestamp(unit, None)) => Some(unit),
        _ => None,
    }
}

/// Both in the finer of two units. What is too far from 1970 for it is an error, never another moment.
fn in_finer(left: Expr, left_unit: TimeUnit, right: Expr, right_unit: TimeUnit) -> (Expr, Expr) {
    let in_unit = |expr, unit| Expr::Cast(Cast::new(Box::new(expr), DataType::Timestamp(unit, None)));
    if tick(left_unit) > tick(right_unit) {
        (in_unit(left, right_unit), right)
    } else if tick(left_unit) < tick(right_unit) {
        (left, in_unit(right, left_unit))
    } else {
        (left, right)
    }
}

/// Whether an expression has one value for all rows, which is known before the first.
fn is_constant(expr: &Expr) -> bool {
    let varies = |part: &Expr| {
        matches!(
            part,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::Placeholder(_)
                | Expr::Unnest(_)
                | Expr::LambdaVariable(_)
        )
    };
    !expr.is_volatile() && !expr.exists(|part| Ok(varies(part))).unwrap_or(true)
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn binary(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Option<Expr> {
    if !is_comparison(op) {
        return None;
    }
    match (Ticks::of(left, schema), Ticks::of(right, schema)) {
        // Of two timestamps the one that varies has ticks to be asked for.
        (Some(_), Some(ticks)) if is_constant(left) && !is_constant(right) => ticks.compare(op.swap()?, left, schema),
        (Some(ticks), _) if is_same(&ticks, right, schema) && ticks.expr == *left => None,
        (Some(ticks), _) => ticks.compare(op, right, schema),
        (None, Some(ticks)) => ticks.compare(op.swap()?, left, schema),
        (None, None) => None,
    }
}

/// Whether something is of the same type as what it is compared with, so that nothing is cast. A text
/// that is still to become a timestamp may name a moment that its type does not reach.
fn is_same(ticks: &Ticks, other: &Expr, schema: &DFSchema) -> bool {
    let is_text = matches!(other, Expr::Cast(cast) if matches!(cast.expr.as_ref(), Expr::Literal(..)));
    !is_text && other.get_type(schema).is_ok_and(|data_type| data_type == DataType::Timestamp(ticks.unit, None))
}

fn between(between: &Between, schema: &DFSchema) -> Option<Expr> {
    let ticks = Ticks::of(&between.expr, schema)?;
    if is_same(&ticks, &between.low, schema) && is_same(&ticks, &between.high, schema) {
        return None;
    }
    // What may not be compared, a zoned timestamp for one, stays with its bound.
    let side = |op, bound: &Expr| {
        ticks.compare(op, bound, schema).unwrap_or_else(|| comparison(&between.expr, op, bound.clone()))
    };
    let within = side(Operator::GtEq, &between.low).and(side(Operator::LtEq, &between.high));
    Some(if between.negated { not(within) } else { within })
}

fn in_list(list: &InList, schema: &DFSchema) -> Option<Expr> {
    let ticks = Ticks::of(&list.expr, schema)?;
    if list.list.iter().all(|item| is_same(&ticks, item, schema)) {
        return None;
    }
    let mut same = Vec::with_capacity(list.list.len());
    let mut others = Vec::new();
    for item in &list.list {
        let is_null = matches!(item, Expr::Literal(value, _) if value.is_null());
        if is_null || is_same(&ticks, item, schema) {
            same.push(item.clone());
        } else if let Some(moment) = of_literal(item) {
            // What is between two ticks is equal to none.
            same.extend(ticks.exactly(moment));
        } else {
            others.push(ticks.compare(Operator::Eq, item, schema)?);
        }
    }
    if same.is_empty() {
        others.push(ticks.never());
    } else {
        others.push(ticks.expr.clone().in_list(same, false));
    }
    let within = others.into_iter().reduce(Expr::or)?;
    Some(if list.negated { not(within) } else { within })
}

/// `CASE time WHEN … THEN …` as `CASE WHEN time = … THEN …`.
fn case(case: &Case, schema: &DFSchema) -> Option<Expr> {
    let operand = case.expr.as_ref()?;
    let ticks = Ticks::of(operand, schema)?;
    if case.when_then_expr.iter().all(|(when, _)| is_same(&ticks, when, schema)) || operand.is_volatile() {
        return None;
    }
    let branch = |(when, then): &(Box<Expr>, Box<Expr>)| {
        let matches = ticks.compare(Operator::Eq, when, schema);
        let matches = matches.unwrap_or_else(|| comparison(operand, Operator::Eq, when.as_ref().clone()));
        (Box::new(matches), then.clone())
    };
    let branches = case.when_then_expr.iter().map(branch).collect();
    Some(Expr::Case(Case::new(None, branches, case.else_expr.clone())))
}

/// `time IN (SELECT …)` of another unit: both in the finer one.
fn in_subquery(within: &InSubquery, schema: &DFSchema) -> Result<Option<Expr>> {
    let plan = within.subquery.subquery.as_ref();
    let Some(field) = plan.schema().fields().first() else { return Ok(None) };
    let (Some(unit), DataType::Timestamp(other, None)) = (unit(&within.expr, schema), field.data_type()) else {
        return Ok(None);
    };
    if unit == *other {
        return Ok(None);
    }
    let (column, other) = (Expr::from(plan.schema().qualified_field(0)), *other);
    let (left, right) = in_finer(within.expr.as_ref().clone(), unit, column.clone(), other);
    let subquery = if right == column {
        within.subquery.subquery.clone()
    } else {
        let cast = right.alias(field.name());
        LogicalPlan::into(LogicalPlanBuilder::from(plan.clone()).project([cast])?.build()?)
    };
    let subquery = Subquery { subquery, ..within.subquery.clone() };
    Ok(Some(Expr::InSubquery(InSubquery::new(Box::new(left), subquery, within.negated))))
}

/// The keys of a join that are timestamps of two units, in the finer one.
pub(super) fn join_keys(left: &DFSchema, right: &DFSchema, keys: Vec<(Expr, Expr)>) -> Vec<(Expr, Expr)> {
    let exact = |(a, b): (Expr, Expr)| match (unit(&a, left), unit(&b, right)) {
        (Some(a_unit), Some(b_unit)) => in_finer(a, a_unit, b, b_unit),
        _ => (a, b),
    };
    keys.into_iter().map(exact).collect()
}
