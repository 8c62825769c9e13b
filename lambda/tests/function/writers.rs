//! Fifty processes at the same time, none of which knows of the others, write one table and give it new
//! columns, while events have others keep house. Every point is there once, and the store is asked for
//! little.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Barrier;

use crate::bucket::bucket;
use crate::platform::{Function, Options, schedule, write_to};
use crate::server::{ROOT, Target};

const WRITERS: usize = 50;
/// Writes of each, one after another.
const WRITES: usize = 16;
/// Each writer brings a new column with every so many writes, and one at its first.
const NEW_COLUMN: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_folder() {
    let folder = TempDir::new().expect("a folder");
    fifty_write("a folder", Target::folder(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_bucket() {
    let Some(target) = bucket("writers").await else { return };
    fifty_write("S3", target).await;
}

async fn fifty_write(place: &str, target: Target) {
    let writers =
        Arc::new(Function::deploy(&target, Options { timeout: Duration::from_secs(300), ..Options::default() }).await);
    // What fifty would do in vain: the store is probed once, and its catalog made.
    assert_eq!(writers.write("other x=1 1").await.status, 200);
    let before = writers.metrics().len();
    let keeper = Function::deploy(&target, Options::default().set("SILTDB_FLUSH_SEGMENTS", "20")).await;
    let writing = Arc::new(AtomicBool::new(true));
    let house = tokio::spawn({
        let writing = writing.clone();
        async move {
            let mut rounds = 0;
            while writing.load(Ordering::SeqCst) {
                keeper.invoke(&schedule()).await.expect("a round");
                rounds += 1;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            rounds
        }
    });
    let together = Arc::new(Barrier::new(WRITERS));
    let tasks: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write_all(writers.clone(), together.clone(), writer))).collect();
    for task in tasks {
        task.await.expect("a writer ends");
    }
    writing.store(false, Ordering::SeqCst);
    let rounds = house.await.expect("the keeper ends");
    writers.idle().await;
    let lines = writers.metrics();
    let puts: u64 = lines[before..].iter().filter_map(|line| line["StorePuts"].as_u64()).sum();
    let a_write = puts as f64 / (WRITERS * WRITES) as f64;
    crate::say(&format!(
        "{place}: {} processes, {} writes, {} new columns, {rounds} rounds of housekeeping: {a_write:.2} PUT a write",
        writers.environments().len(),
        WRITERS * WRITES,
        WRITERS * WRITES.div_ceil(NEW_COLUMN),
    ));
    assert!(writers.environments().len() >= WRITERS);
    verify(&target).await;
    target.check();
    target.maintain();
    verify(&target).await;
    target.check();
    assert!(a_write <= 2.0, "{a_write} PUT a write");
}

async fn write_all(writers: Arc<Function>, together: Arc<Barrier>, writer: usize) {
    together.wait().await;
    for number in 0..WRITES {
        let column = number / NEW_COLUMN;
        let lines = format!(
            "air,writer=w{writer} value={number}i,own{writer}x{column}={number}i {number}\n\
             air,writer=all of{writer}={number}i,last={writer}i {number}\n"
        );
        loop {
            let response = write_to(&writers.address, lines.clone()).await.expect("an answer to a write");
            match response.status {
                200 => break,
                429 | 503 => tokio::time::sleep(Duration::from_millis(20)).await,
                status => panic!("{status} {}", response.text()),
            }
        }
    }
}

/// The cells of the table, by series and time.
type Rows = BTreeMap<(String, i64), BTreeMap<String, i64>>;

/// What has to be there. Of `last`, in which all writers meet, any writer's may stay.
fn expected() -> Rows {
    let mut rows = Rows::new();
    for writer in 0..WRITERS {
        for number in 0..WRITES {
            let (value, time) = (number as i64, number as i64);
            let own = rows.entry((format!("w{writer}"), time)).or_default();
            own.insert("value".to_owned(), value);
            own.insert(format!("own{writer}x{}", number / NEW_COLUMN), value);
            rows.entry(("all".to_owned(), time)).or_default().insert(format!("of{writer}"), value);
        }
    }
    rows
}

async fn verify(target: &Target) {
    let reader = Function::deploy(target, Options::default()).await;
    let request = crate::client::Request::new("POST", "/api/v1/sql", "select *, cast(time as bigint) as tick from air")
        .header("Authorization", ROOT)
        .header("Accept", "application/json");
    let response = crate::client::send(&reader.address, &request).await.expect("an answer");
    assert_eq!((response.status, response.complete), (200, true), "{}", response.text());
    let listed: Vec<BTreeMap<String, Value>> = serde_json::from_slice(&response.body).expect("JSON rows");
    let mut rows = Rows::new();
    for mut row in listed {
        let writer = row.remove("writer").and_then(|name| name.as_str().map(str::to_owned)).expect("a writer");
        let tick = row.remove("tick").and_then(|tick| tick.as_i64()).expect("a time");
        row.remove("time");
        let mut cells: BTreeMap<String, i64> =
            row.into_iter().filter_map(|(name, value)| Some((name, value.as_i64()?))).collect();
        if writer == "all" {
            let last = cells.remove("last").expect("the cell in which all meet");
            assert!((0..WRITERS as i64).contains(&last), "{last}");
        }
        assert!(rows.insert((writer.clone(), tick), cells).is_none(), "{writer} at {tick} is there twice");
    }
    let expected = expected();
    assert_eq!(rows.len(), expected.len());
    for (key, cells) in &expected {
        assert_eq!(rows.get(key), Some(cells), "{key:?}");
    }
}
