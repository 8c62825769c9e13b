//! Stores of earlier programs, kept as files in `tests/frozen`, with something of each kind: manifests and hints of
//! catalog and databases, lists of files, data files, a frozen list that was never settled, and a tail. This program
//! reads what they hold, finds nothing wrong, and writes to them and maintains them.
//!
//! `SILTDB_TEST_FREEZE=tests/frozen/NAME cargo test --test integration frozen` makes such a store by the code of
//! today, once for each released format; `UPDATE_EXPECTED=1` then writes down what it holds.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use siltdb::database::Sizes;
use siltdb::engine::{Engine, EngineOptions, Tasks};
use siltdb::model::clock::ManualClock;
use siltdb::model::{DatabaseOptions, Precision, time::WritePrecision};
use siltdb::parse;
use siltdb::store::fault::{Fault, Faults, RequestKind};
use siltdb::store::{Meter, Store};
use tempfile::TempDir;

use crate::server::{NO_MAINTENANCE, Server, Target};
use crate::upgrade::copy;

const FLUSH: Tasks = Tasks { flush: true, ..Tasks::NONE };
const DAY: i64 = 86_400_000_000_000;
/// 2026-12-01T00:00:00Z, and the first row a week earlier.
const NOW: i64 = 1_796_083_200_000_000_000;
const FIRST: i64 = NOW - 7 * DAY;
/// All that such a store holds.
const QUESTIONS: [(&str, &str); 4] = [
    ("public", "SHOW DATABASES"),
    ("public", "SHOW TABLES"),
    ("public", "SELECT * FROM cpu ORDER BY time, host"),
    ("air", "SELECT * FROM station ORDER BY time"),
];

/// The frozen stores.
fn stores() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frozen");
    let entries = fs::read_dir(folder).expect("tests/frozen").map(|entry| entry.expect("an entry").path());
    let mut stores: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    stores.sort();
    assert!(!stores.is_empty());
    stores
}

async fn answers(server: &Server) -> String {
    let mut answers = String::new();
    for (database, question) in QUESTIONS {
        let response = server.sql(database, question, "application/csv").await;
        assert_eq!(response.status, 200, "{question}: {}", response.text());
        let _ = write!(answers, "-- {database}: {question}\n{}\n", response.text());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_stores_are_read_written_and_maintained() {
    if let Some(place) = std::env::var_os("SILTDB_TEST_FREEZE") {
        freeze(Path::new(&place)).await;
    }
    for frozen in stores() {
        let folder = TempDir::new().expect("a temporary folder");
        let place = folder.path().join("store");
        copy(&frozen, &place);
        let target = Target::folder(&place);
        target.check();
        let server = Server::start(&target, NO_MAINTENANCE).await;
        let written_down = frozen.with_added_extension("csv");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&written_down, answers(&server).await).expect("written");
        }
        let mut expected = fs::read_to_string(&written_down).expect("what the store holds");
        assert_eq!(answers(&server).await, expected, "{}", frozen.display());
        // A newer value of a row, and a row more.
        server.write("air", &format!("station v=2 {NOW}\nstation v=3 {}", NOW + 1_000_000)).await;
        expected =
            expected.replace("00:00:00.000000000,1.0\n", "00:00:00.000000000,2.0\n2026-12-01T00:00:00.001000000,3.0\n");
        for settle in [|_: &Target| (), Target::flush, Target::maintain, Target::collect_at_once] {
            settle(&target);
            assert_eq!(answers(&server).await, expected, "{}", frozen.display());
            target.check();
        }
        server.terminate().await;
    }
}

/// Nothing gets into data files: a flush ends when it has frozen what it would settle.
#[derive(Debug)]
struct NoData;

impl Faults for NoData {
    fn before(&self, _: RequestKind, path: &str) -> Fault {
        if path.contains("/data/") { Fault::Refuse } else { Fault::Proceed }
    }
}

/// A process with lists of files that are short, so that a few days make some.
async fn process(store: Store, now: i64, seed: u64) -> Engine {
    let sizes = Sizes { listed_files: 4, leaf_files: 3, ..Sizes::default() };
    let options = EngineOptions { sizes, ..EngineOptions::default() };
    Engine::open(store, Arc::new(ManualClock::new(now, seed)), options).await.expect("an engine")
}

async fn write(engine: &Engine, database: &str, precision: Precision, lines: &str) {
    let user = engine.authenticate("root", "").await.expect("root");
    let tenant = engine.tenant(&user, "cnosdb").await.expect("the first tenant");
    let database = engine.database(tenant, database).await.expect("the database");
    let options = parse::Options {
        write_precision: WritePrecision::Nanosecond,
        database_precision: precision,
        now: NOW,
        limits: engine.limits(),
    };
    let points = parse::line_protocol(lines.as_bytes(), &options).expect("line protocol");
    engine.write(&database, points, &Arc::new(Meter::default())).await.expect("written");
}

/// A column of each type, tags that some rows lack, and in what is late a column more.
fn cpu(first: i64, late: bool) -> String {
    let mut lines = String::new();
    for row in 0..6 {
        let zone = if row % 3 == 0 { String::new() } else { format!(",zone=größer\\ {row}") };
        let text = if row % 2 == 0 { format!(",s=\"text, {row}\"") } else { String::new() };
        let more = if late { format!(",late={row}i") } else { String::new() };
        let time = first + row * 3_600_000_000_000;
        let (f, u, b) = (row as f64 / 8.0, u64::MAX - row as u64, row % 2 == 0);
        let _ = writeln!(lines, "cpu,host=h{}{zone} f={f},i={row}i,u={u}u,b={b}{text}{more} {time}", row % 4);
    }
    lines
}

/// Makes a store with something of each kind: in memory, so that objects grow old and are collected.
async fn freeze(place: &Path) {
    let dates = Arc::new(ManualClock::new(NOW, 0));
    let store = Store::memory_with_clock(dates.clone());
    let engine = process(store.clone(), NOW, 1).await;
    let user = engine.authenticate("root", "").await.expect("root");
    let tenant = engine.tenant(&user, "cnosdb").await.expect("the first tenant");
    let milliseconds = DatabaseOptions { precision: Precision::Millisecond, ..DatabaseOptions::default() };
    engine.create_database(tenant, "air", milliseconds, false).await.expect("created");
    engine.create_database(tenant, "gone", DatabaseOptions::default(), false).await.expect("created");
    engine.drop_database(tenant, "gone", false).await.expect("dropped");
    for day in 0..7 {
        write(&engine, "public", Precision::Nanosecond, &cpu(FIRST + day * DAY, false)).await;
    }
    engine.maintain(Tasks::ALL).await.expect("maintained");
    dates.set(NOW + DAY);
    let later = process(store.clone(), NOW + DAY, 2).await;
    // A second file of a day that has one.
    write(&later, "public", Precision::Nanosecond, &cpu(FIRST + 6 * DAY + 1, true)).await;
    later.maintain(FLUSH).await.expect("flushed");
    later.maintain(Tasks { collect: true, ..Tasks::NONE }).await.expect("collected");
    for part in 0..2 {
        write(&later, "public", Precision::Nanosecond, &cpu(FIRST + part * DAY + 2, true)).await;
    }
    let half = process(store.with_faults(Arc::new(NoData)), NOW + DAY, 3).await;
    half.maintain(FLUSH).await.expect_err("a flush without data files");
    let after = process(store.clone(), NOW + DAY, 4).await;
    write(&after, "public", Precision::Nanosecond, &cpu(FIRST + 3 * DAY + 3, true)).await;
    write(&after, "air", Precision::Millisecond, &format!("station v=1 {NOW}")).await;
    for entry in store.list("", None).await.expect("listed") {
        let path = place.join(&entry.path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, store.get(&entry.path).await.expect("read").expect("an object")).expect("written");
    }
}
