//! Collect: delete what nobody can need any more. Proof, not age: after the fence is committed, no
//! job that began before it can name its outputs. Age only spares slow readers a restart.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    Engine,
    databases::{Committed, DatabaseHandle},
};
use crate::catalog::{CatalogState, DroppedDatabase};
use crate::database::{DatabaseState, Edit};
use crate::ledger::{CommitStep, LedgerState, Manifest, PROOF_AGE};
use crate::model::Result;
use crate::model::paths::{self, LogName};
use crate::store::ListEntry;
use crate::table;

/// Manifests that are kept however old they are.
const KEPT_MANIFESTS: usize = 100;
/// Younger manifests are kept however short the grace: commits and confirmations trust that the number
/// after a manifest which was the newest within [`PROOF_AGE`] was not used and freed, and processes look at the
/// whole log six times as often.
const MANIFEST_AGE: Duration = Duration::from_secs(60 * PROOF_AGE.as_secs());
/// The last manifest of a dropped database is kept for so long: whoever still believes in the database
/// has to find it.
const TOMBSTONE: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Objects deleted at once.
const DELETES: usize = 16;

/// What may go, judged by one manifest as old as the grace.
struct GcHorizon<S> {
    manifest: Arc<Manifest<S>>,
    /// All manifests listed, ascending: their numbers, and whether each is older than any proof that
    /// counts, however short the grace, and whatever this process takes for the time.
    manifests: Vec<(u64, bool)>,
    log: Vec<ListEntry>,
}

impl Engine {
    /// Objects deleted.
    pub(super) async fn collect_open(&self, handle: &DatabaseHandle) -> Result<usize> {
        let store = &self.inner.store;
        let Some(horizon) = self.horizon::<DatabaseState>(handle.root()).await? else { return Ok(0) };
        let mut objects = store.list(&paths::data_prefix(handle.root()), None).await?;
        objects.extend(store.list(&paths::leaf_prefix(handle.root()), None).await?);
        let newest = handle.ledger.load(store).await?.manifest;
        let floor = horizon.manifest.state.floor.min(newest.state.floor);
        let mut doomed = log_garbage(handle.root(), &horizon, floor);
        let mut named = match self.named(handle, &horizon.manifest.state).await {
            Ok(named) => named,
            // Another collector, which began later, is ahead.
            Err(error) if table::is_missing(&error) => return Ok(0),
            Err(error) => return Err(error),
        };
        named.extend(self.named(handle, &newest.state).await?);
        if !garbage(handle, &objects, &horizon, &named, u64::MAX).is_empty() {
            // G2: from here on, nothing that began before this version can commit.
            let committed = handle.commit(store, self.limits(), &Edit::Collect).await?;
            if let Committed::Done(fenced) = committed {
                named.extend(self.named(handle, &fenced.state).await?);
                doomed.extend(garbage(handle, &objects, &horizon, &named, fenced.state.gc_fence));
            }
        }
        self.delete_all(&doomed).await?;
        // Once the horizon has reached the newest version, all that may go has gone.
        handle.set_collected(horizon.manifest.version);
        Ok(doomed.len())
    }

    /// The data files and file lists of a state, by their paths below the root.
    async fn named(&self, handle: &DatabaseHandle, state: &DatabaseState) -> Result<HashSet<String>> {
        let mut named = HashSet::new();
        for table in state.tables.values() {
            named.extend(table.leaves.iter().map(|leaf| leaf.path.clone()));
            named.extend(self.live_files(handle, table).await?.iter().map(|file| file.path.clone()));
        }
        Ok(named)
    }

    /// Manifests one after another, the oldest first: whoever finds one there knows that no younger one
    /// was deleted before.
    async fn delete_all(&self, paths: &[String]) -> Result<()> {
        let (manifests, others): (Vec<String>, Vec<String>) =
            paths.iter().cloned().partition(|path| paths::is_manifest(path));
        let delete = |path: String| async move { self.inner.store.delete(&path).await };
        stream::iter(others).map(delete).buffer_unordered(DELETES).try_collect::<()>().await?;
        for path in manifests {
            self.inner.store.delete(&path).await?;
        }
        Ok(())
    }

    /// The newest manifest that is older than the grace; what it and the newest one do not need,
    /// no reader inside the grace began with.
    async fn horizon<S: LedgerState>(&self, root: &str) -> Result<Option<GcHorizon<S>>> {
        let prefix = paths::log_prefix(root);
        let log = self.inner.store.list(&prefix, None).await?;
        let before = self.before_grace();
        let unproven = before.min(self.store_now(&log).saturating_sub(nanoseconds(MANIFEST_AGE)));
        let mut manifests = Vec::new();
        let mut oldest_needed = None;
        for entry in &log {
            if let Some(LogName::Manifest(number)) =
                LogName::parse(entry.path.strip_prefix(&prefix).unwrap_or_default())
            {
                manifests.push((number, entry.modified <= unproven));
                if entry.modified <= before {
                    oldest_needed = Some(number);
                }
            }
        }
        let Some(number) = oldest_needed else { return Ok(None) };
        let key = paths::manifest(root, number);
        let Some(bytes) = self.inner.store.get(&key).await? else { return Ok(None) };
        let manifest = Arc::new(Manifest::decode(&key, &bytes, None)?);
        Ok(Some(GcHorizon { manifest, manifests, log }))
    }

    /// The moment, nanoseconds since 1970, before which a reader must have begun to be older than the
    /// grace.
    fn before_grace(&self) -> i64 {
        self.age_ago(self.inner.options.grace)
    }

    fn age_ago(&self, age: Duration) -> i64 {
        self.earlier_now().saturating_sub(nanoseconds(age))
    }

    /// What the store's clock showed, at least, when it answered a LIST: the newest date of an object. Where that is
    /// in the future (a folder whose machine's clock was set back), this process's own time.
    fn store_now(&self, listed: &[ListEntry]) -> i64 {
        listed.iter().map(|entry| entry.modified).max().unwrap_or(0).min(self.earlier_now())
    }

    /// Old catalogs, and what dropped databases left. Objects deleted.
    pub(super) async fn collect_catalog(&self, catalog: &Manifest<CatalogState>) -> Result<usize> {
        let mut deleted = 0;
        if self.inner.catalog_collected.load(Ordering::Relaxed) < catalog.version
            && let Some(horizon) = self.horizon::<CatalogState>(self.inner.catalog.root()).await?
        {
            let doomed = log_garbage(self.inner.catalog.root(), &horizon, 0);
            self.delete_all(&doomed).await?;
            deleted += doomed.len();
            self.inner.catalog_collected.store(horizon.manifest.version, Ordering::Relaxed);
        }
        for dropped in &catalog.state.dropped {
            deleted += self.collect_dropped(dropped).await?;
        }
        Ok(deleted)
    }

    /// Deletes a dropped database but for its last manifest, and that one too when it is old.
    async fn collect_dropped(&self, dropped: &DroppedDatabase) -> Result<usize> {
        let before = self.before_grace();
        let gone = dropped.since <= before.saturating_sub(nanoseconds(TOMBSTONE));
        // Not worth a LIST before.
        if dropped.since > before.min(self.age_ago(MANIFEST_AGE)) || (dropped.emptied && !gone) {
            return Ok(0);
        }
        let root = paths::database_root(dropped.tenant, dropped.id);
        let listed = self.inner.store.list(&root, None).await?;
        let last = listed.iter().rfind(|entry| paths::is_manifest(&entry.path)).cloned();
        if let Some(last) = &last
            && !self.is_long_dropped(&root, last, &listed).await?
        {
            return Ok(0);
        }
        let ours = listed.into_iter().map(|entry| entry.path).filter(|path| paths::is_given(&root, path));
        let mut doomed: Vec<String> =
            ours.filter(|path| gone || last.as_ref().is_none_or(|last| last.path != *path)).collect();
        // It may have been written a moment ago.
        let hint = paths::hint(&root);
        if !doomed.contains(&hint) {
            doomed.push(hint);
        }
        self.delete_all(&doomed).await?;
        let forget = self.inner.catalog.commit(&self.inner.store, |newest| {
            Ok(match newest.state.with_emptied(dropped.id, gone) {
                Some(state) => CommitStep::Commit { kind: "collect database", state, output: () },
                None => CommitStep::Done(()),
            })
        });
        forget.await?;
        Ok(doomed.len())
    }

    /// Whether the last manifest of a dropped database is older than any proof that counts, by the store's dates
    /// alone: whoever dropped it, and this process, may have wrong clocks. Nothing is written there any more, so
    /// that the hint, written again, shows the store's time.
    async fn is_long_dropped(&self, root: &str, last: &ListEntry, listed: &[ListEntry]) -> Result<bool> {
        let is_old =
            |listed: &[ListEntry]| last.modified <= self.store_now(listed).saturating_sub(nanoseconds(MANIFEST_AGE));
        if is_old(listed) {
            return Ok(true);
        }
        let (store, hint) = (&self.inner.store, paths::hint(root));
        let Some(bytes) = store.get(&last.path).await? else { return Ok(false) };
        store.overwrite(&hint, bytes).await?;
        Ok(is_old(&store.list(&hint, None).await?))
    }
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// Segments below the floor that the horizon knew, and old manifests, oldest first.
fn log_garbage<S>(root: &str, horizon: &GcHorizon<S>, floor: u64) -> Vec<String> {
    let prefix = paths::log_prefix(root);
    let spare = horizon.manifests.len().saturating_sub(KEPT_MANIFESTS);
    let goes = |(number, old): &&(u64, bool)| *old && *number < horizon.manifest.version;
    let old: HashSet<u64> = horizon.manifests.iter().take(spare).take_while(goes).map(|(number, _)| *number).collect();
    let goes = |entry: &&ListEntry| match LogName::parse(entry.path.strip_prefix(&prefix).unwrap_or_default()) {
        Some(LogName::Manifest(number)) => old.contains(&number),
        Some(LogName::Segment(name)) => name.order.epoch < floor,
        None => false,
    };
    horizon.log.iter().filter(goes).map(|entry| entry.path.clone()).collect()
}

/// Data files and file lists that are not named, and whose job began before `fence` and the horizon. Names
/// that SiltDB does not give are left alone.
fn garbage(
    handle: &DatabaseHandle,
    objects: &[ListEntry],
    horizon: &GcHorizon<DatabaseState>,
    named: &HashSet<String>,
    fence: u64,
) -> Vec<String> {
    let goes = |entry: &&ListEntry| {
        let path = entry.path.strip_prefix(handle.root()).unwrap_or_default();
        match paths::data_file_base(path).or_else(|| paths::leaf_base(path)) {
            Some(base) => base < fence && base < horizon.manifest.version && !named.contains(path),
            None => false,
        }
    };
    objects.iter().filter(goes).map(|entry| entry.path.clone()).collect()
}
