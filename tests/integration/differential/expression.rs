//! Expressions over the columns of a query's source.

use super::random::Random;
use super::tree::{Kind, Tree, dialects, joined, leaf, tree};

/// The columns that an expression may name.
#[derive(Debug, Clone)]
pub struct Scope {
    pub columns: Vec<(String, Kind)>,
}

impl Scope {
    fn of_kind(&self, kind: Kind) -> Vec<&str> {
        self.columns.iter().filter(|(_, of)| *of == kind).map(|(name, _)| name.as_str()).collect()
    }

    /// A column of a kind, or NULL where there is none.
    pub fn column(&self, random: &mut Random, kind: Kind) -> Tree {
        let names = self.of_kind(kind);
        if names.is_empty() { leaf(kind, "NULL") } else { leaf(kind, *random.pick(&names)) }
    }

    pub fn has(&self, kind: Kind) -> bool {
        !self.of_kind(kind).is_empty()
    }
}

const WHOLES: [&str; 9] = ["0", "1", "2", "5", "-1", "9", "9223372036854775807", "-9223372036854775807", "3"];
const DOUBLES: [&str; 8] = ["0.0", "-0.0", "0.5", "-0.5", "1.5", "100.0", "-250.5", "5.0"];
const TEXTS: [&str; 8] = ["''", "'x'", "'xy'", "'ü b'", "'it''s'", "'a'", "'b'", "'eu'"];
const PATTERNS: [&str; 6] = ["'%'", "'x%'", "'%b'", "'_'", "'%ü%'", "'1__\\%'"];
const COMPARISONS: [&str; 7] = ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM"];
const UNITS: [&str; 4] = ["minute", "hour", "day", "month"];

fn literal(random: &mut Random, kind: Kind) -> Tree {
    match kind {
        Kind::Whole | Kind::Small => leaf(kind, *random.pick(&WHOLES[..6])),
        Kind::Unsigned => leaf(kind, *random.pick(&["0", "1", "4", "18446744073709551615"])),
        // DuckDB reads a number with a point as a decimal.
        Kind::Double => {
            let text = *random.pick(&DOUBLES);
            dialects(kind, text, format!("CAST('{text}' AS DOUBLE)"))
        }
        Kind::Text => leaf(kind, *random.pick(&TEXTS)),
        Kind::Time => {
            let (day, hour) = (24 + random.below(5), random.below(24));
            leaf(kind, format!("TIMESTAMP '2026-11-{day:02} {hour:02}:00:00'"))
        }
        _ => leaf(Kind::Boolean, *random.pick(&["true", "false"])),
    }
}

/// A value of a kind, `depth` levels deep at most.
pub fn value(random: &mut Random, scope: &Scope, kind: Kind, depth: u64) -> Tree {
    if depth == 0 || random.chance(45) {
        let is_column = random.chance(85) && (scope.has(kind) || kind == Kind::Boolean);
        return match kind {
            Kind::Small if is_column => tree(kind, "({} % 1000)", [scope.column(random, Kind::Whole)]),
            _ if is_column && scope.has(kind) => scope.column(random, kind),
            _ => literal(random, kind),
        };
    }
    let deeper = depth - 1;
    let of = |random: &mut Random, kind| value(random, scope, kind, deeper);
    match (kind, random.below(8)) {
        (Kind::Boolean, _) => condition(random, scope, depth),
        (_, 0) => {
            let (when, yes, no) = (condition(random, scope, deeper), of(random, kind), of(random, kind));
            tree(kind, "CASE WHEN {} THEN {} ELSE {} END", [when, yes, no])
        }
        (_, 1) => tree(kind, "coalesce({}, {})", [of(random, kind), of(random, kind)]),
        (Kind::Whole | Kind::Unsigned, 2) => tree(kind, "nullif({}, {})", [of(random, kind), literal(random, kind)]),
        (Kind::Small, 2) => tree(kind, "({} + {})", [of(random, kind), of(random, kind)]),
        (Kind::Small, 3) => tree(kind, "({} * 3)", [of(random, kind)]),
        (Kind::Small, 4) => tree(kind, "(- {})", [of(random, kind)]),
        (Kind::Small, 5) => tree(kind, "abs({})", [of(random, kind)]),
        (Kind::Small, 6) => tree(kind, "length({})", [of(random, Kind::Text)]),
        (Kind::Small, 7) => {
            let unit = *random.pick(&["hour", "day", "month", "year", "minute"]);
            tree(kind, &format!("CAST(date_part('{unit}', {{}}) AS BIGINT)"), [of(random, Kind::Time)])
        }
        (Kind::Double, 2) => tree(kind, "({} * -1)", [of(random, kind)]),
        (Kind::Double, 3) => tree(kind, "({} + {})", [of(random, kind), of(random, kind)]),
        (Kind::Double, 4) => tree(kind, "round({} / 4)", [of(random, kind)]),
        (Kind::Double, 5) => tree(kind, "(- {})", [of(random, kind)]),
        (Kind::Double, 6) => tree(kind, "nullif({}, {})", [of(random, kind), literal(random, kind)]),
        (Kind::Double, 7) => tree(kind, "CAST({} AS DOUBLE)", [of(random, Kind::Small)]),
        (Kind::Text, 2) => tree(kind, "({} || {})", [of(random, kind), of(random, kind)]),
        (Kind::Text, 3) => tree(kind, "upper({})", [of(random, kind)]),
        (Kind::Text, 4) => tree(kind, "substr({}, 1, 1)", [of(random, kind)]),
        (Kind::Text, 5) => tree(kind, "CAST({} AS VARCHAR)", [of(random, Kind::Whole)]),
        (Kind::Time, 2 | 3) => {
            let silt = dialects(Kind::Clause, "date_bin(INTERVAL '6 hours', ", "time_bucket(INTERVAL '6 hours', ");
            let end = dialects(Kind::Clause, ")", ", TIMESTAMP '1970-01-01')");
            joined(kind, "{}{}{}", vec![silt, of(random, kind), end])
        }
        (Kind::Time, _) => {
            let unit = *random.pick(&UNITS);
            tree(kind, &format!("date_trunc('{unit}', {{}})"), [of(random, kind)])
        }
        _ => of(random, kind),
    }
}

const COMPARED: [Kind; 6] = [Kind::Whole, Kind::Double, Kind::Text, Kind::Time, Kind::Unsigned, Kind::Small];

/// A condition.
pub fn condition(random: &mut Random, scope: &Scope, depth: u64) -> Tree {
    let boolean = Kind::Boolean;
    if depth > 0 && random.chance(45) {
        let deeper = depth - 1;
        let of = |random: &mut Random| condition(random, scope, deeper);
        return match random.below(6) {
            0 | 1 => tree(boolean, "({} AND {})", [of(random), of(random)]),
            2 | 3 => tree(boolean, "({} OR {})", [of(random), of(random)]),
            4 => tree(boolean, "(NOT {})", [of(random)]),
            _ => tree(boolean, "({} IS NOT TRUE)", [of(random)]),
        };
    }
    let known: Vec<Kind> = COMPARED.iter().copied().filter(|kind| scope.has(*kind) || *kind == Kind::Small).collect();
    let kind = *random.pick(&known);
    let shallow = depth.min(1);
    let side = value(random, scope, kind, shallow);
    match random.below(9) {
        0 => list(random, kind, side),
        1 => tree(boolean, "({} IS NULL)", [side]),
        2 => tree(boolean, "({} IS NOT NULL)", [side]),
        3 => {
            let not = if random.chance(25) { "NOT " } else { "" };
            let (low, high) = (literal(random, kind), literal(random, kind));
            tree(boolean, &format!("({{}} {not}BETWEEN {{}} AND {{}})"), [side, low, high])
        }
        4 if kind == Kind::Text => {
            let (not, pattern) = (if random.chance(30) { "NOT " } else { "" }, *random.pick(&PATTERNS[..5]));
            tree(boolean, &format!("({{}} {not}LIKE {pattern})"), [side])
        }
        5 if scope.has(boolean) => scope.column(random, boolean),
        6 | 7 => list(random, kind, side),
        _ => {
            let other = if random.chance(70) { literal(random, kind) } else { value(random, scope, kind, shallow) };
            let comparison = *random.pick(&COMPARISONS);
            tree(boolean, &format!("({{}} {comparison} {{}})"), [side, other])
        }
    }
}

fn list(random: &mut Random, kind: Kind, side: Tree) -> Tree {
    let not = if random.chance(35) { "NOT " } else { "" };
    let items: Vec<Tree> = (0..1 + random.below(6))
        .map(|_| if random.chance(6) { leaf(kind, "NULL") } else { literal(random, kind) })
        .collect();
    let pattern = vec!["{}"; items.len()].join(", ");
    let mut trees = vec![side];
    trees.extend(items);
    joined(Kind::Boolean, &format!("({{}} {not}IN ({pattern}))"), trees)
}
