//! What the databases of the year have to hold, and how what they hold is compared with it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};

use super::super::oracle::batches_of;
use crate::engine::{Database, Engine, TableSnapshot};
use crate::model::{ColumnKind, FieldType, Result};
use crate::store::{Meter, Store};

/// Series (tags as in line protocol) and time.
pub type ModelKey = (String, i64);
/// Field → value as line protocol writes it.
pub type ModelFields = BTreeMap<String, String>;
pub type ModelRows = BTreeMap<ModelKey, ModelFields>;

/// How many differences a failure shows.
const SHOWN: usize = 8;

#[derive(Debug, Clone)]
pub struct ModelPoint {
    pub table: &'static str,
    /// `host=h1,zone=z2`, the tags in the order of their names.
    pub series: String,
    pub fields: ModelFields,
    pub time: i64,
}

impl ModelPoint {
    pub fn line(&self) -> String {
        let fields: Vec<String> = self.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{},{} {} {}", self.table, self.series, fields.join(","), self.time)
    }
}

/// One table's rows.
#[derive(Debug, Default)]
pub struct TableModel {
    pub rows: ModelRows,
    /// Keys written so far, in the order they came, to draw from.
    pub keys: Vec<ModelKey>,
    /// How often a table of this name was dropped.
    pub drops: usize,
}

/// One database's tables.
#[derive(Debug, Default)]
pub struct DatabaseModel {
    /// Nanoseconds.
    pub ttl: Option<i64>,
    pub tables: BTreeMap<&'static str, TableModel>,
}

impl DatabaseModel {
    pub fn apply(&mut self, point: &ModelPoint) {
        let table = self.tables.entry(point.table).or_default();
        let key = (point.series.clone(), point.time);
        let row = table.rows.entry(key.clone()).or_default();
        if row.is_empty() {
            table.keys.push(key);
        }
        row.extend(point.fields.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    pub fn drop_table(&mut self, name: &'static str) {
        let table = self.tables.entry(name).or_default();
        *table = TableModel { drops: table.drops + 1, ..TableModel::default() };
    }

    /// The oldest time that is seen.
    pub fn horizon(&self, now: i64) -> i64 {
        self.ttl.map_or(i64::MIN, |ttl| now - ttl)
    }
}

/// All rows of a table as `engine` sees them, merged from files and tail. Read through `store`, so
/// that looking is not counted as work.
pub async fn rows_in(engine: &Engine, store: &Store, database: &Database, name: &str) -> Result<ModelRows> {
    let snapshot = engine.snapshot(database, &[name.to_owned()], &Arc::new(Meter::default())).await?;
    let Some(table) = snapshot.table(name) else { return Ok(ModelRows::new()) };
    let mut rows = ModelRows::new();
    for batch in &batches_of(engine, store, &table).await? {
        for row in 0..batch.num_rows() {
            let (key, fields) = row_of(&table, batch, row);
            if let Some(before) = rows.insert(key.clone(), fields) {
                panic!("{name}: {key:?} is there twice, the first time with {before:?}");
            }
        }
    }
    Ok(rows)
}

fn row_of(table: &TableSnapshot, batch: &RecordBatch, row: usize) -> (ModelKey, ModelFields) {
    let (mut tags, mut time, mut fields) = (BTreeMap::new(), 0, ModelFields::new());
    for (column, values) in table.schema.columns.iter().zip(batch.columns()) {
        if values.is_null(row) {
            continue;
        }
        let text = || values.as_string_view().value(row).to_owned();
        let kind = match column.kind {
            ColumnKind::Time => {
                time = values.as_primitive::<TimestampNanosecondType>().value(row);
                continue;
            }
            ColumnKind::Tag => {
                tags.insert(column.name.as_str(), text());
                continue;
            }
            ColumnKind::Field(kind) => kind,
        };
        let value = match kind {
            FieldType::Double => values.as_primitive::<Float64Type>().value(row).to_string(),
            FieldType::BigInt => format!("{}i", values.as_primitive::<Int64Type>().value(row)),
            FieldType::BigIntUnsigned => format!("{}u", values.as_primitive::<UInt64Type>().value(row)),
            FieldType::Boolean => values.as_boolean().value(row).to_string(),
            FieldType::String => format!("\"{}\"", text()),
        };
        fields.insert(column.name.clone(), value);
    }
    let tags: Vec<String> = tags.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    ((tags.join(","), time), fields)
}

/// What differs between the rows at or after `horizon`, in words; `None` if nothing does.
pub fn differences(expected: &ModelRows, found: &ModelRows, horizon: i64) -> Option<String> {
    let seen = |rows: &ModelRows| rows.keys().filter(|(_, time)| *time >= horizon).count();
    let mut report = String::new();
    let mut count = 0;
    let mut note = |text: String| {
        count += 1;
        if count <= SHOWN {
            let _ = writeln!(report, "  {text}");
        }
    };
    for (key, fields) in expected.iter().filter(|((_, time), _)| *time >= horizon) {
        match found.get(key) {
            None => note(format!("missing: {key:?} {fields:?}")),
            Some(other) if other != fields => note(format!("wrong: {key:?} is {other:?}, not {fields:?}")),
            Some(_) => {}
        }
    }
    for (key, fields) in found.iter().filter(|((_, time), _)| *time >= horizon) {
        if !expected.contains_key(key) {
            note(format!("invented: {key:?} {fields:?}"));
        }
    }
    if count == 0 {
        return None;
    }
    Some(format!("{count} of {} rows differ ({} were found):\n{report}", seen(expected), seen(found)))
}
