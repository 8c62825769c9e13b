//! Databases by name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::begin::Missing;
use super::{Budget, Engine, group_commit, writer_run::WriterRun};
use crate::catalog::{self, CatalogState};
use crate::database::{DatabaseState, Edit, EditRefusal, apply};
use crate::ledger::{CommitStep, Ledger, Listing, Manifest};
use crate::model::clock::{EpochClock, SharedClock};
use crate::model::paths::{self, SegmentName};
use crate::model::{Code, DatabaseId, DatabaseOptions, Error, OrderKey, Result, TenantId, limits::Limits};
use crate::store::Store;

/// A catalog this young is believed without asking the store.
const CATALOG_AGE: Duration = Duration::from_secs(30);

/// How often a drop helps a flush to finish before it gives up.
const HELP_ATTEMPTS: usize = 8;

/// A database, resolved.
#[derive(Debug, Clone)]
pub struct Database {
    pub tenant: TenantId,
    pub id: DatabaseId,
    pub name: String,
    pub options: DatabaseOptions,
    pub(super) handle: Arc<DatabaseHandle>,
}

/// What this process keeps of a database between requests.
#[derive(Debug)]
pub(super) struct DatabaseHandle {
    pub(super) tenant: TenantId,
    pub(super) id: DatabaseId,
    pub(super) ledger: Ledger<DatabaseState>,
    pub(super) writer: OnceLock<mpsc::Sender<group_commit::QueuedWrite>>,
    /// Requests accepted and not yet answered.
    pub(super) pending: Arc<AtomicUsize>,
    clock: SharedClock,
    unsettled: Mutex<Unsettled>,
    /// Version up to which this process has found nothing left to collect; 0 before it looked.
    collected: AtomicU64,
    /// Readings of the clock that order the segments of the open epoch.
    pub(super) order: EpochClock,
    /// Numbers of the segments that this process puts into the open epoch.
    pub(super) run: WriterRun,
    /// The clock step up to which this process has looked at the readings of others; 0 before it looked.
    pub(super) looked: AtomicU64,
    /// Flushes of this process, one at a time; others may run elsewhere.
    pub(super) flushing: tokio::sync::Mutex<()>,
}

/// What is not settled yet, as far as this process knows.
#[derive(Debug, Default)]
struct Unsettled {
    segments: BTreeMap<OrderKey, Unsettling>,
    /// Sum of the sizes.
    bytes: u64,
}

/// A segment that waits to be settled.
#[derive(Debug, Clone, Copy)]
struct Unsettling {
    bytes: u64,
    /// Since when this process knows that it is there: has written it, or seen it in a LIST. By
    /// the monotonic clock.
    known: i64,
}

impl Unsettled {
    fn add(&mut self, order: OrderKey, segment: Unsettling) {
        self.remove(&order);
        self.segments.insert(order, segment);
        self.bytes += segment.bytes;
    }

    fn remove(&mut self, order: &OrderKey) {
        self.bytes -= self.segments.remove(order).map_or(0, |segment| segment.bytes);
    }
}

/// Whether a LIST that began later than a segment was known does not show it, although nobody deletes what is of
/// the open epoch.
fn is_lost(listing: &Listing<DatabaseState>, order: &OrderKey, segment: &Unsettling) -> bool {
    order.epoch == listing.manifest.state.epoch
        && segment.known < listing.began()
        && listing.segments.binary_search_by_key(order, |(name, _)| name.order).is_err()
}

/// How much of it there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TailSize {
    pub(super) segments: usize,
    pub(super) bytes: u64,
}

/// What became of an edit.
#[derive(Debug)]
pub(super) enum Committed {
    Done(Arc<Manifest<DatabaseState>>),
    Nothing,
    Superseded,
    FlushFirst,
}

impl DatabaseHandle {
    fn new(engine: &Engine, tenant: TenantId, id: DatabaseId) -> Self {
        DatabaseHandle {
            tenant,
            id,
            ledger: Ledger::new(paths::database_root(tenant, id), engine.inner.clock.clone()),
            writer: OnceLock::new(),
            pending: Arc::default(),
            clock: engine.inner.clock.clone(),
            unsettled: Mutex::default(),
            collected: AtomicU64::new(0),
            order: EpochClock::default(),
            run: WriterRun::new(engine.inner.clock.clone()),
            looked: AtomicU64::new(0),
            flushing: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn root(&self) -> &str {
        self.ledger.root()
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::SeqCst)
    }

    pub(super) fn collected_at(&self) -> u64 {
        self.collected.load(Ordering::Relaxed)
    }

    pub(super) fn set_collected(&self, version: u64) {
        self.collected.store(version, Ordering::Relaxed);
    }

    fn unsettled(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tail(&self) -> TailSize {
        let floor = self.ledger.cached().map_or(0, |manifest| manifest.state.floor);
        let mut unsettled = self.unsettled();
        // What others have settled: a process that only writes learns of it by the manifests it confirms with.
        while let Some(order) = unsettled.segments.keys().next().copied().filter(|order| order.epoch < floor) {
            unsettled.remove(&order);
        }
        TailSize { segments: unsettled.segments.len(), bytes: unsettled.bytes }
    }

    /// Hybrid clock reading of the oldest segment: of a later epoch, if the writers' clocks differ.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.unsettled().segments.keys().map(|order| order.clock).min()
    }

    /// Takes the tail from what a LIST showed. What this process knows since the LIST began may be missing
    /// there, and stays; and so does what is lost.
    pub(super) fn learn_tail(&self, listing: &Listing<DatabaseState>) {
        let now = self.clock.elapsed();
        let mut unsettled = self.unsettled();
        let mut learnt = Unsettled::default();
        for (name, bytes) in &listing.segments {
            let known = unsettled.segments.get(&name.order).map_or(now, |segment| segment.known);
            learnt.add(name.order, Unsettling { bytes: *bytes, known });
        }
        for (order, segment) in &unsettled.segments {
            if segment.known >= listing.began() || is_lost(listing, order, segment) {
                learnt.add(*order, *segment);
            }
        }
        *unsettled = learnt;
    }

    /// A segment of the open epoch that this process knows and that a LIST, which began later, does not show.
    pub(super) fn lost_in(&self, listing: &Listing<DatabaseState>) -> Option<OrderKey> {
        let unsettled = self.unsettled();
        let lost = unsettled.segments.iter().find(|(order, segment)| is_lost(listing, order, segment));
        lost.map(|(order, _)| *order)
    }

    /// Adds a segment that this process has written.
    pub(super) fn grow_tail(&self, order: OrderKey, bytes: u64) {
        self.unsettled().add(order, Unsettling { bytes, known: self.clock.elapsed() });
    }

    /// Takes out what has been settled.
    pub(super) fn shrink_tail(&self, settled: &[SegmentName]) {
        let mut unsettled = self.unsettled();
        for name in settled {
            unsettled.remove(&name.order);
        }
    }

    /// Commits an edit against the newest state.
    pub(super) async fn commit(&self, store: &Store, limits: &Limits, edit: &Edit) -> Result<Committed> {
        enum Verdict {
            Done,
            Nothing,
            Superseded,
            FlushFirst,
        }
        let decide = |newest: &Manifest<DatabaseState>| match apply(&newest.state, newest.version + 1, edit, limits) {
            Ok(state) => Ok(CommitStep::Commit { kind: edit.kind(), state, output: Verdict::Done }),
            Err(EditRefusal::Nothing) => Ok(CommitStep::Done(Verdict::Nothing)),
            Err(EditRefusal::Superseded) => Ok(CommitStep::Done(Verdict::Superseded)),
            Err(EditRefusal::FlushFirst) => Ok(CommitStep::Done(Verdict::FlushFirst)),
            Err(EditRefusal::Invalid(error)) => Err(error),
        };
        let (manifest, verdict) = self.ledger.commit(store, decide).await?;
        Ok(match verdict {
            Verdict::Done => Committed::Done(manifest),
            Verdict::Nothing => Committed::Nothing,
            Verdict::Superseded => Committed::Superseded,
            Verdict::FlushFirst => Committed::FlushFirst,
        })
    }
}

impl Engine {
    /// Writes the first manifest of a new database and returns its id.
    pub(super) async fn begin_database(&self, tenant: TenantId, options: DatabaseOptions) -> Result<DatabaseId> {
        for _ in 0..8 {
            // 53 bits: readable by every JSON parser; a collision is found by the create.
            let id = DatabaseId(self.inner.clock.random() >> 11);
            let handle = self.open_database(tenant, id);
            let state = DatabaseState::new(tenant, id, options.clone());
            if handle.ledger.begin(&self.inner.store, "begin", state).await? {
                return Ok(id);
            }
        }
        Err(Error::internal("eight random database ids in a row were taken"))
    }

    /// The catalog as of half a minute ago or younger.
    pub(super) async fn catalog(&self) -> Result<Arc<Manifest<CatalogState>>> {
        self.begin(self.inner.missing).await?;
        self.inner.catalog.fresh(&self.inner.store, CATALOG_AGE).await
    }

    /// The catalog as it is now.
    pub(super) async fn newest_catalog(&self) -> Result<Arc<Manifest<CatalogState>>> {
        self.begin(self.inner.missing).await?;
        self.inner.catalog.fresh(&self.inner.store, Duration::ZERO).await
    }

    /// The same for those who care for a store that is there, and never make one.
    pub(super) async fn existing_catalog(&self) -> Result<Arc<Manifest<CatalogState>>> {
        self.begin(Missing::Fail).await?;
        self.inner.catalog.fresh(&self.inner.store, Duration::ZERO).await
    }

    pub(super) fn open_database(&self, tenant: TenantId, id: DatabaseId) -> Arc<DatabaseHandle> {
        let mut databases = self.inner.databases.lock().unwrap_or_else(PoisonError::into_inner);
        databases.entry(id).or_insert_with(|| Arc::new(DatabaseHandle::new(self, tenant, id))).clone()
    }

    /// A database by name. `DatabaseNotFound` only after asking the store.
    pub async fn database(&self, tenant: TenantId, name: &str) -> Result<Database> {
        if let Some(id) = self.catalog().await?.state.database(tenant, name) {
            let handle = self.open_database(tenant, id);
            let manifest = handle.ledger.current(&self.inner.store).await?;
            if !manifest.state.dropped {
                let options = manifest.state.options.clone();
                return Ok(Database { tenant, id, name: name.to_owned(), options, handle });
            }
        }
        let catalog = self.newest_catalog().await?;
        let id = catalog.state.database(tenant, name).ok_or_else(|| catalog::database_not_found(name))?;
        let handle = self.open_database(tenant, id);
        let manifest = handle.ledger.current(&self.inner.store).await?;
        if manifest.state.dropped {
            return Err(catalog::database_not_found(name));
        }
        Ok(Database { tenant, id, name: name.to_owned(), options: manifest.state.options.clone(), handle })
    }

    /// Names of a tenant's databases, sorted.
    pub async fn database_names(&self, tenant: TenantId) -> Result<Vec<String>> {
        let catalog = self.newest_catalog().await?;
        Ok(catalog.state.tenant(tenant).map(|tenant| tenant.databases.keys().cloned().collect()).unwrap_or_default())
    }

    pub async fn create_database(
        &self,
        tenant: TenantId,
        name: &str,
        options: DatabaseOptions,
        if_not_exists: bool,
    ) -> Result<()> {
        crate::model::names::check_name("Database name", name)?;
        if let Err(taken) = catalog::check_creatable(name) {
            return if if_not_exists { Ok(()) } else { Err(taken) };
        }
        if let Some(id) = self.newest_catalog().await?.state.database(tenant, name) {
            let manifest = self.open_database(tenant, id).ledger.load(&self.inner.store).await?.manifest;
            if !manifest.state.dropped {
                return if if_not_exists { Ok(()) } else { Err(catalog::database_exists(name)) };
            }
            // Somebody's drop got no further than the manifest.
            self.forget_database(tenant, name, id).await?;
        }
        // The manifest first: a catalog never names a database that is not there. What a crash in
        // between leaves is an empty database that nothing names.
        let id = self.begin_database(tenant, options).await?;
        let committed = self.inner.catalog.commit(&self.inner.store, |newest| {
            let state = newest.state.with_database(tenant, name, id)?;
            Ok(CommitStep::Commit { kind: "create database", state, output: () })
        });
        match committed.await {
            Err(error) if error.code == Code::DatabaseExists && if_not_exists => Ok(()),
            other => other.map(|_| ()),
        }
    }

    pub async fn drop_database(&self, tenant: TenantId, name: &str, if_exists: bool) -> Result<()> {
        let found = self.newest_catalog().await?.state.database(tenant, name);
        catalog::check_droppable(name, found.is_some())?;
        let Some(id) = found else {
            return if if_exists { Ok(()) } else { Err(catalog::database_not_found(name)) };
        };
        // The manifest first: from then on every confirm and every snapshot knows. That it is dropped
        // already is what a crash in between leaves.
        self.open_database(tenant, id).commit(&self.inner.store, self.limits(), &Edit::DropDatabase).await?;
        self.forget_database(tenant, name, id).await
    }

    /// Takes a dropped database's name out of the catalog.
    async fn forget_database(&self, tenant: TenantId, name: &str, id: DatabaseId) -> Result<()> {
        let now = self.now();
        let forget = self.inner.catalog.commit(&self.inner.store, |newest| {
            match newest.state.without_database(tenant, name, id, now)? {
                Some(state) => Ok(CommitStep::Commit { kind: "drop database", state, output: () }),
                None => Ok(CommitStep::Done(())),
            }
        });
        forget.await?;
        self.inner.databases.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        Ok(())
    }

    /// Commits an edit that may have to let a flush finish first. `false` when there was nothing to
    /// do.
    pub(super) async fn commit_after_flush(&self, database: &Database, edit: &Edit) -> Result<bool> {
        for _ in 0..HELP_ATTEMPTS {
            match database.handle.commit(&self.inner.store, self.limits(), edit).await? {
                Committed::Done(_) => return Ok(true),
                Committed::Nothing => return Ok(false),
                Committed::Superseded => return Err(catalog::database_not_found(&database.name)),
                Committed::FlushFirst => self.flush_open(&database.handle, Budget::default()).await.map(|_| ())?,
            }
        }
        Err(Error::new(Code::Unavailable, "flushes kept getting in the way; try again"))
    }
}
