//! What is asked of the object store, counted twice: in the header of the answer, and in the line of
//! metrics of the whole invocation. `docs/cost.md` reckons with these counts.

use serde_json::Value;
use tempfile::TempDir;

use crate::bucket::bucket;
use crate::client::{Request, Response, send};
use crate::housekeeping::keys;
use crate::platform::{Function, Options, created, queued, schedule};
use crate::server::Target;

/// Requests by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cost {
    puts: u64,
    gets: u64,
    lists: u64,
    deletes: u64,
}

const fn cost(puts: u64, gets: u64, lists: u64) -> Cost {
    Cost { puts, gets, lists, deletes: 0 }
}

impl Cost {
    fn of_header(response: &Response) -> Cost {
        let text = response.header("x-siltdb-cost").expect("a header of costs");
        let value = |name: &str| {
            let word = text.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            word.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{name} in {text}"))
        };
        Cost { puts: value("put"), gets: value("get"), lists: value("list"), deletes: value("delete") }
    }

    fn of_line(line: &Value) -> Cost {
        let value = |name: &str| line[name].as_u64().unwrap_or_else(|| panic!("{name} in {line}"));
        Cost {
            puts: value("StorePuts"),
            gets: value("StoreGets"),
            lists: value("StoreLists"),
            deletes: value("StoreDeletes"),
        }
    }

    /// What the function's last invocation asked.
    fn last(function: &Function) -> Cost {
        Cost::of_line(function.metrics().last().expect("a line of metrics"))
    }
}

fn say(what: &str, cost: Cost) -> Cost {
    crate::say(&format!("{what}: {} PUT, {} GET, {} LIST, {} DELETE", cost.puts, cost.gets, cost.lists, cost.deletes));
    cost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_folder() {
    let folder = TempDir::new().expect("a folder");
    requests_are_few("folder", Target::folder(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_bucket() {
    let Some(target) = bucket("costs").await else { return };
    requests_are_few("S3", target).await;
}

async fn requests_are_few(place: &str, target: Target) {
    let function = Function::deploy(&target, Options::default()).await;
    let write = async |number: usize| {
        let response = function.write(format!("air,station=a temperature={number} {number}")).await;
        assert_eq!(response.status, 200, "{}", response.text());
        response
    };
    write(0).await;
    say(&format!("{place}: the first write to an empty store, which is probed"), Cost::last(&function));

    for number in 1..=10 {
        let response = write(number).await;
        assert_eq!(Cost::of_header(&response), cost(1, 1, 0), "write {number}");
        assert_eq!(Cost::last(&function), cost(1, 1, 0), "write {number}");
    }
    say(&format!("{place}: a write"), Cost::last(&function));

    function.forget();
    write(11).await;
    // The probe's result; of the catalog and of the database HINT, the manifest after it, which is not there,
    // and its own; the confirmation. One LIST beside the PUT: what others have written before.
    assert_eq!(say(&format!("{place}: a write of a new process"), Cost::last(&function)), cost(1, 8, 1));

    let ask = async || {
        assert_eq!(function.answer("select count(*) as n from air").await, "n\n12\n");
        Cost::last(&function)
    };
    function.forget();
    let cold = say(&format!("{place}: a query of a new process, 12 segments in the tail"), ask().await);
    assert_eq!((cold.puts, cold.lists, cold.deletes), (0, 1, 0));
    assert_eq!(say(&format!("{place}: a query"), ask().await), cost(0, 1, 1));

    target.maintain();
    function.forget();
    let cold = say(&format!("{place}: a query of a new process, all settled in one file"), ask().await);
    assert_eq!((cold.puts, cold.lists, cold.deletes), (0, 1, 0));
    let warm = say(&format!("{place}: a query, all settled"), ask().await);
    assert_eq!((warm.puts, warm.deletes), (0, 0));
    assert!(warm.gets <= 2 && warm.lists == 1, "{warm:?}");
    rounds(place, &target, &function).await;
}

async fn rounds(place: &str, target: &Target, writer: &Function) {
    let options = Options::default().set("SILTDB_FLUSH_AGE", "0s");
    let keeper = Function::deploy(target, options).await;
    keeper.invoke(&schedule()).await.expect("a round");
    keeper.idle().await;
    say(&format!("{place}: a scheduled round of a new process, nothing to do"), Cost::last(&keeper));
    keeper.invoke(&schedule()).await.expect("a round");
    keeper.idle().await;
    let nothing = say(&format!("{place}: a scheduled round, nothing to do"), Cost::last(&keeper));
    assert_eq!((nothing.puts, nothing.deletes), (0, 0));
    for number in 20..30 {
        assert_eq!(writer.write(format!("air,station=a temperature=1 {number}")).await.status, 200);
    }
    let report = keeper.invoke(&schedule()).await.expect("a round");
    keeper.idle().await;
    assert_eq!((&report["segments"], &report["rows"]), (&10.into(), &10.into()), "{report}");
    let round = say(&format!("{place}: a scheduled round that settles 10 segments"), Cost::last(&keeper));
    assert!(round.puts <= 6 && round.gets <= 13 && round.lists <= 5, "{round:?}");

    by_event(place, target, writer, &keeper).await;
    // Between events there is no process that could ask for anything.
    let before = (writer.metrics().len(), keeper.metrics().len());
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!((writer.metrics().len(), keeper.metrics().len()), before);
    target.check();
}

/// The same by what S3 tells of each segment, through a queue.
async fn by_event(place: &str, target: &Target, writer: &Function, keeper: &Function) {
    for number in 30..40 {
        assert_eq!(writer.write(format!("air,station=a temperature=1 {number}")).await.status, 200);
    }
    let (bucket, keys) = segments(target).await;
    assert!(keys.len() >= 10, "{keys:?}");
    let answer = keeper.invoke(&queued(&[created(&bucket, &keys)])).await.expect("an answer");
    keeper.idle().await;
    assert_eq!(answer["batchItemFailures"].as_array().map(Vec::len), Some(0), "{answer}");
    let settled = say(&format!("{place}: an event that settles 10 segments"), Cost::last(keeper));
    assert!(settled.puts <= 5 && settled.gets <= 12 && settled.lists <= 2, "{settled:?}");
}

/// The bucket, and the keys of all segments that lie in it.
async fn segments(target: &Target) -> (String, Vec<String>) {
    let Some(place) = target.store.strip_prefix("s3://") else {
        return ("any".to_owned(), keys(std::path::Path::new(&target.store), ".w."));
    };
    let (bucket, _) = place.split_once('/').expect("a prefix");
    let endpoint = target.environment.iter().find(|(name, _)| name == "AWS_ENDPOINT_URL_S3").expect("an endpoint");
    let request = Request::new("GET", &format!("/{bucket}?list-type=2"), "");
    let listed = send(endpoint.1.trim_start_matches("http://"), &request).await.expect("an S3 server").text();
    let names =
        listed.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>").map(|(key, _)| key.to_owned()));
    (bucket.to_owned(), names.filter(|key| key.contains(".w.")).collect())
}
