//! The memory of queries: one pool for all, in which the part of each is known.
//!
//! What operators reserve and what we hold of a query ourselves (batches that wait, text that is being
//! written, answers that are ready) come out of the same pool. A query that holds more than any other can
//! be told to end when the process is short of memory.

use std::fmt;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use datafusion::{
    common::{Result as DataFusionResult, resources_err},
    execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation},
};
use tokio::sync::watch;

use crate::model::{Code, Error, Result};

use super::{errors::from_datafusion, memory::halves};

/// What shares of one query may hold whatever the pool says: a small part of it, but room for a piece of rows,
/// and never more than a few of them.
fn free_bytes(pool: &dyn MemoryPool) -> usize {
    match pool.memory_limit() {
        MemoryLimit::Finite(bytes) => (bytes / 128).clamp(1 << 20, 4 << 20),
        MemoryLimit::Infinite | MemoryLimit::Unknown => 4 << 20,
    }
}

/// The queries that there are, by their parts.
#[derive(Debug, Default)]
pub(super) struct QueryShares {
    parts: Mutex<Vec<Weak<QueryShare>>>,
    /// Whether the process has about all the memory that it may have.
    is_full: Arc<AtomicBool>,
}

impl QueryShares {
    /// The part of a new query.
    pub(super) fn begin(&self, pool: &Arc<dyn MemoryPool>) -> Arc<QueryShare> {
        let part = Arc::new(QueryShare {
            pool: pool.clone(),
            held: AtomicUsize::new(0),
            shares: AtomicUsize::new(0),
            latest: AtomicUsize::new(0),
            free: free_bytes(pool.as_ref()),
            is_full: self.is_full.clone(),
            gave_way: AtomicBool::new(false),
            ended: watch::Sender::new(None),
        });
        let mut parts = self.lock();
        parts.retain(|part| part.strong_count() > 0);
        parts.push(Arc::downgrade(&part));
        part
    }

    /// While the process is full, no query is given more of the pool than a little: operators that can spill do, the
    /// others end their query.
    pub(super) fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Whether any query is under way, or its answer is.
    pub(super) fn are_there(&self) -> bool {
        self.lock().iter().any(|part| part.strong_count() > 0)
    }

    /// Whether one that was told to end has not done so yet.
    pub(super) fn is_one_ending(&self) -> bool {
        self.all().any(|part| part.is_ending())
    }

    /// Tells the query that holds most, and has not been told yet, to end, and says how much that is.
    pub(super) fn end_largest(&self, why: &str) -> Option<usize> {
        let largest = self.all().filter(|part| !part.is_ending()).max_by_key(|part| part.held())?;
        let held = largest.held();
        let message = format!("the query was ended: {why}, and it held most ({} MiB): ask for less", held >> 20);
        largest.ended.send_replace(Some(Error::new(Code::QueryCanceled, message)));
        Some(held)
    }

    fn all(&self) -> impl Iterator<Item = Arc<QueryShare>> + use<> {
        let parts: Vec<_> = self.lock().iter().filter_map(Weak::upgrade).collect();
        parts.into_iter()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<QueryShare>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one query holds of the pool.
#[derive(Debug)]
pub(super) struct QueryShare {
    pool: Arc<dyn MemoryPool>,
    /// Halves of bytes, as they count in the pool.
    held: AtomicUsize,
    /// Bytes of that in [`HeldMemory`].
    shares: AtomicUsize,
    latest: AtomicUsize,
    /// What of the shares the pool is not asked for.
    free: usize,
    is_full: Arc<AtomicBool>,
    /// Whether it was given no more because the process was full and others held more than it.
    gave_way: AtomicBool,
    ended: watch::Sender<Option<Error>>,
}

impl QueryShare {
    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed) / 2
    }

    fn is_ending(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Whether the other queries hold more than half of the pool, or held more than this one when the process was full.
    pub(super) fn others_hold_most(&self) -> bool {
        if self.gave_way.load(Ordering::Relaxed) {
            return true;
        }
        match self.pool.memory_limit() {
            MemoryLimit::Finite(limit) => self.pool.reserved().saturating_sub(self.held()) > limit / 2,
            MemoryLimit::Infinite | MemoryLimit::Unknown => false,
        }
    }

    /// Whether the query may grow by bytes, as far as the process and what it was told go.
    fn may_grow(&self, additional: usize) -> bool {
        if self.is_ending() {
            return false;
        }
        let held = self.held();
        if !self.is_full.load(Ordering::Relaxed) || held.saturating_add(additional) <= self.free {
            return true;
        }
        let others = self.pool.reserved().saturating_sub(held);
        self.gave_way.fetch_or(others > held, Ordering::Relaxed);
        false
    }

    /// Notes how many bytes the rows have that are given out now.
    pub(super) fn give_out(&self, bytes: usize) {
        self.latest.store(bytes, Ordering::Relaxed);
    }

    /// Ready when the query has been told to end, with what it is to answer.
    pub(super) async fn ended(&self) -> Error {
        let mut ended = self.ended.subscribe();
        let error = ended.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
        // Neither can be: we keep the sender, and it has just sent.
        error.unwrap_or_else(|| Error::internal("a query was ended without a reason"))
    }
}

impl fmt::Display for QueryShare {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.pool)
    }
}

impl MemoryPool for QueryShare {
    fn name(&self) -> &str {
        self.pool.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.pool.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.pool.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.pool.grow(reservation, additional);
        self.held.fetch_add(halves(reservation.consumer(), additional), Ordering::Relaxed);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.pool.shrink(reservation, shrink);
        self.held.fetch_sub(halves(reservation.consumer(), shrink), Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> DataFusionResult<()> {
        if !self.may_grow(additional) {
            let name = reservation.consumer().name();
            return resources_err!("{name} asks for {additional} bytes, and the process has no more memory");
        }
        self.pool.try_grow(reservation, additional)?;
        self.held.fetch_add(halves(reservation.consumer(), additional), Ordering::Relaxed);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.pool.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.pool.memory_limit()
    }
}

/// Memory that is held of a query outside of its plan, reserved until it is dropped.
#[derive(Debug)]
pub struct HeldMemory {
    part: Arc<QueryShare>,
    reservation: MemoryReservation,
}

impl HeldMemory {
    pub(super) fn new(part: &Arc<QueryShare>, name: &'static str) -> HeldMemory {
        let pool: Arc<dyn MemoryPool> = part.clone();
        HeldMemory { part: part.clone(), reservation: MemoryConsumer::new(name).register(&pool) }
    }

    /// Says that it is now so many bytes. A few are given whatever the pool says, so that a query whose
    /// operators fill it can still answer.
    ///
    /// # Errors
    /// All queries together have as much as they may; then it is what it was.
    pub fn resize(&self, bytes: usize) -> Result<()> {
        let before = self.reservation.size();
        let shares = self.part.shares.load(Ordering::Relaxed).saturating_sub(before) + bytes;
        if bytes <= before || shares <= self.part.free {
            self.reservation.resize(bytes);
        } else {
            self.reservation.try_resize(bytes).map_err(|error| from_datafusion(&error))?;
        }
        // The difference and not the sum: others may have changed theirs meanwhile.
        self.part.shares.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
        Ok(())
    }

    pub fn bytes(&self) -> usize {
        self.reservation.size()
    }

    /// Takes so many bytes out of this share, as one of their own.
    pub fn split(&self, bytes: usize) -> HeldMemory {
        let reservation = self.reservation.split(bytes.min(self.reservation.size()));
        HeldMemory { part: self.part.clone(), reservation }
    }

    /// Bytes that all queries hold.
    pub fn reserved(&self) -> usize {
        self.part.reserved()
    }

    /// Whether queries hold so much that what can wait should not take more.
    pub fn is_crowded(&self) -> bool {
        match self.part.memory_limit() {
            MemoryLimit::Finite(bytes) => self.part.reserved() > bytes / 2,
            MemoryLimit::Infinite | MemoryLimit::Unknown => false,
        }
    }

    /// Bytes of the rows that the query gave out last.
    pub fn bytes_of_latest(&self) -> usize {
        self.part.latest.load(Ordering::Relaxed)
    }

    /// Ready when the query has been told to end, with what it is to answer.
    pub async fn ended(&self) -> Error {
        self.part.ended().await
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        self.part.shares.fetch_sub(self.reservation.size(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    #[tokio::test]
    async fn the_largest_is_ended_and_one_at_a_time() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100 << 20));
        let parts = QueryShares::default();
        let [small, large] = [parts.begin(&pool), parts.begin(&pool)];
        let (few, many) = (HeldMemory::new(&small, "few"), HeldMemory::new(&large, "many"));
        few.resize(10 << 20).unwrap();
        many.resize(80 << 20).unwrap();
        assert!(few.resize(30 << 20).unwrap_err().message.contains("more memory"));
        assert_eq!((few.bytes(), pool.reserved()), (10 << 20, 90 << 20));
        assert_eq!(parts.end_largest("there is no more"), Some(80 << 20));
        let error = large.ended().await;
        assert_eq!(error.code, Code::QueryCanceled);
        assert!(error.message.contains("there is no more") && error.message.contains("80 MiB"), "{error}");
        assert!(parts.is_one_ending());
        let piece = many.split(30 << 20);
        drop(many);
        assert_eq!((piece.bytes(), pool.reserved()), (30 << 20, 40 << 20));
        drop(piece);
        assert_eq!(parts.end_largest("still"), Some(10 << 20));
        assert!(few.resize(11 << 20).is_err(), "who is told to end gets no more");
        let third = parts.begin(&pool);
        let rest = HeldMemory::new(&third, "all the rest");
        rest.resize(90 << 20).unwrap();
        let little = HeldMemory::new(&large, "little");
        little.resize(large.free).unwrap();
        assert!(little.resize(large.free + 1).is_err(), "but not more than a little");
        drop((large, little));
        assert!(parts.is_one_ending() && parts.are_there(), "the small one was told, too");
        drop((few, small, third, rest));
        assert_eq!((parts.end_largest("none is left"), pool.reserved()), (None, 0));
        assert!(!parts.are_there());
    }
    #[test]
    fn nobody_grows_much_while_the_process_is_full() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1 << 30));
        let parts = QueryShares::default();
        let [small, large] = [parts.begin(&pool), parts.begin(&pool)];
        let grow = |part: &Arc<QueryShare>, name: &'static str| {
            let pool: Arc<dyn MemoryPool> = part.clone();
            MemoryConsumer::new(name).register(&pool)
        };
        let (few, many) = (grow(&small, "few"), grow(&large, "many"));
        many.try_grow(80 << 20).unwrap();
        parts.set_full(true);
        few.try_grow(1 << 20).unwrap();
        let error = few.try_grow(8 << 20).unwrap_err();
        assert!(error.to_string().contains("the process has no more memory"), "{error}");
        assert!(many.try_grow(1).is_err());
        assert!(small.others_hold_most() && !large.others_hold_most(), "the small one may ask again");
        parts.set_full(false);
        few.try_grow(8 << 20).unwrap();
        many.try_grow(8 << 20).unwrap();
    }
}
