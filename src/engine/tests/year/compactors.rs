//! Several compactors of one database at once.

use std::sync::Arc;

use super::super::oracle::{good, points, public};
use super::model::{DatabaseModel, Point, differences, rows_in};
use super::traffic::Traffic;
use super::world::{DAY, Dice, HOUR, NEW_YEAR, Time, open, setting};
use crate::engine::{CheckReport, Duties};
use crate::store::{Meter, Store};

const TABLES: [&str; 2] = ["cpu", "disk"];
const FLUSHES: usize = 40;

/// Four processes merge many files at once, and a fifth does everything. Some work is done twice and
/// lost; every row is there once, and none of them saw an error.
#[tokio::test(start_paused = true)]
async fn four_compactors_at_once_keep_every_row_once() {
    for seed in 0..setting("SILTDB_TEST_SEEDS", 4) {
        compact(seed).await;
    }
}

async fn compact(seed: u64) {
    let time = Time::new(NEW_YEAR);
    let store = good(Store::memory_with_clock(time.process_clock(seed))).await;
    let meter = Arc::new(Meter::default());
    let base = 1_000 * (seed + 1);
    let writer = open(&store, &meter, &time, base).await;
    let database = public(&writer).await;
    let (dice, mut model) = (Dice::new(seed), DatabaseModel::default());
    for _ in 0..FLUSHES {
        time.pass(3 * HOUR);
        let traffic = Traffic { dice: &dice, now: time.now(), step: DAY, month: 0 };
        let sent: Vec<Point> = TABLES.iter().flat_map(|table| traffic.request(&model, table, 5)).collect();
        let lines: Vec<String> = sent.iter().map(Point::line).collect();
        writer.write(&database, points(&lines.join("\n")), &meter).await.unwrap();
        sent.iter().for_each(|point| model.apply(point));
        writer.maintain(Duties { flush: true, ..Duties::NONE }).await.unwrap();
    }
    let mut compactors = Vec::new();
    for number in 1..=4 {
        compactors.push(open(&store, &meter, &time, base + number).await);
    }
    let keeper = open(&store, &meter, &time, base + 5).await;
    let before = writer.check().await.unwrap();
    let merging = Duties { merge: true, ..Duties::NONE };
    let work = compactors.iter().map(|engine| engine.maintain(merging)).chain([keeper.maintain(Duties::ALL)]);
    let mut merges = 0;
    for (number, done) in futures::future::join_all(work).await.into_iter().enumerate() {
        let report = done.unwrap_or_else(|error| panic!("seed {seed}: compactor {number} failed: {error}"));
        merges += report.merges;
    }
    let reader = open(&store, &meter, &time, base + 6).await;
    for table in TABLES {
        let found = rows_in(&reader, &store, &public(&reader).await, table).await.unwrap();
        if let Some(text) = differences(&model.tables[table].rows, &found, i64::MIN) {
            panic!("seed {seed}: after the merges {table} is wrong: {text}");
        }
    }
    let report = reader.check().await.unwrap();
    assert!(report.is_clean(), "seed {seed}: {report}");
    assert!(report.files < before.files && merges > 0, "seed {seed}: {merges} merges; {before} became {report}");
    let objects = |report: &CheckReport| report.files + report.unreferenced;
    let outputs = objects(&report) - objects(&before);
    assert!(outputs > merges, "seed {seed}: {outputs} outputs of {merges} merges: nobody lost a race");
    let again = reader.maintain(merging).await.unwrap();
    assert_eq!(again.merges, 0, "seed {seed}: what the compactors left undone");
}
