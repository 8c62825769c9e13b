//! From the start of a process to its first answers. Times are printed and not judged: they are those
//! of this machine and of a build that is not for speed. What is judged is what a start may not do.

use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::bucket::bucket;
use crate::client::{Request, send};
use crate::platform::{Function, Options};
use crate::server::Target;

const STARTS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_folder() {
    let folder = TempDir::new().expect("a folder");
    first_answers("a folder", Target::folder(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_bucket() {
    let Some(target) = bucket("cold").await else { return };
    first_answers("S3", target).await;
}

async fn first_answers(place: &str, target: Target) {
    let function = Function::deploy(&target, Options::default()).await;
    for number in 0..20 {
        assert_eq!(function.write(format!("air,station=s{number} temperature={number} {number}")).await.status, 200);
    }
    target.maintain();
    assert_eq!(function.write("air,station=late temperature=1 100").await.status, 200);
    let ping = Request::new("GET", "/api/v1/ping", "");
    let pings =
        times(&function, async || assert_eq!(send(&function.address, &ping).await.expect("an answer").status, 200));
    let pings = pings.await;
    let writes =
        times(&function, async || assert_eq!(function.write("air,station=w temperature=1 7").await.status, 200));
    let writes = writes.await;
    let queries = times(&function, async || {
        assert_eq!(function.answer("select count(*) as n from air where station <> 'w'").await, "n\n21\n");
    });
    let queries = queries.await;
    let lines = function.metrics();
    let pings_cost: u64 = of_kind(&lines, "ping").map(requests).sum();
    assert_eq!((of_kind(&lines, "ping").count(), pings_cost), (STARTS, 0), "who is only greeted costs nothing");
    for (what, times) in [("ping", &pings), ("write", &writes), ("query", &queries)] {
        crate::say(&format!(
            "cold start on {place}, process start to {what}: median {:.0?}, least {:.0?}",
            times[STARTS / 2],
            times[0]
        ));
    }
}

/// The times from no process to the end of `first`, sorted.
async fn times(function: &Function, first: impl AsyncFn()) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        function.forget();
        let began = Instant::now();
        first().await;
        times.push(began.elapsed());
        function.idle().await;
    }
    times.sort();
    times
}

fn of_kind<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["Kind"] == kind)
}

fn requests(line: &Value) -> u64 {
    ["StorePuts", "StoreGets", "StoreLists", "StoreDeletes"].iter().filter_map(|name| line[name].as_u64()).sum()
}
