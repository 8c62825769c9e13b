//! Generated data: points of two tables over a few days, in requests, and what they are when merged.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::random::Random;

/// Nanoseconds of an hour.
const HOUR: i64 = 3_600_000_000_000;
/// 2026-11-24T00:00:00Z.
const START: i64 = 1_795_478_400_000_000_000;

/// One point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub table: String,
    /// Nanoseconds since 1970, whole microseconds.
    pub time: i64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    pub fields: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    Double(f64),
    BigInt(i64),
    Unsigned(u64),
    Text(String),
    Boolean(bool),
}

/// A column's name, its type for SiltDB, its type for DuckDB.
type Field = (&'static str, &'static str, &'static str);

/// Columns of the tables.
pub const TAGS: [(&str, &[&str]); 2] = [("m", &["host", "zone"]), ("d", &["host"])];
const FIELDS: [(&str, &[Field]); 2] = [
    (
        "m",
        &[
            ("f", "DOUBLE", "DOUBLE"),
            ("g", "DOUBLE", "DOUBLE"),
            ("i", "BIGINT", "BIGINT"),
            ("u", "BIGINT UNSIGNED", "UBIGINT"),
            ("s", "STRING", "VARCHAR"),
            ("b", "BOOLEAN", "BOOLEAN"),
            ("late", "BIGINT", "BIGINT"),
            ("never", "BIGINT", "BIGINT"),
        ],
    ),
    ("d", &[("w", "DOUBLE", "DOUBLE"), ("n", "BIGINT", "BIGINT"), ("label", "STRING", "VARCHAR")]),
];

fn tags(table: &str) -> &'static [&'static str] {
    TAGS.iter().find(|(name, _)| *name == table).map_or(&[], |(_, tags)| tags)
}

/// `CREATE TABLE` of both tables for SiltDB.
pub fn definitions() -> Vec<String> {
    let create = |(table, fields): &(&str, &[Field])| {
        let fields: Vec<String> = fields.iter().map(|(name, kind, _)| format!("{name} {kind}")).collect();
        format!("CREATE TABLE {table} ({}, TAGS({}))", fields.join(", "), tags(table).join(", "))
    };
    FIELDS.iter().map(create).collect()
}

/// Statements that give DuckDB the same rows, as they are when merged.
pub fn for_duckdb(requests: &[Vec<Row>]) -> Vec<String> {
    let mut statements = Vec::new();
    for (table, fields) in &FIELDS {
        let names: Vec<&str> = tags(table).iter().copied().chain(fields.iter().map(|(name, ..)| *name)).collect();
        let tags = tags(table).iter().map(|tag| format!("{tag} VARCHAR"));
        let columns: Vec<String> = tags.chain(fields.iter().map(|(name, _, kind)| format!("{name} {kind}"))).collect();
        statements.push(format!("CREATE TABLE {table} (\"time\" TIMESTAMP, {})", columns.join(", ")));
        let rows: Vec<String> = merged(requests, table).iter().map(|row| tuple(row, &names)).collect();
        if !rows.is_empty() {
            statements.push(format!("INSERT INTO {table} VALUES {}", rows.join(", ")));
        }
    }
    statements
}

fn tuple(row: &Row, names: &[&str]) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let cell = |name: &&str| match (row.tags.get(*name), row.fields.get(*name)) {
        (Some(text), _) | (None, Some(Value::Text(text))) => quoted(text),
        (None, Some(Value::Double(value))) => format!("'{:?}'::DOUBLE", value + 0.0),
        (None, Some(Value::BigInt(value))) => format!("'{value}'::BIGINT"),
        (None, Some(Value::Unsigned(value))) => format!("'{value}'::UBIGINT"),
        (None, Some(Value::Boolean(value))) => value.to_string(),
        (None, None) => "NULL".to_owned(),
    };
    let cells: Vec<String> = names.iter().map(cell).collect();
    format!("(make_timestamp({}), {})", row.time / 1_000, cells.join(", "))
}

/// The points of a table: of the same series and time one, each field the newest.
fn merged(requests: &[Vec<Row>], table: &str) -> Vec<Row> {
    let mut points: BTreeMap<(BTreeMap<String, String>, i64), Row> = BTreeMap::new();
    for row in requests.iter().flatten().filter(|row| row.table == table) {
        let point = points.entry((row.tags.clone(), row.time));
        let point = point.or_insert_with(|| Row { fields: BTreeMap::new(), ..row.clone() });
        point.fields.extend(row.fields.clone());
    }
    points.into_values().collect()
}

impl Row {
    /// The point in line protocol.
    pub fn line(&self) -> String {
        let mut line = self.table.clone();
        for (tag, value) in &self.tags {
            let _ = write!(line, ",{tag}={}", value.replace(' ', "\\ "));
        }
        let field = |(name, value): (&String, &Value)| match value {
            Value::Double(value) => format!("{name}={value:?}"),
            Value::BigInt(value) => format!("{name}={value}i"),
            Value::Unsigned(value) => format!("{name}={value}u"),
            Value::Text(value) => format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
            Value::Boolean(value) => format!("{name}={value}"),
        };
        let fields: Vec<String> = self.fields.iter().map(field).collect();
        let _ = writeln!(line, " {} {}", fields.join(","), self.time);
        line
    }
}

pub const TEXTS: [&str; 7] = ["", "x", "xy", "ü b", "it''s", "100%", "Zé"];
pub const HOSTS: [&str; 4] = ["a", "b", "c", "ü b"];

/// Doubles whose sums are exact in any order.
fn double(random: &mut Random) -> f64 {
    let halves = [0.0, -0.0, 0.5, -0.5, 1.0, 1.5, 2.0, -1.0, 5.0, 100.0, -250.5, 1e6];
    *random.pick(&halves)
}

fn whole(random: &mut Random) -> i64 {
    if random.chance(6) { *random.pick(&[i64::MAX, i64::MIN, i64::MAX - 1]) } else { random.below(14) as i64 - 4 }
}

/// Requests of one data set. Columns are sparse, one comes late, days and files lack some altogether.
pub fn generate(random: &mut Random) -> Vec<Vec<Row>> {
    // Of many days there are many files, which are read at the same time.
    let long = random.chance(40);
    let days = if long { 7 + random.below(6) } else { 1 + random.below(4) } as i64;
    let requests = 2 + random.below(6);
    let dense = long || random.chance(50);
    // Days that have no value of a column at all.
    let holes: Vec<(i64, &str)> = (0..days)
        .flat_map(|day| ["f", "g", "i", "s", "u"].map(|name| (day, name)))
        .filter(|_| random.chance(35))
        .collect();
    (0..requests)
        .map(|request| {
            let rows = 1 + random.below(if dense { 24 } else { 8 });
            (0..rows)
                .map(|_| {
                    if random.chance(80) {
                        of_m(random, days, request * 2 >= requests, &holes)
                    } else {
                        of_d(random, days)
                    }
                })
                .collect()
        })
        .collect()
}

fn time(random: &mut Random, days: i64) -> (i64, i64) {
    let day = random.below(days as u64) as i64;
    let within = *random.pick(&[0, 1_000, HOUR, HOUR + 1_000_000, 5 * HOUR, 23 * HOUR + HOUR / 2]);
    (day, START + day * 24 * HOUR + within)
}

fn of_m(random: &mut Random, days: i64, late: bool, holes: &[(i64, &str)]) -> Row {
    let (day, time) = time(random, days);
    let mut tags = BTreeMap::new();
    if random.chance(85) {
        tags.insert("host".to_owned(), (*random.pick(&HOSTS)).to_owned());
    }
    if random.chance(40) {
        tags.insert("zone".to_owned(), (*random.pick(&["eu", "us"])).to_owned());
    }
    let mut fields = BTreeMap::new();
    let add = |fields: &mut BTreeMap<String, Value>, name: &str, value: Value| {
        if !holes.contains(&(day, name)) {
            fields.insert(name.to_owned(), value);
        }
    };
    if random.chance(75) {
        add(&mut fields, "f", Value::Double(double(random)));
    }
    if random.chance(25) {
        add(&mut fields, "g", Value::Double(double(random)));
    }
    if random.chance(70) {
        add(&mut fields, "i", Value::BigInt(whole(random)));
    }
    if random.chance(40) {
        let value = if random.chance(10) { u64::MAX - random.below(2) } else { random.below(9) };
        add(&mut fields, "u", Value::Unsigned(value));
    }
    if random.chance(50) {
        add(&mut fields, "s", Value::Text(random.pick(&TEXTS).replace("''", "'")));
    }
    if late && random.chance(50) {
        add(&mut fields, "late", Value::BigInt(whole(random)));
    }
    if fields.is_empty() || random.chance(30) {
        fields.insert("b".to_owned(), Value::Boolean(random.chance(50)));
    }
    Row { table: "m".to_owned(), time, tags, fields }
}

fn of_d(random: &mut Random, days: i64) -> Row {
    let (_, time) = time(random, days);
    let mut tags = BTreeMap::new();
    if random.chance(90) {
        tags.insert("host".to_owned(), (*random.pick(&HOSTS)).to_owned());
    }
    let mut fields = BTreeMap::new();
    if random.chance(60) {
        fields.insert("w".to_owned(), Value::Double(double(random)));
    }
    if random.chance(60) {
        fields.insert("label".to_owned(), Value::Text(random.pick(&TEXTS).replace("''", "'")));
    }
    if fields.is_empty() || random.chance(60) {
        fields.insert("n".to_owned(), Value::BigInt(whole(random)));
    }
    Row { table: "d".to_owned(), time, tags, fields }
}
