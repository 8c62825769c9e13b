//! One seed is one history: the same requests of the same processes in the same order, at the same times.

use std::sync::{Arc, Mutex};

use super::world::{NEW_YEAR, Time};
use super::year;
use crate::store::{
    Store,
    fault::{Fault, Faults, RequestKind},
};

/// So many have all kinds of steps: a back-fill, a dropped table, frozen processes, ends of months.
const DAYS: u64 = 75;

/// Notes every request that reaches the store.
#[derive(Debug)]
struct Recorder {
    time: Time,
    requests: Mutex<Vec<String>>,
}

impl Faults for Recorder {
    fn before(&self, operation: RequestKind, path: &str) -> Fault {
        self.requests.lock().unwrap().push(format!("{} {operation:?} {path}", self.time.now()));
        Fault::Proceed
    }
}

/// The requests of a simulated time, and what the store holds in the end.
fn history(seed: u64) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let time = Time::new(NEW_YEAR);
        let recorder = Arc::new(Recorder { time: time.clone(), requests: Mutex::default() });
        let store = Store::memory_with_clock(time.process_clock(seed));
        year(store.with_faults(recorder.clone()), seed, time, DAYS).await;
        let mut history = std::mem::take(&mut *recorder.requests.lock().unwrap());
        let held = store.list("", None).await.unwrap();
        history.extend(held.iter().map(|entry| format!("{} has {} bytes", entry.path, entry.size)));
        history
    })
}

#[test]
fn one_seed_is_one_history() {
    let (one, other) = (history(7), history(7));
    if let Some(at) = (0..one.len().max(other.len())).find(|at| one.get(*at) != other.get(*at)) {
        panic!("line {at} of {}: {:?} in one run, {:?} in another", one.len(), one.get(at), other.get(at));
    }
    assert!(one.len() > 5_000, "only {} requests", one.len());
    assert_ne!(one, history(8), "another seed is another history");
}
