//! A store that takes no writes, for it is full, or this process may not: what is stored stays readable, whatever
//! housekeeping was doing, and everything goes on when it takes them again.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::oracle::*;
use crate::engine::{Engine, Tasks, run_background, watch_refusals};
use crate::model::{Code, Result};
use crate::store::Store;
use crate::store::fault::{Fault, Faults, RequestKind};

/// Takes a number of writes, and then none.
#[derive(Debug)]
struct Room {
    fault: Fault,
    left: AtomicUsize,
}

impl Room {
    fn none(&self) {
        self.left.store(0, Ordering::SeqCst);
    }

    fn plenty(&self) {
        self.left.store(usize::MAX, Ordering::SeqCst);
    }
}

impl Faults for Room {
    fn before(&self, operation: RequestKind, _path: &str) -> Fault {
        if matches!(operation, RequestKind::Get | RequestKind::List | RequestKind::Delete) {
            return Fault::Proceed;
        }
        let take = |left: usize| if left == usize::MAX { Some(left) } else { left.checked_sub(1) };
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
            Ok(_) => Fault::Proceed,
            Err(_) => self.fault.clone(),
        }
    }
}

fn limited(store: &Store, fault: &Fault) -> (Store, Arc<Room>) {
    let room = Arc::new(Room { fault: fault.clone(), left: AtomicUsize::new(usize::MAX) });
    (store.with_faults(room.clone()), room)
}

const KINDS: [(Fault, Code); 2] = [(Fault::Full, Code::StoreFull), (Fault::Refuse, Code::StoreRefused)];

/// Writes that settle into several files, some of them late.
const TEXTS: [&str; 3] = ["t,host=a v=1 10\nt,host=b v=2 10", "t,host=a v=3 10", "t,host=c v=4 86400000000005"];

/// A store becomes full at each write of housekeeping in turn.
#[tokio::test(start_paused = true)]
async fn what_is_stored_is_read_wherever_housekeeping_stopped() {
    for (fault, code) in KINDS {
        let mut writes = 0;
        while stops_at(&fault, code, writes).await {
            writes += 1;
        }
        assert!(writes > 5, "housekeeping takes more than {writes} writes");
    }
}

/// `false`: there were no more writes than that.
async fn stops_at(fault: &Fault, code: Code, writes: usize) -> bool {
    let calm = empty_store().await;
    let (store, room) = limited(&calm, fault);
    let engine = process(&store, 1).await;
    let database = public(&engine).await;
    let mut expected = OracleRows::new();
    for (number, text) in TEXTS.iter().enumerate() {
        write(&engine, &database, text).await.unwrap();
        expect(&mut expected, text);
        if number == 0 {
            engine.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap();
        }
    }
    room.left.store(writes, Ordering::SeqCst);
    let done = engine.maintain(Tasks::ALL).await;
    let stopped = room.left.load(Ordering::SeqCst) == 0 && done.is_err();
    room.none();
    let context = format!("{fault:?} after {writes} writes");
    // By the process itself, by one that begins now, and again.
    let other = Engine::open_existing(store.clone(), clock(2), options(2)).await.unwrap();
    for reader in [&engine, &other, &engine] {
        let database = public(reader).await;
        assert_eq!(read(reader, &database, "t").await.unwrap(), expected, "{context}");
        let error = write(reader, &database, "t,host=a v=99 10").await.unwrap_err();
        assert_eq!(error.code, code, "{context}: {error}");
        assert_eq!(store.refusal().map(|error| error.code), Some(code), "{context}");
    }
    if let Err(error) = done {
        assert_eq!(error.code, code, "{context}: {error}");
    }
    // Another process that may write goes on, and this one sees what it does.
    let heir = process(&calm, 3).await;
    write(&heir, &public(&heir).await, "t,host=d v=5 20").await.unwrap();
    expect(&mut expected, "t,host=d v=5 20");
    assert_eq!(read(&engine, &database, "t").await.unwrap(), expected, "{context}");
    room.plenty();
    write(&engine, &database, "t,host=e v=6 30").await.unwrap();
    expect(&mut expected, "t,host=e v=6 30");
    assert_eq!(store.refusal(), None, "{context}");
    engine.maintain(Tasks::ALL).await.unwrap();
    assert_eq!(read(&other, &public(&other).await, "t").await.unwrap(), expected, "{context}");
    let report = engine.check().await.unwrap();
    assert!(report.is_clean(), "{context}: {report}");
    stopped
}

/// A query that may not freeze asks for no more than one LIST, one GET and the create that is refused, and sees
/// the same as one that may.
#[tokio::test]
async fn a_query_that_cannot_freeze_answers_all_the_same() {
    let calm = empty_store().await;
    let (store, room) = limited(&calm, &Fault::Full);
    let engine = process(&store, 1).await;
    let database = public(&engine).await;
    let mut expected = OracleRows::new();
    for text in ["t,host=a v=1 10", "t,host=a v=2 10", "t,host=b v=3 10"] {
        write(&engine, &database, text).await.unwrap();
        expect(&mut expected, text);
    }
    let seal = crate::database::Edit::Seal;
    database.handle.commit(&store, engine.limits(), &seal).await.unwrap();
    write(&engine, &database, "t,host=c v=4 10").await.unwrap();
    expect(&mut expected, "t,host=c v=4 10");
    room.none();
    for _ in 0..2 {
        let before = store.totals().snapshot();
        assert_eq!(read(&engine, &database, "t").await.unwrap(), expected);
        let cost = store.totals().snapshot() - before;
        assert_eq!((cost.lists, cost.puts), (1, 1), "{cost}");
    }
    assert!(read_manifest_is_sealed(&engine, &database).await, "nobody has frozen it");
    room.plenty();
    assert_eq!(read(&engine, &database, "t").await.unwrap(), expected);
    assert!(!read_manifest_is_sealed(&engine, &database).await);
}

async fn read_manifest_is_sealed(engine: &Engine, database: &crate::engine::Database) -> bool {
    let state = &database.handle.ledger.load(engine.store()).await.unwrap().manifest.state;
    state.is_sealed() && state.frozen.is_none()
}

/// What is logged, as text.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes what this thread logs from info on, while the guard lives.
    fn begin() -> (Log, tracing::subscriber::DefaultGuard) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false);
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server whose store takes no writes for an hour, with a tail that is due.
#[tokio::test(start_paused = true)]
async fn an_hour_without_writes_is_two_lines_in_the_log_and_few_attempts() -> Result<()> {
    let (log, _guard) = Log::begin();
    for (fault, code) in KINDS {
        let calm = empty_store().await;
        let (store, room) = limited(&calm, &fault);
        let time = Arc::new(crate::model::clock::ManualClock::new(NOW, 1));
        let engine = Engine::open(store.clone(), time.clone(), options(2)).await?;
        let database = public(&engine).await;
        write(&engine, &database, "t,host=a v=1 10").await?;
        time.set(NOW + 3_600_000_000_000);
        room.none();
        log.take();
        let tasks = [tokio::spawn(run_background(engine.clone())), tokio::spawn(watch_refusals(engine.clone()))];
        let before = store.totals().snapshot();
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(store.refusal().map(|error| error.code), Some(code));
        let cost = store.totals().snapshot() - before;
        let failures = engine.totals().housekeeping_failures.load(Ordering::Relaxed);
        assert!((20..90).contains(&failures), "{failures}");
        assert!(cost.puts < 200, "{cost}");
        let logged = log.take();
        assert_eq!(logged.lines().count(), 1, "{logged}");
        assert!(logged.contains("WARN") && logged.contains("the store takes no writes"), "{logged}");
        room.plenty();
        tokio::time::sleep(Duration::from_secs(120)).await;
        let logged = log.take();
        assert_eq!(logged.lines().count(), 1, "{logged}");
        assert!(logged.contains("INFO") && logged.contains("takes writes again"), "{logged}");
        assert_eq!(database.handle.tail().segments, 0, "it was settled");
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
    Ok(())
}

/// A store that cannot be read either: said once, and once more when it can.
#[tokio::test(start_paused = true)]
async fn a_failure_that_lasts_is_said_once() -> Result<()> {
    let (log, _guard) = Log::begin();
    let calm = empty_store().await;
    let gone = Arc::new(Gone(AtomicBool::new(false)));
    let time = Arc::new(crate::model::clock::ManualClock::new(NOW, 1));
    let engine = Engine::open(calm.with_faults(gone.clone()), time.clone(), options(2)).await?;
    write(&engine, &public(&engine).await, "t,host=a v=1 10").await?;
    time.set(NOW + 3_600_000_000_000);
    gone.0.store(true, Ordering::SeqCst);
    log.take();
    let tasks = [tokio::spawn(run_background(engine.clone())), tokio::spawn(watch_refusals(engine.clone()))];
    // Less than a round, which looks at every database.
    tokio::time::sleep(Duration::from_secs(290)).await;
    let logged = log.take();
    assert_eq!(logged.lines().count(), 1, "{logged}");
    assert!(logged.contains("WARN") && logged.contains("housekeeping failed"), "{logged}");
    gone.0.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(61)).await;
    let logged = log.take();
    assert_eq!(logged.lines().count(), 1, "{logged}");
    assert!(logged.contains("INFO") && logged.contains("housekeeping goes on again"), "{logged}");
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// Nothing can be listed, as where a folder was unmounted.
#[derive(Debug)]
struct Gone(AtomicBool);

impl Faults for Gone {
    fn before(&self, operation: RequestKind, _path: &str) -> Fault {
        let is_gone = operation == RequestKind::List && self.0.load(Ordering::SeqCst);
        if is_gone { Fault::Refuse } else { Fault::Proceed }
    }
}
