//! Rule S2 and the other promises under faults.

use std::collections::HashSet;

use futures::future::join_all;

use super::super::fault::{Fault, Landing, RandomFaults, RequestKind, ScriptedFaults};
use super::*;
use crate::model::clock::ManualClock;

fn scripted(operation: RequestKind, faults: impl IntoIterator<Item = Fault>) -> (Store, Store, Arc<ScriptedFaults>) {
    let store = Store::memory_with_clock(Arc::new(ManualClock::new(1, 1)));
    let script = Arc::new(ScriptedFaults::on(operation, faults));
    (store.with_faults(Arc::clone(&script) as Arc<dyn Faults>), store, script)
}

#[tokio::test(start_paused = true)]
async fn a_conflict_in_which_nothing_landed_is_tried_again() {
    let (faulty, store, script) = scripted(RequestKind::Create, [Fault::Conflict, Fault::Conflict]);
    assert_eq!(faulty.create("k", bytes("mine")).await, CreateOutcome::Created);
    assert_eq!(store.get("k").await.unwrap(), Some(bytes("mine")));
    assert_eq!(script.remaining(), 0);
    let cost = store.totals().snapshot();
    assert_eq!((cost.puts, cost.gets), (3, 3), "three creates, two read-backs, the test's own read");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_our_own_create_is_settled_by_reading_back() {
    let (faulty, _, _) = scripted(RequestKind::Create, [Fault::FailAfter]);
    assert_eq!(faulty.create("k", bytes("mine")).await, CreateOutcome::Created);
    assert_eq!(faulty.create("k", bytes("other")).await, CreateOutcome::Taken(bytes("mine")));

    let (faulty, store, _) = scripted(RequestKind::Create, [Fault::FailBefore]);
    assert_eq!(store.create("k", bytes("theirs")).await, CreateOutcome::Created);
    assert_eq!(faulty.create("k", bytes("mine")).await, CreateOutcome::Taken(bytes("theirs")));
}

#[tokio::test(start_paused = true)]
async fn a_create_that_stays_in_doubt_is_unknown() {
    for fault in [Fault::FailBefore, Fault::Hang, Fault::Conflict] {
        let (faulty, _, _) = scripted(RequestKind::Create, std::iter::repeat_n(fault, 1000));
        let began = tokio::time::Instant::now();
        let CreateOutcome::Unknown(error) = faulty.create("k", bytes("mine")).await else { panic!("known") };
        assert_eq!(error.code, Code::OutcomeUnknown);
        assert!(error.message.contains("object k"), "{error}");
        assert!((18..=30).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }
    let (faulty, store, _) = scripted(RequestKind::Create, [Fault::FailAfter, Fault::Refuse]);
    let CreateOutcome::Unknown(error) = faulty.create("k", bytes("mine")).await else { panic!("known") };
    assert_eq!(error.code, Code::OutcomeUnknown, "the first attempt was applied");
    assert!(store.get("k").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_refused_create_says_that_nothing_was_stored() {
    let (faulty, store, _) = scripted(RequestKind::Create, [Fault::Refuse]);
    let CreateOutcome::Unknown(error) = faulty.create("k", bytes("mine")).await else { panic!("known") };
    assert_eq!(error.code, Code::StoreRefused);
    assert_eq!(store.get("k").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_permanent_is_not_tried_again_and_is_known_until_something_is_stored() {
    for (fault, code) in [(Fault::Refuse, Code::StoreRefused), (Fault::Full, Code::StoreFull)] {
        let (faulty, store, _) = scripted(RequestKind::Create, [fault.clone(), fault.clone()]);
        assert_eq!(store.refusal(), None);
        let began = tokio::time::Instant::now();
        for _ in 0..2 {
            let CreateOutcome::Unknown(error) = faulty.create("k", bytes("mine")).await else { panic!("known") };
            assert_eq!(error.code, code);
            assert_eq!(store.refusal(), Some(error), "all handles know");
        }
        assert_eq!((began.elapsed(), store.totals().snapshot().puts), (Duration::ZERO, 2));
        assert_eq!(faulty.get("k").await.unwrap(), None, "reads go on");
        assert!(store.refusal().is_some(), "and tell nothing about writes");
        assert_eq!(faulty.create("k", bytes("mine")).await, CreateOutcome::Created);
        assert_eq!(store.refusal(), None);
        // The same of large objects.
        let (faulty, store, _) = scripted(RequestKind::PutPart, [fault]);
        let mut upload = faulty.upload("data/x").unwrap();
        upload.write(vec![7; PART_BYTES + 10].into()).await.unwrap();
        assert_eq!(upload.finish().await.unwrap_err().code, code);
        assert_eq!(store.refusal().map(|error| error.code), Some(code));
        let mut upload = faulty.upload("data/y").unwrap();
        upload.write(vec![7; PART_BYTES + 10].into()).await.unwrap();
        upload.finish().await.unwrap();
        assert_eq!(store.refusal(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_can_land_after_its_caller_was_told_otherwise_and_after_a_delete() {
    let told = Arc::new(tokio::sync::Notify::new());
    let late = Fault::LandLater(Landing::When(Arc::clone(&told)));
    let (faulty, store, _) = scripted(RequestKind::Create, [late]);
    let faulty = faulty.with_deadline(Duration::ZERO);
    assert!(matches!(faulty.create("k", bytes("late")).await, CreateOutcome::Unknown(_)));
    store.delete("k").await.unwrap();
    told.notify_one();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(store.get("k").await.unwrap(), Some(bytes("late")));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_never_absence_and_a_failure_is_retried() {
    let (faulty, store, _) = scripted(RequestKind::Get, [Fault::Refuse, Fault::FailBefore, Fault::Hang]);
    assert_eq!(store.create("t/1/k", bytes("here")).await, CreateOutcome::Created);
    let error = faulty.get("t/1/k").await.unwrap_err();
    assert_eq!(error.code, Code::StoreRefused);
    assert!(error.message.contains("t/1/k") && error.message.contains("403"), "{error}");
    assert_eq!(faulty.get("t/1/k").await.unwrap(), Some(bytes("here")));
}

#[tokio::test(start_paused = true)]
async fn a_range_that_was_cut_is_read_again_once() {
    let (faulty, store, _) = scripted(RequestKind::Get, [Fault::Cut(2), Fault::Flip(0), Fault::Cut(2), Fault::Cut(2)]);
    assert_eq!(store.create("k", bytes("0123456789")).await, CreateOutcome::Created);
    assert_eq!(faulty.get_range("k", 0..4).await.unwrap(), Some(bytes("1123")), "the second try, a bit turned");
    assert_eq!(faulty.get_range("k", 0..4).await.unwrap_err().code, Code::Corrupt);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_many_pages_survives_a_failing_page_and_counts_them() {
    let (faulty, store, _) = scripted(RequestKind::List, [Fault::Proceed, Fault::FailBefore]);
    let paths: Vec<String> = (0..2500).map(|number| format!("many/{number:04}")).collect();
    for path in &paths {
        assert_eq!(store.create(path, Bytes::new()).await, CreateOutcome::Created);
    }
    assert_eq!(paths_of(&faulty, "many/", None).await, paths);
    assert_eq!(store.totals().snapshot().lists, 4, "three pages, one of them twice");
}

#[tokio::test(start_paused = true)]
async fn an_upload_survives_lost_answers() {
    let content = Bytes::from(vec![7; PART_BYTES + 10]);
    for operation in [RequestKind::BeginUpload, RequestKind::PutPart, RequestKind::CompleteUpload] {
        for fault in [Fault::FailBefore, Fault::FailAfter, Fault::Hang] {
            let (faulty, store, script) = scripted(operation, [fault]);
            let mut upload = faulty.upload("data/x").unwrap();
            upload.write(content.clone()).await.unwrap();
            assert_eq!(upload.finish().await.unwrap(), content.len() as u64);
            assert_eq!(store.get("data/x").await.unwrap().as_ref(), Some(&content));
            assert_eq!(script.remaining(), 0);
        }
    }
    let (faulty, store, _) = scripted(RequestKind::PutPart, std::iter::repeat_n(Fault::FailBefore, 1000));
    let mut upload = faulty.upload("data/x").unwrap();
    upload.write(content).await.unwrap();
    assert_eq!(upload.finish().await.unwrap_err().code, Code::StoreUnavailable);
    assert_eq!(store.get("data/x").await.unwrap(), None);
}

#[tokio::test]
async fn a_folder_upload_whose_answer_was_lost_is_found() {
    let (_directory, store) = folder().await;
    let script = Arc::new(ScriptedFaults::on(RequestKind::CompleteUpload, [Fault::FailAfter]));
    let mut upload = store.with_faults(script).upload("data/x").unwrap();
    upload.write(vec![7; PART_BYTES + 10].into()).await.unwrap();
    assert_eq!(upload.finish().await.unwrap(), PART_BYTES as u64 + 10);
    // The unique name was not unique: an error, and the first stays.
    let mut upload = store.upload("data/x").unwrap();
    upload.write(vec![8; PART_BYTES + 10].into()).await.unwrap();
    assert!(upload.finish().await.is_err());
    assert_eq!(store.get_range("data/x", 0..1).await.unwrap(), Some(Bytes::from_static(&[7])));
}

#[tokio::test(start_paused = true)]
async fn under_random_faults_every_outcome_is_true() {
    for seed in 0..300 {
        let store = Store::memory_with_clock(Arc::new(ManualClock::new(1, seed)));
        let faulty = store.with_faults(Arc::new(RandomFaults::new(0.4, seed)));
        let racers = (0..4).map(|number| faulty.create("k", bytes(&number.to_string())));
        let outcomes = join_all(racers).await;
        // What was sent late has landed by then.
        tokio::time::sleep(Duration::from_secs(100)).await;
        let stored = store.get("k").await.unwrap();
        let mut created = HashSet::new();
        for (number, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                CreateOutcome::Created => assert!(created.insert(bytes(&number.to_string()))),
                CreateOutcome::Taken(other) => assert_eq!(Some(other), stored, "seed {seed}"),
                CreateOutcome::Unknown(error) => assert_eq!(error.code, Code::OutcomeUnknown, "seed {seed}"),
            }
        }
        assert!(created.len() <= 1, "seed {seed}");
        assert!(created.iter().all(|winner| Some(winner) == stored.as_ref()), "seed {seed}");
    }
}
