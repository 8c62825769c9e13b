//! The last line of defence: the memory that the process really has is looked at while queries run, and
//! before it is more than the process may have, new ones are refused, none is given more, and the largest is ended.
//!
//! What is reserved is what should be held; this is for what nobody has thought of. A thread of its own
//! looks, since a runtime whose threads all compute looks at nothing.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicU64, Ordering},
    mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
};
use std::time::{Duration, Instant};

use crate::{
    metrics::ProcessMemory,
    model::{Code, Error, Result},
};

use super::shares::QueryShares;

/// A query can take some ten megabytes between two looks.
const INTERVAL: Duration = Duration::from_millis(20);
/// How long it is looked on after the last query, so that a next one need not wake anybody.
const LINGER: Duration = Duration::from_secs(1);
/// What was ended needs a moment to give its memory back, ...
const PAUSE: Duration = Duration::from_millis(100);
/// ... but who has not let go after this time is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// New queries wait above this share of the limit, in percent, ...
const WAIT_ABOVE: u64 = 85;
/// ... at most for so long, ...
const WAIT: Duration = Duration::from_secs(2);
/// ... above this share none is given more, ...
const FULL_ABOVE: u64 = 90;
/// ... and above this share the largest is ended.
const ENDED_ABOVE: u64 = 95;

/// Watches over the memory of the process.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    /// Wakes the thread, and ends it when dropped. `None`: nothing is watched.
    wake: Option<SyncSender<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Bytes that the process may have.
    limit: u64,
    parts: Arc<QueryShares>,
    is_awake: AtomicBool,
    is_short: AtomicBool,
    counts: Counts,
}

/// How often something had to be done.
#[derive(Debug, Default)]
pub struct Counts {
    /// Queries that were not begun.
    pub refused: AtomicU64,
    /// Queries that were ended.
    pub ended: AtomicU64,
}

impl Watch {
    /// Watches that the process has no more than `limit` bytes, unless that is `usize::MAX`, or the system does
    /// not tell what it has.
    ///
    /// Errors: there is no thread for it.
    pub(super) fn begin(limit: usize, parts: Arc<QueryShares>) -> Result<Watch> {
        let shared = Arc::new(Shared {
            limit: limit as u64,
            parts,
            is_awake: AtomicBool::new(false),
            is_short: AtomicBool::new(false),
            counts: Counts::default(),
        });
        let memory = if limit == usize::MAX { None } else { ProcessMemory::open() };
        let Some(memory) = memory else { return Ok(Watch { shared, wake: None }) };
        let (wake, woken) = sync_channel(1);
        let watched = Arc::downgrade(&shared);
        let thread = std::thread::Builder::new().name("siltdb-memory".to_owned());
        let begun = thread.spawn(move || watch(&memory, &watched, &woken));
        begun.map_err(|error| Error::new(Code::Unavailable, format!("no thread to watch the memory: {error}")))?;
        Ok(Watch { shared, wake: Some(wake) })
    }

    /// Lets a query begin, as soon as there is memory.
    ///
    /// Errors: the process stays short of memory, and there are queries that will give some back.
    pub(super) async fn admit(&self) -> Result<()> {
        let shared = &self.shared;
        let began = Instant::now();
        while shared.is_short() && began.elapsed() < WAIT {
            tokio::time::sleep(INTERVAL).await;
        }
        if shared.is_short() {
            shared.counts.refused.fetch_add(1, Ordering::Relaxed);
            let message = format!(
                "the process is short of memory (setting 'memory_bytes', {} MiB): no query is begun before others \
                 have ended; try again",
                shared.limit >> 20
            );
            return Err(Error::new(Code::TooManyQueries, message));
        }
        self.wake();
        Ok(())
    }

    /// Makes sure that somebody looks.
    pub(super) fn wake(&self) {
        if let Some(wake) = &self.wake
            && !self.shared.is_awake.swap(true, Ordering::SeqCst)
        {
            // Full: it is being woken.
            let _ = wake.try_send(());
        }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.shared.counts
    }
}

/// What the thread does until the watch is dropped.
fn watch(memory: &ProcessMemory, watched: &Weak<Shared>, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        let (mut last_query, mut last_end) = (Instant::now(), None);
        loop {
            std::thread::sleep(INTERVAL);
            let Some(shared) = watched.upgrade() else { return };
            shared.look(memory, &mut last_end);
            if shared.parts.are_there() {
                last_query = Instant::now();
            } else if last_query.elapsed() > LINGER {
                shared.is_short.store(false, Ordering::Relaxed);
                shared.parts.set_full(false);
                shared.is_awake.store(false, Ordering::SeqCst);
                // One that began in between has woken nobody.
                if !shared.parts.are_there() || shared.is_awake.swap(true, Ordering::SeqCst) {
                    break;
                }
            }
            if let Err(TryRecvError::Disconnected) = woken.try_recv() {
                return;
            }
        }
    }
}

impl Shared {
    /// Whether there is too little memory for another query, and others will give some back.
    fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed) && self.parts.are_there()
    }

    fn look(&self, memory: &ProcessMemory, last_end: &mut Option<Instant>) {
        let Some(resident) = memory.read() else { return };
        self.parts.set_full(resident.own > self.limit / 100 * FULL_ABOVE);
        self.is_short.store(resident.own > self.limit / 100 * WAIT_ABOVE, Ordering::Relaxed);
        let pause = if self.parts.is_one_ending() { PATIENCE } else { PAUSE };
        if resident.own <= self.limit / 100 * ENDED_ABOVE || last_end.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        let (limit, own) = (self.limit >> 20, resident.own >> 20);
        let why = format!("the process has {own} MiB in memory and may have {limit} (setting 'memory_bytes')");
        if let Some(held) = self.parts.end_largest(&why) {
            *last_end = Some(Instant::now());
            self.counts.ended.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(limit, own, reserved = held >> 20, "short of memory: the largest query is ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::{MemoryPool, UnboundedMemoryPool};

    use super::*;

    #[tokio::test]
    async fn above_the_limit_queries_are_refused_and_the_largest_is_ended() {
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        let parts = Arc::new(QueryShares::default());
        // Any process has more than this.
        let watch = Watch::begin(1 << 20, parts.clone()).unwrap();
        assert!(watch.admit().await.is_ok());
        let part = parts.begin(&pool);
        let error = tokio::time::timeout(Duration::from_secs(60), part.ended()).await.unwrap();
        assert!(error.message.contains("'memory_bytes'"), "{error}");
        let refused = watch.admit().await.unwrap_err();
        assert_eq!(refused.code, Code::TooManyQueries);
        let counts = watch.counts();
        // Counted a moment after it was told.
        while counts.ended.load(Ordering::Relaxed) == 0 {
            std::thread::sleep(INTERVAL);
        }
        assert_eq!((counts.ended.load(Ordering::Relaxed), counts.refused.load(Ordering::Relaxed)), (1, 1));
        drop(part);
        // Where nobody could give memory back, it is tried. The thread may be looking at the part just now.
        while watch.admit().await.is_err() {
            std::thread::sleep(INTERVAL);
        }
    }

    #[tokio::test]
    async fn below_it_nothing_happens() {
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        for limit in [usize::MAX, 1 << 50] {
            let parts = Arc::new(QueryShares::default());
            let watch = Watch::begin(limit, parts.clone()).unwrap();
            watch.admit().await.unwrap();
            let _part = parts.begin(&pool);
            std::thread::sleep(INTERVAL * 10);
            watch.admit().await.unwrap();
            assert!(!parts.is_one_ending());
        }
    }
}
