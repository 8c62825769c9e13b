//! Several processes on one store, none of which knows of the others: two write and flush as often as
//! they can, a third reads what was acknowledged the moment it was, and others flush, merge and collect
//! all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use crate::bucket::bucket;
use crate::server::{EAGER_FLUSH, Server, Target, sql_on, write_to};

/// Writes of each writer.
const WRITES: i64 = 40;
/// Every so many writes a new column comes.
const NEW_COLUMN: i64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_folder() {
    let folder = TempDir::new().expect("a temporary folder");
    three_processes(Target::folder(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_bucket() {
    let Some(target) = bucket("processes").await else { return };
    three_processes(target).await;
}

async fn three_processes(target: Target) {
    let first = Server::start(&target, EAGER_FLUSH).await;
    let second = Server::start(&target, EAGER_FLUSH).await;
    let reader = Server::start(&target, EAGER_FLUSH).await;
    let reading = Arc::new(reader.address.clone());
    let writers = [("a", first.address.clone()), ("b", second.address.clone())].map(|(name, address)| {
        let reading = reading.clone();
        tokio::spawn(async move { write_and_look(name, &address, &reading).await })
    });
    let writing = Arc::new(AtomicBool::new(true));
    let housekeeper = {
        let (target, writing) = (target.clone(), writing.clone());
        tokio::task::spawn_blocking(move || {
            while writing.load(Ordering::SeqCst) {
                target.maintain();
            }
        })
    };
    for writer in writers {
        writer.await.expect("a writer ends");
    }
    writing.store(false, Ordering::SeqCst);
    housekeeper.await.expect("the housekeeper ends");
    let before = all_rows(&first).await;
    verify(&before);
    for server in [&second, &reader] {
        assert_eq!(all_rows(server).await, before);
    }
    target.check();
    target.maintain();
    target.check();
    for server in [first, second, reader] {
        assert_eq!(all_rows(&server).await, before, "the same before and after housekeeping");
        server.terminate().await;
    }
}

/// One request: a point of the writer's own, and one that both write, each a field of its own and
/// one in common.
fn body(writer: &str, number: i64) -> String {
    let column = number / NEW_COLUMN;
    format!(
        "shared,host={writer} value={number}i,extra{column}={number}i {number}\n\
         shared,host=both {writer}={number}i,last=\"{writer}\" {number}\n"
    )
}

async fn write_and_look(writer: &str, address: &str, reading: &str) {
    for number in 0..WRITES {
        acknowledged(address, &body(writer, number)).await;
        let own = format!("select value from shared where host = '{writer}' and time = {number}");
        assert_eq!(answer(reading, &own).await, format!("value\n{number}\n"), "{writer} {number}: not seen");
        let both = format!("select {writer} as n from shared where host = 'both' and time = {number}");
        assert_eq!(answer(reading, &both).await, format!("n\n{number}\n"), "{writer} {number}: not merged");
    }
}

/// Writes until it is acknowledged: 503 says that nothing was stored and to come again.
async fn acknowledged(address: &str, body: &str) {
    loop {
        let response = write_to(address, "public", body).await.expect("an answer to a write");
        match response.status {
            200 => return,
            429 | 503 => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            status => panic!("{status} {}", response.text()),
        }
    }
}

async fn answer(address: &str, sql: &str) -> String {
    let response = sql_on(address, "public", sql, "text/csv").await.expect("an answer to a query");
    assert_eq!(response.status, 200, "{sql}: {}", response.text());
    response.text()
}

async fn all_rows(server: &Server) -> Vec<serde_json::Value> {
    server.rows("public", "select * from shared order by host, time").await
}

fn verify(rows: &[serde_json::Value]) {
    assert_eq!(rows.len() as i64, 3 * WRITES);
    for (at, row) in rows.iter().enumerate() {
        let number = at as i64 % WRITES;
        let host = ["a", "b", "both"][at / WRITES as usize];
        assert_eq!(row["host"], host, "{row}");
        if host == "both" {
            assert_eq!((&row["a"], &row["b"]), (&number.into(), &number.into()), "{row}");
            assert!(row["last"] == "a" || row["last"] == "b", "{row}");
        } else {
            let extra = format!("extra{}", number / NEW_COLUMN);
            assert_eq!((&row["value"], &row[&extra]), (&number.into(), &number.into()), "{row}");
        }
    }
}
