//! Segments that were acknowledged and vanish are noticed, and given up only when the operator says so.

use super::oracle::*;
use crate::database::Edit;
use crate::engine::{Database, Engine, Losses, Tasks};
use crate::ledger::Manifest;
use crate::model::Code;
use crate::model::paths::{self, LogName, SegmentName};
use crate::store::Store;

/// The segments in the log, in the order of their writes.
async fn segments(store: &Store, database: &Database) -> Vec<SegmentName> {
    let prefix = paths::log_prefix(database.handle.root());
    let listed = store.list(&prefix, None).await.unwrap();
    let names = listed.iter().map(|entry| LogName::parse(entry.path.strip_prefix(&prefix).unwrap()).unwrap());
    let mut names: Vec<_> =
        names.filter_map(|name| if let LogName::Segment(name) = name { Some(name) } else { None }).collect();
    names.sort_unstable_by_key(|name| name.order);
    names
}

/// A store with five segments of one process, whose log lacks one.
async fn without(missing: usize) -> (Store, Engine, Database, SegmentName) {
    let store = empty_store().await;
    let writer = process(&store, 2).await;
    let database = public(&writer).await;
    for number in 0..5 {
        write(&writer, &database, &format!("t,host=h{number} v={number} {number}")).await.unwrap();
    }
    let name = segments(&store, &database).await[missing];
    store.delete(&name.path(database.handle.root())).await.unwrap();
    let other = process(&store, 4).await;
    let database = public(&other).await;
    (store, other, database, name)
}

const FLUSH: Tasks = Tasks { flush: true, ..Tasks::NONE };

#[tokio::test]
async fn a_lost_segment_is_an_error_and_not_fewer_rows() {
    for missing in 0..4 {
        let (store, engine, database, name) = without(missing).await;
        let error = read(&engine, &database, "t").await.unwrap_err();
        assert_eq!(error.code, Code::Corrupt, "{error}");
        let number = format!("-{:08x}-", name.place.unwrap().number);
        assert!(error.message.contains(&number) && error.message.contains("--accept-loss"), "{error}");
        assert!(engine.check().await.unwrap().to_string().contains(&number));

        let before = store.list("", None).await.unwrap().len();
        let refused = engine.maintain(FLUSH).await.unwrap_err();
        assert_eq!(refused.code, Code::Corrupt, "{refused}");
        assert_eq!(store.list("", None).await.unwrap().len(), before, "nothing is changed");

        let report = engine.maintain_with(FLUSH, Losses::Accepted).await.unwrap();
        assert_eq!((report.segments, report.rows), (4, 4));
        assert_eq!(read(&engine, &database, "t").await.unwrap().len(), 4);
        write(&engine, &database, "t,host=new v=1 9").await.unwrap();
        assert_eq!(read(&engine, &database, "t").await.unwrap().len(), 5);
        let report = engine.check().await.unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

#[tokio::test]
async fn a_segment_that_is_restored_is_there_again() {
    let store = empty_store().await;
    let engine = process(&store, 2).await;
    let database = public(&engine).await;
    for number in 0..3 {
        write(&engine, &database, &format!("t,host=h{number} v={number} {number}")).await.unwrap();
    }
    let path = segments(&store, &database).await[1].path(database.handle.root());
    let bytes = store.get(&path).await.unwrap().unwrap();
    store.delete(&path).await.unwrap();
    assert!(read(&engine, &database, "t").await.is_err());
    assert!(matches!(store.create(&path, bytes).await, crate::store::CreateOutcome::Created));
    assert_eq!(read(&engine, &database, "t").await.unwrap().len(), 3);
    engine.maintain(Tasks::ALL).await.unwrap();
    assert_eq!(read(&engine, &database, "t").await.unwrap().len(), 3);
}

/// A store whose newest manifest an older program can read gets names of segments that such a program can
/// read, until the next commit keeps it away.
#[tokio::test]
async fn a_store_of_format_3_is_written_as_it_is_and_then_moved_on() {
    let store = empty_store().await;
    let engine = process(&store, 2).await;
    let database = public(&engine).await;
    write(&engine, &database, "t,host=a v=1 1").await.unwrap();
    let root = database.handle.root().to_owned();
    let newest = database.handle.ledger.load(&store).await.unwrap().manifest;
    let old = Manifest { format: 3, ..newest.as_ref().clone() }.encode().unwrap();
    assert!(old.starts_with(b"siltdb-manifest 3 "));
    store.overwrite(&paths::manifest(&root, newest.version), old).await.unwrap();

    let engine = process(&store, 4).await;
    let database = public(&engine).await;
    write(&engine, &database, "t,host=b v=1 2").await.unwrap();
    let places = |names: &[SegmentName]| names.iter().map(|name| name.place.is_some()).collect::<Vec<_>>();
    let before = places(&segments(&store, &database).await);
    // Twice, for both processes' clocks show the same.
    assert_eq!(before, [true, false, false]);
    write(&engine, &database, "t,host=b w=1 3").await.unwrap();
    assert_eq!(places(&segments(&store, &database).await), [true, false, false, true]);
    assert_eq!(read(&engine, &database, "t").await.unwrap().len(), 3);
    engine.maintain(Tasks::ALL).await.unwrap();
    assert_eq!(read(&engine, &database, "t").await.unwrap().len(), 3);
    assert!(engine.check().await.unwrap().is_clean());
}

/// A flush that died after it had agreed on the segments, one of which vanished.
#[tokio::test]
async fn a_frozen_segment_that_is_lost_is_an_error_until_it_is_given_up() {
    let store = empty_store().await;
    let engine = process(&store, 2).await;
    let database = public(&engine).await;
    for number in 0..3 {
        write(&engine, &database, &format!("t,host=h{number} v={number} {number}")).await.unwrap();
    }
    let handle = &database.handle;
    handle.commit(&store, engine.limits(), &Edit::Seal).await.unwrap();
    let sealed = engine.look(handle, &store).await.unwrap();
    engine.freeze(handle, &store, &sealed, Losses::Refused).await.unwrap().unwrap();
    let name = segments(&store, &database).await[2];
    store.delete(&name.path(handle.root())).await.unwrap();

    let other = process(&store, 4).await;
    let database = public(&other).await;
    for error in [
        read(&other, &database, "t").await.unwrap_err(),
        other.maintain(FLUSH).await.unwrap_err(),
        other.maintain(FLUSH).await.unwrap_err(),
    ] {
        assert_eq!(error.code, Code::Corrupt, "{error}");
        assert!(error.message.contains(&name.file_name()), "{error}");
    }
    assert!(other.check().await.unwrap().to_string().contains(&name.file_name()));
    let report = other.maintain_with(FLUSH, Losses::Accepted).await.unwrap();
    assert_eq!((report.segments, report.rows), (2, 2));
    assert_eq!(read(&other, &database, "t").await.unwrap().len(), 2);
    let report = other.check().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Nobody vouches for the last segment of a run but who has written or seen it.
#[tokio::test]
async fn the_last_segment_is_missed_by_who_knows_it() {
    let store = empty_store().await;
    let (writer, reader) = (process(&store, 2).await, process(&store, 4).await);
    let (here, there) = (public(&writer).await, public(&reader).await);
    write(&writer, &here, "t,host=a v=1 1").await.unwrap();
    write(&writer, &here, "t,host=b v=1 2").await.unwrap();
    assert_eq!(read(&reader, &there, "t").await.unwrap().len(), 2);
    let path = segments(&store, &here).await[1].path(here.handle.root());
    let bytes = store.get(&path).await.unwrap().unwrap();
    store.delete(&path).await.unwrap();
    for _ in 0..2 {
        for (engine, database) in [(&writer, &here), (&reader, &there)] {
            let error = read(engine, database, "t").await.unwrap_err();
            assert_eq!(error.code, Code::Corrupt, "{error}");
            assert!(engine.maintain(FLUSH).await.is_err());
        }
    }
    assert!(matches!(store.create(&path, bytes).await, crate::store::CreateOutcome::Created));
    assert_eq!(read(&writer, &here, "t").await.unwrap().len(), 2);
    store.delete(&path).await.unwrap();
    assert!(read(&writer, &here, "t").await.is_err());
    assert_eq!(reader.maintain_with(FLUSH, Losses::Accepted).await.unwrap().segments, 1);
    assert_eq!(read(&writer, &here, "t").await.unwrap().len(), 1);
    assert_eq!(read(&reader, &there, "t").await.unwrap().len(), 1);
}
