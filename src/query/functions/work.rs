//! Calls that cost more than reading their arguments once: bounded row by row, and done in pieces
//! between which the statement's time is looked at, for nothing can interrupt a call.
//!
//! A step is what takes a nanosecond or a few.

use std::time::{Duration, Instant};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef},
        compute::concat,
    },
    common::{DataFusionError, Result, exec_err},
    logical_expr::ColumnarValue,
};

use super::{
    measure::length,
    pattern::Search,
    weigh::{Measure, Unit, weight},
};
use crate::query::allowance::Allowance;

/// Steps for one row: nothing looks at the time meanwhile.
pub(super) const ROW_STEPS: u64 = 200_000_000;
/// Steps of the first piece. Pieces grow and shrink by the time they take.
const PIECE_STEPS: u64 = 20_000_000;
/// Steps of the largest piece: where constants are copied into each row, a step is a byte.
const LARGEST_PIECE: u64 = 4 * PIECE_STEPS;
/// A piece that took less is followed by a larger one,
const SHORT: Duration = Duration::from_millis(20);
/// one that took more by a smaller one.
const LONG: Duration = Duration::from_millis(100);

/// What the steps of a call follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Work {
    /// (list): sorts it.
    Sort,
    /// (list, list): each element with each.
    Elements,
    /// (text, text): each character with each, or some of it.
    Texts,
    /// (text, pattern, …): one search.
    Search,
    /// (text, pattern, …): one search after another, each of which may look at all that is left.
    SearchAll,
    /// A few for each byte that is made.
    Output,
}

/// The steps of each row, and what has to be tried first.
pub(super) struct MatchCost {
    steps: Measure,
    search: Option<Search>,
}

impl MatchCost {
    /// `made` is what [`super::measure::check`] found.
    pub(super) fn of(
        function: &str,
        work: Option<Work>,
        arguments: &[ColumnarValue],
        made: &Measure,
    ) -> Result<MatchCost> {
        let plain = |steps| Ok(MatchCost { steps, search: None });
        let Some(work) = work else { return plain(Measure::Same(0)) };
        match work {
            Work::Sort => {
                let bytes = units(arguments.first())?;
                plain(Measure::Each((0..bytes.rows()).map(|row| bytes.at(row).saturating_mul(4)).collect()))
            }
            Work::Elements => {
                let (units, others) = (units(arguments.first())?, units(arguments.get(1))?);
                // The longer elements decide what one comparison costs.
                plain(product(&units, &others, 1))
            }
            Work::Texts => {
                let one = arguments.first().map_or(Ok(Measure::Same(0)), length)?;
                let other = arguments.get(1).map_or(Ok(Measure::Same(0)), length)?;
                // Comparing bytes for equality goes many at once.
                plain(product(&one, &other, if function == "strpos" { 16 } else { 1 }))
            }
            Work::Output => plain(Measure::Each((0..made.rows()).map(|row| made.at(row).saturating_mul(4)).collect())),
            Work::Search | Work::SearchAll => {
                let search = Search::new(function, work == Work::SearchAll, arguments)?;
                Ok(MatchCost { steps: search.steps()?, search: Some(search) })
            }
        }
    }

    /// With so many steps more for each row.
    pub(super) fn and(self, steps: u64) -> MatchCost {
        if steps == 0 { self } else { MatchCost { steps: self.steps.plus(Measure::Same(steps)), ..self } }
    }
}

/// Bytes of the constants among the arguments, which a function may copy into each of its rows; 0 if that
/// is not much in all.
pub(super) fn repeated(arguments: &[ColumnarValue], rows: usize) -> u64 {
    let mut columns = false;
    let mut bytes = 0_u64;
    for argument in arguments {
        match argument {
            ColumnarValue::Array(_) => columns = true,
            ColumnarValue::Scalar(value) if value.data_type().is_primitive() => {}
            ColumnarValue::Scalar(value) => bytes = bytes.saturating_add(value.size() as u64),
        }
    }
    if columns && bytes.saturating_mul(rows as u64) > PIECE_STEPS { bytes } else { 0 }
}

/// Elements of lists, those that are long counting as several.
fn units(list: Option<&ColumnarValue>) -> Result<Measure> {
    let Some(list) = list else { return Ok(Measure::Same(0)) };
    let (elements, bytes) = (length(list)?, weight(list, Unit::Bytes)?);
    let rows = elements.rows().max(bytes.rows());
    let measure = Measure::Each((0..rows).map(|row| elements.at(row).max(bytes.at(row) / 16)).collect());
    Ok(measure.collapse(list))
}

fn product(one: &Measure, other: &Measure, divisor: u64) -> Measure {
    let rows = one.rows().max(other.rows());
    Measure::Each((0..rows).map(|row| one.at(row).saturating_mul(other.at(row)) / divisor).collect())
}

/// Calls a function for `rows` rows, in pieces if it takes long.
///
/// Errors: one row takes too many steps; the statement's time is over; those of the call.
pub(super) fn run(
    function: &str,
    cost: &MatchCost,
    allowance: Option<&Allowance>,
    (arguments, rows): (Vec<ColumnarValue>, usize),
    call: impl Fn(Vec<ColumnarValue>, usize) -> Result<ColumnarValue>,
) -> Result<ColumnarValue> {
    let mut total = 0_u64;
    for row in 0..rows.max(1) {
        let steps = cost.steps.at(row);
        if steps > ROW_STEPS {
            return exec_err!("{function} would take {steps} steps for one value, the limit is {ROW_STEPS}");
        }
        total = total.saturating_add(steps);
    }
    let scalars = arguments.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
    if scalars || rows <= 1 {
        cost.search.as_ref().map_or(Ok(()), |search| search.try_rows(0..1, allowance))?;
        return call(arguments, rows);
    }
    if total <= PIECE_STEPS && !cost.search.as_ref().is_some_and(Search::has_trials) {
        return call(arguments, rows);
    }
    let mut pieces: Vec<ArrayRef> = Vec::new();
    let (mut start, mut budget) = (0, PIECE_STEPS);
    while start < rows {
        allowance.map_or(Ok(()), Allowance::check_time)?;
        let end = piece(&cost.steps, start, rows, budget);
        cost.search.as_ref().map_or(Ok(()), |search| search.try_rows(start..end, allowance))?;
        let began = Instant::now();
        let made = call(arguments.iter().map(|argument| slice(argument, start, end)).collect(), end - start)?;
        pieces.push(made.into_array(end - start)?);
        match began.elapsed() {
            elapsed if elapsed < SHORT => budget = (budget * 4).min(LARGEST_PIECE),
            elapsed if elapsed > LONG => budget = (budget / 4).max(1),
            _ => {}
        }
        start = end;
    }
    let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
    concat(&pieces).map(ColumnarValue::Array).map_err(DataFusionError::from)
}

/// The end of the piece that begins at `start`: one row at least.
fn piece(steps: &Measure, start: usize, rows: usize, budget: u64) -> usize {
    let mut sum = 0_u64;
    for row in start..rows {
        sum = sum.saturating_add(steps.at(row));
        if sum > budget && row > start {
            return row;
        }
    }
    rows
}

fn slice(argument: &ColumnarValue, start: usize, end: usize) -> ColumnarValue {
    match argument {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(start, end - start)),
        scalar @ ColumnarValue::Scalar(_) => scalar.clone(),
    }
}
