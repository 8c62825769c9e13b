//! Numbers that the collector has freed, and what may come to lie there: a stray (another commit, of somebody
//! who slept), or a ghost (the manifest that once had the number, sent or applied a second time).

use tokio::sync::Notify;

use super::*;
use crate::store::fault::{RandomFaults, ScriptedFault as Script, ScriptedFaults};

const HOUR: i64 = 3_600_000_000_000;

/// A ledger whose time is set by hand.
fn timed(seed: u64) -> (Ledger<Numbers>, Arc<ManualClock>) {
    let time = Arc::new(ManualClock::new(1_000, seed));
    (Ledger::new("r/", time.clone()), time)
}

async fn delete(store: &Store, versions: std::ops::RangeInclusive<u64>) {
    for version in versions {
        store.delete(&paths::manifest("r/", version)).await.unwrap();
    }
}

async fn manifest_at(store: &Store, version: u64) -> Option<Manifest<Numbers>> {
    let key = paths::manifest("r/", version);
    store.get(&key).await.unwrap().map(|bytes| Manifest::decode(&key, &bytes, None).unwrap())
}

fn on_manifest(version: u64, operation: RequestKind, fault: Fault) -> Script {
    Script { operation, path: paths::manifest("r/", version), fault }
}

/// A process is suspended between "applied" and "answered", and goes on hours later, when its number has been
/// freed. It does not bring the manifest back: neither does a writer that has it cached believe it to be the
/// newest, nor does a new process that finds it in a late hint.
#[tokio::test(start_paused = true)]
async fn a_create_whose_answer_was_lost_is_not_sent_again_after_hours() {
    let store = Store::memory();
    begun(&store).await;
    let faults = ScriptedFaults::new([on_manifest(2, RequestKind::Create, Fault::FailAfter)]);
    let (suspended, time) = timed(2);
    let unlucky = store.with_faults(Arc::new(faults));
    let commit = tokio::spawn(async move { append(&suspended, &unlucky, 7).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    // It waits for its next attempt. Meanwhile a writer learns of its manifest, and falls idle.
    let (writer, idle) = timed(3);
    let cached = writer.load(&store).await.unwrap().manifest;
    assert_eq!((cached.version, cached.state.0.as_slice()), (2, [7].as_slice()));
    store.overwrite(&paths::hint("r/"), cached.encode().unwrap()).await.unwrap();
    let (others, _) = timed(4);
    for number in 0..4 {
        append(&others, &store, number).await.unwrap();
    }
    delete(&store, 1..=4).await;
    time.set(2 * HOUR);
    idle.set(2 * HOUR);
    let version = commit.await.unwrap().unwrap();
    assert_eq!(version, 2, "it finds its commit in the history");
    assert!(manifest_at(&store, 2).await.is_none(), "the manifest came back");
    store.overwrite(&paths::hint("r/"), cached.encode().unwrap()).await.unwrap();
    assert!(!writer.is_newest(&store, &cached).await.unwrap());
    let opener = Ledger::<Numbers>::new("r/", clock(5));
    assert_eq!(opener.open(&store).await.unwrap().unwrap().version, 6);
    assert_eq!(others.load(&store).await.unwrap().manifest.state.0, [7, 0, 1, 2, 3]);
}

/// Whoever brought it back: a process that has not looked at the log for ten minutes does so before it believes
/// single objects.
#[tokio::test]
async fn a_manifest_that_came_back_is_not_believed_for_long() {
    let store = Store::memory();
    let (writer, idle) = timed(1);
    assert!(writer.begin(&store, "begin", Numbers(Vec::new())).await.unwrap());
    let (others, _) = timed(2);
    for number in 0..4 {
        append(&others, &store, number).await.unwrap();
    }
    let key = paths::manifest("r/", 1);
    let bytes = store.get(&key).await.unwrap().unwrap();
    delete(&store, 1..=3).await;
    assert!(matches!(store.create(&key, bytes).await, CreateOutcome::Created));
    let cached = writer.cached().unwrap();
    idle.set(2 * HOUR);
    assert!(!writer.is_newest(&store, &cached).await.unwrap());
    assert_eq!(writer.load(&store).await.unwrap().manifest.version, 5);
    // A new process whose hint is as old opens it, but does not build on it without a LIST.
    store.overwrite(&paths::hint("r/"), cached.encode().unwrap()).await.unwrap();
    let opener = Ledger::<Numbers>::new("r/", clock(3));
    assert_eq!(opener.open(&store).await.unwrap().unwrap().version, 1);
    assert_eq!(append(&opener, &store, 9).await.unwrap(), 6);
    // Once something newer is known, it is not asked for either.
    let before = store.totals().snapshot();
    assert!(!opener.is_newest(&store, &cached).await.unwrap());
    assert_eq!((store.totals().snapshot() - before).gets, 0);
}

#[tokio::test]
async fn a_stray_at_a_cached_number_is_no_error() {
    let store = Store::memory();
    let (writer, idle) = timed(1);
    assert!(writer.begin(&store, "begin", Numbers(Vec::new())).await.unwrap());
    let (others, _) = timed(2);
    for number in 0..4 {
        append(&others, &store, number).await.unwrap();
    }
    delete(&store, 1..=3).await;
    let mut stray = writer.cached().unwrap().as_ref().clone();
    stray.commit = CommitId(9);
    let created = store.create(&paths::manifest("r/", 1), stray.encode().unwrap()).await;
    assert!(matches!(created, CreateOutcome::Created));
    // Within ten minutes of its last look, but not of its last proof.
    idle.set(120_000_000_000);
    let cached = writer.cached().unwrap();
    assert!(!writer.is_newest(&store, &cached).await.unwrap());
    assert_eq!(writer.load(&store).await.unwrap().manifest.version, 5);
    // A store that was set back has another commit there, and nothing after it.
    delete(&store, 4..=5).await;
    let (fresh, later) = timed(3);
    let old = fresh.load(&store).await.unwrap().manifest;
    delete(&store, 1..=1).await;
    stray.commit = CommitId(10);
    let created = store.create(&paths::manifest("r/", 1), stray.encode().unwrap()).await;
    assert!(matches!(created, CreateOutcome::Created));
    later.set(120_000_000_000);
    assert!(!fresh.is_newest(&store, &old).await.unwrap());
    let error = fresh.load(&store).await.unwrap_err();
    assert!(error.message.contains("back in time"), "{error}");
}

/// A committer that sleeps in the midst of a commit, so that it has to look whether that is in the history.
async fn commit_asleep(ledger: &Ledger<Numbers>, time: &ManualClock, store: &Store, number: u64) -> Result<u64> {
    let committed = ledger.commit(store, |newest| {
        time.set(HOUR);
        let mut state = newest.state.clone();
        state.0.push(number);
        Ok(CommitStep::Commit { kind: "append", state, output: () })
    });
    committed.await.map(|(manifest, ())| manifest.version)
}

#[tokio::test]
async fn an_outcome_that_could_not_be_looked_up_is_unknown() {
    let store = Store::memory();
    begun(&store).await;
    let (sleeper, time) = timed(2);
    sleeper.load(&store).await.unwrap();
    let refused = store.with_faults(Arc::new(ScriptedFaults::on(RequestKind::List, [Fault::Refuse])));
    let error = commit_asleep(&sleeper, &time, &refused, 7).await.unwrap_err();
    assert_eq!(error.code, Code::OutcomeUnknown);
    assert!(error.message.contains("whether commit \"append\" took place is unknown"), "{error}");
    assert_eq!(sleeper.load(&store).await.unwrap().manifest.state.0, [7], "it did take place");
}

/// More than a manifest remembers.
const MANY: u64 = manifest::RECENT as u64 + 10;

#[tokio::test]
async fn a_create_far_below_the_newest_is_known_not_to_count() {
    let store = Store::memory();
    begun(&store).await;
    let (sleeper, time) = timed(2);
    sleeper.load(&store).await.unwrap();
    let (others, _) = timed(3);
    for number in 0..MANY {
        append(&others, &store, number).await.unwrap();
    }
    delete(&store, 1..=4).await;
    assert_eq!(commit_asleep(&sleeper, &time, &store, 99).await.unwrap(), MANY + 2);
    let newest = others.load(&store).await.unwrap().manifest;
    assert_eq!(newest.state.0.iter().filter(|number| **number == 99).count(), 1);
}

/// Stops whoever has created a manifest until it is told to go on.
#[derive(Debug)]
struct StopAfter {
    path: String,
    go_on: Arc<Notify>,
}

impl Faults for StopAfter {
    fn before(&self, _: RequestKind, _: &str) -> Fault {
        Fault::Proceed
    }

    fn after(&self, operation: RequestKind, path: &str) -> Fault {
        if operation == RequestKind::Create && path == self.path {
            self.go_on.notify_one();
            return Fault::Delay(Duration::from_secs(5));
        }
        Fault::Proceed
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_many_others_followed_is_known_to_count() {
    let store = Store::memory();
    begun(&store).await;
    let (sleeper, time) = timed(2);
    sleeper.load(&store).await.unwrap();
    let created = Arc::new(Notify::new());
    let stop = StopAfter { path: paths::manifest("r/", 2), go_on: created.clone() };
    let slow = store.with_faults(Arc::new(stop));
    let commit = tokio::spawn(async move { commit_asleep(&sleeper, &time, &slow, 99).await });
    created.notified().await;
    let (others, _) = timed(3);
    for number in 0..MANY {
        append(&others, &store, number).await.unwrap();
    }
    assert_eq!(commit.await.unwrap().unwrap(), 2);
    assert_eq!(others.load(&store).await.unwrap().manifest.state.0.first(), Some(&99));
}

/// Whatever the store does to requests: what was reported as committed is in the state once, what was reported
/// as not committed is not, and what is unknown is there once at most.
#[tokio::test(start_paused = true)]
async fn under_random_faults_every_commit_is_what_it_was_said_to_be() {
    let mut unknown = 0;
    for seed in 0..40 {
        let calm = Store::memory();
        begun(&calm).await;
        let store = calm.with_faults(Arc::new(RandomFaults::new(0.3, seed)));
        let tasks = (0..4u64).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let ledger = Ledger::<Numbers>::new("r/", clock(seed * 100 + writer));
                let mut said = Vec::new();
                for number in writer * 10..writer * 10 + 5 {
                    said.push((number, append(&ledger, &store, number).await));
                }
                said
            })
        });
        let mut said = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            said.extend(task.await.unwrap());
        }
        // What was sent and not answered may land for a minute.
        tokio::time::sleep(Duration::from_secs(120)).await;
        let numbers = Ledger::<Numbers>::new("r/", clock(9)).load(&calm).await.unwrap().manifest.state.0.clone();
        for (number, outcome) in said {
            let count = numbers.iter().filter(|known| **known == number).count();
            match outcome {
                Ok(_) => assert_eq!(count, 1, "seed {seed}: {number} was committed"),
                Err(error) if error.code == Code::OutcomeUnknown => {
                    unknown += 1;
                    assert!(count <= 1, "seed {seed}: {number}");
                }
                Err(error) => assert_eq!(count, 0, "seed {seed}: {number} was not committed: {error}"),
            }
        }
    }
    assert!(unknown < 200, "{unknown} of 800 outcomes are unknown");
}

/// The first attempt lands while the second is on its way: one of them counts.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_lands_late_is_found() {
    let store = Store::memory();
    begun(&store).await;
    let landing = Arc::new(Notify::new());
    let faults = ScriptedFaults::new([
        on_manifest(2, RequestKind::Create, Fault::LandLater(crate::store::fault::Landing::When(landing.clone()))),
        on_manifest(2, RequestKind::Create, Fault::Delay(Duration::from_secs(2))),
    ]);
    let ledger = Ledger::<Numbers>::new("r/", clock(2));
    ledger.load(&store).await.unwrap();
    let slow = store.with_faults(Arc::new(faults));
    let commit = tokio::spawn(async move { append(&ledger, &slow, 7).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    landing.notify_one();
    assert_eq!(commit.await.unwrap().unwrap(), 2);
    assert_eq!(Ledger::<Numbers>::new("r/", clock(3)).load(&store).await.unwrap().manifest.state.0, [7]);
}

#[tokio::test]
async fn what_cannot_be_read_near_the_hint_is_passed_by() {
    let store = Store::memory();
    let ledger = begun(&store).await;
    for number in 0..3 {
        append(&ledger, &store, number).await.unwrap();
    }
    // The hint is at 2; at 3 there is rubbish.
    store.overwrite(&paths::manifest("r/", 3), Bytes::from_static(b"rubbish")).await.unwrap();
    let opener = Ledger::<Numbers>::new("r/", clock(2));
    assert_eq!(opener.open(&store).await.unwrap().unwrap().version, 4);
    delete(&store, 3..=3).await;
    store.overwrite(&paths::manifest("r/", 2), Bytes::from_static(b"rubbish")).await.unwrap();
    let opener = Ledger::<Numbers>::new("r/", clock(3));
    assert_eq!(opener.open(&store).await.unwrap().unwrap().version, 4);
    // The newest itself is what nobody can do without.
    store.overwrite(&paths::manifest("r/", 4), Bytes::from_static(b"rubbish")).await.unwrap();
    let error = Ledger::<Numbers>::new("r/", clock(4)).open(&store).await.unwrap_err();
    assert_eq!(error.code, Code::Corrupt);
    assert!(error.message.contains(&paths::manifest("r/", 4)), "{error}");
}

#[tokio::test]
async fn a_hint_that_could_not_be_written_is_made_up_for() {
    let store = Store::memory();
    begun(&store).await;
    let (ledger, _) = timed(2);
    ledger.load(&store).await.unwrap();
    let refused = store.with_faults(Arc::new(ScriptedFaults::on(RequestKind::Overwrite, [Fault::Refuse])));
    append(&ledger, &refused, 1).await.unwrap();
    ledger.flush_hint(&store).await;
    let (gets, lists) = cost_of_opening(&store, 3).await;
    assert_eq!((gets, lists), (3, 0), "the hint is at the newest");
    // Behind again, but somebody else has gone on since: its own hint would only set theirs back.
    append(&ledger, &store, 2).await.unwrap();
    let (others, _) = timed(4);
    append(&others, &store, 3).await.unwrap();
    ledger.load(&store).await.unwrap();
    let before = store.totals().snapshot();
    ledger.flush_hint(&store).await;
    assert_eq!((store.totals().snapshot() - before).puts, 0);
    assert_eq!(cost_of_opening(&store, 5).await, (3, 0));
}

async fn cost_of_opening(store: &Store, seed: u64) -> (u64, u64) {
    let before = store.totals().snapshot();
    Ledger::<Numbers>::new("r/", clock(seed)).open(store).await.unwrap();
    let cost = store.totals().snapshot() - before;
    (cost.gets, cost.lists)
}

#[tokio::test]
async fn a_look_beside_the_work_is_due_after_minutes_and_claimed_once() {
    let store = Store::memory();
    let (ledger, time) = timed(1);
    assert!(ledger.begin(&store, "begin", Numbers(Vec::new())).await.unwrap());
    assert!(!ledger.claim_look(&store));
    time.set(6 * 60_000_000_000);
    assert!(ledger.claim_look(&store) && !ledger.claim_look(&store));
    // Not taken yet: single objects still do.
    let manifest = ledger.cached().unwrap();
    assert!(ledger.is_newest(&store, &manifest).await.unwrap());
    ledger.load(&store).await.unwrap();
    time.set(15 * 60_000_000_000);
    assert!(ledger.is_newest(&store, &manifest).await.unwrap());
    time.set(17 * 60_000_000_000);
    assert!(!ledger.is_newest(&store, &manifest).await.unwrap(), "the last look is eleven minutes ago");
}
