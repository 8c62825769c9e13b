//! Several compactors of one database at once.

use std::sync::Arc;
use std::time::Duration;

use super::super::oracle::{good, points, public};
use super::model::{DatabaseModel, ModelPoint, differences, rows_in};
use super::traffic::Traffic;
use super::world::{DAY, Dice, HOUR, NEW_YEAR, Time, open, setting};
use crate::engine::{CheckReport, Database, Engine, Tasks};
use crate::model::Result;
use crate::store::{Meter, Store};

const TABLES: [&str; 2] = ["cpu", "disk"];
/// Before the compactors come, and again while they work.
const FLUSHES: usize = 30;
const ROUNDS: usize = 6;
const MERGE: Tasks = Tasks { merge: true, ..Tasks::NONE };

/// Four processes merge many files at once, while a fifth makes more. Much work is done twice and
/// lost; every row is there once, and none of them saw an error.
#[tokio::test(start_paused = true)]
async fn four_compactors_at_once_keep_every_row_once() {
    for seed in 0..setting("SILTDB_TEST_SEEDS", 4) {
        compact(seed).await;
    }
}

/// A database, who writes to it and what it has to hold.
struct Writer {
    time: Time,
    meter: Arc<Meter>,
    engine: Engine,
    database: Database,
    dice: Dice,
    model: DatabaseModel,
}

impl Writer {
    /// Flushes so often; returns the files that were made.
    async fn write(&mut self, flushes: usize) -> usize {
        let mut files = 0;
        for _ in 0..flushes {
            self.time.pass(3 * HOUR);
            let traffic = Traffic { dice: &self.dice, now: self.time.now(), step: DAY, month: 0 };
            let sent: Vec<ModelPoint> =
                TABLES.iter().flat_map(|table| traffic.request(&self.model, table, 5)).collect();
            let lines: Vec<String> = sent.iter().map(ModelPoint::line).collect();
            self.engine.write(&self.database, points(&lines.join("\n")), &self.meter).await.unwrap();
            sent.iter().for_each(|point| self.model.apply(point));
            files += self.engine.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap().files;
        }
        files
    }
}

/// Merges a few times, each time what is there by then.
async fn merge(engine: Engine, pause: Duration) -> Result<usize> {
    let mut merges = 0;
    for _ in 0..ROUNDS {
        tokio::time::sleep(pause).await;
        merges += engine.maintain(MERGE).await?.merges;
    }
    Ok(merges)
}

async fn compact(seed: u64) {
    let time = Time::new(NEW_YEAR);
    let store = good(Store::memory_with_clock(time.process_clock(seed))).await;
    let meter = Arc::new(Meter::default());
    let base = 1_000 * (seed + 1);
    let engine = open(&store, &meter, &time, base).await;
    let database = public(&engine).await;
    let (dice, model) = (Dice::new(seed), DatabaseModel::default());
    let mut writer = Writer { time: time.clone(), meter: meter.clone(), engine, database, dice, model };
    writer.write(FLUSHES).await;
    let mut compactors = Vec::new();
    for number in 1..=4 {
        let engine = open(&store, &meter, &time, base + number).await;
        compactors.push(merge(engine, Duration::from_millis(7 * number)));
    }
    let before = writer.engine.check().await.unwrap();
    let (merged, flushed) = tokio::join!(futures::future::join_all(compactors), writer.write(FLUSHES));
    let mut merges = 0;
    for (number, done) in merged.into_iter().enumerate() {
        merges += done.unwrap_or_else(|error| panic!("seed {seed}: compactor {number} failed: {error}"));
    }
    let reader = open(&store, &meter, &time, base + 6).await;
    merges += reader.maintain(MERGE).await.unwrap().merges;
    for table in TABLES {
        let found = rows_in(&reader, &store, &public(&reader).await, table).await.unwrap();
        if let Some(text) = differences(&writer.model.tables[table].rows, &found, i64::MIN) {
            panic!("seed {seed}: after the merges {table} is wrong: {text}");
        }
    }
    let report = reader.check().await.unwrap();
    assert!(report.is_clean(), "seed {seed}: {report}");
    assert!(report.files < before.files, "seed {seed}: {merges} merges; {before} became {report}");
    let objects = |report: &CheckReport| report.files + report.unreferenced;
    let outputs = objects(&report) - objects(&before) - flushed;
    assert!(outputs > merges, "seed {seed}: {outputs} outputs of {merges} merges: nobody lost a race");
}
