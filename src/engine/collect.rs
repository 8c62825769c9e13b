//! Collect: delete what nobody can need any more. Proof, not age: after the fence is committed, no
//! job that began before it can name its outputs. Age only spares slow readers a restart.

use std::collections::HashSet;
use std::sync::Arc;

use super::{
    Engine,
    databases::{Committed, OpenDatabase},
};
use crate::database::{DatabaseState, Edit};
use crate::ledger::Manifest;
use crate::model::Result;
use crate::store::{
    ListEntry,
    paths::{self, LogName},
};

/// Manifests that are kept however old they are.
const KEPT_MANIFESTS: usize = 100;

/// What may go, judged by one manifest as old as the grace.
struct Horizon {
    manifest: Arc<Manifest<DatabaseState>>,
    /// Numbers of all manifests listed, ascending.
    numbers: Vec<u64>,
    log: Vec<ListEntry>,
}

impl Engine {
    /// Objects deleted.
    pub(super) async fn collect_open(&self, open: &OpenDatabase) -> Result<usize> {
        let Some(horizon) = self.horizon(open).await? else { return Ok(0) };
        let mut doomed = log_garbage(open, &horizon);
        let data = self.inner.store.list(&paths::data_prefix(open.root()), None).await?;
        let newest = open.ledger.load(&self.inner.store).await?.manifest;
        if !data_garbage(open, &data, &horizon, &newest, u64::MAX).is_empty() {
            // G2: from here on, nothing that began before this version can commit.
            let committed = open.commit(&self.inner.store, self.limits(), &Edit::Collect).await?;
            if let Committed::Done(fenced) = committed {
                doomed.extend(data_garbage(open, &data, &horizon, &fenced, fenced.state.gc_fence));
            }
        }
        for path in &doomed {
            self.inner.store.delete(path).await?;
        }
        // Once the horizon has reached the newest version, all that may go has gone.
        open.set_collected(horizon.manifest.version);
        Ok(doomed.len())
    }

    /// The newest manifest that is older than the grace; what it and the newest one do not need,
    /// no reader inside the grace began with.
    async fn horizon(&self, open: &OpenDatabase) -> Result<Option<Horizon>> {
        let prefix = paths::log_prefix(open.root());
        let log = self.inner.store.list(&prefix, None).await?;
        let grace = i64::try_from(self.inner.options.grace.as_nanos()).unwrap_or(i64::MAX);
        let before = self.inner.clock.now().saturating_sub(grace);
        let mut numbers = Vec::new();
        let mut oldest_needed = None;
        for entry in &log {
            if let Some(LogName::Manifest(number)) =
                LogName::parse(entry.path.strip_prefix(&prefix).unwrap_or_default())
            {
                numbers.push(number);
                if entry.modified <= before {
                    oldest_needed = Some(number);
                }
            }
        }
        let Some(number) = oldest_needed else { return Ok(None) };
        let key = paths::manifest(open.root(), number);
        let Some(bytes) = self.inner.store.get(&key).await? else { return Ok(None) };
        let manifest = Arc::new(Manifest::decode(&key, &bytes)?);
        Ok(Some(Horizon { manifest, numbers, log }))
    }
}

/// Segments that were settled at the horizon already, and old manifests, oldest first.
fn log_garbage(open: &OpenDatabase, horizon: &Horizon) -> Vec<String> {
    let prefix = paths::log_prefix(open.root());
    let spare = horizon.numbers.len().saturating_sub(KEPT_MANIFESTS);
    let old: HashSet<u64> =
        horizon.numbers.iter().take(spare).copied().take_while(|number| *number < horizon.manifest.version).collect();
    let goes = |entry: &&ListEntry| match LogName::parse(entry.path.strip_prefix(&prefix).unwrap_or_default()) {
        Some(LogName::Manifest(number)) => old.contains(&number),
        Some(LogName::Segment(name)) => name.order.epoch < horizon.manifest.state.floor,
        None => false,
    };
    horizon.log.iter().filter(goes).map(|entry| entry.path.clone()).collect()
}

/// Data files that neither manifest names and whose job began before `fence` and the horizon.
fn data_garbage(
    open: &OpenDatabase,
    data: &[ListEntry],
    horizon: &Horizon,
    newest: &Manifest<DatabaseState>,
    fence: u64,
) -> Vec<String> {
    let mut named: HashSet<&str> = HashSet::new();
    for state in [&horizon.manifest.state, &newest.state] {
        named.extend(state.tables.values().flat_map(|table| table.files.iter()).map(|file| file.path.as_str()));
    }
    let goes = |entry: &&ListEntry| {
        let path = entry.path.strip_prefix(open.root()).unwrap_or_default();
        match paths::data_file_base(path) {
            Some(base) => base < fence && base < horizon.manifest.version && !named.contains(path),
            None => false,
        }
    };
    data.iter().filter(goes).map(|entry| entry.path.clone()).collect()
}
