//! Hand-made snapshots for the tests of scans: points settled into files or left in the tail, and what
//! they are when merged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray, TimestampNanosecondArray},
    compute::cast,
    datatypes::{Field, Schema},
    util::display::array_value_to_string,
};
use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
        SchemaProvider,
    },
    prelude::SessionContext,
};
use futures::{StreamExt, stream};

use crate::{
    engine::{FileLists, TableSnapshot, TailPart, User},
    merge::{self, KeyColumns},
    model::{
        Column, ColumnId, ColumnKind, DataFile, FieldType, Mode, OrderKey, OrderRange, Precision, TableId, TableSchema,
        TenantId, UserId,
        clock::{Clock, ManualClock},
        limits::Limits,
    },
    query::{Session, context::Context, provider::SnapshotTable},
    store::{Meter, Store},
    table::{DataFileTarget, Footers, write_files},
    wal::{self, TableRows},
};

pub const ROOT: &str = "t/1/d/1/";
/// Ticks of a partition.
pub const PARTITION: i64 = 250;

#[derive(Debug, Clone, PartialEq)]
pub struct SamplePoint {
    pub station: Option<&'static str>,
    pub city: Option<&'static str>,
    pub time: i64,
    pub temperature: Option<f64>,
    pub n: Option<i64>,
    pub s: Option<String>,
}

pub type SeriesTime = (Option<&'static str>, Option<&'static str>, i64);

impl SamplePoint {
    pub fn key(&self) -> SeriesTime {
        (self.station, self.city, self.time)
    }

    pub fn overlay(&mut self, newer: &SamplePoint) {
        self.temperature = newer.temperature.or(self.temperature);
        self.n = newer.n.or(self.n);
        self.s = newer.s.clone().or(self.s.take());
    }
}

pub fn schema() -> TableSchema {
    let column = |id, name: &str, kind| Column { id: ColumnId(id), name: name.to_owned(), kind };
    // Tags do not stand in the order of their names, and a field lies between them.
    let mut schema = TableSchema::new();
    schema.columns.extend([
        column(1, "station", ColumnKind::Tag),
        column(2, "temperature", ColumnKind::Field(FieldType::Double)),
        column(3, "city", ColumnKind::Tag),
        column(4, "n", ColumnKind::Field(FieldType::BigInt)),
        column(5, "s", ColumnKind::Field(FieldType::String)),
    ]);
    schema
}

/// The table before its last column was added.
pub fn older_schema() -> TableSchema {
    let mut schema = schema();
    schema.columns.pop();
    schema
}

/// Points in the order they were written, sorted and merged.
pub fn sorted(points: &[SamplePoint]) -> RecordBatch {
    let schema = schema();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampNanosecondArray::from_iter_values(points.iter().map(|point| point.time))),
        Arc::new(points.iter().map(|point| point.station).collect::<StringViewArray>()),
        Arc::new(points.iter().map(|point| point.temperature).collect::<Float64Array>()),
        Arc::new(points.iter().map(|point| point.city).collect::<StringViewArray>()),
        Arc::new(points.iter().map(|point| point.n).collect::<Int64Array>()),
        Arc::new(points.iter().map(|point| point.s.as_deref()).collect::<StringViewArray>()),
    ];
    let batch = RecordBatch::try_new(schema.query_schema(Precision::Nanosecond), columns).unwrap();
    let ids: Vec<ColumnId> = schema.columns.iter().map(|column| column.id).collect();
    merge::sort_points(&batch, &KeyColumns::of(&schema), &ids).unwrap().0
}

/// Rows as a segment has them.
fn logged(batch: &RecordBatch) -> RecordBatch {
    let schema = schema();
    let field = |column: &Column| wal::field_for(column.id, column.kind, Precision::Nanosecond);
    let fields: Vec<Field> = schema.columns.iter().map(field).collect();
    let columns = batch.columns().iter().zip(&fields);
    let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap()).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

pub fn order(segment: usize) -> OrderKey {
    OrderKey { epoch: segment as u64 + 1, clock: 0, writer: 0 }
}

/// A table under construction: what was written, and where it lies now.
pub struct Made {
    pub store: Store,
    pub files: Vec<Arc<DataFile>>,
    pub tail: Vec<TailPart>,
    pub merged: BTreeMap<SeriesTime, SamplePoint>,
    pub ttl: Option<Duration>,
    pub now: i64,
}

impl Made {
    pub fn new() -> Made {
        Made { store: Store::memory(), files: Vec::new(), tail: Vec::new(), merged: BTreeMap::new(), ttl: None, now: 0 }
    }

    pub fn remember(&mut self, points: &[SamplePoint]) {
        for point in points {
            match self.merged.get_mut(&point.key()) {
                Some(older) => older.overlay(point),
                None => {
                    self.merged.insert(point.key(), point.clone());
                }
            }
        }
    }

    /// Settles points of the segments `first..=last` into files, one a partition.
    pub async fn file(&mut self, points: &[SamplePoint], first: usize, last: usize) {
        self.remember(points);
        let mut partitions: BTreeMap<i64, Vec<SamplePoint>> = BTreeMap::new();
        for point in points {
            partitions.entry(point.time.div_euclid(PARTITION)).or_default().push(point.clone());
        }
        for (number, points) in partitions {
            let old = points.iter().all(|point| point.s.is_none());
            let schema = if old { older_schema() } else { schema() };
            let mut batch = sorted(&points);
            if old {
                batch = batch.project(&[0, 1, 2, 3, 4]).unwrap();
            }
            let target = DataFileTarget {
                root: ROOT.to_owned(),
                table_name: "air".to_owned(),
                table: TableId(1),
                partition: format!("part={number}"),
                base: 1,
                unique: format!("{:026}", self.files.len()),
                order: OrderRange { first: order(first), last: order(last) },
            };
            let batches = stream::iter([Ok(batch)]).boxed();
            let written = write_files(&self.store, &target, &schema, Precision::Nanosecond, u64::MAX, batches);
            self.files.extend(written.await.unwrap().into_iter().map(Arc::new));
        }
    }

    pub fn tail(&mut self, points: &[SamplePoint], segment_number: usize) {
        self.remember(points);
        let table = TableId(1);
        let rows = TableRows { table, batch: logged(&sorted(points)) };
        let segment = Arc::new(wal::build(&[vec![rows]]).unwrap());
        self.tail.extend(TailPart::new(order(segment_number), segment, table));
    }

    pub fn context(&self, partitions: usize) -> (SessionContext, Arc<Meter>) {
        let snapshot = TableSnapshot {
            root: ROOT.to_owned(),
            id: TableId(1),
            name: "air".to_owned(),
            schema: schema(),
            precision: Precision::Nanosecond,
            ttl: self.ttl,
            files: self.files.clone(),
            leaves: Vec::new(),
            tail: self.tail.clone(),
        };
        let meter = Arc::new(Meter::new());
        let store = self.store.metered(&meter);
        let provider =
            SnapshotTable::at(store, Arc::new(Footers::new(1 << 20)), FileLists::default(), snapshot, self.now);
        let tables = MemorySchemaProvider::new();
        tables.register_table("air".to_owned(), Arc::new(provider)).unwrap();
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema("public", Arc::new(tables)).unwrap();
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog("cnosdb".to_owned(), Arc::new(catalog));
        let session = Session {
            user: User { id: UserId(1), name: "root".to_owned(), admin: true },
            tenant: TenantId(1),
            tenant_name: "cnosdb".to_owned(),
            database: "public".to_owned(),
            target_partitions: Some(partitions),
            mode: Mode::ReadWrite,
        };
        let state = Context::new(&Limits::default()).unwrap().session(&session, Arc::new(catalogs), self.now);
        (SessionContext::new_with_state(state), meter)
    }

    /// The rows of an answer, each as text, sorted.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        let (context, _) = self.context(3);
        let mut rows = rows(&context, sql).await;
        rows.sort();
        rows
    }

    /// What the answer to `SELECT` of all columns should be, for the points that pass.
    pub fn expected(&self, passes: impl Fn(&SamplePoint) -> bool) -> Vec<String> {
        let oldest = self.ttl.map_or(i64::MIN, |ttl| self.now - ttl.as_nanos() as i64);
        let visible = self.merged.values().filter(|point| point.time >= oldest && passes(point));
        let mut rows: Vec<String> = visible.map(text).collect();
        rows.sort();
        rows
    }
}

pub async fn rows(context: &SessionContext, sql: &str) -> Vec<String> {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
            rows.push(cells.collect::<Vec<_>>().join(","));
        }
    }
    rows
}

pub const COLUMNS: &str = "CAST(time AS BIGINT) AS t, station, city, temperature, n, s";

pub fn text(point: &SamplePoint) -> String {
    let number = point.n.map(|n| n.to_string()).unwrap_or_default();
    let temperature = point.temperature.map(|temperature| format!("{temperature:?}")).unwrap_or_default();
    format!(
        "{},{},{},{temperature},{number},{}",
        point.time,
        point.station.unwrap_or_default(),
        point.city.unwrap_or_default(),
        point.s.as_deref().unwrap_or_default()
    )
}

/// Random points from one seed.
pub struct Random(ManualClock);

impl Random {
    pub fn below(&self, bound: u64) -> u64 {
        self.0.random() % bound
    }

    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn point(&self, times: &std::ops::Range<i64>, with_s: bool) -> SamplePoint {
        let n = self.chance(70).then(|| self.below(10) as i64);
        let s = (with_s && self.chance(40)).then(|| format!("s{}", self.below(4)));
        let needed = n.is_none() && s.is_none();
        SamplePoint {
            station: [None, Some("a"), Some("b"), Some("c")][self.below(4) as usize],
            city: [None, Some("x"), Some("y")][self.below(3) as usize],
            time: times.start + self.below((times.end - times.start) as u64) as i64,
            temperature: (needed || self.chance(50)).then(|| self.below(20) as f64 / 2.0),
            n,
            s,
        }
    }

    pub fn points(&self, times: &std::ops::Range<i64>, with_s: bool) -> Vec<SamplePoint> {
        (0..1 + self.below(40)).map(|_| self.point(times, with_s)).collect()
    }
}

/// A history of segments, some of them settled into files, some merged further.
pub async fn history(seed: u64) -> Made {
    let random = Random(ManualClock::new(0, seed));
    let mut made = Made::new();
    let segments = 1 + random.below(12) as usize;
    let settled = random.below(segments as u64 + 1) as usize;
    let span = [1_000, 300, 5_000][random.below(3) as usize];
    let mut written: Vec<Vec<SamplePoint>> = Vec::new();
    for segment in 0..segments {
        // Newer segments are mostly about newer times, as in life, but some are late.
        let start = if random.chance(60) { segment as i64 * span / 8 } else { 0 };
        written.push(random.points(&(start..start + span / 2), segment > segments / 2));
    }
    let mut first = 0;
    while first < settled {
        let last = (first + random.below(4) as usize).min(settled - 1);
        let points: Vec<SamplePoint> = written[first..=last].concat();
        made.file(&points, first, last).await;
        first = last + 1;
    }
    for (segment, points) in written.iter().enumerate().skip(settled) {
        made.tail(points, segment);
    }
    if random.chance(30) {
        made.now = 1_000;
        made.ttl = Some(Duration::from_nanos(random.below(1_000)));
    }
    made
}

pub fn point(station: &'static str, time: i64, n: i64) -> SamplePoint {
    SamplePoint { station: Some(station), city: None, time, temperature: None, n: Some(n), s: None }
}
