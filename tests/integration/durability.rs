//! What was acknowledged survives: the real server on a folder, killed with SIGKILL again and again, and
//! `siltdb maintain` beside it, while clients write; a stop with SIGTERM under load; a store that is gone
//! for a while.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tempfile::TempDir;

use crate::server::{EAGER_FLUSH, NO_MAINTENANCE, Server, Target, write_to};

const WRITERS: usize = 4;
const KILLS: usize = 6;
/// Points in one request.
const BATCH: i64 = 25;

/// What the writers share with the test.
#[derive(Debug, Default)]
struct Load {
    address: RwLock<String>,
    stop: AtomicBool,
    /// Requests acknowledged.
    acknowledged: AtomicUsize,
    /// Points acknowledged: (writer, time) → value.
    points: Mutex<BTreeMap<(usize, i64), i64>>,
}

impl Load {
    fn start(self: &Arc<Load>) -> Vec<tokio::task::JoinHandle<()>> {
        (0..WRITERS).map(|writer| tokio::spawn(write_until_stopped(self.clone(), writer))).collect()
    }

    /// Waits until that many more requests were acknowledged.
    async fn progress(&self, requests: usize) {
        let goal = self.acknowledged.load(Ordering::SeqCst) + requests;
        while self.acknowledged.load(Ordering::SeqCst) < goal {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// The value of a point is a function of its writer and time, so that repeating a request whose
/// answer never came is the same write.
fn value(writer: usize, time: i64) -> i64 {
    (time * 31 + writer as i64 * 1_000_003) % 9_973
}

fn body(writer: usize, first: i64) -> String {
    // Days apart, so that flushes write several partitions.
    let point = |time: i64| {
        let nanoseconds = time * 3_600_000_000_000;
        format!("kept,writer=w{writer} value={}i,tick={time}i {nanoseconds}\n", value(writer, time))
    };
    (first..first + BATCH).map(point).collect()
}

async fn write_until_stopped(load: Arc<Load>, writer: usize) {
    let mut first = 0;
    while !load.stop.load(Ordering::SeqCst) {
        let address = load.address.read().expect("no panic").clone();
        match write_to(&address, "public", &body(writer, first)).await {
            Ok(response) if response.status == 200 => {
                let mut points = load.points.lock().expect("no panic");
                points.extend((first..first + BATCH).map(|time| ((writer, time), value(writer, time))));
                load.acknowledged.fetch_add(1, Ordering::SeqCst);
                first += BATCH;
            }
            // Nothing stored (429, 503), outcome unknown (500), or no answer at all: again.
            Ok(response) => {
                assert!(matches!(response.status, 429 | 500 | 503), "{} {}", response.status, response.text());
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Every acknowledged point is there once and with its value; so is each that was not acknowledged
/// and is there nevertheless.
async fn verify(server: &Server, acknowledged: &BTreeMap<(usize, i64), i64>) {
    let rows = server.rows("public", "select writer, tick, value from kept").await;
    let mut found = BTreeMap::new();
    for row in &rows {
        let writer: usize = row["writer"].as_str().and_then(|name| name[1..].parse().ok()).expect("a writer");
        let (time, stored) = (row["tick"].as_i64().expect("a tick"), row["value"].as_i64().expect("a value"));
        assert_eq!(stored, value(writer, time));
        assert_eq!(found.insert((writer, time), stored), None, "{writer} {time} is there twice");
    }
    let lost: Vec<_> = acknowledged.keys().filter(|key| !found.contains_key(*key)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged points are lost: {lost:?}", lost.len(), acknowledged.len());
    let count = server.number("public", "select count(*) as n from kept").await;
    assert_eq!(count, rows.len() as i64);
    let sum = server.number("public", "select sum(value) as n from kept").await;
    assert_eq!(sum, found.values().sum::<i64>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_points_survive_kill_9() {
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(folder.path());
    let load = Arc::new(Load::default());
    let mut server = Server::start(&target, EAGER_FLUSH).await;
    load.address.write().expect("no panic").clone_from(&server.address);
    let writers = load.start();
    for kill in 0..KILLS {
        // Different numbers, so that the kills fall on different steps of writing and housekeeping.
        load.progress(20 + 7 * kill).await;
        let mut housekeeper = target.spawn("maintain");
        load.progress(10 + 11 * kill).await;
        server.kill9();
        housekeeper.kill().expect("a child of ours");
        housekeeper.wait().expect("a child of ours");
        server = Server::start(&target, EAGER_FLUSH).await;
        load.address.write().expect("no panic").clone_from(&server.address);
    }
    load.progress(20).await;
    load.stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.expect("a writer ends");
    }
    let points = load.points.lock().expect("no panic").clone();
    assert!(points.len() >= 100 * BATCH as usize);
    verify(&server, &points).await;
    target.check();
    target.maintain();
    verify(&server, &points).await;
    target.check();
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_is_clean() {
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(folder.path());
    let load = Arc::new(Load::default());
    let mut server = Server::start(&target, EAGER_FLUSH).await;
    load.address.write().expect("no panic").clone_from(&server.address);
    let writers = load.start();
    load.progress(40).await;
    server.ask_to_stop();
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
    load.stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.expect("a writer ends");
    }
    target.check();
    let server = Server::start(&target, EAGER_FLUSH).await;
    let points = load.points.lock().expect("no panic").clone();
    verify(&server, &points).await;
    server.terminate().await;
}

/// Where the store was nothing can be read, and what has to read first stores nothing: 503, come again.
/// When it is back everything goes on without a restart.
#[tokio::test]
async fn a_store_out_of_reach_is_503_until_it_is_back() {
    let folder = TempDir::new().expect("a temporary folder");
    let (here, away) = (folder.path().join("store"), folder.path().join("away"));
    let server = Server::start(&Target::folder(&here), NO_MAINTENANCE).await;
    server.write("public", "m v=1i 1").await;
    std::fs::rename(&here, &away).expect("moved away");
    std::fs::write(&here, "a file where the folder was").expect("written");
    for statement in ["select * from m", "insert into m (time, v) values (2, 2)", "show tables"] {
        let response = server.sql("public", statement, "text/csv").await;
        assert_eq!(response.status, 503, "{statement}: {}", response.text());
        assert!(response.header("retry-after").is_some());
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
    std::fs::remove_file(&here).expect("removed");
    std::fs::rename(&away, &here).expect("moved back");
    assert_eq!(server.number("public", "select count(*) as n from m").await, 1);
    server.write("public", "m v=2i 2").await;
    assert_eq!(server.number("public", "select sum(v) as n from m").await, 3);
    server.terminate().await;
}
