//! The memory of all queries together.
//!
//! DataFusion's `FairSpillPool` gives each operator that can spill an even share, but does not look at what
//! those before it took when they were fewer: thirty-two sorts that begin one after another get four times
//! the pool. And an operator tells what it took after it took it, without what it needs to put it out. Here
//! the sum of all is bounded, and who is known to hold more than it tells counts for more.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::{
    common::{Result, resources_err},
    execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation},
};

/// Halves of a byte that count for a byte of who is in no list.
const PLAIN: usize = 2;

/// Who holds more than it tells, by the beginning of its name: halves of a byte for each byte that it tells.
const WEIGHTS: [(&str, usize); 8] = [
    // A list that is doubled is there twice and a half, and its values once more as it is put out.
    ("AggregateStream", 5),
    // The batches, and then all of them as one.
    ("CrossJoinExec", 4),
    ("HashJoinInput", 4),
    ("NestedLoopJoinLoad", 4),
    // Tables of groups double, and are copied as they are put out.
    ("FinalHashAggregateStream", 4),
    ("GroupedHashAggregateStream", 4),
    ("PartialHashAggregateStream", 4),
    ("SingleHashAggregateStream", 4),
];

/// What bytes of a consumer count for in the pool, in halves of a byte.
pub fn halves(consumer: &MemoryConsumer, bytes: usize) -> usize {
    bytes.saturating_mul(weight(consumer))
}

fn weight(consumer: &MemoryConsumer) -> usize {
    let known = WEIGHTS.iter().find(|(name, _)| consumer.name().starts_with(name));
    known.map_or(PLAIN, |(_, weight)| *weight)
}

/// A bound on what all operators of all queries reserve. Who can spill has an even share of what others
/// leave, as long as there is so much.
#[derive(Debug)]
pub struct QueryPool {
    /// Halves of bytes.
    size: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Operators that can spill.
    spilling: usize,
    /// Halves of bytes of those.
    spillable: usize,
    /// Halves of bytes of the others.
    unspillable: usize,
}

impl State {
    fn of(&mut self, consumer: &MemoryConsumer) -> &mut usize {
        if consumer.can_spill() { &mut self.spillable } else { &mut self.unspillable }
    }
}

impl QueryPool {
    /// Of so many bytes.
    pub fn new(bytes: usize) -> QueryPool {
        QueryPool { size: bytes.saturating_mul(PLAIN), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free(&self, state: &State) -> usize {
        self.size.saturating_sub(state.spillable + state.unspillable)
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "queries(used: {}, pool_size: {})", self.reserved(), self.size / PLAIN)
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "queries"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.lock().spilling += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            let mut state = self.lock();
            state.spilling = state.spilling.saturating_sub(1);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        *self.lock().of(reservation.consumer()) += halves(reservation.consumer(), additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, bytes: usize) {
        let mut state = self.lock();
        let held = state.of(reservation.consumer());
        *held = held.saturating_sub(halves(reservation.consumer(), bytes));
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let weight = weight(consumer);
        let wanted = additional.saturating_mul(weight);
        let mut state = self.lock();
        let mut available = self.free(&state);
        if consumer.can_spill() {
            let share = self.size.saturating_sub(state.unspillable) / state.spilling.max(1);
            available = available.min(share.saturating_sub(reservation.size().saturating_mul(weight)));
        }
        if wanted > available {
            let (wanted, available, size) = (wanted / PLAIN, available / PLAIN, self.size / PLAIN);
            drop(state);
            return resources_err!(
                "{} asks for {wanted} bytes, {available} of {size} are there for it",
                consumer.name()
            );
        }
        *state.of(consumer) += wanted;
        Ok(())
    }

    fn reserved(&self) -> usize {
        let state = self.lock();
        (state.spillable + state.unspillable) / PLAIN
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.size / PLAIN)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn pool(bytes: usize) -> Arc<dyn MemoryPool> {
        Arc::new(QueryPool::new(bytes))
    }

    fn spilling(pool: &Arc<dyn MemoryPool>) -> MemoryReservation {
        MemoryConsumer::new("ExternalSorter").with_can_spill(true).register(pool)
    }

    #[test]
    fn who_comes_late_gets_no_more_than_is_left() {
        let pool = pool(1000);
        let first = spilling(&pool);
        first.try_grow(900).unwrap();
        let second = spilling(&pool);
        assert!(second.try_grow(101).is_err());
        second.try_grow(100).unwrap();
        let third = MemoryConsumer::new("other").register(&pool);
        assert!(third.try_grow(1).is_err());
        // The first one has more than its share now.
        first.shrink(500);
        assert!(first.try_grow(101).is_err());
        first.try_grow(100).unwrap();
        drop((first, second, third));
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn who_holds_more_than_it_tells_counts_for_more() {
        let pool = pool(1000);
        let held = MemoryConsumer::new("AggregateStream[3]").register(&pool);
        assert!(held.try_grow(401).is_err());
        held.try_grow(400).unwrap();
        assert_eq!(pool.reserved(), 1000);
        held.shrink(200);
        assert_eq!(pool.reserved(), 500);
        held.free();
        assert_eq!(pool.reserved(), 0);
    }
}
