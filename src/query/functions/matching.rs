//! `LIKE`, `SIMILAR TO` and `~`, where text or pattern may be long: in pieces between which the
//! statement's time is looked at, as functions are called. A column and a short pattern stay what they
//! are, and so reach the scans and their statistics.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch, RecordBatchOptions},
        datatypes::{DataType, Field, Schema},
    },
    common::{Result, ScalarValue, exec_err, internal_err},
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, Like, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility, expr::ScalarFunction,
    },
    physical_expr::{
        PhysicalExpr,
        expressions::{Column, Literal, binary, like},
    },
};

use super::{
    pattern::{PATTERN_BYTES, PatternShape},
    weigh::Measure,
    work::{self, MatchCost, Work},
};
use crate::query::allowance::Allowance;

/// Places of a pattern that is applied to whole batches of a column.
const CHEAP_PLACES: u64 = 256;

/// Which comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Compares {
    Like { negated: bool, case_insensitive: bool },
    Regex(Operator),
}

/// A comparison of a text with a pattern, as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Matching {
    compares: Compares,
    signature: Signature,
}

/// The same comparison, bounded; `None` where it is none of these, or is cheap.
pub(super) fn bounded(expr: &Expr) -> Option<Expr> {
    let (compares, text, pattern) = match expr {
        Expr::Like(Like { negated, expr, pattern, escape_char: None | Some('\\'), case_insensitive }) => {
            (Compares::Like { negated: *negated, case_insensitive: *case_insensitive }, expr, pattern)
        }
        Expr::SimilarTo(Like { negated, expr, pattern, escape_char: None, case_insensitive }) => {
            (Compares::Regex(operator(*negated, *case_insensitive)), expr, pattern)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_regex(*op) => (Compares::Regex(*op), left, right),
        _ => return None,
    };
    if is_column(text) && is_cheap(compares, pattern) {
        return None;
    }
    let function = Matching { compares, signature: Signature::any(2, Volatility::Immutable) };
    let function = Arc::new(ScalarUDF::new_from_impl(function));
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![text.as_ref().clone(), pattern.as_ref().clone()])))
}

fn is_regex(operator: Operator) -> bool {
    use Operator::{RegexIMatch, RegexMatch, RegexNotIMatch, RegexNotMatch};
    matches!(operator, RegexIMatch | RegexMatch | RegexNotIMatch | RegexNotMatch)
}

fn operator(negated: bool, case_insensitive: bool) -> Operator {
    match (negated, case_insensitive) {
        (false, false) => Operator::RegexMatch,
        (false, true) => Operator::RegexIMatch,
        (true, false) => Operator::RegexNotMatch,
        (true, true) => Operator::RegexNotIMatch,
    }
}

/// Whether it is what a scan or another operator puts out, perhaps as another type of text.
pub(super) fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Cast(cast) => is_column(&cast.expr),
        Expr::Alias(alias) => is_column(&alias.expr),
        _ => false,
    }
}

/// Whether it is a constant, and short enough for whole batches.
pub(super) fn is_cheap_pattern(pattern: &Expr) -> bool {
    is_cheap(Compares::Regex(Operator::RegexMatch), pattern)
}

fn is_cheap(compares: Compares, pattern: &Expr) -> bool {
    let literal = match pattern {
        Expr::Literal(value, _) => value,
        Expr::Cast(cast) => return is_cheap(compares, &cast.expr),
        _ => return false,
    };
    // NULL, and what is no text, is somebody else's to refuse.
    let Some(Some(pattern)) = literal.try_as_str() else { return true };
    match compares {
        Compares::Like { .. } => pattern.len() as u64 <= CHEAP_PLACES,
        Compares::Regex(_) => PatternShape::of(pattern).is_ok_and(|shape| shape.places <= CHEAP_PLACES),
    }
}

impl Matching {
    /// As DataFusion itself compares.
    fn compare(&self, arguments: Vec<ColumnarValue>, rows: usize) -> Result<ColumnarValue> {
        let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        let mut sides: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        for argument in arguments {
            sides.push(match argument {
                ColumnarValue::Scalar(value) => Arc::new(Literal::new(value)),
                ColumnarValue::Array(array) => {
                    let name = format!("c{}", columns.len());
                    fields.push(Field::new(&name, array.data_type().clone(), true));
                    columns.push(array);
                    Arc::new(Column::new(&name, columns.len() - 1))
                }
            });
        }
        let (Some(pattern), Some(text)) = (sides.pop(), sides.pop()) else {
            return internal_err!("a comparison has two sides");
        };
        let schema = Arc::new(Schema::new(fields));
        let comparison = match self.compares {
            Compares::Like { negated, case_insensitive } => like(negated, case_insensitive, text, pattern, &schema)?,
            Compares::Regex(operator) => binary(text, operator, pattern, &schema)?,
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        comparison.evaluate(&RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    fn cost(&self, arguments: &[ColumnarValue]) -> Result<MatchCost> {
        if let Compares::Like { .. } = self.compares
            && let Some(ColumnarValue::Scalar(pattern)) = arguments.get(1)
            && let Some(Some(pattern)) = pattern.try_as_str()
            && pattern.len() > PATTERN_BYTES
        {
            return exec_err!("a pattern has {} bytes, the limit is {PATTERN_BYTES}", pattern.len());
        }
        // A pattern of LIKE read as a regular expression has as many places, or it is no regular expression
        // and counts by its bytes.
        MatchCost::of(self.name(), Some(Work::Search), arguments, &Measure::Same(0))
    }
}

/// What [`Matching`] is called.
pub(super) const NAMES: [&str; 2] = ["LIKE", "~"];

impl ScalarUDFImpl for Matching {
    fn name(&self) -> &'static str {
        match self.compares {
            Compares::Like { .. } => NAMES[0],
            Compares::Regex(_) => NAMES[1],
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ScalarFunctionArgs { args, number_rows, config_options, .. } = arguments;
        let allowance = Allowance::of(&config_options);
        allowance.map_or(Ok(()), Allowance::check_time)?;
        if args.iter().any(|argument| argument.data_type() == DataType::Null) {
            return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(None)));
        }
        let cost = self.cost(&args)?;
        work::run(self.name(), &cost, allowance, (args, number_rows), |args, rows| self.compare(args, rows))
    }
}
