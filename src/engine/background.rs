//! Housekeeping of a running server. No write and no query waits for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Duties, Effort, Engine, Report, databases::OpenDatabase, order::ENDED_AHEAD};
use crate::database::{DatabaseState, expired_files, merge_jobs, pack_jobs, unpack_jobs};
use crate::ledger::Manifest;

/// How often tails known to this process are compared with the triggers; asks the store nothing.
const TICK: Duration = Duration::from_secs(1);
/// How often every database is looked at for what other processes left: one GET for the catalog,
/// and one LIST a database, is all that an idle server asks of the store.
const ROUND: Duration = Duration::from_secs(300);

/// Flushes by the triggers, merges, retains and collects, until the future is dropped.
pub async fn run_background(engine: Engine) {
    let mut last_round = Instant::now();
    loop {
        tokio::time::sleep(TICK).await;
        // So that a clock that is set ahead and back again does not go unseen.
        engine.clock_steps();
        let now = engine.now();
        for open in engine.open_databases() {
            if is_due(&engine, &open, now) {
                tend(&engine, &open, Duties { flush: true, merge: true, ..Duties::NONE }).await;
            }
        }
        if last_round.elapsed() >= ROUND {
            last_round = Instant::now();
            round(&engine).await;
        }
    }
}

fn is_due(engine: &Engine, open: &OpenDatabase, now: i64) -> bool {
    let (triggers, tail) = (&engine.options().flush, open.tail());
    let age = open.oldest().map_or(0, |oldest| u64::try_from(now).unwrap_or(0).saturating_sub(oldest));
    tail.segments >= triggers.segments
        || (tail.segments > 0 && tail.bytes >= triggers.bytes)
        || (tail.segments > 0 && u128::from(age) >= triggers.age.as_nanos())
        // Somebody's clock ran ahead: the sooner the epoch ends, the sooner time orders writes again.
        || (tail.segments > 0
            && open.ledger.cached().is_some_and(|manifest| engine.ahead(open, manifest.state.epoch) > ENDED_AHEAD))
}

async fn round(engine: &Engine) {
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
    for open in engine.all_databases(&catalog) {
        match engine.look(&open, engine.store()).await {
            Ok(listing) => {
                let duties = needed(engine, &open, &listing.manifest);
                if duties != Duties::NONE {
                    tend(engine, &open, duties).await;
                }
            }
            Err(error) => tracing::warn!(database = %open.id, %error, "a database could not be looked at"),
        }
    }
}

/// What a database needs, judged without asking the store any more.
pub(super) fn needed(engine: &Engine, open: &OpenDatabase, manifest: &Manifest<DatabaseState>) -> Duties {
    let now = engine.now();
    let (state, rules) = (&manifest.state, engine.rules(false));
    let merge = !merge_jobs(state, rules).is_empty()
        || !unpack_jobs(state, rules).is_empty()
        || !pack_jobs(state, rules).is_empty();
    Duties {
        flush: is_due(engine, open, now),
        merge,
        retain: !expired_files(&manifest.state, now).is_empty(),
        // Garbage comes of commits alone. What is too young to go now has to be looked at again.
        collect: open.collected_at() < manifest.version,
    }
}

/// Does duties of one database; failures are logged, and tried again at the next occasion.
async fn tend(engine: &Engine, open: &Arc<OpenDatabase>, duties: Duties) {
    let mut report = Report::default();
    match engine.maintain_open(open, duties, Effort::default(), &mut report).await {
        Ok(()) if report != Report::default() => {
            tracing::debug!(tenant = %open.tenant, database = %open.id, %report, "housekeeping");
        }
        Ok(()) => {}
        Err(error) => tracing::warn!(database = %open.id, %error, "housekeeping failed"),
    }
}
