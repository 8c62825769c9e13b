//! The room's promises, kept by each kind of store.

mod answers;
mod faults;
mod folders;
mod probes;

use std::ops::Range;
use std::time::Duration;

use aws_credential_types::Credentials;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::backend::PART_BYTES;
use super::location::BucketLocation;
use super::*;
use crate::model::Code;
use crate::model::clock::{Clock, SystemClock};

/// A folder that is removed when it goes out of scope, as a store.
async fn folder() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("a")).unwrap();
    let store = Store::open_or_make(directory.path().join("a/b").to_str().unwrap()).await.unwrap();
    (directory, store)
}

/// A new bucket on the server that `SILTDB_TEST_S3_ENDPOINT` names, which takes any key.
async fn s3(prefix: &str) -> Option<Store> {
    let endpoint = std::env::var("SILTDB_TEST_S3_ENDPOINT").ok()?;
    let name = format!("store-{:016x}", rand::random::<u64>());
    let host = endpoint.strip_prefix("http://").unwrap();
    let mut connection = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = format!("PUT /{name} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Some(s3_bucket(&endpoint, &name, prefix))
}

fn s3_bucket(endpoint: &str, name: &str, prefix: &str) -> Store {
    let settings = aws::S3Config {
        endpoint: Some(endpoint.to_owned()),
        region: "us-east-1".into(),
        credentials: credentials::fixed(Credentials::new("test", "test", None, None, "test")),
    };
    Store::s3(&BucketLocation { name: name.into(), prefix: prefix.into() }, settings).unwrap()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn paths_of(store: &Store, prefix: &str, after: Option<&str>) -> Vec<String> {
    store.list(prefix, after).await.unwrap().into_iter().map(|entry| entry.path).collect()
}

/// What every store must do.
async fn conformance(store: &Store) {
    creates(store).await;
    reads(store).await;
    lists(store).await;
    uploads(store).await;
    store.delete("c/new").await.unwrap();
    store.delete("c/new").await.unwrap();
    assert_eq!(store.get("c/new").await.unwrap(), None);
}

async fn creates(store: &Store) {
    assert_eq!(store.create("c/new", bytes("one")).await, CreateOutcome::Created);
    assert_eq!(store.create("c/new", bytes("one")).await, CreateOutcome::Created, "the same bytes again");
    assert_eq!(store.create("c/new", bytes("two")).await, CreateOutcome::Taken(bytes("one")));
    assert_eq!(store.get("c/new").await.unwrap(), Some(bytes("one")));
    store.overwrite("c/HINT", bytes("one")).await.unwrap();
    store.overwrite("c/HINT", bytes("two")).await.unwrap();
    assert_eq!(store.get("c/HINT").await.unwrap(), Some(bytes("two")));
    for path in ["", "/a", "a//b", "a/", "../a", "a/../b", "a\nb", ".tmp-a", "a/.tmp-b", "a\\b"] {
        assert!(matches!(store.create(path, bytes("x")).await, CreateOutcome::Unknown(_)), "{path:?}");
        assert!(store.get(path).await.is_err(), "{path:?}");
    }
    // One winner of 64, and all agree on it.
    let outcomes = join_all((0..64).map(|number| store.create("c/race", bytes(&number.to_string())))).await;
    let created = outcomes.iter().position(|outcome| *outcome == CreateOutcome::Created).unwrap();
    let winner = bytes(&created.to_string());
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let expected = if number == created { CreateOutcome::Created } else { CreateOutcome::Taken(winner.clone()) };
        assert_eq!(outcome, expected);
    }
}

async fn reads(store: &Store) {
    let content: Vec<u8> = (0..4 << 20).map(|index: u32| (index / 251) as u8).collect();
    let part = |range: Range<u64>| Bytes::copy_from_slice(&content[range.start as usize..range.end as usize]);
    assert_eq!(store.create("r/~large=é x", content.clone().into()).await, CreateOutcome::Created);
    let path = "r/~large=é x";
    assert_eq!(store.get_range(path, 5..9).await.unwrap(), Some(part(5..9)));
    assert_eq!(store.get_range(path, 5..5).await.unwrap(), Some(Bytes::new()));
    let meter = Arc::new(Meter::new());
    let metered = store.metered(&meter);
    let ranges = [3_000_000..3_000_010, 0..10, 40_000..40_020, 5..8, 3_900_000..3_900_004];
    let parts = metered.get_ranges(path, &ranges).await.unwrap().unwrap();
    assert_eq!(parts, ranges.clone().map(part));
    assert_eq!(metered.get_ranges(path, &[]).await.unwrap(), Some(vec![]));
    let cost = meter.snapshot();
    assert_eq!(cost.gets, if store.url().starts_with("file") { 3 } else { 2 }, "{cost:?}");
    assert!(cost.bytes_read >= 40_030, "{cost:?}");
    for beyond in [4_194_300..4_194_305, 5_000_000..5_000_001] {
        assert_eq!(store.get_range(path, beyond).await.unwrap_err().code, Code::Corrupt);
    }
    assert_eq!(store.get("r/absent").await.unwrap(), None);
    assert_eq!(store.get("r").await.unwrap(), None);
    assert_eq!(store.get("r/~large=é x/below").await.unwrap(), None);
    assert_eq!(store.get_range("r/absent", 0..1).await.unwrap(), None);
    assert_eq!(store.get_ranges("r/absent", &[0..1, 2..3]).await.unwrap(), None);
}

async fn lists(store: &Store) {
    let mut paths = ["l/log/2.m", "l/log/2.w.a", "l/log/1.m", "l/logs/x", "l/data/t~1/d/x", "l/log/10.m", "l/A"];
    for path in paths {
        assert_eq!(store.create(path, bytes(path)).await, CreateOutcome::Created);
    }
    paths.sort();
    assert_eq!(paths_of(store, "l/", None).await, paths);
    assert_eq!(paths_of(store, "l/log/", None).await, ["l/log/1.m", "l/log/10.m", "l/log/2.m", "l/log/2.w.a"]);
    assert_eq!(paths_of(store, "l/log/2", None).await, ["l/log/2.m", "l/log/2.w.a"]);
    assert_eq!(paths_of(store, "l/log/", Some("l/log/10.m")).await, ["l/log/2.m", "l/log/2.w.a"]);
    assert_eq!(paths_of(store, "l/log/", Some("l/log/10.x")).await, ["l/log/2.m", "l/log/2.w.a"]);
    assert_eq!(paths_of(store, "l/log/", Some("l/a")).await.len(), 4);
    assert_eq!(paths_of(store, "l/log/", Some("l/log/3")).await, Vec::<String>::new());
    assert_eq!(paths_of(store, "nothing/", None).await, Vec::<String>::new());
    assert!(store.list("", None).await.unwrap().len() >= paths.len());
    let entry = store.list("l/A", None).await.unwrap().remove(0);
    assert_eq!((entry.path.as_str(), entry.size), ("l/A", 3));
    assert!(entry.modified > 1_700_000_000_000_000_000, "{}", entry.modified);
}

async fn uploads(store: &Store) {
    for (path, size, puts) in [
        ("u/empty", 0, 1),
        ("u/small", PART_BYTES, 1),
        ("u/large", 2 * PART_BYTES + 5, 5),
        ("u/edge", PART_BYTES + 1, 4),
    ] {
        let meter = Arc::new(Meter::new());
        let mut upload = store.metered(&meter).upload(path).unwrap();
        let content: Vec<u8> = (0..size).map(|index| (index / 253) as u8).collect();
        for piece in content.chunks(1_000_003) {
            upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
            assert_eq!(store.get(path).await.unwrap(), None, "visible before it is finished");
        }
        assert_eq!(upload.finish().await.unwrap(), size as u64);
        assert!(store.get(path).await.unwrap().unwrap() == content, "{path}");
        let cost = meter.snapshot();
        assert_eq!((cost.puts, cost.bytes_written), (puts, size as u64), "{path}");
    }
    let mut given_up = store.upload("u/aborted").unwrap();
    given_up.write(vec![1; PART_BYTES + 1].into()).await.unwrap();
    given_up.abort().await;
    let mut dropped = store.upload("u/dropped").unwrap();
    dropped.write(vec![1; PART_BYTES + 1].into()).await.unwrap();
    drop(dropped);
    assert_eq!(paths_of(store, "u/", None).await, ["u/edge", "u/empty", "u/large", "u/small"]);
}

#[tokio::test]
async fn memory_conforms() {
    conformance(&Store::memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_folder_conforms() {
    let (directory, store) = folder().await;
    conformance(&store).await;
    assert!(store.url().starts_with("file:///") && store.url().ends_with("/a/b"), "{}", store.url());
    // What was written is there for another process, and nothing half-written stays behind.
    let again = Store::open(store.url()).await.unwrap();
    assert_eq!(again.get("c/HINT").await.unwrap(), Some(bytes("two")));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(temporary_files(directory.path()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s3_conforms() {
    for prefix in ["", "some/prefix"] {
        let Some(store) = s3(prefix).await else { return eprintln!("skipped: no SILTDB_TEST_S3_ENDPOINT") };
        conformance(&store).await;
        let report = probe::probe(&store, "", 7).await;
        assert!(report.passed(), "{report}");
        probe::probe_once(&store).await.unwrap();
        // Its answers are dated: what a clock says that is decades behind is corrected.
        let off = store.time().correct(ClockReading { wall: 0, elapsed: SystemClock.elapsed() }) - SystemClock.now();
        assert!(off.abs() < 1_500_000_000, "{off} ns");
    }
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_not_an_empty_one() {
    let Ok(endpoint) = std::env::var("SILTDB_TEST_S3_ENDPOINT") else { return };
    let store = s3_bucket(&endpoint, "no-such-bucket-here", "");
    let error = store.get("a").await.unwrap_err();
    assert!(error.message.contains("bucket does not exist"), "{error}");
    assert!(store.list("", None).await.is_err());
    let CreateOutcome::Unknown(error) = store.create("a", bytes("x")).await else { panic!("created") };
    assert_eq!(error.code, Code::StoreRefused);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let store = s3_bucket("http://127.0.0.1:1", "bucket", "").with_deadline(Duration::from_millis(300));
    let error = store.get("t/1/key").await.unwrap_err();
    assert_eq!(error.code, Code::StoreUnavailable);
    assert!(error.message.contains("t/1/key") && error.message.contains("refused"), "{error}");
    let CreateOutcome::Unknown(error) = store.create("a", bytes("x")).await else { panic!("created") };
    assert_eq!(error.code, Code::StoreUnavailable, "nothing was ever sent");
    assert!(store.totals().snapshot().gets > 1, "it tries again");
}

// Folders.

fn temporary_files(directory: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => temporary_files(&entry.path()),
            false => entry.file_name().to_string_lossy().starts_with(folder::TEMPORARY_PREFIX) as usize,
        })
        .sum()
}

#[tokio::test]
async fn temporary_files_are_no_objects_and_go_when_old() {
    let (directory, store) = folder().await;
    assert_eq!(store.create("x/y/object", bytes("1")).await, CreateOutcome::Created);
    let inside = directory.path().join("a/b/x/y");
    std::fs::write(inside.join(".tmp-young"), "half").unwrap();
    std::fs::write(inside.join(".tmp-old"), "half").unwrap();
    let two_days_ago = std::time::SystemTime::now() - Duration::from_secs(48 * 3600);
    std::fs::File::options().write(true).open(inside.join(".tmp-old")).unwrap().set_modified(two_days_ago).unwrap();
    assert_eq!(paths_of(&store, "", None).await, ["x/y/object"]);
    assert!(inside.join(".tmp-young").exists());
    assert!(!inside.join(".tmp-old").exists());
}

/// Its contents may be older: a process may stand still between writing a file and linking it.
#[tokio::test]
async fn a_folder_dates_a_file_by_when_it_got_its_name() {
    let (directory, store) = folder().await;
    let before = SystemClock.now();
    assert_eq!(store.create("x/y", bytes("1")).await, CreateOutcome::Created);
    let two_days_ago = std::time::SystemTime::now() - Duration::from_secs(48 * 3600);
    let file = std::fs::File::options().write(true).open(directory.path().join("a/b/x/y")).unwrap();
    file.set_modified(two_days_ago).unwrap();
    let entry = store.list("x/", None).await.unwrap().remove(0);
    assert!(entry.modified > before - 1_000_000_000, "{}", entry.modified);
}

#[tokio::test]
async fn a_meter_counts_its_own_request_and_the_store_all() {
    let store = Store::memory();
    let (one, two) = (Arc::new(Meter::new()), Arc::new(Meter::new()));
    assert_eq!(store.metered(&one).create("a", bytes("four")).await, CreateOutcome::Created);
    store.metered(&two).get("a").await.unwrap();
    store.metered(&two).get("absent").await.unwrap();
    store.metered(&two).list("", None).await.unwrap();
    store.delete("a").await.unwrap();
    assert_eq!(one.snapshot(), Cost { puts: 1, bytes_written: 4, ..Cost::default() });
    assert_eq!(two.snapshot(), Cost { gets: 2, lists: 1, bytes_read: 4, ..Cost::default() });
    let total = one.snapshot() + two.snapshot() + Cost { deletes: 1, ..Cost::default() };
    assert_eq!(store.totals().snapshot(), total);
}
