//! Where a store is, where none is, and where one was.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::oracle::*;
use crate::engine::{Budget, Engine, EngineOptions, Tasks};
use crate::model::{Code, DatabaseId, Error};
use crate::store::fault::{Fault, Faults, RequestKind};
use crate::store::{CreateOutcome, Store};

async fn paths_of(store: &Store) -> Vec<String> {
    store.list("", None).await.unwrap().into_iter().map(|entry| entry.path).collect()
}

async fn put(store: &Store, path: &str) {
    assert_eq!(store.create(path, Bytes::from_static(b"x")).await, CreateOutcome::Created);
}

async fn folder() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path().to_str().unwrap()).await.unwrap();
    (directory, store)
}

async fn existing(store: &Store) -> Result<Engine, Error> {
    Engine::open_existing(store.clone(), clock(1), options(2)).await
}

#[tokio::test]
async fn who_makes_no_store_writes_nothing_where_none_is() {
    let (directory, store) = folder().await;
    let error = existing(&store).await.unwrap_err();
    assert_eq!(error.code, Code::NoStore);
    assert!(error.message.starts_with("no SiltDB store at file:///"), "{error}");
    let lazy = Engine::lazy(store.clone(), clock(1), options(2));
    assert_eq!(lazy.maintain_due(Budget::default()).await.unwrap(), Default::default());
    let tended = lazy.maintain_database(TENANT, DatabaseId(7), Tasks::ALL, Budget::default()).await;
    assert_eq!(tended.unwrap_err().code, Code::NoStore);
    assert_eq!(lazy.maintain(Tasks::ALL).await.unwrap_err().code, Code::NoStore);
    assert_eq!(lazy.check().await.unwrap_err().code, Code::NoStore);
    assert_eq!(store.totals().snapshot().puts, 0);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    // A request makes it, and from then on it is there for all.
    lazy.authenticate("root", "").await.unwrap();
    assert!(lazy.has_made_store());
    assert!(lazy.check().await.unwrap().is_clean());
    assert!(!existing(&store).await.unwrap().has_made_store());
}

#[tokio::test]
async fn a_place_with_other_things_is_left_alone() {
    for (path, made_by_hand) in
        [("notes.txt", true), ("photos/2026/a.jpg", true), ("t/x/y", true), ("sys/probe/1", false)]
    {
        let (_directory, store) = folder().await;
        put(&store, path).await;
        let opened = Engine::open(store.clone(), clock(1), options(2)).await;
        if !made_by_hand {
            assert!(opened.unwrap().has_made_store());
            continue;
        }
        let errors = [opened.unwrap_err(), existing(&store).await.unwrap_err()];
        for error in errors {
            assert_eq!(error.code, Code::NoStore);
            assert!(error.message.contains(path), "{error}");
        }
        assert_eq!(paths_of(&store).await, [path]);
    }
}

#[tokio::test]
async fn a_store_that_has_lost_its_catalog_is_not_begun_anew() {
    let (directory, store) = folder().await;
    let engine = process(&store, 2).await;
    let database = public(&engine).await;
    write(&engine, &database, "t,host=a v=1 10").await.unwrap();
    let mut expected = OracleRows::new();
    expect(&mut expected, "t,host=a v=1 10");
    let (catalog, away) = (directory.path().join("sys"), tempfile::tempdir().unwrap());
    for settled in [false, true] {
        if settled {
            engine.maintain(Tasks::ALL).await.unwrap();
        }
        fs::rename(&catalog, away.path().join("sys")).unwrap();
        let before = paths_of(&store).await;
        let lazy = Engine::lazy(store.clone(), clock(3), options(2));
        let errors = [
            Engine::open(store.clone(), clock(3), options(2)).await.unwrap_err(),
            existing(&store).await.unwrap_err(),
            lazy.authenticate("root", "").await.unwrap_err(),
            lazy.maintain_due(Budget::default()).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.code, Code::Corrupt);
            assert!(error.message.contains("holds data (such as t/1/d/"), "{error}");
            assert!(error.message.contains("no catalog (sys/log is missing)"), "{error}");
        }
        assert_eq!(paths_of(&store).await, before);
        fs::rename(away.path().join("sys"), &catalog).unwrap();
        assert_eq!(read(&lazy, &public(&lazy).await, "t").await.unwrap(), expected);
    }
}

/// Dies at a chosen request: neither it nor any later one is answered.
#[derive(Debug)]
struct DiesAt {
    at: usize,
    seen: AtomicUsize,
    /// Whether the last request is carried out.
    lands: bool,
}

impl Faults for DiesAt {
    fn before(&self, _operation: RequestKind, _path: &str) -> Fault {
        let request = self.seen.fetch_add(1, Ordering::SeqCst);
        if request < self.at || (self.lands && request == self.at) { Fault::Proceed } else { Fault::Hang }
    }

    fn after(&self, _operation: RequestKind, _path: &str) -> Fault {
        let last = self.seen.load(Ordering::SeqCst) > self.at;
        if last { Fault::Delay(Duration::MAX / 4) } else { Fault::Proceed }
    }
}

/// A first start that was broken off leaves nothing that a second one stumbles over.
#[tokio::test(start_paused = true)]
async fn a_first_start_may_break_off_at_any_request() {
    for lands in [false, true] {
        for at in 0.. {
            let store = empty_store().await;
            let faults = Arc::new(DiesAt { at, seen: AtomicUsize::new(0), lands });
            let first = Engine::open(store.with_faults(faults.clone()), clock(1), EngineOptions::default());
            let ended = tokio::time::timeout(Duration::from_secs(3_600), first).await;
            if matches!(ended, Ok(Ok(_))) && faults.seen.load(Ordering::SeqCst) <= at {
                assert!(at > 5, "a first start takes more than {at} requests");
                break;
            }
            let engine = Engine::open(store.clone(), clock(2), EngineOptions::default()).await;
            let engine = engine.unwrap_or_else(|error| panic!("broken off at {at}: {error}"));
            let database = public(&engine).await;
            write(&engine, &database, "t,host=a v=1 10").await.unwrap();
            assert!(engine.check().await.unwrap().is_clean(), "broken off at {at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_start_at_once_one_makes_the_store() {
    let (_directory, store) = folder().await;
    let store = good(store).await;
    let starts = (0..16).map(|seed| {
        let store = store.clone();
        tokio::spawn(async move { process(&store, 2 * seed + 2).await })
    });
    let mut engines = Vec::new();
    for start in futures::future::join_all(starts).await {
        engines.push(start.unwrap());
    }
    assert_eq!(engines.iter().filter(|engine| engine.has_made_store()).count(), 1);
    write(&engines[0], &public(&engines[0]).await, "t,host=a v=1 10").await.unwrap();
    for engine in &engines {
        assert_eq!(read(engine, &public(engine).await, "t").await.unwrap().len(), 1);
    }
}

/// The first write into a folder that was removed is not acknowledged, whether the process has written there
/// before or not, and nothing is made in its place.
#[tokio::test]
async fn nothing_is_acknowledged_into_a_folder_that_was_removed() {
    for (whole, has_written) in [(true, true), (true, false), (false, true), (false, false)] {
        let (directory, store) = folder().await;
        let first = process(&store, 2).await;
        write(&first, &public(&first).await, "t,host=a v=1 10").await.unwrap();
        let second = process(&Store::open(store.url()).await.unwrap(), 4).await;
        let engine = if has_written { &first } else { &second };
        let database = public(engine).await;
        assert_eq!(read(engine, &database, "t").await.unwrap().len(), 1);
        let place = directory.path();
        if whole {
            fs::remove_dir_all(place).unwrap();
        } else {
            fs::remove_dir_all(place.join("t")).unwrap();
            fs::remove_dir_all(place.join("sys")).unwrap();
        }
        // Known columns, and a new one, for which there is a commit first.
        for text in ["t,host=a v=2 10", "t,host=a w=2 10", "t,host=a v=3 10"] {
            let error = write(engine, &database, text).await.unwrap_err();
            assert_eq!(error.code, Code::StoreRefused, "{error}");
            assert!(error.message.contains("is not there (any more): it was removed"), "{error}");
        }
        let error = read(engine, &database, "t").await.unwrap_err();
        let said = if whole { "is not there (any more)" } else { "the store went back in time" };
        assert!(error.message.contains(said), "{error}");
        assert!(!place.exists() || fs::read_dir(place).unwrap().count() == 0);
    }
}
