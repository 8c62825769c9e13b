//! Whole queries. What the two engines mean differently by the same words is not generated, or written in
//! each engine's words; the list of it:
//!
//! | where they differ | what is done |
//! |---|---|
//! | whole numbers divided by each other; a division by zero | never divided but by a constant, as doubles |
//! | sums and products that do not fit | only numbers below a thousand are added up |
//! | a cast of a double to a whole number rounds, or cuts | never cast |
//! | where NULL stands in an order | always said |
//! | a number with a point is a decimal | its text is cast to a double |
//! | sums of doubles depend on the order | halves of small numbers, whose sums are exact |
//! | `last_value` as an aggregate | `last` |
//! | types of counts, sums and parts of a date | numbers are compared by value |
//! | -0.0 | is 0.0 in SiltDB: compared as such |
//! | a name of a column `time` | in quotes |
//! | `date_bin` | `time_bucket` with an origin |

use super::expression::{Scope, condition, value};
use super::random::Random;
use super::tree::{Kind, Tree, dialects, joined, leaf, list, tree};

/// A query to ask.
#[derive(Debug, Clone)]
pub struct Query {
    pub tree: Tree,
    /// Its rows come in an order that leaves nothing open.
    pub ordered: bool,
}

/// A source without conditions, and a condition, for the check that needs no second engine.
#[derive(Debug, Clone)]
pub struct Parted {
    pub columns: Tree,
    pub source: Tree,
    pub condition: Tree,
}

fn columns(alias: &str, names: &[(&str, Kind)]) -> Vec<(String, Kind)> {
    names.iter().map(|(name, kind)| (format!("{alias}.{name}"), *kind)).collect()
}

const OF_M: [(&str, Kind); 11] = [
    ("\"time\"", Kind::Time),
    ("host", Kind::Text),
    ("zone", Kind::Text),
    ("f", Kind::Double),
    ("g", Kind::Double),
    ("i", Kind::Whole),
    ("u", Kind::Unsigned),
    ("s", Kind::Text),
    ("b", Kind::Boolean),
    ("late", Kind::Whole),
    ("never", Kind::Whole),
];
const OF_D: [(&str, Kind); 5] =
    [("\"time\"", Kind::Time), ("host", Kind::Text), ("w", Kind::Double), ("n", Kind::Whole), ("label", Kind::Text)];

/// What follows FROM, and its columns. `alone`: one table, in which no two rows are equal.
fn source(random: &mut Random, alone: bool) -> (Tree, Scope) {
    let m = || Scope { columns: columns("a", &OF_M) };
    match if alone { 0 } else { random.below(10) } {
        0..=4 => (leaf(Kind::Source, "m AS a"), m()),
        5 => (leaf(Kind::Source, "d AS b"), Scope { columns: columns("b", &OF_D) }),
        6 => {
            let inner = condition(random, &m(), 1);
            let limit = if random.chance(50) {
                format!(
                    " ORDER BY \"time\", host NULLS FIRST, zone NULLS FIRST LIMIT {}{}",
                    random.below(30),
                    offset(random)
                )
            } else {
                String::new()
            };
            (tree(Kind::Source, &format!("(SELECT * FROM m AS a WHERE {{}}{limit}) AS a"), [inner]), m())
        }
        _ => join(random),
    }
}

fn offset(random: &mut Random) -> String {
    if random.chance(40) { format!(" OFFSET {}", random.below(6)) } else { String::new() }
}

fn join(random: &mut Random) -> (Tree, Scope) {
    if random.chance(20) {
        let mut both = columns("a", &OF_M);
        both.extend(columns("b", &OF_M));
        let on = *random.pick(&[
            "a.host = b.host AND a.i < b.i",
            "a.\"time\" = b.\"time\" AND a.zone = b.zone",
            "a.g = b.f",
        ]);
        return (leaf(Kind::Source, format!("m AS a JOIN m AS b ON {on}")), Scope { columns: both });
    }
    let mut both = columns("a", &OF_M);
    both.extend(columns("b", &OF_D));
    let scope = Scope { columns: both };
    let kind = *random.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    let on = *random.pick(&["a.host = b.host", "a.f = b.w", "a.i = b.n", "a.\"time\" = b.\"time\"", "a.f * -1 = b.w"]);
    // Of a full join DuckDB and DataFusion take conditions beside the keys only if they are of both sides.
    let more = if kind != "FULL JOIN" && random.chance(35) {
        tree(Kind::Clause, " AND {}", [condition(random, &scope, 0)]).optional()
    } else {
        leaf(Kind::Clause, "")
    };
    (tree(Kind::Source, &format!("m AS a {kind} d AS b ON {on}{{}}"), [more]), scope)
}

fn filter(random: &mut Random, scope: &Scope) -> Tree {
    if !random.chance(65) {
        return leaf(Kind::Clause, "");
    }
    let condition = if random.chance(25) { subquery(random, scope) } else { condition(random, scope, 2) };
    tree(Kind::Clause, " WHERE {}", [condition]).optional()
}

/// A condition with a query in it.
fn subquery(random: &mut Random, scope: &Scope) -> Tree {
    let has_a = scope.columns.iter().any(|(name, _)| name.starts_with("a."));
    let (host, number, double) = if has_a { ("a.host", "a.i", "a.f") } else { ("b.host", "b.n", "b.w") };
    let of_d = Scope { columns: columns("q", &OF_D) };
    let inner = if random.chance(50) {
        tree(Kind::Clause, " WHERE {}", [condition(random, &of_d, 1)]).optional()
    } else {
        leaf(Kind::Clause, "")
    };
    let not = if random.chance(45) { "NOT " } else { "" };
    let boolean = Kind::Boolean;
    let found = match random.below(7) {
        0 => tree(boolean, &format!("({host} {not}IN (SELECT q.host FROM d AS q{{}}))"), [inner]),
        1 => tree(boolean, &format!("({number} {not}IN (SELECT q.n FROM d AS q{{}}))"), [inner]),
        2 => tree(boolean, &format!("({double} * -1 {not}IN (SELECT q.w FROM d AS q{{}}))"), [inner]),
        3 => leaf(boolean, format!("({not}EXISTS (SELECT 1 FROM d AS q WHERE q.host = {host} AND q.n > {number}))")),
        4 => leaf(boolean, format!("({number} {not}IN (SELECT q.n FROM d AS q WHERE q.host = {host}))")),
        5 => tree(boolean, &format!("({number} > (SELECT min(q.n) FROM d AS q{{}}))"), [inner]),
        _ => leaf(boolean, format!("((SELECT count(*) FROM d AS q WHERE q.host = {host}) > 1)")),
    };
    match random.below(4) {
        0 => tree(boolean, "({} OR {})", [found, condition(random, scope, 1)]),
        1 => tree(boolean, "({} AND {})", [found, condition(random, scope, 1)]),
        _ => found,
    }
}

const SHOWN: [Kind; 7] =
    [Kind::Whole, Kind::Double, Kind::Text, Kind::Time, Kind::Boolean, Kind::Small, Kind::Unsigned];

fn item(random: &mut Random, scope: &Scope) -> Tree {
    if random.chance(5) {
        return tree(Kind::Clause, "CAST({} AS TIME)", [value(random, scope, Kind::Time, 1)]);
    }
    let known: Vec<Kind> = SHOWN.iter().copied().filter(|kind| scope.has(*kind) || *kind == Kind::Small).collect();
    let kind = *random.pick(&known);
    value(random, scope, kind, 2)
}

fn items(random: &mut Random, scope: &Scope) -> Vec<Tree> {
    (0..1 + random.below(4)).map(|_| item(random, scope)).collect()
}

/// An order by all columns of the answer, and a limit; or neither.
fn end(random: &mut Random, columns: usize) -> (Tree, bool) {
    if !random.chance(45) {
        return (leaf(Kind::Clause, ""), false);
    }
    let keys: Vec<String> = (1..=columns)
        .map(|column| {
            let (direction, nulls) = (*random.pick(&["ASC", "DESC"]), *random.pick(&["FIRST", "LAST"]));
            format!("{column} {direction} NULLS {nulls}")
        })
        .collect();
    let limit =
        if random.chance(60) { format!(" LIMIT {}{}", random.below(12), offset(random)) } else { String::new() };
    (leaf(Kind::Clause, format!(" ORDER BY {}{limit}", keys.join(", "))), true)
}

/// Each under a name of its own.
fn named(shown: Vec<Tree>) -> Tree {
    let name = |(number, tree): (usize, Tree)| joined(Kind::Clause, &format!("{{}} AS c{}", number + 1), vec![tree]);
    list(shown.into_iter().enumerate().map(name).collect())
}

fn select(random: &mut Random, shown: Vec<Tree>, between: &str, trees: Vec<Tree>) -> Query {
    let (end, ordered) = end(random, shown.len());
    let mut all = vec![named(shown)];
    all.extend(trees);
    all.push(end);
    Query { tree: joined(Kind::Query, &format!("SELECT {between}{{}}"), all), ordered }
}

fn aggregate(random: &mut Random, scope: &Scope) -> Tree {
    let clause = Kind::Clause;
    let whole = value(random, scope, Kind::Whole, 1);
    let aggregate = match random.below(11) {
        0 => leaf(clause, "count(*)"),
        1 => tree(clause, "count({})", [item(random, scope)]),
        2 => tree(clause, "count(DISTINCT {})", [item(random, scope)]),
        3 | 4 => {
            let kind = *random.pick(&[Kind::Whole, Kind::Double, Kind::Text, Kind::Time]);
            let (name, of) = (*random.pick(&["min", "max"]), value(random, scope, kind, 1));
            tree(clause, &format!("{name}({{}})"), [of])
        }
        5 | 6 => {
            // Of plain columns, as most are.
            let kind = *random.pick(&[Kind::Whole, Kind::Double, Kind::Time]);
            let (name, of) = (*random.pick(&["min", "max"]), scope.column(random, kind));
            tree(clause, &format!("{name}({{}})"), [of])
        }
        7 => tree(clause, "sum({})", [value(random, scope, Kind::Double, 1)]),
        8 => tree(clause, "sum({} % 1000)", [whole]),
        9 => tree(clause, "avg({})", [value(random, scope, Kind::Double, 1)]),
        _ => tree(clause, "sum(DISTINCT {} % 1000)", [whole]),
    };
    if random.chance(20) {
        let filter = tree(clause, " FILTER (WHERE {})", [condition(random, scope, 1)]).optional();
        return tree(clause, "{}{}", [aggregate, filter]);
    }
    aggregate
}

fn aggregates(random: &mut Random, scope: &Scope) -> Vec<Tree> {
    (0..1 + random.below(4)).map(|_| aggregate(random, scope)).collect()
}

fn grouped(random: &mut Random) -> Query {
    let (source, scope) = source(random, false);
    let keys: Vec<Tree> = (0..1 + random.below(2)).map(|_| item(random, &scope)).collect();
    let count = keys.len();
    let by: Vec<String> = (1..=count).map(|key| key.to_string()).collect();
    let having = if random.chance(25) {
        tree(Kind::Clause, " HAVING {} > 1", [leaf(Kind::Clause, "count(*)")]).optional()
    } else {
        leaf(Kind::Clause, "")
    };
    let mut shown = keys;
    shown.extend(aggregates(random, &scope));
    let filter = filter(random, &scope);
    let pattern = format!("{{}} FROM {{}}{{}} GROUP BY {}{{}}", by.join(", "));
    select(random, shown, &pattern, vec![source, filter, having])
}

fn windows(random: &mut Random) -> Query {
    let (source, scope) = source(random, true);
    let order = "ORDER BY a.\"time\", a.host NULLS FIRST, a.zone NULLS FIRST";
    let mut shown = vec![leaf(Kind::Time, "a.\"time\""), leaf(Kind::Text, "a.host"), leaf(Kind::Text, "a.zone")];
    for _ in 0..1 + random.below(2) {
        let partition = *random.pick(&[
            "",
            "PARTITION BY a.host ",
            "PARTITION BY a.f ",
            "PARTITION BY date_trunc('day', a.\"time\") ",
        ]);
        let frame = *random.pick(&[
            "",
            " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
            " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
        ]);
        let whole = scope.column(random, Kind::Whole);
        let double = value(random, &scope, Kind::Double, 1);
        let window = |function: &str, tree: Option<Tree>, frame: &str| {
            joined(Kind::Clause, &format!("{function} OVER ({partition}{order}{frame})"), tree.into_iter().collect())
        };
        shown.push(match random.below(9) {
            0 => window("row_number()", None, ""),
            1 => window("lag({})", Some(whole), ""),
            2 => window("lead({}, 2)", Some(whole), ""),
            3 => window("sum({})", Some(double), frame),
            4 => window("count({})", Some(whole), frame),
            5 => window("max({})", Some(whole), frame),
            6 => window("first_value({})", Some(whole), frame),
            7 => leaf(Kind::Clause, format!("rank() OVER ({partition}ORDER BY a.i DESC NULLS LAST)")),
            _ => joined(Kind::Clause, "count(*) OVER (PARTITION BY {})", vec![double]),
        });
    }
    let filter = filter(random, &scope);
    select(random, shown, "{} FROM {}{}", vec![source, filter])
}

fn operation(random: &mut Random) -> Query {
    let kinds: Vec<Kind> = (0..1 + random.below(2)).map(|_| *random.pick(&SHOWN)).collect();
    let mut side = || {
        let (source, scope) = source(random, false);
        let shown = kinds.iter().map(|kind| value(random, &scope, *kind, 1)).collect();
        let filter = filter(random, &scope);
        joined(Kind::Query, "SELECT {} FROM {}{}", vec![named(shown), source, filter])
    };
    let (left, right) = (side(), side());
    let word = *random.pick(&["UNION ALL", "UNION", "INTERSECT", "EXCEPT"]);
    let (end, ordered) = end(random, kinds.len());
    Query { tree: tree(Kind::Query, &format!("{{}} {word} {{}}{{}}"), [left, right, end]), ordered }
}

/// The newest of each group, which scans are told of.
fn newest(random: &mut Random) -> Query {
    let (source, scope) = source(random, true);
    let (by, name) = (*random.pick(&["a.host", "a.zone", "a.s"]), *random.pick(&["i", "f", "s", "late"]));
    let order = "ORDER BY a.\"time\", a.host NULLS FIRST, a.zone NULLS FIRST";
    let last = dialects(Kind::Clause, format!("last_value(a.{name} {order})"), format!("last(a.{name} {order})"));
    let shown = if random.chance(50) {
        vec![leaf(Kind::Text, by), leaf(Kind::Clause, "max(a.\"time\")")]
    } else {
        vec![leaf(Kind::Text, by), last]
    };
    let filter = filter(random, &scope);
    select(random, shown, "{} FROM {}{} GROUP BY 1", vec![source, filter])
}

/// The least and the greatest of whole columns, beside each other and beside those of an expression.
fn extremes(random: &mut Random) -> Query {
    let (source, scope) = source(random, true);
    let extreme = |random: &mut Random, of: Tree| {
        let name = *random.pick(&["min", "max"]);
        tree(Kind::Clause, &format!("{name}({{}})"), [of])
    };
    let mut shown = Vec::new();
    for _ in 0..1 + random.below(3) {
        let kind = *random.pick(&[Kind::Whole, Kind::Whole, Kind::Double, Kind::Time]);
        let column = scope.column(random, kind);
        shown.push(extreme(random, column));
    }
    if random.chance(50) {
        let kind = *random.pick(&[Kind::Small, Kind::Double]);
        let of = value(random, &scope, kind, 1);
        shown.push(extreme(random, of));
    }
    let filter = if random.chance(70) { leaf(Kind::Clause, "") } else { filter(random, &scope) };
    select(random, shown, "{} FROM {}{}", vec![source, filter])
}

/// Any query.
pub fn generate(random: &mut Random) -> Query {
    match random.below(14) {
        12 | 13 => extremes(random),
        0..=2 => {
            let (source, scope) = source(random, false);
            let (shown, filter) = (items(random, &scope), filter(random, &scope));
            let distinct = if random.chance(25) { "DISTINCT " } else { "" };
            select(random, shown, &format!("{distinct}{{}} FROM {{}}{{}}"), vec![source, filter])
        }
        3..=5 => {
            let (source, scope) = source(random, false);
            let (shown, filter) = (aggregates(random, &scope), filter(random, &scope));
            select(random, shown, "{} FROM {}{}", vec![source, filter])
        }
        6 | 7 => grouped(random),
        8 | 9 => windows(random),
        10 => operation(random),
        _ => newest(random),
    }
}

/// A source and a condition that part its rows.
pub fn parted(random: &mut Random) -> Parted {
    let (source, scope) = source(random, false);
    let condition = if random.chance(25) { subquery(random, &scope) } else { condition(random, &scope, 3) };
    Parted { columns: named(items(random, &scope)), source, condition }
}
