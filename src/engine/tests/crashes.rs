//! Systematic crashes: one process dies at each of its requests to the store in turn, before or
//! after the request is carried out, or goes on although the answer was lost. Whoever comes next
//! finds every acknowledged point, once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::oracle::*;
use crate::engine::{Database, Engine, EngineOptions, Tasks};
use crate::store::{
    Store,
    fault::{Fault, Faults, RequestKind},
};

/// What happens at the chosen request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    /// Dies with the request not sent.
    Before,
    /// Dies with the request carried out.
    After,
    /// Lives, but the answer is lost.
    AnswerLost,
    /// Lives; the store says 409 although nothing landed.
    Conflict,
    /// Lives; the request is refused.
    Refused,
}

/// Counts requests; from the chosen one on, a dead process is never answered again.
#[derive(Debug)]
struct CrashAt {
    crash: Crash,
    at: usize,
    seen: AtomicUsize,
}

impl CrashAt {
    fn is_dead(&self, request: usize) -> bool {
        request > self.at && matches!(self.crash, Crash::Before | Crash::After)
    }
}

impl Faults for CrashAt {
    fn before(&self, operation: RequestKind, _path: &str) -> Fault {
        let request = self.seen.fetch_add(1, Ordering::SeqCst);
        if self.is_dead(request) {
            return Fault::Hang;
        }
        let writes = !matches!(operation, RequestKind::Get | RequestKind::List);
        match self.crash {
            _ if request != self.at => Fault::Proceed,
            Crash::Before => Fault::Hang,
            Crash::After => Fault::Proceed,
            Crash::AnswerLost if writes => Fault::FailAfter,
            Crash::Conflict if operation == RequestKind::Create => Fault::Conflict,
            Crash::Refused => Fault::Refuse,
            Crash::AnswerLost | Crash::Conflict => Fault::FailBefore,
        }
    }

    fn after(&self, _operation: RequestKind, _path: &str) -> Fault {
        let request = self.seen.load(Ordering::SeqCst).saturating_sub(1);
        if self.crash == Crash::After && request >= self.at { Fault::Delay(Duration::MAX / 4) } else { Fault::Proceed }
    }
}

/// A life: writes (a new column and a late overwrite among them), settles, merges, collects.
/// Notes each text as soon as it is acknowledged.
async fn live(store: Store, seed: u64, acknowledged: Arc<Mutex<Vec<&'static str>>>) {
    let options = EngineOptions { grace: Duration::ZERO, ..EngineOptions::default() };
    let Ok(engine) = Engine::open(store, clock(seed), options).await else { return };
    let Ok(database) = engine.database(TENANT, "public").await else { return };
    for (text, tasks) in [
        ("t,host=a v=1 10\nt,host=b v=1 10", Tasks::NONE),
        ("t,host=a w=2 20", Tasks { flush: true, ..Tasks::NONE }),
        ("t,host=a v=3 10", Tasks { flush: true, merge: true, ..Tasks::NONE }),
        ("t,host=c v=4 86400000000010", Tasks::ALL),
    ] {
        if write(&engine, &database, text).await.is_ok() {
            acknowledged.lock().unwrap().push(text);
        }
        let _ = engine.maintain(tasks).await;
    }
}

async fn crash(crash: Crash, at: usize) -> bool {
    let calm = empty_store().await;
    process(&calm, 900).await;
    let faults = Arc::new(CrashAt { crash, at, seen: AtomicUsize::new(0) });
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let life = live(calm.with_faults(faults.clone()), at as u64, acknowledged.clone());
    // A dead process waits for ever; here it is cut off.
    let _ = tokio::time::timeout(Duration::from_secs(3_600), life).await;
    let mut expected = OracleRows::new();
    for text in acknowledged.lock().unwrap().iter() {
        expect(&mut expected, text);
    }
    let heir = process(&calm, 901).await;
    let database = public(&heir).await;
    let context = format!("{crash:?} at request {at}");
    let rows = compare(&heir, &database, &expected, &context).await;
    heir.maintain(Tasks::ALL).await.unwrap();
    assert_eq!(read(&heir, &database, "t").await.unwrap(), rows, "{context}");
    let report = heir.check().await.unwrap();
    assert!(report.is_clean(), "{context}: {report}");
    faults.seen.load(Ordering::SeqCst) > at
}

/// Every acknowledged field is there with its value, or with that of a later text that was not
/// acknowledged but landed.
async fn compare(heir: &Engine, database: &Database, expected: &OracleRows, context: &str) -> OracleRows {
    let rows = read(heir, database, "t").await.unwrap();
    for (key, fields) in expected {
        let found = rows.get(key).unwrap_or_else(|| panic!("{context}: {key:?} is lost"));
        for (name, value) in fields {
            let found = found.get(name);
            let overwritten = name == "v" && key.1 == 10 && found.map(String::as_str) == Some("3");
            assert!(found == Some(value) || overwritten, "{context}: {key:?} {name} is {found:?}, not {value}");
        }
    }
    rows
}

#[tokio::test(start_paused = true)]
async fn a_process_may_die_at_any_request() {
    for kind in [Crash::Before, Crash::After, Crash::AnswerLost, Crash::Conflict, Crash::Refused] {
        let mut at = 0;
        while crash(kind, at).await {
            at += 1;
        }
        assert!(at > 40, "a life takes more than {at} requests");
    }
}
