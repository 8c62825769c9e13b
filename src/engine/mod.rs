//! The product as a list of verbs, one file each.
//!
//! | verb | does |
//! |---|---|
//! | `authenticate`, `tenant` | who is asking |
//! | `database`, `create_database`, `drop_database` | databases by name |
//! | `create_table`, `drop_table` | tables |
//! | `write` | points → durable, acknowledged |
//! | `snapshot` | what one query sees |
//! | `flush`, `merge`, `retain`, `collect`, `maintain` | housekeeping, by anyone at any time |
//! | `check` | whether a store keeps every promise |
//!
//! In: points, names. Out: receipts, snapshots, reports. Invariants: all eighteen of the crate's
//! front page. Never: SQL, HTTP, threads of its own.

mod access;
mod background;
mod begin;
mod check;
mod databases;
mod expire;
mod file_lists;
mod flush;
mod gc;
mod group_commit;
mod maintain;
mod merge;
mod on_demand;
mod order;
mod snapshot;
mod tables;
#[cfg(test)]
mod tests;
mod write;
mod writer_run;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::OnceCell;

use crate::catalog::{CatalogState, Passwords};
use crate::database::{Rules, Sizes};
use crate::ledger::Ledger;
use crate::model::clock::SharedClock;
use crate::model::{DatabaseId, Result, limits::Limits, paths};
use crate::store::{ClockReading, Store};
use crate::table::Footers;
use crate::wal::SegmentCache;

pub use access::User;
pub use background::{run_background, watch_refusals};
pub use check::CheckReport;
pub use databases::Database;
pub use file_lists::FileLists;
pub use maintain::{Budget, Report, Tasks};
pub use snapshot::{Losses, SegmentProjection, Snapshot, TableSnapshot, TailPart};
pub use write::Receipt;

use begin::Missing;
use databases::DatabaseHandle;
use order::ClockSteps;

/// When a database's tail is settled: whichever comes first.
#[derive(Debug, Clone)]
pub struct FlushTriggers {
    /// Segments in the tail.
    pub segments: usize,
    /// Bytes of segments in the tail.
    pub bytes: u64,
    /// Age of the oldest segment.
    pub age: Duration,
}

impl Default for FlushTriggers {
    fn default() -> Self {
        FlushTriggers { segments: 64, bytes: 8 << 20, age: Duration::from_secs(60) }
    }
}

/// What an engine is opened with.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    pub limits: Limits,
    pub flush: FlushTriggers,
    /// Bytes of Parquet footers and page indexes kept in memory.
    pub footer_cache_bytes: u64,
    /// Bytes of decoded segments kept in memory.
    pub tail_cache_bytes: u64,
    /// Root's password as a PHC string; wins over `root_password`.
    pub root_password_hash: Option<String>,
    /// Root's password, empty by default.
    pub root_password: SecretString,
    /// How long what no manifest names any more is kept for slow readers.
    pub grace: Duration,
    pub sizes: Sizes,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            limits: Limits::default(),
            flush: FlushTriggers::default(),
            footer_cache_bytes: 128 << 20,
            tail_cache_bytes: 64 << 20,
            root_password_hash: None,
            root_password: SecretString::default(),
            grace: Duration::from_secs(3_600),
            sizes: Sizes::default(),
        }
    }
}

/// What this process has done since it started.
#[derive(Debug, Default)]
pub struct Totals {
    pub points_written: AtomicU64,
    pub segments_written: AtomicU64,
    pub flushes: AtomicU64,
    pub merges: AtomicU64,
    pub snapshot_restarts: AtomicU64,
    pub housekeeping_failures: AtomicU64,
}

/// The handle on a store. Cheap to clone; all clones share caches and writers.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: SharedClock,
    steps: ClockSteps,
    options: EngineOptions,
    catalog: Ledger<CatalogState>,
    /// Catalog version up to which this process has found nothing left to collect; 0 before it looked.
    catalog_collected: AtomicU64,
    passwords: Passwords,
    databases: Mutex<HashMap<DatabaseId, Arc<DatabaseHandle>>>,
    footers: Arc<Footers>,
    segments: SegmentCache,
    leaves: FileLists,
    totals: Totals,
    stopping: AtomicBool,
    /// What becomes of a place without a store.
    missing: Missing,
    begun: OnceCell<()>,
    made: AtomicBool,
}

impl Engine {
    /// Opens a store: proves that its conditional create can be relied on, and creates the first
    /// tenant, database and user in an empty place.
    ///
    /// Errors: [`Code::NoStore`](crate::model::Code::NoStore) for a place that holds other things,
    /// [`Code::Corrupt`](crate::model::Code::Corrupt) for a store without its catalog, those of the store.
    pub async fn open(store: Store, clock: SharedClock, options: EngineOptions) -> Result<Engine> {
        let engine = Engine::lazy(store, clock, options);
        engine.begin(Missing::Make).await?;
        Ok(engine)
    }

    /// Opens a store that is there; makes none. One in memory, which is always new, is made.
    ///
    /// Errors: as [`Engine::open`], and [`Code::NoStore`](crate::model::Code::NoStore) for an empty place.
    pub async fn open_existing(store: Store, clock: SharedClock, options: EngineOptions) -> Result<Engine> {
        let engine = Engine::new(store, clock, options, Missing::Fail);
        engine.begin(Missing::Fail).await?;
        Ok(engine)
    }

    /// As [`Engine::open`], but the store is asked nothing before the first request needs it. Housekeeping
    /// makes no store: that is for requests.
    pub fn lazy(store: Store, clock: SharedClock, options: EngineOptions) -> Engine {
        Engine::new(store, clock, options, Missing::Make)
    }

    fn new(store: Store, clock: SharedClock, options: EngineOptions, missing: Missing) -> Engine {
        let engine = Engine {
            inner: Arc::new(Inner {
                steps: ClockSteps::default(),
                catalog: Ledger::new(paths::CATALOG_ROOT, clock.clone()),
                catalog_collected: AtomicU64::new(0),
                passwords: Passwords::new(&clock),
                databases: Mutex::default(),
                footers: Arc::new(Footers::new(options.footer_cache_bytes)),
                segments: SegmentCache::new(options.tail_cache_bytes),
                leaves: FileLists::default(),
                totals: Totals::default(),
                stopping: AtomicBool::new(false),
                missing,
                begun: OnceCell::new(),
                made: AtomicBool::new(false),
                store,
                clock,
                options,
            }),
        };
        // The start counts as the first step.
        engine.clock_steps();
        engine
    }

    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub fn footers(&self) -> &Arc<Footers> {
        &self.inner.footers
    }

    pub fn clock(&self) -> &SharedClock {
        &self.inner.clock
    }

    /// What time it is, nanoseconds since 1970: by the machine, as far as the store's answers do not
    /// contradict.
    pub fn now(&self) -> i64 {
        self.inner.store.time().correct(ClockReading::of(self.inner.clock.as_ref()))
    }

    /// The earlier one of what the machine says and of [`Engine::now`]: for what deletes, and had better wait.
    fn earlier_now(&self) -> i64 {
        self.now().min(self.inner.clock.now())
    }

    pub fn limits(&self) -> &Limits {
        &self.inner.options.limits
    }

    pub fn options(&self) -> &EngineOptions {
        &self.inner.options
    }

    pub fn totals(&self) -> &Totals {
        &self.inner.totals
    }

    /// How housekeeping works at this moment.
    fn rules(&self, thorough: bool) -> Rules {
        Rules { now: self.now(), thorough, sizes: self.inner.options.sizes }
    }

    /// (hits, misses, bytes) of the cache of decoded segments.
    pub fn tail_cache_statistics(&self) -> (u64, u64, u64) {
        self.inner.segments.statistics()
    }

    /// Finishes what was accepted: waits for writes in flight, ten seconds at most, and takes no
    /// new ones.
    pub async fn shutdown(&self) {
        self.inner.stopping.store(true, Ordering::SeqCst);
        let idle = async {
            while self.open_databases().iter().any(|handle| handle.pending() > 0) {
                self.clock().sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(10), idle).await.is_err() {
            tracing::warn!("writes were still in flight when the time to stop ran out");
        }
    }

    fn open_databases(&self) -> Vec<Arc<DatabaseHandle>> {
        let databases = self.inner.databases.lock().unwrap_or_else(PoisonError::into_inner);
        databases.values().cloned().collect()
    }
}
