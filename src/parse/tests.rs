//! Tests of the parsers: cases, properties, and agreement with another reader of line protocol.

mod cases;
mod properties;
mod reference;

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, UInt64Type};

use super::{Options, line_protocol};
use crate::model::{
    ColumnKind, FieldType, PointBatch, PointColumn, Precision, Result, limits::Limits, time::WritePrecision,
};

/// The time of points without a timestamp.
const NOW: i64 = 1_234_567_890;

/// A point as tests compare it.
#[derive(Debug, Clone, PartialEq)]
struct Point {
    table: String,
    tags: BTreeMap<String, String>,
    fields: BTreeMap<String, Field>,
    time: i64,
}

#[derive(Debug, Clone)]
enum Field {
    Double(f64),
    BigInt(i64),
    BigIntUnsigned(u64),
    Boolean(bool),
    String(String),
}

/// Doubles are equal if their bits are.
impl PartialEq for Field {
    fn eq(&self, other: &Field) -> bool {
        match (self, other) {
            (Field::Double(left), Field::Double(right)) => left.to_bits() == right.to_bits(),
            (Field::BigInt(left), Field::BigInt(right)) => left == right,
            (Field::BigIntUnsigned(left), Field::BigIntUnsigned(right)) => left == right,
            (Field::Boolean(left), Field::Boolean(right)) => left == right,
            (Field::String(left), Field::String(right)) => left == right,
            _ => false,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Double(value) => write!(formatter, "{value:?}"),
            Field::BigInt(value) => write!(formatter, "{value}i"),
            Field::BigIntUnsigned(value) => write!(formatter, "{value}u"),
            Field::Boolean(value) => write!(formatter, "{value}"),
            Field::String(value) => write!(formatter, "{value:?}"),
        }
    }
}

/// `table{tag="value"} field=value @time`, nothing escaped but what Rust escapes in strings.
impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags: Vec<String> = self.tags.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
        let fields: Vec<String> = self.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        write!(formatter, "{}{{{}}} {} @{}", self.table, tags.join(","), fields.join(" "), self.time)
    }
}

fn parse(body: impl AsRef<[u8]>) -> Result<Vec<PointBatch>> {
    parse_limited(body, &Limits::default())
}

fn parse_limited(body: impl AsRef<[u8]>, limits: &Limits) -> Result<Vec<PointBatch>> {
    parse_precise(body, limits, WritePrecision::Nanosecond, Precision::Nanosecond)
}

fn parse_precise(
    body: impl AsRef<[u8]>,
    limits: &Limits,
    write_precision: WritePrecision,
    database_precision: Precision,
) -> Result<Vec<PointBatch>> {
    let options = Options { write_precision, database_precision, now: NOW, limits };
    let batches = line_protocol(body.as_ref(), &options)?;
    batches.iter().for_each(check);
    Ok(batches)
}

/// What the model promises of every batch.
fn check(batch: &PointBatch) {
    assert!(batch.rows() > 0);
    assert_eq!(batch.time.null_count(), 0);
    let mut names: Vec<&str> = batch.columns.iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), batch.columns.len());
    for column in &batch.columns {
        assert_eq!(column.values.len(), batch.rows());
        assert!(column.values.null_count() < batch.rows(), "{} has no value", column.name);
    }
    let has_field = |row| {
        batch.columns.iter().any(|column| matches!(column.kind, ColumnKind::Field(_)) && column.values.is_valid(row))
    };
    assert!((0..batch.rows()).all(has_field));
}

/// The points of each table in turn.
fn points(batches: &[PointBatch]) -> Vec<Point> {
    let mut points = Vec::new();
    for batch in batches {
        for row in 0..batch.rows() {
            let mut point = Point {
                table: batch.table.clone(),
                tags: BTreeMap::new(),
                fields: BTreeMap::new(),
                time: batch.time.value(row),
            };
            for column in batch.columns.iter().filter(|column| column.values.is_valid(row)) {
                add_cell(&mut point, column, row);
            }
            points.push(point);
        }
    }
    points
}

fn add_cell(point: &mut Point, column: &PointColumn, row: usize) {
    let values = &column.values;
    let field = match column.kind {
        ColumnKind::Time => panic!("time is no column of a batch"),
        ColumnKind::Tag => {
            let tag = values.as_dictionary::<Int32Type>();
            let value = tag.values().as_string::<i32>().value(tag.keys().value(row) as usize);
            point.tags.insert(column.name.clone(), value.to_owned());
            return;
        }
        ColumnKind::Field(FieldType::Double) => Field::Double(values.as_primitive::<Float64Type>().value(row)),
        ColumnKind::Field(FieldType::BigInt) => Field::BigInt(values.as_primitive::<Int64Type>().value(row)),
        ColumnKind::Field(FieldType::BigIntUnsigned) => {
            Field::BigIntUnsigned(values.as_primitive::<UInt64Type>().value(row))
        }
        ColumnKind::Field(FieldType::Boolean) => Field::Boolean(values.as_boolean().value(row)),
        ColumnKind::Field(FieldType::String) => Field::String(values.as_string::<i32>().value(row).to_owned()),
    };
    point.fields.insert(column.name.clone(), field);
}
