//! What a search for a regular expression may cost. The engine takes time in proportion to the text
//! and to the pattern for one search; where it looks for one match after another, each may look at all
//! of the text that is left.

use std::ops::Range;
use std::time::{Duration, Instant};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray},
        compute::cast,
        datatypes::DataType,
    },
    common::{Result, exec_err},
    functions::regex::compile_regex,
    logical_expr::ColumnarValue,
};
use regex_syntax::hir::{Hir, HirKind};

use super::weigh::Measure;
use crate::query::allowance::Allowance;

/// Bytes of one pattern: its parts take a hundred times as much while it is read.
pub(in crate::query) const PATTERN_BYTES: usize = 64 << 10;
/// Steps to compile one place of a pattern.
const COMPILE_STEPS: u64 = 20_000;
/// How long searches of one row may take that may look at all that is left each time.
const TRIAL: Duration = Duration::from_secs(1);
/// Steps of all searches in one text that need not be tried first.
const UNTRIED: u64 = 50_000_000;

/// What is known of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query) struct PatternShape {
    /// Characters and classes of characters, each as often as it is repeated: what the engine may be at
    /// at the same time.
    pub places: u64,
    /// Groups that are captured.
    pub groups: u64,
    /// Bytes of the longest match; `None` if there is no longest one.
    pub longest: Option<u64>,
}

impl PatternShape {
    /// Errors: the pattern is too long.
    pub(in crate::query) fn of(pattern: &str) -> Result<PatternShape> {
        if pattern.len() > PATTERN_BYTES {
            return exec_err!("a pattern has {} bytes, the limit is {PATTERN_BYTES}", pattern.len());
        }
        Ok(match regex_syntax::parse(pattern) {
            Ok(hir) => PatternShape {
                places: places(&hir),
                groups: hir.properties().explicit_captures_len() as u64,
                longest: hir.properties().maximum_len().map(|bytes| bytes as u64),
            },
            // Who compiles it says what is wrong with it; a flag may make it right.
            Err(_) => PatternShape { places: pattern.len() as u64, groups: pattern.len() as u64, longest: None },
        })
    }
}

/// No deeper than the parser lets patterns be.
fn places(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.saturating_add(1)).max(1);
            places(&repetition.sub).saturating_mul(u64::from(times))
        }
        HirKind::Capture(capture) => places(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().map(places).fold(1, u64::saturating_add),
    }
}

/// The arguments of a call that searches.
pub(super) struct Search {
    function: String,
    texts: Texts,
    patterns: Texts,
    flags: Option<Texts>,
    /// The shapes of the patterns of all rows, or of the one there is.
    shapes: Vec<Option<PatternShape>>,
    /// Whether a call looks for one match after another.
    all: bool,
}

/// A column of texts, or one text.
struct Texts {
    values: ArrayRef,
    one: bool,
}

impl Texts {
    fn new(argument: &ColumnarValue) -> Result<Texts> {
        let values = argument.to_array(1)?;
        let values = match values.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => values,
            _ => cast(&values, &DataType::Utf8View)?,
        };
        Ok(Texts { values, one: matches!(argument, ColumnarValue::Scalar(_)) })
    }

    fn at(&self, row: usize) -> Option<&str> {
        let row = if self.one { 0 } else { row };
        if self.values.is_null(row) {
            return None;
        }
        Some(match self.values.data_type() {
            DataType::Utf8 => self.values.as_string::<i32>().value(row),
            DataType::LargeUtf8 => self.values.as_string::<i64>().value(row),
            _ => self.values.as_string_view().value(row),
        })
    }

    fn bytes(&self, row: usize) -> u64 {
        self.at(row).map_or(0, str::len) as u64
    }
}

impl Search {
    /// Errors: a pattern is too long, or an argument is no text.
    pub(super) fn new(function: &str, all: bool, arguments: &[ColumnarValue]) -> Result<Search> {
        let [text, pattern, ..] = arguments else { return exec_err!("{function} takes two arguments at least") };
        let flags = match function {
            "regexp_like" | "regexp_match" => arguments.get(2),
            "regexp_count" | "regexp_replace" => arguments.get(3),
            "regexp_instr" => arguments.get(4),
            _ => None,
        };
        // Without the flag 'g', and without a number of the match, the first one is all that is looked for.
        let all = match function {
            "regexp_replace" | "regexp_instr" => all && arguments.len() > 3,
            _ => all,
        };
        let (texts, patterns) = (Texts::new(text)?, Texts::new(pattern)?);
        let flags = flags.map(Texts::new).transpose()?;
        let mut shapes: Vec<Option<PatternShape>> = Vec::with_capacity(patterns.values.len());
        for row in 0..patterns.values.len() {
            let pattern = patterns.at(row);
            let before = row.checked_sub(1).filter(|before| patterns.at(*before) == pattern);
            let shape = match before.and_then(|before| shapes.get(before).copied()) {
                Some(shape) => shape,
                None => pattern.map(PatternShape::of).transpose()?,
            };
            shapes.push(shape);
        }
        Ok(Search { function: function.to_owned(), texts, patterns, flags, shapes, all })
    }

    fn rows(&self) -> usize {
        let rows = |texts: &Texts| if texts.one { 1 } else { texts.values.len() };
        rows(&self.texts).max(rows(&self.patterns)).max(self.flags.as_ref().map_or(1, rows))
    }

    fn shape(&self, row: usize) -> Option<PatternShape> {
        self.shapes.get(if self.patterns.one { 0 } else { row }).copied().flatten()
    }

    /// The steps of each row; what [`Search::try_rows`] tries counts as one search.
    pub(super) fn steps(&self) -> Result<Measure> {
        let steps = |row: usize| {
            let Some(shape) = self.shape(row) else { return 0 };
            let text = self.texts.bytes(row).saturating_add(1);
            let same = row == 0 || self.patterns.one || self.patterns.at(row) == self.patterns.at(row - 1);
            let compile = if same { 0 } else { shape.places.saturating_mul(COMPILE_STEPS) };
            let again = if self.all && !self.needs_trial(row) {
                shape.longest.map_or(text, |longest| longest.min(text))
            } else {
                0
            };
            text.saturating_mul(shape.places.saturating_add(again)).saturating_add(compile)
        };
        Ok(Measure::Each((0..self.rows()).map(steps).collect()))
    }

    /// Bytes of what all groups of one match hold at most.
    pub(super) fn captured(&self) -> Measure {
        let captured = |row: usize| {
            let groups = self.shape(row).map_or(0, |shape| shape.groups.max(1));
            groups.saturating_mul(self.texts.bytes(row).saturating_add(16))
        };
        Measure::Each((0..self.rows()).map(captured).collect())
    }

    fn needs_trial(&self, row: usize) -> bool {
        let text = self.texts.bytes(row);
        let again = |shape: PatternShape| text.saturating_mul(shape.longest.map_or(text, |longest| longest.min(text)));
        self.all && self.shape(row).is_some_and(|shape| again(shape) > UNTRIED)
    }

    pub(super) fn has_trials(&self) -> bool {
        self.all && (0..self.rows()).any(|row| self.needs_trial(row))
    }

    /// Looks for all matches where that may take very long, to see that it does not.
    ///
    /// Errors: it does, or the statement's time is over.
    pub(super) fn try_rows(&self, rows: Range<usize>, allowance: Option<&Allowance>) -> Result<()> {
        for row in rows.filter(|row| self.needs_trial(*row)) {
            let (Some(text), Some(pattern)) = (self.texts.at(row), self.patterns.at(row)) else { continue };
            let flags = self.flags.as_ref().and_then(|flags| flags.at(row)).unwrap_or_default().replace('g', "");
            // What does not compile the call itself refuses.
            let Ok(regex) = compile_regex(pattern, Some(&flags)) else { continue };
            let began = Instant::now();
            let may_try = allowance.is_none_or(Allowance::may_try);
            if !may_try || regex.find_iter(text).any(|_| began.elapsed() > TRIAL) {
                allowance.inspect(|allowance| allowance.tried_in_vain());
                return exec_err!(
                    "{} looks at the same text again for each match, and takes more than {TRIAL:?} for a text of {} \
                     bytes, which is the limit: anchor the pattern, or cut the text",
                    self.function,
                    text.len()
                );
            }
            allowance.map_or(Ok(()), Allowance::check_time)?;
        }
        Ok(())
    }
}
