mod holes;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::*;
use crate::model::clock::{ManualClock, SharedClock};
use crate::store::fault::{Fault, Faults, RequestKind};
use crate::store::{CreateOutcome, Store};

/// A list of numbers; commits append to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Numbers(Vec<u64>);

impl LedgerState for Numbers {
    fn list_from(&self, version: u64) -> u64 {
        version
    }
}

fn clock(seed: u64) -> SharedClock {
    Arc::new(ManualClock::new(1_000, seed))
}

async fn begun(store: &Store) -> Ledger<Numbers> {
    let ledger = Ledger::new("r/", clock(1));
    assert!(ledger.begin(store, "begin", Numbers(Vec::new())).await.unwrap());
    ledger
}

async fn append(ledger: &Ledger<Numbers>, store: &Store, number: u64) -> Result<u64> {
    let committed = ledger.commit(store, |newest| {
        let mut state = newest.state.clone();
        state.0.push(number);
        Ok(CommitStep::Commit { kind: "append", state, output: () })
    });
    committed.await.map(|(manifest, ())| manifest.version)
}

#[tokio::test]
async fn commits_of_many_processes_are_all_kept_in_one_line() {
    let store = Store::memory();
    begun(&store).await;
    let tasks = (0..8u64).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let ledger = Ledger::<Numbers>::new("r/", clock(100 + writer));
            for number in 0..5 {
                append(&ledger, &store, writer * 10 + number).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let reader = Ledger::<Numbers>::new("r/", clock(9));
    let newest = reader.load(&store).await.unwrap().manifest;
    assert_eq!(newest.version, 41);
    let mut numbers = newest.state.0.clone();
    numbers.sort_unstable();
    let expected: Vec<u64> = (0..8).flat_map(|writer| (0..5).map(move |number| writer * 10 + number)).collect();
    assert_eq!(numbers, expected);
    let mut parent = None;
    for version in 1..=41 {
        let key = paths::manifest("r/", version);
        let manifest = Manifest::<Numbers>::decode(&key, &store.get(&key).await.unwrap().unwrap(), None).unwrap();
        assert_eq!((manifest.version, manifest.parent), (version, parent));
        parent = Some(manifest.commit);
    }
}

/// Every request takes as long as on S3.
#[derive(Debug)]
struct Distance;

impl Faults for Distance {
    fn before(&self, _: RequestKind, _: &str) -> Fault {
        Fault::Delay(Duration::from_millis(30))
    }
}

/// Without a pause each of them loses to all that are before it: 1,275 manifests are sent.
#[tokio::test(start_paused = true)]
async fn fifty_that_commit_at_once_do_not_cost_each_other_fifty() {
    let store = Store::memory();
    begun(&store).await;
    let far = store.with_faults(Arc::new(Distance));
    let before = far.totals().snapshot();
    let tasks = (0..50u64).map(|writer| {
        let far = far.clone();
        tokio::spawn(async move { append(&Ledger::new("r/", clock(100 + writer)), &far, writer).await.unwrap() })
    });
    let mut versions = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        versions.push(task.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (2..52).collect::<Vec<u64>>());
    let sent = (far.totals().snapshot() - before).puts;
    assert!(sent < 300, "{sent}");
}

#[tokio::test]
async fn a_second_beginning_changes_nothing() {
    let store = Store::memory();
    begun(&store).await;
    let other = Ledger::<Numbers>::new("r/", clock(2));
    assert!(!other.begin(&store, "begin", Numbers(vec![9])).await.unwrap());
    assert_eq!(other.load(&store).await.unwrap().manifest.state, Numbers(Vec::new()));
}

#[tokio::test]
async fn a_reader_with_a_cached_manifest_asks_one_list() {
    let store = Store::memory();
    let ledger = begun(&store).await;
    append(&ledger, &store, 1).await.unwrap();
    let before = store.totals().snapshot();
    ledger.load(&store).await.unwrap();
    let cost = store.totals().snapshot() - before;
    assert_eq!((cost.lists, cost.gets, cost.puts), (1, 0, 0));
    let before = store.totals().snapshot();
    let manifest = ledger.cached().unwrap();
    assert!(ledger.is_newest(&store, &manifest).await.unwrap());
    let cost = store.totals().snapshot() - before;
    assert_eq!((cost.lists, cost.gets, cost.puts), (0, 1, 0));
    assert_eq!(ledger.fresh(&store, Duration::from_secs(30)).await.unwrap().version, 2);
    assert_eq!(store.totals().snapshot() - before, cost, "a fresh proof asks nothing");
}

#[tokio::test]
async fn a_create_in_a_hole_of_deleted_numbers_is_not_believed() {
    let store = Store::memory();
    let ledger = begun(&store).await;
    let time = Arc::new(ManualClock::new(1_000, 3));
    let sleeper = Ledger::<Numbers>::new("r/", time.clone());
    sleeper.load(&store).await.unwrap();
    for number in 0..4 {
        append(&ledger, &store, number).await.unwrap();
    }
    // The collector frees numbers 2 and 3; a committer that slept since version 1 wakes up in the middle of
    // a commit: it takes the clock of a moment ago for the present.
    for version in [2, 3] {
        store.delete(&paths::manifest("r/", version)).await.unwrap();
    }
    let committed = sleeper.commit(&store, |newest| {
        time.set(1_000 + 3_600_000_000_000);
        let mut state = newest.state.clone();
        state.0.push(99);
        Ok(CommitStep::Commit { kind: "append", state, output: () })
    });
    assert_eq!(committed.await.unwrap().0.version, 6);
    let newest = ledger.load(&store).await.unwrap().manifest;
    assert_eq!(newest.state.0, [0, 1, 2, 3, 99]);
}

#[tokio::test]
async fn commits_one_after_another_cost_a_put_each() {
    let store = Store::memory();
    let time = Arc::new(ManualClock::new(1_000, 1));
    let ledger = Ledger::new("r/", time.clone());
    assert!(ledger.begin(&store, "begin", Numbers(Vec::new())).await.unwrap());
    let before = store.totals().snapshot();
    append(&ledger, &store, 1).await.unwrap();
    append(&ledger, &store, 2).await.unwrap();
    let cost = store.totals().snapshot() - before;
    assert_eq!((cost.lists, cost.gets, cost.puts), (0, 0, 3), "one is the hint");
    // Later, somebody else may have come first.
    time.set(1_000 + 10_000_000_000);
    let before = store.totals().snapshot();
    append(&ledger, &store, 3).await.unwrap();
    let cost = store.totals().snapshot() - before;
    assert_eq!((cost.lists, cost.gets, cost.puts), (1, 0, 2), "and the next hint is due");
}

#[tokio::test]
async fn what_was_the_newest_a_moment_ago_decides_nothing_but_a_commit() {
    let store = Store::memory();
    let ledger = begun(&store).await;
    let other = Ledger::<Numbers>::new("r/", clock(2));
    append(&other, &store, 7).await.unwrap();
    // This process has not seen the 7 yet, and neither says that it is missing nor does it build on that.
    let found = ledger.commit(&store, |newest| match newest.state.0.as_slice() {
        [7] => Ok(CommitStep::Done("found")),
        _ => Err(Error::new(Code::TableNotFound, "there is no 7")),
    });
    assert_eq!(found.await.unwrap().1, "found");
    let other_cached = other.cached().unwrap();
    append(&ledger, &store, 8).await.unwrap();
    let missing = other.commit(&store, |newest| match newest.state.0.last() {
        Some(7) => Ok(CommitStep::Done(())),
        _ => Err(Error::new(Code::TableNotFound, "the last is no 7")),
    });
    assert_eq!(other_cached.state.0, [7]);
    assert_eq!(missing.await.unwrap_err().message, "the last is no 7");
    // Both commit on what they last saw; one loses its turn, neither its number.
    append(&other, &store, 9).await.unwrap();
    append(&ledger, &store, 10).await.unwrap();
    assert_eq!(other.load(&store).await.unwrap().manifest.state.0, [7, 8, 9, 10]);
}

#[tokio::test]
async fn a_listing_says_whether_its_manifest_was_known_before() {
    let store = Store::memory();
    let ledger = begun(&store).await;
    let other = Ledger::<Numbers>::new("r/", clock(2));
    append(&other, &store, 1).await.unwrap();
    assert!(!ledger.load(&store).await.unwrap().is_later);
    assert!(ledger.load(&store).await.unwrap().is_later);
}

#[tokio::test]
async fn a_lying_hint_costs_requests_only() {
    let store = Store::memory();
    let ledger = begun(&store).await;
    append(&ledger, &store, 1).await.unwrap();
    let mut far = ledger.cached().unwrap().as_ref().clone();
    far.version = 1_000;
    for hint in [far.encode().unwrap(), Bytes::from_static(b"rubbish")] {
        store.overwrite(&paths::hint("r/"), hint).await.unwrap();
        let reader = Ledger::<Numbers>::new("r/", clock(4));
        assert_eq!(reader.load(&store).await.unwrap().manifest.version, 2);
        let opener = Ledger::<Numbers>::new("r/", clock(5));
        assert_eq!(opener.open(&store).await.unwrap().unwrap().version, 2);
    }
    // A manifest that is there, but was never this one: of a number that was freed and created again.
    let mut other = ledger.cached().unwrap().as_ref().clone();
    other.commit = CommitId(7);
    store.overwrite(&paths::hint("r/"), other.encode().unwrap()).await.unwrap();
    let opener = Ledger::<Numbers>::new("r/", clock(6));
    assert_eq!(opener.open(&store).await.unwrap().unwrap().commit, ledger.cached().unwrap().commit);
    store.delete(&paths::hint("r/")).await.unwrap();
    assert_eq!(Ledger::<Numbers>::new("r/", clock(7)).current(&store).await.unwrap().version, 2);
    let nothing = Ledger::<Numbers>::new("other/", clock(8));
    assert!(nothing.open(&store).await.unwrap().is_none());
    assert!(nothing.current(&store).await.is_err());
}

#[tokio::test]
async fn a_new_process_follows_the_hint_without_a_list() {
    let store = Store::memory();
    let ledger = begun(&store).await;
    // The hint is where the first commit after the beginning put it; the others came within the same second.
    for (number, expected) in [(1, (3, 0)), (2, (4, 0)), (3, (5, 0)), (4, (6, 0)), (5, (6, 1))] {
        append(&ledger, &store, number).await.unwrap();
        let before = store.totals().snapshot();
        let newest = Ledger::<Numbers>::new("r/", clock(number)).open(&store).await.unwrap().unwrap();
        assert_eq!(newest.version, number + 1);
        let cost = store.totals().snapshot() - before;
        assert_eq!((cost.gets, cost.lists), expected, "{} commits after the hint", number - 1);
    }
    ledger.flush_hint(&store).await;
    let before = store.totals().snapshot();
    ledger.flush_hint(&store).await;
    let opener = Ledger::<Numbers>::new("r/", clock(9));
    assert_eq!(opener.open(&store).await.unwrap().unwrap().version, 6);
    let cost = store.totals().snapshot() - before;
    assert_eq!((cost.gets, cost.lists, cost.puts), (3, 0, 0));
    // It is as good a proof as any: a write is confirmed by one GET.
    let before = store.totals().snapshot();
    let newest = opener.cached().unwrap();
    assert!(opener.is_newest(&store, &newest).await.unwrap());
    assert_eq!((store.totals().snapshot() - before).gets, 1);
}

#[tokio::test]
async fn a_hint_whose_manifest_was_deleted_leads_to_the_newest() {
    let store = Store::memory();
    let ledger = begun(&store).await;
    for number in 0..4 {
        append(&ledger, &store, number).await.unwrap();
    }
    for version in [1, 2, 3] {
        store.delete(&paths::manifest("r/", version)).await.unwrap();
    }
    let opener = Ledger::<Numbers>::new("r/", clock(2));
    assert_eq!(opener.open(&store).await.unwrap().unwrap().version, 5);
    // Somebody who slept for long has just created the number after it, which is a hole by now.
    let mut stray = ledger.cached().unwrap().as_ref().clone();
    (stray.version, stray.commit, stray.parent) = (3, CommitId(9), Some(CommitId(8)));
    let created = store.create(&paths::manifest("r/", 3), stray.encode().unwrap()).await;
    assert!(matches!(created, CreateOutcome::Created));
    let opener = Ledger::<Numbers>::new("r/", clock(3));
    assert_eq!(opener.open(&store).await.unwrap().unwrap().version, 5);
    // The same, with a hint that was as late, so that the stray descends from it.
    let mut late = ledger.cached().unwrap().as_ref().clone();
    (late.version, late.commit) = (2, CommitId(8));
    store.delete(&paths::manifest("r/", 4)).await.unwrap();
    store.overwrite(&paths::hint("r/"), late.encode().unwrap()).await.unwrap();
    let opener = Ledger::<Numbers>::new("r/", clock(4));
    assert_eq!(opener.open(&store).await.unwrap().unwrap().version, 5);
}

#[tokio::test]
async fn a_store_that_went_back_in_time_is_refused() {
    let store = Store::memory();
    let ledger = begun(&store).await;
    append(&ledger, &store, 1).await.unwrap();
    store.delete(&paths::manifest("r/", 2)).await.unwrap();
    let error = ledger.load(&store).await.unwrap_err();
    assert!(error.message.contains("back in time"), "{error}");
}

#[tokio::test]
async fn another_history_is_refused() {
    let store = Store::memory();
    let ledger = begun(&store).await;
    append(&ledger, &store, 1).await.unwrap();
    let mut foreign = ledger.cached().unwrap().as_ref().clone();
    foreign.version = 3;
    foreign.recent = vec![(1, CommitId(7)), (2, CommitId(8))];
    let created = store.create(&paths::manifest("r/", 3), foreign.encode().unwrap()).await;
    assert!(matches!(created, CreateOutcome::Created));
    let error = ledger.load(&store).await.unwrap_err();
    assert!(error.message.contains("descend"), "{error}");
}

#[tokio::test]
async fn damaged_manifests_and_newer_formats_are_named() {
    let store = Store::memory();
    let ledger = begun(&store).await;
    let bytes = ledger.cached().unwrap().encode().unwrap();
    for position in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[position] ^= 1;
        let error = Manifest::<Numbers>::decode("log/1.m", &damaged, None).expect_err("a flipped bit went unnoticed");
        assert!(error.message.contains("log/1.m"), "{error}");
    }
    let newer = String::from_utf8(bytes.to_vec()).unwrap().replacen("siltdb-manifest 4", "siltdb-manifest 5", 1);
    let error = Manifest::<Numbers>::decode("log/1.m", newer.as_bytes(), None).unwrap_err();
    assert!(error.message.contains("newer SiltDB"), "{error}");
}

#[tokio::test]
async fn a_long_manifest_is_compressed_and_read_back() {
    let store = Store::memory();
    let ledger = begun(&store).await;
    let numbers: Vec<u64> = (0..50_000).collect();
    let grow = ledger
        .commit(&store, |_| Ok(CommitStep::Commit { kind: "grow", state: Numbers((0..50_000).collect()), output: () }));
    grow.await.unwrap();
    let key = paths::manifest("r/", 2);
    let bytes = store.get(&key).await.unwrap().unwrap();
    assert!(bytes.starts_with(b"siltdb-manifest 4 zstd ") && bytes.len() < 200_000, "{}", bytes.len());
    assert_eq!(Manifest::<Numbers>::decode(&key, &bytes, None).unwrap().state.0, numbers);
    for position in (0..bytes.len()).step_by(997) {
        let mut damaged = bytes.to_vec();
        damaged[position] ^= 1;
        Manifest::<Numbers>::decode(&key, &damaged, None).expect_err("a flipped bit went unnoticed");
    }
}
