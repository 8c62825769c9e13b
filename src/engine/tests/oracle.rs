//! What the tests write with and compare with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampNanosecondType};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::database::Sizes;
use crate::engine::{Database, Engine, EngineOptions, TableSnapshot};
use crate::merge::{self, KeyColumns};
use crate::model::clock::{ManualClock, SharedClock};
use crate::model::paths;
use crate::model::{ColumnKind, Digest, FieldType, OrderKey, PointBatch, Precision, Result, TenantId};
use crate::parse;
use crate::store::{CreateOutcome, Meter, Store, probe};
use crate::table;

pub const TENANT: TenantId = TenantId(1);
/// 2026-11-24T00:00:00Z.
pub const NOW: i64 = 1_795_478_400_000_000_000;

/// (tag, time) → field → value as text.
pub type OracleRows = BTreeMap<(Option<String>, i64), BTreeMap<String, String>>;

pub fn clock(seed: u64) -> SharedClock {
    Arc::new(ManualClock::new(NOW, seed))
}

/// An empty store that was found good before: the probe's hundreds of requests are tested elsewhere.
pub async fn empty_store() -> Store {
    good(Store::memory()).await
}

/// A store with the note that it was found good.
pub async fn good(store: Store) -> Store {
    let result = paths::probe_result(probe::PROBE_VERSION);
    assert!(matches!(store.create(&result, Bytes::from_static(b"passed\n")).await, CreateOutcome::Created));
    store
}

/// One process on a store. For every second seed files and lists of files are small, so that a few points
/// make many of them.
pub async fn process(store: &Store, seed: u64) -> Engine {
    Engine::open(store.clone(), clock(seed), options(seed)).await.unwrap()
}

pub fn options(seed: u64) -> EngineOptions {
    let small = Sizes { file_bytes: 1, listed_files: 4, leaf_files: 3 };
    EngineOptions { sizes: if seed % 2 == 1 { small } else { Sizes::default() }, ..EngineOptions::default() }
}

pub fn points(text: &str) -> Vec<PointBatch> {
    let limits = crate::model::limits::Limits::default();
    let options = parse::Options {
        write_precision: Default::default(),
        database_precision: Precision::Nanosecond,
        now: NOW,
        limits: &limits,
    };
    parse::line_protocol(text.as_bytes(), &options).unwrap()
}

pub async fn write(engine: &Engine, database: &Database, text: &str) -> Result<()> {
    engine.write(database, points(text), &Arc::new(Meter::default())).await.map(|_| ())
}

pub async fn public(engine: &Engine) -> Database {
    engine.database(TENANT, "public").await.unwrap()
}

/// All rows of a table as a query sees them, merged from files and tail.
pub async fn read(engine: &Engine, database: &Database, name: &str) -> Result<OracleRows> {
    let snapshot = engine.snapshot(database, &[name.to_owned()], &Arc::new(Meter::default())).await?;
    match snapshot.table(name) {
        Some(table) => rows_of(engine, &table).await,
        None => Ok(OracleRows::new()),
    }
}

async fn rows_of(engine: &Engine, table: &TableSnapshot) -> Result<OracleRows> {
    let mut rows = OracleRows::new();
    for batch in &batches_of(engine, engine.store(), table).await? {
        for row in 0..batch.num_rows() {
            let (key, fields) = row_of(table, batch, row);
            assert!(rows.insert(key.clone(), fields).is_none(), "{key:?} is there twice");
        }
    }
    Ok(rows)
}

/// A table's files and tail, merged. The store may be a handle of its own, to be counted apart.
pub async fn batches_of(engine: &Engine, store: &Store, table: &TableSnapshot) -> Result<Vec<RecordBatch>> {
    let mut sources: Vec<(OrderKey, stream::BoxStream<'static, Result<RecordBatch>>)> = Vec::new();
    for file in &engine.files(table).await? {
        let rows = table::read_file(store, engine.footers(), &table.root, file, &table.schema, table.precision);
        sources.push((file.order.first, rows));
    }
    let all: Vec<usize> = (0..table.schema.columns.len()).collect();
    let projection = table.projection(&all)?;
    for part in &table.tail {
        sources.push((part.order, stream::iter([projection.project(&part.rows().batch)]).boxed()));
    }
    sources.sort_by_key(|(order, _)| *order);
    let merged = merge::merge(
        sources.into_iter().map(|(_, source)| source).collect(),
        table.schema.query_schema(table.precision),
        KeyColumns::of(&table.schema),
        table.schema.columns.iter().map(|column| column.id).collect(),
        1_000,
        Some(Arc::new(Mutex::new(Digest::default()))),
    );
    merged.try_collect().await
}

fn row_of(table: &TableSnapshot, batch: &RecordBatch, row: usize) -> ((Option<String>, i64), BTreeMap<String, String>) {
    let (mut tag, mut time, mut fields) = (None, 0, BTreeMap::new());
    for (column, values) in table.schema.columns.iter().zip(batch.columns()) {
        if values.is_null(row) {
            continue;
        }
        match column.kind {
            ColumnKind::Time => time = values.as_primitive::<TimestampNanosecondType>().value(row),
            ColumnKind::Tag => tag = Some(values.as_string_view().value(row).to_owned()),
            ColumnKind::Field(kind) => {
                let text = match kind {
                    FieldType::Double => values.as_primitive::<Float64Type>().value(row).to_string(),
                    FieldType::BigInt => values.as_primitive::<Int64Type>().value(row).to_string(),
                    _ => values.as_string_view().value(row).to_owned(),
                };
                fields.insert(column.name.clone(), text);
            }
        }
    }
    ((tag, time), fields)
}

/// Applies written text to expected rows: `t,host=a v=1,w="x" 5`.
pub fn expect(rows: &mut OracleRows, text: &str) {
    for line in text.lines() {
        let (head, rest) = line.split_once(' ').unwrap();
        let (fields, time) = rest.rsplit_once(' ').unwrap();
        let tag = head.split_once(",host=").map(|(_, host)| host.to_owned());
        let row = rows.entry((tag, time.parse().unwrap())).or_default();
        for field in fields.split(',') {
            let (name, value) = field.split_once('=').unwrap();
            let value = value.trim_matches('"').trim_end_matches('i');
            row.insert(name.to_owned(), value.to_owned());
        }
    }
}
