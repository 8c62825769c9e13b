//! Housekeeping of a running server. No write and no query waits for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Budget, Engine, Report, Tasks, databases::DatabaseHandle, order::ENDED_AHEAD};
use crate::database::{DatabaseState, expired_files, merge_jobs, pack_jobs, unpack_jobs};
use crate::ledger::Manifest;
use crate::model::{Code, DatabaseId, Error};

/// How often tails known to this process are compared with the triggers; asks the store nothing.
const TICK: Duration = Duration::from_secs(1);
/// How often every database is looked at for what other processes left: one GET for the catalog,
/// and one LIST a database, is all that an idle server asks of the store.
const ROUND: Duration = Duration::from_secs(300);

/// The longest pause of a database whose housekeeping keeps failing.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Flushes by the triggers, merges, retains and collects, until the future is dropped.
pub async fn run_background(engine: Engine) {
    let mut last_round = Instant::now();
    let mut failing = HashMap::new();
    loop {
        engine.clock().sleep(TICK).await;
        // So that a clock that is set ahead and back again does not go unseen.
        engine.clock_steps();
        let now = engine.now();
        for handle in engine.open_databases() {
            if is_due(&engine, &handle, now) {
                let tasks = Tasks { flush: true, merge: true, ..Tasks::NONE };
                maintain_or_pause(&engine, &handle, tasks, &mut failing).await;
            }
        }
        if last_round.elapsed() >= ROUND {
            last_round = Instant::now();
            sweep(&engine, &mut failing).await;
        }
    }
}

/// Says in the log, once each time, that the store takes no writes any more, and that it does again. Until the
/// future is dropped; asks the store nothing.
pub async fn watch_refusals(engine: Engine) {
    let mut known: Option<Code> = None;
    loop {
        engine.clock().sleep(TICK).await;
        let refusal = engine.store().refusal();
        let code = refusal.as_ref().map(|error| error.code);
        if code == known {
            continue;
        }
        known = code;
        match refusal {
            Some(error) => tracing::warn!(
                store = engine.store().url(), %error,
                "the store takes no writes: they are refused, and nothing is settled; queries go on"
            ),
            None => tracing::info!(store = engine.store().url(), "the store takes writes again"),
        }
    }
}

/// Databases whose housekeeping failed last, until it succeeds.
type Failing = HashMap<DatabaseId, Trouble>;

/// How housekeeping of one database fails.
#[derive(Debug)]
struct Trouble {
    code: Code,
    pause: Duration,
    /// Not tried again before.
    until: Instant,
    /// Whether the log says so.
    told: bool,
}

impl Trouble {
    /// What a failure makes of the trouble there was before.
    fn after(before: Option<Trouble>, error: &Error) -> Trouble {
        let pause = before.as_ref().map_or(TICK, |trouble| (trouble.pause * 2).min(LONGEST_PAUSE));
        let told = before.is_some_and(|trouble| trouble.told && trouble.code == error.code);
        Trouble { code: error.code, pause, until: Instant::now() + pause, told }
    }
}

fn is_due(engine: &Engine, handle: &DatabaseHandle, now: i64) -> bool {
    let (triggers, tail) = (&engine.options().flush, handle.tail());
    let age = handle.oldest().map_or(0, |oldest| u64::try_from(now).unwrap_or(0).saturating_sub(oldest));
    tail.segments >= triggers.segments
        || (tail.segments > 0 && tail.bytes >= triggers.bytes)
        || (tail.segments > 0 && u128::from(age) >= triggers.age.as_nanos())
        // Somebody's clock ran ahead: the sooner the epoch ends, the sooner time orders writes again.
        || (tail.segments > 0
            && handle.ledger.cached().is_some_and(|manifest| engine.ahead(handle, manifest.state.epoch) > ENDED_AHEAD))
}

async fn sweep(engine: &Engine, failing: &mut Failing) {
    let catalog = match engine.newest_catalog().await {
        Ok(catalog) => catalog,
        Err(error) => {
            tracing::warn!(%error, "the catalog could not be read for housekeeping");
            return;
        }
    };
    if let Err(error) = engine.collect_catalog(&catalog).await {
        tracing::warn!(%error, "old catalogs and dropped databases could not be collected");
    }
    engine.inner.catalog.flush_hint(engine.store()).await;
    for handle in engine.all_databases(&catalog) {
        match engine.look(&handle, engine.store()).await {
            Ok(listing) => {
                let tasks = due_tasks(engine, &handle, &listing.manifest);
                if tasks != Tasks::NONE {
                    maintain_or_pause(engine, &handle, tasks, failing).await;
                }
            }
            Err(error) => tracing::warn!(database = %handle.id, %error, "a database could not be looked at"),
        }
    }
}

/// What a database needs, judged without asking the store any more.
pub(super) fn due_tasks(engine: &Engine, handle: &DatabaseHandle, manifest: &Manifest<DatabaseState>) -> Tasks {
    let now = engine.now();
    let (state, rules) = (&manifest.state, engine.rules(false));
    let merge = !merge_jobs(state, rules).is_empty()
        || !unpack_jobs(state, rules).is_empty()
        || !pack_jobs(state, rules).is_empty();
    Tasks {
        flush: is_due(engine, handle, now),
        merge,
        retain: !expired_files(&manifest.state, now).is_empty(),
        // Garbage comes of commits alone. What is too young to go now has to be looked at again.
        collect: handle.collected_at() < manifest.version,
    }
}

/// Does tasks of one database. What fails is tried again after a pause that grows, and logged once for each
/// kind of failure; that the store takes no writes is said by [`watch_refusals`].
async fn maintain_or_pause(engine: &Engine, handle: &Arc<DatabaseHandle>, tasks: Tasks, failing: &mut Failing) {
    if failing.get(&handle.id).is_some_and(|trouble| Instant::now() < trouble.until) {
        return;
    }
    let mut report = Report::default();
    let done = engine.maintain_open(handle, tasks, Budget::default(), &mut report).await;
    if done.is_ok() && failing.remove(&handle.id).is_some_and(|trouble| trouble.told) {
        tracing::info!(database = %handle.id, "housekeeping goes on again");
    }
    match done {
        Ok(()) if report != Report::default() => {
            tracing::debug!(tenant = %handle.tenant, database = %handle.id, %report, "housekeeping");
        }
        Ok(()) => {}
        Err(error) => {
            engine.totals().housekeeping_failures.fetch_add(1, Ordering::Relaxed);
            let mut trouble = Trouble::after(failing.remove(&handle.id), &error);
            let is_known = trouble.told || (error.code.is_refusal() && engine.store().refusal().is_some());
            if is_known {
                tracing::debug!(database = %handle.id, %error, "housekeeping failed again");
            } else {
                tracing::warn!(database = %handle.id, %error, "housekeeping failed; it is tried again");
                trouble.told = true;
            }
            failing.insert(handle.id, trouble);
        }
    }
}
