//! Housekeeping by events: what arrives is settled, what housekeeping itself puts there asks for
//! nothing, and the time is kept.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::platform::{Function, Options, created, queued, schedule};
use crate::server::Target;

/// Keys of a folder's objects whose names hold a word, in order.
pub fn keys(folder: &Path, word: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let entries = match std::fs::read_dir(&next) {
            // Housekeeping is at work, and removes folders that it has emptied.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.expect("a readable folder"),
        };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let key = path.strip_prefix(folder).expect("below the folder").to_string_lossy().into_owned();
            match path.is_dir() {
                true => folders.push(path),
                false if key.contains(word) => keys.push(key),
                false => {}
            }
        }
    }
    keys.sort();
    keys
}

fn last_requests(function: &Function) -> u64 {
    let lines = function.metrics();
    let line = lines.last().expect("a line of metrics");
    ["StorePuts", "StoreGets", "StoreLists", "StoreDeletes"].iter().filter_map(|name| line[name].as_u64()).sum()
}

async fn ten_writes(writer: &Function) {
    for number in 0..10 {
        assert_eq!(writer.write(format!("air,station=s{number} temperature={number} {number}")).await.status, 200);
    }
}

const ROWS: &str = "select count(*) as n, sum(temperature) as s from air";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_segments_settle_them_and_no_others_do_anything() {
    let folder = TempDir::new().expect("a folder");
    let target = Target::folder(folder.path());
    let writer = Function::deploy(&target, Options::default()).await;
    let keeper = Function::deploy(&target, Options::default()).await;
    ten_writes(&writer).await;
    let segments = keys(folder.path(), ".w.");
    assert_eq!(segments.len(), 10);
    let before = writer.answer(ROWS).await;
    let notices: Vec<Value> = segments.chunks(3).map(|keys| created("b", keys)).collect();
    let answer = keeper.invoke(&queued(&notices)).await.expect("an answer");
    assert_eq!(answer, json!({"batchItemFailures": []}));
    keeper.idle().await;
    assert_eq!(keys(folder.path(), ".parquet").len(), 1, "one flush for all messages of a database");
    assert_eq!(writer.answer(ROWS).await, before);

    // What the settling has put there comes as events, too; and would go on for ever if it did anything.
    let of_its_own: Vec<String> =
        [".parquet", ".m", "HINT"].iter().flat_map(|word| keys(folder.path(), word)).collect();
    assert!(of_its_own.len() > 4, "{of_its_own:?}");
    for event in [queued(&[created("b", &of_its_own)]), created("b", &of_its_own)] {
        keeper.invoke(&event).await.expect("an answer");
        keeper.idle().await;
        assert_eq!(last_requests(&keeper), 0, "{event}");
    }
    // S3 itself, without a queue.
    assert_eq!(writer.write("air,station=s temperature=1 100").await.status, 200);
    let newest = keys(folder.path(), ".w.").pop().expect("a segment");
    assert_eq!(keeper.invoke(&created("b", &[newest])).await.expect("an answer"), json!({"databases": 1}));
    assert_eq!(keys(folder.path(), ".parquet").len(), 2);
    target.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_what_could_not_be_settled_come_again() {
    let folder = TempDir::new().expect("a folder");
    let target = Target::folder(folder.path());
    let writer = Function::deploy(&target, Options::default()).await;
    ten_writes(&writer).await;
    let segments = keys(folder.path(), ".w.");
    let notices = [created("b", &segments[..1]), created("b", &["t/1/d/2/HINT".to_owned()])];
    // Less than a job is given.
    let hurried = Function::deploy(&target, Options { timeout: Duration::from_secs(1), ..Options::default() }).await;
    let answer = hurried.invoke(&queued(&notices)).await.expect("an answer within the time");
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "m0"}]}));
    let failure = hurried.invoke(&created("b", &segments[..1])).await.expect_err("a failure that calls again");
    assert!(format!("{failure:?}").contains("time was over"), "{failure:?}");
    assert!(keys(folder.path(), ".parquet").is_empty());
    // A database that no catalog names is nobody's work.
    let stranger = segments[0].replace("/d/", "/d/9");
    assert_eq!(hurried.invoke(&queued(&[created("b", &[stranger])])).await, Ok(json!({"batchItemFailures": []})));
    target.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_does_what_is_due() {
    let folder = TempDir::new().expect("a folder");
    let target = Target::folder(folder.path());
    let keeper = Function::deploy(&target, Options::default().set("SILTDB_FLUSH_AGE", "1h")).await;
    let report = keeper.invoke(&schedule()).await.expect("a report");
    assert_eq!((&report["databases"], &report["unfinished"]), (&json!(0), &json!(false)), "{report}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "housekeeping makes no store");
    let writer = Function::deploy(&target, Options::default()).await;
    ten_writes(&writer).await;
    let report = keeper.invoke(&schedule()).await.expect("a report");
    assert_eq!((&report["segments"], &report["unfinished"]), (&json!(0), &json!(false)), "{report}");
    let keeper = Function::deploy(&target, Options::default().set("SILTDB_FLUSH_AGE", "0s")).await;
    let report = keeper.invoke(&json!({})).await.expect("a report");
    assert_eq!(
        (&report["databases"], &report["segments"], &report["rows"]),
        (&json!(1), &json!(10), &json!(10)),
        "{report}"
    );
    target.check();
}

/// Tables, each with eight small files: a merge each.
async fn many_merges(target: &Target, tables: usize) {
    let writer = Function::deploy(target, Options::default()).await;
    for number in 0..8 {
        let lines: String =
            (0..tables).map(|table| format!("t{table},station=s{number} temperature={number} {number}\n")).collect();
        assert_eq!(writer.write(lines).await.status, 200);
        target.flush();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_leaves_before_its_deadline_what_it_has_no_time_for() {
    let (folder, tables) = (TempDir::new().expect("a folder"), 120);
    let target = Target::folder(folder.path());
    many_merges(&target, tables).await;
    let timeout = Duration::from_millis(1_500);
    let hurried = Function::deploy(&target, Options { timeout, ..Options::default() }).await;
    let began = Instant::now();
    let report = hurried.invoke(&schedule()).await.expect("an answer before the deadline");
    assert!(began.elapsed() < timeout, "{:?}", began.elapsed());
    let merges = report["merges"].as_u64().expect("a number of merges");
    assert_eq!(report["unfinished"], true, "{report}");
    assert!(merges < tables as u64, "{report}");
    assert_eq!(hurried.environments().len(), 1, "the platform had to end nothing");
    crate::say(&format!("a round of {timeout:?} did {merges} of {tables} merges and left after {:?}", began.elapsed()));
    target.check();
    let patient = Function::deploy(&target, Options::default()).await;
    let report = patient.invoke(&schedule()).await.expect("a report");
    assert_eq!((&report["merges"], &report["unfinished"]), (&json!(tables as u64 - merges), &json!(false)), "{report}");
    target.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_is_killed_at_any_moment_leaves_the_store_whole() {
    let (folder, tables) = (TempDir::new().expect("a folder"), 24);
    let target = Target::folder(folder.path());
    many_merges(&target, tables).await;
    let keeper = Function::deploy(&target, Options::default().set("SILTDB_GRACE", "0s")).await;
    let mut killed = 0;
    for number in 1..=12 {
        let before = BTreeSet::from_iter(keys(folder.path(), "/"));
        // From its first object to well into its merges, each of which makes two.
        let made = async {
            let new = |key: &String| !before.contains(key);
            while keys(folder.path(), "/").iter().filter(|key| new(key)).count() < number {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let event = schedule();
        let round = keeper.invoke(&event);
        tokio::pin!(round);
        tokio::select! {
            _ = &mut round => {}
            () = made => {
                keeper.forget();
                killed += usize::from(round.await.is_err());
            }
        }
        target.check();
    }
    assert!(killed >= 3, "only {killed} rounds were killed");
    let report = keeper.invoke(&schedule()).await.expect("a report");
    assert_eq!(report["unfinished"], false, "{report}");
    target.check();
    let reader = Function::deploy(&target, Options::default()).await;
    for table in 0..tables {
        assert_eq!(
            reader.answer(&format!("select count(*) as n, sum(temperature) as s from t{table}")).await,
            "n,s\n8,28.0\n"
        );
    }
    crate::say(&format!("{killed} of 12 rounds were killed"));
}
