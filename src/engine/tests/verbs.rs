//! The verbs one by one.

use std::sync::Arc;
use std::time::Duration;

use super::oracle::*;
use crate::database::Edit;
use crate::engine::{Engine, EngineOptions, Tasks};
use crate::model::clock::{ManualClock, SharedClock};
use crate::model::limits::Limits;
use crate::model::paths;
use crate::model::{Code, ColumnKind, DatabaseOptions, FieldType, OrderKey, Precision};
use crate::store::{Meter, Store};

#[tokio::test]
async fn what_is_written_is_read_before_and_after_settling() {
    let store = empty_store().await;
    let engine = process(&store, 1).await;
    let database = public(&engine).await;
    let mut expected = OracleRows::new();
    for text in [
        "t,host=a v=1 10\nt,host=b v=2 10",
        "t,host=a w=\"x\" 10\nt v=3 99",
        "t,host=a v=4 10\nt,host=c v=5 86400000000005",
    ] {
        write(&engine, &database, text).await.unwrap();
        expect(&mut expected, text);
        assert_eq!(read(&engine, &database, "t").await.unwrap(), expected);
    }
    for _ in 0..2 {
        let report = engine.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap();
        assert_eq!(read(&engine, &database, "t").await.unwrap(), expected, "{report}");
    }
    write(&engine, &database, "t,host=a v=6 10").await.unwrap();
    expect(&mut expected, "t,host=a v=6 10");
    engine.maintain(Tasks::ALL).await.unwrap();
    assert_eq!(read(&engine, &database, "t").await.unwrap(), expected);
    let report = engine.check().await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.files, report.segments), (2, 0));
}

#[tokio::test]
async fn a_steady_write_costs_one_put_and_one_get_and_a_warm_snapshot_one_list_and_one_get() {
    let store = empty_store().await;
    let engine = process(&store, 1).await;
    let database = public(&engine).await;
    write(&engine, &database, "t,host=a v=1 10").await.unwrap();
    let meter = Arc::new(Meter::default());
    engine.write(&database, points("t,host=a v=2 20"), &meter).await.unwrap();
    let cost = meter.snapshot();
    assert_eq!((cost.puts, cost.gets, cost.lists), (1, 1, 0));
    let meter = Arc::new(Meter::default());
    engine.snapshot(&database, &["t".to_owned()], &meter).await.unwrap();
    let cost = meter.snapshot();
    assert_eq!((cost.puts, cost.gets, cost.lists), (0, 1, 1));
}

#[tokio::test]
async fn another_process_sees_a_write_at_once() {
    let store = empty_store().await;
    let (one, two) = (process(&store, 1).await, process(&store, 2).await);
    let (here, there) = (public(&one).await, public(&two).await);
    let mut expected = OracleRows::new();
    for round in 0..5 {
        let text = format!("t,host=a v={round} {round}");
        write(&one, &here, &text).await.unwrap();
        expect(&mut expected, &text);
        assert_eq!(read(&two, &there, "t").await.unwrap(), expected);
        if round == 2 {
            two.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_process_that_only_writes_is_not_held_up_by_what_others_have_settled() {
    let store = empty_store().await;
    let limits = Limits { live_segments: 4, ..Limits::default() };
    let options = EngineOptions { limits, ..EngineOptions::default() };
    let clock: SharedClock = Arc::new(ManualClock::new(1_000, 1));
    let writer = Engine::open(store.clone(), clock, options).await.unwrap();
    let keeper = process(&store, 2).await;
    let database = public(&writer).await;
    for number in 0..20 {
        write(&writer, &database, &format!("t,host=a v=1 {number}")).await.unwrap();
        if number % 3 == 2 {
            keeper.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap();
        }
    }
    assert!(database.handle.tail().segments <= 4);
}

#[tokio::test]
async fn the_oldest_segment_need_not_be_of_the_oldest_epoch() {
    let store = empty_store().await;
    let engine = process(&store, 1).await;
    let database = public(&engine).await;
    assert_eq!(database.handle.oldest(), None);
    let (ahead, normal) = (9_000, 1_000);
    database.handle.grow_tail(OrderKey { epoch: 1, clock: ahead, writer: 1 }, 10);
    database.handle.grow_tail(OrderKey { epoch: 2, clock: normal, writer: 2 }, 10);
    assert_eq!(database.handle.oldest(), Some(normal));
}

#[tokio::test]
async fn a_hint_that_lies_hides_nothing() {
    let store = empty_store().await;
    let writer = process(&store, 1).await;
    let database = public(&writer).await;
    write(&writer, &database, "t,host=a v=1 10").await.unwrap();
    // The hint of a database whose floor is far above: a LIST from there shows the manifest and no segment.
    let root = database.handle.root();
    let mut lie = database.handle.ledger.cached().unwrap().as_ref().clone();
    lie.version = 3;
    lie.state.epoch = 2;
    lie.state.floor = 2;
    store.overwrite(&paths::hint(root), lie.encode().unwrap()).await.unwrap();
    let reader = process(&store, 2).await;
    let handle = reader.open_database(database.tenant, database.id);
    assert_eq!(handle.ledger.load(&store).await.unwrap().segments.len(), 1);
}

#[tokio::test]
async fn a_conflict_refuses_the_whole_request() {
    let store = empty_store().await;
    let engine = process(&store, 1).await;
    let database = public(&engine).await;
    write(&engine, &database, "t,host=a v=1 10").await.unwrap();
    let error = write(&engine, &database, "u x=1 1\nt,host=b v=3i 30").await.unwrap_err();
    assert_eq!(error.code, Code::TypeConflict);
    let error = write(&engine, &database, "u x=1 1\nt v=1,host=5 30").await.unwrap_err();
    assert_eq!(error.code, Code::TypeConflict);
    assert_eq!(read(&engine, &database, "t").await.unwrap().len(), 1);
    assert!(read(&engine, &database, "u").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_dropped_table_is_gone_and_its_name_free() {
    let store = empty_store().await;
    let (one, two) = (process(&store, 1).await, process(&store, 2).await);
    let (here, there) = (public(&one).await, public(&two).await);
    write(&one, &here, "t,host=a v=1 10").await.unwrap();
    one.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap();
    write(&two, &there, "t,host=a v=2 20").await.unwrap();
    one.drop_table(&here, "t", false).await.unwrap();
    assert!(read(&two, &there, "t").await.unwrap().is_empty());
    assert_eq!(one.drop_table(&here, "t", false).await.unwrap_err().code, Code::TableNotFound);
    one.drop_table(&here, "t", true).await.unwrap();
    // The other process still has the old table in mind; its field had another type.
    write(&two, &there, "t,host=a v=\"new\" 10").await.unwrap();
    let mut expected = OracleRows::new();
    expect(&mut expected, "t,host=a v=\"new\" 10");
    assert_eq!(read(&one, &here, "t").await.unwrap(), expected);
    one.maintain(Tasks::ALL).await.unwrap();
    assert_eq!(read(&one, &here, "t").await.unwrap(), expected);
    assert!(one.check().await.unwrap().is_clean());
}

#[tokio::test]
async fn databases_by_name_across_processes() {
    let store = empty_store().await;
    let (one, two) = (process(&store, 1).await, process(&store, 2).await);
    assert_eq!(two.database(TENANT, "air").await.unwrap_err().code, Code::DatabaseNotFound);
    one.create_database(TENANT, "air", DatabaseOptions::default(), false).await.unwrap();
    let error = one.create_database(TENANT, "air", DatabaseOptions::default(), false).await.unwrap_err();
    assert_eq!(error.code, Code::DatabaseExists);
    one.create_database(TENANT, "air", DatabaseOptions::default(), true).await.unwrap();
    let air = two.database(TENANT, "air").await.unwrap();
    write(&two, &air, "t v=1 1").await.unwrap();
    assert_eq!(one.database_names(TENANT).await.unwrap(), ["air", "public"]);
    one.drop_database(TENANT, "air", false).await.unwrap();
    let error = write(&two, &air, "t v=1 1").await.unwrap_err();
    assert_eq!(error.code, Code::DatabaseNotFound);
    one.create_database(TENANT, "air", DatabaseOptions::default(), false).await.unwrap();
    // A handle from before the drop writes into the database that has the name now.
    write(&two, &air, "t v=2 2").await.unwrap();
    let again = one.database(TENANT, "air").await.unwrap();
    assert_eq!(read(&one, &again, "t").await.unwrap().len(), 1);
    assert_eq!(read(&two, &air, "t").await.unwrap().len(), 1);
    // Its times would mean something else in a database of another precision.
    one.drop_database(TENANT, "air", false).await.unwrap();
    let coarse = DatabaseOptions { precision: Precision::Millisecond, ..DatabaseOptions::default() };
    one.create_database(TENANT, "air", coarse, false).await.unwrap();
    assert_eq!(write(&two, &air, "t v=2 2").await.unwrap_err().code, Code::DatabaseNotFound);
}

#[tokio::test]
async fn a_drop_that_stopped_half_way_does_not_hold_the_name() {
    let store = empty_store().await;
    let engine = process(&store, 1).await;
    for finish in [true, false] {
        engine.create_database(TENANT, "air", DatabaseOptions::default(), false).await.unwrap();
        let air = engine.database(TENANT, "air").await.unwrap();
        // The manifest's half of a drop.
        engine.commit_after_flush(&air, &Edit::DropDatabase).await.unwrap();
        assert_eq!(engine.database(TENANT, "air").await.unwrap_err().code, Code::DatabaseNotFound);
        if finish {
            engine.drop_database(TENANT, "air", false).await.unwrap();
            assert_eq!(engine.drop_database(TENANT, "air", false).await.unwrap_err().code, Code::DatabaseNotFound);
            engine.drop_database(TENANT, "air", true).await.unwrap();
        }
    }
    engine.create_database(TENANT, "air", DatabaseOptions::default(), false).await.unwrap();
    write(&engine, &engine.database(TENANT, "air").await.unwrap(), "t v=1 1").await.unwrap();
}

#[tokio::test]
async fn expired_points_are_refused_and_their_files_go() {
    let store = empty_store().await;
    let clock = Arc::new(ManualClock::new(NOW, 1));
    let shared: SharedClock = clock.clone();
    let options = EngineOptions { grace: Duration::ZERO, ..EngineOptions::default() };
    let engine = Engine::open(store.clone(), shared, options).await.unwrap();
    let ttl = DatabaseOptions { ttl: Some(Duration::from_secs(86_400)), ..DatabaseOptions::default() };
    engine.create_database(TENANT, "short", ttl, false).await.unwrap();
    let database = engine.database(TENANT, "short").await.unwrap();
    let old = NOW - 2 * 86_400_000_000_000;
    let error = write(&engine, &database, &format!("t v=1 {NOW}\nt v=1 {old}")).await.unwrap_err();
    assert_eq!(error.code, Code::PointExpired);
    write(&engine, &database, &format!("t v=1 {NOW}")).await.unwrap();
    engine.maintain(Tasks::ALL).await.unwrap();
    assert_eq!(engine.check().await.unwrap().files, 1);
    clock.set(NOW + 3 * 86_400_000_000_000);
    let report = engine.maintain(Tasks::ALL).await.unwrap();
    assert_eq!(report.expired, 1);
    let report = engine.check().await.unwrap();
    assert!(report.is_clean() && report.files == 0, "{report}");
}

#[tokio::test]
async fn strict_databases_refuse_what_is_not_defined() {
    let store = empty_store().await;
    let engine = process(&store, 1).await;
    let options = DatabaseOptions { strict_write: true, ..DatabaseOptions::default() };
    engine.create_database(TENANT, "strict", options, false).await.unwrap();
    let database = engine.database(TENANT, "strict").await.unwrap();
    assert_eq!(write(&engine, &database, "t v=1 1").await.unwrap_err().code, Code::TableNotFound);
    let other = process(&store, 2).await;
    let there = other.database(TENANT, "strict").await.unwrap();
    assert_eq!(write(&other, &there, "t v=1 1").await.unwrap_err().code, Code::TableNotFound);
    let columns = vec![("v".to_owned(), ColumnKind::Field(FieldType::Double))];
    engine.create_table(&database, "t", columns, false).await.unwrap();
    write(&engine, &database, "t v=1 1").await.unwrap();
    assert_eq!(write(&engine, &database, "t v=1,w=2 1").await.unwrap_err().code, Code::ColumnNotFound);
    // What another process has defined is no reason to refuse, though this one has not heard of it.
    write(&other, &there, "t v=1 2").await.unwrap();
}

#[tokio::test]
async fn damage_is_an_error_and_check_names_it() {
    let store = empty_store().await;
    let engine = process(&store, 1).await;
    let database = public(&engine).await;
    write(&engine, &database, "t,host=a v=1 10").await.unwrap();
    engine.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap();
    let root = paths::database_root(TENANT, database.id);
    let file = store.list(&format!("{root}data/"), None).await.unwrap().remove(0);
    let bytes = store.get(&file.path).await.unwrap().unwrap();
    let fresh = process(&store, 2).await;
    store.delete(&file.path).await.unwrap();
    let report = fresh.check().await.unwrap();
    assert!(report.problems.iter().any(|problem| problem.contains(&file.path)), "{report}");
    let here = public(&fresh).await;
    assert!(read(&fresh, &here, "t").await.is_err());
    store.overwrite(&file.path, bytes.slice(..bytes.len() - 1)).await.unwrap();
    assert!(!process(&store, 3).await.check().await.unwrap().is_clean());
    store.overwrite(&file.path, bytes).await.unwrap();
    assert!(process(&store, 4).await.check().await.unwrap().is_clean());
    write(&engine, &database, "t,host=a v=1 20").await.unwrap();
    let log = store.list(&paths::log_prefix(&root), None).await.unwrap();
    let segment = log.into_iter().rfind(|entry| entry.path.contains(".w.")).unwrap();
    let bytes = store.get(&segment.path).await.unwrap().unwrap();
    store.overwrite(&segment.path, bytes.slice(..bytes.len() / 2)).await.unwrap();
    let fresh = process(&store, 5).await;
    let here = public(&fresh).await;
    let error = read(&fresh, &here, "t").await.unwrap_err();
    assert_eq!(error.code, Code::Corrupt);
    assert!(error.message.contains(&segment.path), "{error}");
    assert_eq!(fresh.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap_err().code, Code::Corrupt);
}

#[tokio::test]
async fn damage_is_not_merged_on() {
    let store = empty_store().await;
    let engine = process(&store, 1).await;
    let database = public(&engine).await;
    for line in ["t,host=a v=1,w=1 10", "t,host=a v=2 10"] {
        write(&engine, &database, line).await.unwrap();
        engine.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap();
    }
    let root = paths::database_root(TENANT, database.id);
    let files = store.list(&format!("{root}data/"), None).await.unwrap();
    assert_eq!(files.len(), 2);
    let before = store.list(&paths::log_prefix(&root), None).await.unwrap();
    for file in files {
        let bytes = store.get(&file.path).await.unwrap().unwrap();
        let mut damaged = bytes.to_vec();
        damaged[bytes.len() / 4] ^= 1;
        store.overwrite(&file.path, damaged.into()).await.unwrap();
        let error = process(&store, 2).await.maintain(Tasks::ALL).await.unwrap_err();
        assert_eq!(error.code, Code::Corrupt);
        assert!(error.message.starts_with("table 't': ") && error.message.contains(&file.path), "{error}");
        assert_eq!(store.list(&paths::log_prefix(&root), None).await.unwrap(), before, "nothing was committed");
        store.overwrite(&file.path, bytes).await.unwrap();
    }
    process(&store, 3).await.maintain(Tasks::ALL).await.unwrap();
    assert!(process(&store, 4).await.check().await.unwrap().is_clean());
}

#[tokio::test]
async fn writers_wait_their_turn_when_too_much_is_unsettled() {
    let store = empty_store().await;
    let mut options = EngineOptions::default();
    options.limits.live_segments = 3;
    let engine = Engine::open(store, clock(1), options).await.unwrap();
    let database = public(&engine).await;
    for time in 0..3 {
        write(&engine, &database, &format!("t v=1 {time}")).await.unwrap();
    }
    assert_eq!(write(&engine, &database, "t v=1 9").await.unwrap_err().code, Code::TooManyWrites);
    engine.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap();
    write(&engine, &database, "t v=1 9").await.unwrap();
}

#[tokio::test]
async fn what_a_dropped_database_leaves_is_collected() {
    let clock = Arc::new(ManualClock::new(NOW, 1));
    let store = good(Store::memory_with_clock(clock.clone())).await;
    let options = EngineOptions { grace: Duration::ZERO, ..EngineOptions::default() };
    let engine = Engine::open(store.clone(), clock.clone(), options).await.unwrap();
    engine.create_database(TENANT, "air", DatabaseOptions::default(), false).await.unwrap();
    let air = engine.database(TENANT, "air").await.unwrap();
    write(&engine, &air, "t v=1 1").await.unwrap();
    engine.maintain(Tasks::ALL).await.unwrap();
    write(&engine, &air, "t v=2 2").await.unwrap();
    let root = format!("t/{TENANT}/d/{}/", air.id);
    engine.drop_database(TENANT, "air", false).await.unwrap();
    let before = store.list(&root, None).await.unwrap();
    assert!(before.len() > 3);
    engine.maintain(Tasks::ALL).await.unwrap();
    let still = "what others may have proven within the hour is there, even without any grace";
    assert_eq!(store.list(&root, None).await.unwrap(), before, "{still}");
    clock.set(NOW + 61 * 60 * 1_000_000_000);
    engine.maintain(Tasks::ALL).await.unwrap();
    let left = store.list(&root, None).await.unwrap();
    assert!(left.len() == 1 && left[0].path.ends_with(".m"), "{left:?}");
    clock.set(NOW + 31 * 24 * 3_600 * 1_000_000_000);
    engine.maintain(Tasks::ALL).await.unwrap();
    assert_eq!(store.list(&root, None).await.unwrap(), []);
    assert!(engine.check().await.unwrap().is_clean());
}
