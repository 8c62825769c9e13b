//! Seeded histories: several processes write, settle, merge, collect and read one store at once,
//! through a store that delays, fails and loses answers. One seed, one history.

use std::sync::Arc;
use std::time::Duration;

use super::oracle::*;
use crate::engine::{Engine, EngineOptions, Tasks};
use crate::model::clock::{Clock, ManualClock};
use crate::store::{Store, fault::RandomFaults};

/// Histories run by the test; each takes some tens of milliseconds.
const SEEDS: u64 = 12;

fn dice(seed: u64) -> ManualClock {
    ManualClock::new(NOW, seed)
}

/// One process alone: random writes, duplicates and late points included, with settling and merging
/// in between; what is read always equals the oracle.
#[tokio::test]
async fn one_process_equals_the_oracle() {
    for seed in 0..SEEDS {
        let store = empty_store().await;
        let engine = process(&store, seed).await;
        let database = public(&engine).await;
        let dice = dice(seed ^ 0xABCD);
        let mut expected = OracleRows::new();
        for _ in 0..40 {
            match dice.random() % 10 {
                0 => drop(engine.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap()),
                1 => drop(engine.maintain(Tasks { merge: true, ..Tasks::NONE }).await.unwrap()),
                2 => drop(engine.maintain(Tasks::ALL).await.unwrap()),
                _ => {
                    let text = random_lines(&dice);
                    write(&engine, &database, &text).await.unwrap();
                    expect(&mut expected, &text);
                }
            }
            assert_eq!(read(&engine, &database, "t").await.unwrap(), expected, "seed {seed}");
        }
        let report = engine.check().await.unwrap();
        assert!(report.is_clean(), "seed {seed}: {report}");
    }
}

fn random_lines(dice: &ManualClock) -> String {
    let lines = 1 + dice.random() % 6;
    let line = |_| {
        let host = match dice.random() % 4 {
            0 => String::new(),
            host => format!(",host=h{host}"),
        };
        let field = match dice.random() % 4 {
            0 => format!("v={}", dice.random() % 100),
            1 => format!("n={}i", dice.random() % 100),
            2 => format!("s=\"{}\"", dice.random() % 100),
            _ => format!("v={},s=\"{}\"", dice.random() % 100, dice.random() % 100),
        };
        // A few days, few distinct times: many duplicates, some of them late.
        let time = NOW - (dice.random() % 3) as i64 * 86_400_000_000_000 + (dice.random() % 5) as i64;
        format!("t{host} {field} {time}")
    };
    (0..lines).map(line).collect::<Vec<_>>().join("\n")
}

/// Several processes at once on a store that misbehaves. Every acknowledged point is there once, in
/// every snapshot that begins afterwards.
#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_or_doubled() {
    for seed in 0..SEEDS {
        history(seed).await;
    }
}

async fn history(seed: u64) {
    let calm = empty_store().await;
    process(&calm, 1_000 + seed).await;
    let faulty = calm.with_faults(Arc::new(RandomFaults::new(0.05, seed)));
    let mut tasks = Vec::new();
    for writer in 0..3u64 {
        let engine = process_with_grace(&faulty, seed * 100 + writer).await;
        tasks.push(tokio::spawn(write_and_look(engine, seed, writer)));
    }
    let keeper = process_with_grace(&faulty, seed * 100 + 50).await;
    let other = process_with_grace(&faulty, seed * 100 + 51).await;
    let keepers = [keeper, other].map(|engine| {
        tokio::spawn(async move {
            loop {
                // Failures of the store end one round; the next one goes on from what is there.
                let _ = engine.maintain(Tasks::ALL).await;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        })
    });
    let mut expected = OracleRows::new();
    for task in tasks {
        for text in task.await.unwrap() {
            expect(&mut expected, &text);
        }
    }
    for keeper in keepers {
        keeper.abort();
    }
    let reader = process(&calm, seed * 100 + 99).await;
    let database = public(&reader).await;
    let rows = read(&reader, &database, "t").await.unwrap();
    for (key, fields) in &expected {
        assert_eq!(rows.get(key), Some(fields), "seed {seed}: {key:?}");
    }
    reader.maintain(Tasks::ALL).await.unwrap();
    assert_eq!(read(&reader, &database, "t").await.unwrap(), rows, "seed {seed}");
    let report = reader.check().await.unwrap();
    assert!(report.is_clean(), "seed {seed}: {report}");
}

async fn process_with_grace(store: &Store, seed: u64) -> Engine {
    let options = EngineOptions { grace: Duration::from_secs(3_600), ..options(seed) };
    for _ in 0..50 {
        if let Ok(engine) = Engine::open(store.clone(), clock(seed), options.clone()).await {
            return engine;
        }
    }
    panic!("seed {seed}: the store never let a process start");
}

/// Writes points that only this writer writes, and after each acknowledgement looks whether it can
/// be read. Returns the acknowledged text.
async fn write_and_look(engine: Engine, seed: u64, writer: u64) -> Vec<String> {
    let database = loop {
        if let Ok(database) = engine.database(TENANT, "public").await {
            break database;
        }
    };
    let dice = dice(seed * 7 + writer);
    let mut acknowledged = Vec::new();
    let mut expected = OracleRows::new();
    for round in 0..20 {
        let time = NOW - (dice.random() % 2) as i64 * 86_400_000_000_000 + round % 7;
        let text = format!("t,host=w{writer} v={round},f{writer}={round}i {time}");
        tokio::time::sleep(Duration::from_millis(dice.random() % 20)).await;
        if write(&engine, &database, &text).await.is_err() {
            // Unknown: the point may or may not be there, so its time is out of the comparison.
            expected.retain(|(_, known), _| *known != time);
            acknowledged.retain(|known: &String| !known.ends_with(&format!(" {time}")));
            continue;
        }
        acknowledged.push(text.clone());
        expect(&mut expected, &text);
        if let Ok(rows) = read(&engine, &database, "t").await {
            for (key, fields) in &expected {
                assert_eq!(rows.get(key), Some(fields), "seed {seed}, writer {writer}, round {round}: {key:?}");
            }
        }
    }
    acknowledged
}

/// Many partitions: descriptions of files move into lists and back as late points come and old ones
/// expire, and no answer changes.
#[tokio::test]
async fn lists_of_files_come_and_go() {
    let store = empty_store().await;
    let (one, two) = (process(&store, 1).await, process(&store, 3).await);
    let (here, there) = (public(&one).await, public(&two).await);
    let mut expected = OracleRows::new();
    let mut lists = 0;
    for round in 0..30i64 {
        let day = if round % 5 == 4 { round / 2 } else { round };
        let text = format!("t,host=a v={round} {}\nt,host=b v={round} {}", NOW - day * DAY, NOW - day * DAY);
        write(&one, &here, &text).await.unwrap();
        expect(&mut expected, &text);
        one.maintain(Tasks { flush: true, merge: true, ..Tasks::NONE }).await.unwrap();
        assert_eq!(read(&two, &there, "t").await.unwrap(), expected, "round {round}");
        let snapshot = two.snapshot(&there, &["t".to_owned()], &Default::default()).await.unwrap();
        let table = snapshot.table("t").unwrap();
        lists = lists.max(table.leaves.len());
        assert!(table.files.len() <= 6, "round {round}: {} files in the manifest", table.files.len());
    }
    assert!(lists > 3, "{lists}");
    two.maintain(Tasks::ALL).await.unwrap();
    assert_eq!(read(&one, &here, "t").await.unwrap(), expected);
    let report = one.check().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

const DAY: i64 = 86_400_000_000_000;
