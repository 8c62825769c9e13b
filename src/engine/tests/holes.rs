//! Numbers of manifests that are free again, met by processes whose clocks are wrong or stand still; and what
//! the check says of what it finds in a log.

use std::sync::Arc;
use std::time::Duration;

use super::oracle::*;
use crate::engine::{Database, Engine, EngineOptions, Tasks};
use crate::ledger::{CommitId, Manifest};
use crate::model::clock::{Clock, ManualClock, SharedClock};
use crate::model::paths;
use crate::model::{ColumnKind, DatabaseId, DatabaseOptions, FieldType};
use crate::store::fault::{Fault, Faults, RequestKind};
use crate::store::{CreateOutcome, Store};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// More than the manifests that are always kept.
const COMMITS: usize = 110;
const FLUSH: Tasks = Tasks { flush: true, ..Tasks::NONE };
const COLLECT: Tasks = Tasks { collect: true, ..Tasks::NONE };

/// A store with the time of `truth`, and a process that keeps nothing longer than it must.
async fn world(truth: &Arc<ManualClock>) -> Store {
    good(Store::memory_with_clock(truth.clone())).await
}

async fn process_with(store: &Store, clock: SharedClock) -> Engine {
    let options = EngineOptions { grace: Duration::ZERO, ..EngineOptions::default() };
    Engine::open(store.clone(), clock, options).await.unwrap()
}

/// A clock that is ahead of `NOW`.
fn ahead(nanoseconds: i64, seed: u64) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(NOW + nanoseconds, seed))
}

async fn commit_often(engine: &Engine, database: &Database, prefix: &str, commits: usize) {
    for number in 0..commits {
        let columns = vec![("v".to_owned(), ColumnKind::Field(FieldType::Double))];
        engine.create_table(database, &format!("{prefix}{number}"), columns, false).await.unwrap();
    }
}

async fn rows(store: &Store, clock: SharedClock, name: &str) -> OracleRows {
    let reader = process_with(store, clock).await;
    let database = reader.database(TENANT, name).await.unwrap();
    read(&reader, &database, "t").await.unwrap()
}

fn expected(texts: &[&str]) -> OracleRows {
    let mut rows = OracleRows::new();
    texts.iter().for_each(|text| expect(&mut rows, text));
    rows
}

/// The collector deletes by the store's dates: whatever it takes for the time, the manifests that followed a
/// writer's within the hour are there, and tell the writer that its epoch was sealed.
#[tokio::test]
async fn a_collector_whose_clock_is_hours_ahead_costs_no_write() {
    let truth = ahead(0, 1);
    let store = world(&truth).await;
    let (writer, other) = (process_with(&store, truth.clone()).await, process_with(&store, ahead(0, 2)).await);
    let (here, there) = (public(&writer).await, public(&other).await);
    write(&writer, &here, "t v=1 1").await.unwrap();
    other.maintain(FLUSH).await.unwrap();
    commit_often(&other, &there, "other", COMMITS).await;
    process_with(&store, ahead(2 * HOUR, 3)).await.maintain(COLLECT).await.unwrap();
    truth.set(NOW + 2 * SECOND);
    write(&writer, &here, "t v=2 2").await.unwrap();
    assert_eq!(rows(&store, ahead(0, 4), "public").await, expected(&["t v=1 1", "t v=2 2"]));
}

#[tokio::test]
async fn a_dropped_database_is_not_collected_by_wrong_clocks() {
    let truth = ahead(0, 1);
    let store = world(&truth).await;
    let (writer, other) = (process_with(&store, truth.clone()).await, process_with(&store, ahead(0, 2)).await);
    other.create_database(TENANT, "air", DatabaseOptions::default(), false).await.unwrap();
    let here = writer.database(TENANT, "air").await.unwrap();
    write(&writer, &here, "t v=1 1").await.unwrap();
    let there = other.database(TENANT, "air").await.unwrap();
    other.create_table(&there, "u", vec![("v".to_owned(), ColumnKind::Field(FieldType::Double))], false).await.unwrap();
    other.drop_database(TENANT, "air", false).await.unwrap();
    other.create_database(TENANT, "air", DatabaseOptions::default(), false).await.unwrap();
    let fast = process_with(&store, ahead(2 * HOUR, 3)).await;
    fast.maintain(COLLECT).await.unwrap();
    truth.set(NOW + 2 * SECOND);
    write(&writer, &here, "t v=2 2").await.unwrap();
    assert_eq!(rows(&store, ahead(0, 4), "air").await, expected(&["t v=2 2"]));
    // Once the hour is over by the store's dates it goes, but for what SiltDB did not put there.
    let root = paths::database_root(TENANT, here.id);
    let foreign = format!("{root}notes.txt");
    assert!(matches!(store.create(&foreign, "mine".into()).await, CreateOutcome::Created));
    truth.set(NOW + HOUR + 3 * SECOND);
    fast.maintain(COLLECT).await.unwrap();
    let left: Vec<String> = store.list(&root, None).await.unwrap().into_iter().map(|entry| entry.path).collect();
    assert!(left.len() == 2 && left[0].ends_with(".m") && left[1] == foreign, "{left:?}");
}

/// A machine that was stopped and goes on without noticing it: both its clocks stood still. The date of the
/// store's answer tells.
#[tokio::test]
async fn a_process_whose_clocks_stood_still_learns_the_time_from_the_store() {
    let truth = ahead(0, 1);
    let calm = world(&truth).await;
    let stopped = ahead(0, 2);
    let dated = calm.with_dates(stopped.clone(), truth.clone());
    let (writer, other) = (process_with(&dated, stopped).await, process_with(&calm, truth.clone()).await);
    let (here, there) = (public(&writer).await, public(&other).await);
    write(&writer, &here, "t v=1 1").await.unwrap();
    write(&writer, &here, "t v=2 2").await.unwrap();
    other.maintain(FLUSH).await.unwrap();
    commit_often(&other, &there, "other", COMMITS).await;
    for _ in 0..3 {
        truth.set(truth.now() + 2 * HOUR);
        other.maintain(FLUSH).await.unwrap();
        write(&other, &there, "t v=3 3").await.unwrap();
        other.maintain(Tasks::ALL).await.unwrap();
    }
    write(&writer, &here, "t v=4 4").await.unwrap();
    let all = expected(&["t v=1 1", "t v=2 2", "t v=3 3", "t v=4 4"]);
    assert_eq!(rows(&calm, truth.clone(), "public").await, all);
}

/// Histories that the test runs; each takes some hundreds of milliseconds.
const SEEDS: u64 = 4;

/// Four processes whose clocks are hours wrong, three of which may stand still while hours pass, write, define
/// tables and settle. The fourth, which knows nothing of the store's time, also collects without any grace.
#[tokio::test]
async fn wrong_clocks_lose_nothing_that_was_acknowledged() {
    for seed in 0..SEEDS {
        history(seed).await;
    }
}

async fn history(seed: u64) {
    let truth = ahead(0, seed);
    let calm = world(&truth).await;
    let dice = ManualClock::new(0, seed ^ 0x5EED);
    let roll = |sides: u64| dice.random() % sides;
    let mut processes = Vec::new();
    for number in 0..4 {
        let clock = ahead(roll(5) as i64 * HOUR - 2 * HOUR, seed * 10 + number);
        let dated = calm.with_dates(clock.clone(), truth.clone());
        let engine = process_with(if number < 3 { &dated } else { &calm }, clock.clone()).await;
        let database = public(&engine).await;
        processes.push((clock, engine, database));
    }
    let mut expected = OracleRows::new();
    for round in 0..60 {
        let (_, engine, database) = &processes[roll(4) as usize];
        match roll(8) {
            0 => commit_often(engine, database, &format!("round{round}n"), COMMITS).await,
            1 | 2 => drop(engine.maintain(FLUSH).await.unwrap()),
            3 => drop(processes[3].1.maintain(COLLECT).await.unwrap()),
            4 => {
                let passed = roll(150 * 60) as i64 * SECOND;
                truth.set(truth.now() + passed);
                for (number, (clock, ..)) in processes.iter().enumerate() {
                    if number == 3 || roll(2) == 0 {
                        clock.set(clock.now() + passed);
                    }
                }
            }
            _ => {
                let text = format!("t,host=h{} v={round} {round}", roll(3));
                write(engine, database, &text).await.unwrap();
                expect(&mut expected, &text);
            }
        }
    }
    assert_eq!(rows(&calm, truth.clone(), "public").await, expected, "seed {seed}");
    let reader = process_with(&calm, truth.clone()).await;
    let report = reader.check().await.unwrap();
    assert!(report.is_clean(), "seed {seed}: {report}");
}

/// Beside its writes, so that none of them waits for it.
#[tokio::test]
async fn a_process_that_only_writes_looks_at_the_log_within_ten_minutes() {
    let truth = ahead(0, 1);
    let store = world(&truth).await;
    let writer = process_with(&store, truth.clone()).await;
    let here = public(&writer).await;
    write(&writer, &here, "t v=1 1").await.unwrap();
    let other = process_with(&store, ahead(0, 2)).await;
    for minute in 1..=30 {
        truth.set(NOW + minute * 60 * SECOND);
        let (meter, lists) = (Arc::default(), store.totals().snapshot().lists);
        writer.write(&here, points(&format!("t v=1 {minute}")), &meter).await.unwrap();
        assert_eq!(meter.snapshot().lists, 0, "minute {minute}");
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let looks = store.totals().snapshot().lists - lists;
        assert_eq!(looks, u64::from(minute % 5 == 0), "minute {minute}");
    }
    assert_eq!(read(&other, &public(&other).await, "t").await.unwrap().len(), 30);
}

#[tokio::test]
async fn a_write_acknowledged_during_a_list_is_not_forgotten_by_it() {
    let store = empty_store().await;
    let engine = process(&store, 1).await;
    let database = public(&engine).await;
    write(&engine, &database, "t v=1 1").await.unwrap();
    let listing = database.handle.ledger.load(&store).await.unwrap();
    write(&engine, &database, "t v=2 2").await.unwrap();
    database.handle.learn_tail(&listing);
    assert_eq!(database.handle.tail().segments, 2);
    // What others have settled meanwhile is gone from the next one.
    process(&store, 2).await.maintain(FLUSH).await.unwrap();
    database.handle.learn_tail(&database.handle.ledger.load(&store).await.unwrap());
    assert_eq!(database.handle.tail().segments, 0);
}

/// Data files take so long.
#[derive(Debug)]
struct SlowFiles(Duration);

impl Faults for SlowFiles {
    fn before(&self, operation: RequestKind, path: &str) -> Fault {
        let slow = operation == RequestKind::Create && path.contains("/data/");
        if slow { Fault::Delay(self.0) } else { Fault::Proceed }
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_gives_up_says_so() {
    let store = empty_store().await;
    let writer = process(&store, 2).await;
    let database = public(&writer).await;
    let fast = process(&store.with_faults(Arc::new(SlowFiles(Duration::from_secs(1)))), 4).await;
    let slow = process(&store.with_faults(Arc::new(SlowFiles(Duration::from_millis(2_500)))), 6).await;
    let rival = tokio::spawn(async move {
        for number in 0.. {
            write(&writer, &database, &format!("t v=1 {number}")).await.unwrap();
            fast.maintain(FLUSH).await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let report = slow.maintain(FLUSH).await.unwrap();
    rival.abort();
    assert_eq!((report.left, report.segments), (1, 0), "{report}");
    assert!(report.to_string().contains("1 jobs left"), "{report}");
}

/// Puts a manifest of another commit where there is none.
async fn put_stray(
    store: &Store,
    like: &Manifest<crate::database::DatabaseState>,
    version: u64,
    commit: u128,
    parent: u128,
) {
    let mut stray = like.clone();
    (stray.version, stray.commit, stray.parent) = (version, CommitId(commit), Some(CommitId(parent)));
    let key = paths::manifest(&paths::database_root(TENANT, like.state.id), version);
    assert!(matches!(store.create(&key, stray.encode().unwrap()).await, CreateOutcome::Created));
}

#[tokio::test]
async fn the_check_sees_strays_forks_gaps_and_foreign_folders() {
    let store = empty_store().await;
    let engine = process(&store, 1).await;
    let database = public(&engine).await;
    write(&engine, &database, "t v=1 1").await.unwrap();
    commit_often(&engine, &database, "other", COMMITS).await;
    let newest = database.handle.ledger.cached().unwrap();
    let root = database.handle.root();
    for version in 1..=5 {
        store.delete(&paths::manifest(root, version)).await.unwrap();
    }
    let report = engine.check().await.unwrap();
    assert!(report.is_clean() && report.notes.is_empty(), "{report}");
    put_stray(&store, &newest, 3, 77, 1).await;
    let report = engine.check().await.unwrap();
    assert!(report.is_clean() && report.notes[0].contains("manifests 3 are not part of the history"), "{report}");
    put_stray(&store, &newest, 4, 78, 77).await;
    let report = engine.check().await.unwrap();
    assert!(report.problems.len() == 1 && report.problems[0].contains("manifests 3, 4"), "{report}");
    for version in [3, 4] {
        store.delete(&paths::manifest(root, version)).await.unwrap();
    }
    let missing = paths::manifest(root, newest.version - 3);
    let bytes = store.get(&missing).await.unwrap().unwrap();
    store.delete(&missing).await.unwrap();
    let report = engine.check().await.unwrap();
    assert!(report.problems[0].contains(&format!("manifest {} is missing", newest.version - 3)), "{report}");
    assert!(matches!(store.create(&missing, bytes).await, CreateOutcome::Created));
    // A database that a catalog has forgotten, one that was never finished, and what is none.
    let segment = store.list(&paths::log_prefix(root), None).await.unwrap();
    let segment = segment.into_iter().rfind(|entry| entry.path.ends_with(".wal")).unwrap().path;
    let forgotten = paths::database_root(TENANT, DatabaseId(77));
    let never = paths::database_root(TENANT, DatabaseId(78));
    for path in [segment.replace(root, &forgotten), paths::manifest(&never, 1), "t/1/readme".to_owned()] {
        assert!(matches!(store.create(&path, "x".into()).await, CreateOutcome::Created));
    }
    let report = engine.check().await.unwrap();
    assert_eq!((report.problems.len(), report.notes.len()), (2, 1), "{report}");
    assert!(report.problems[0].contains("t/1/readme") && report.problems[1].contains(&forgotten), "{report}");
    assert!(report.notes[0].contains(&never), "{report}");
}

/// What a process leaves that believed in an epoch that was over.
#[tokio::test]
async fn the_check_counts_segments_that_landed_after_their_epoch_was_sealed() {
    let truth = ahead(0, 1);
    let store = world(&truth).await;
    let engine = process_with(&store, truth.clone()).await;
    let database = public(&engine).await;
    write(&engine, &database, "t v=1 1").await.unwrap();
    let log = store.list(&paths::log_prefix(database.handle.root()), None).await.unwrap();
    let segment = log.into_iter().rfind(|entry| entry.path.ends_with(".wal")).unwrap().path;
    let bytes = store.get(&segment).await.unwrap().unwrap();
    engine.maintain(FLUSH).await.unwrap();
    store.delete(&segment).await.unwrap();
    truth.set(NOW + 10 * SECOND);
    assert!(engine.check().await.unwrap().notes.is_empty());
    assert!(matches!(store.create(&segment, bytes).await, CreateOutcome::Created));
    let report = engine.check().await.unwrap();
    assert!(report.is_clean() && report.notes[0].contains("1 segments landed after"), "{report}");
}
