//! The order of writes inside an epoch: which reading of the clock a segment gets, and when that has to be
//! looked at again.
//!
//! Among segments of one epoch the larger reading counts as the newer. Writes that are acknowledged one
//! after the other have to get rising readings, whichever processes they come from:
//!
//! * a process never gives out a reading below one that it has seen in the epoch: in its LISTs, or its own;
//! * its clock follows the store's, as far as the store's answers tell of it ([`StoreTime`]), so that two
//!   processes agree to about a second although neither has seen the other's writes;
//! * where that does not suffice, a write also LISTs the log while its segment is on its way
//!   ([`DatabaseHandle::has_to_look`]): the first write of a process, the first after the clock was set back,
//!   and those of an epoch in which somebody's clock ran ahead;
//! * once the segment has landed the reading is judged ([`judge`]): a segment that would count as older than
//!   what was acknowledged before it was sent is written again, with a larger one; one that would count as
//!   newer than what will be written later is written again in a new epoch.
//!
//! [`StoreTime`]: crate::store::StoreTime

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Engine, databases::DatabaseHandle};
use crate::database::DatabaseState;
use crate::ledger::Listing;
use crate::model::Result;
use crate::store::Store;

/// Readings so little outside of what the store's answers tell are left as they are, and a clock that loses no
/// more against the one that is never set does not count as set back, nanoseconds.
const TOLERANCE: i64 = 500_000_000;

/// Readings of others that are ahead of the time by no more are taken for those of right clocks: a `Date` has
/// whole seconds. Nanoseconds.
const TOLERATED_AHEAD: u64 = 1_000_000_000;

/// An epoch whose readings are ahead of the time by more is ended at once, nanoseconds.
pub(super) const ENDED_AHEAD: u64 = 5_000_000_000;

/// How often the wall clock was set back while the process ran, as far as it looked.
#[derive(Debug, Default)]
pub(super) struct ClockSteps(Mutex<Steps>);

#[derive(Debug, Default)]
struct Steps {
    /// The most that the wall clock was ahead of the elapsed time; none before the first look.
    ahead: Option<i64>,
    /// Times that it was set back, and one for the start of the process.
    count: u64,
}

impl ClockSteps {
    fn lock(&self) -> MutexGuard<'_, Steps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of steps, the start of the process being the first.
    fn count(&self, now: i64, elapsed: i64) -> u64 {
        let mut steps = self.lock();
        let ahead = now.saturating_sub(elapsed);
        match steps.ahead {
            Some(most) if ahead >= most.saturating_sub(TOLERANCE) => steps.ahead = Some(most.max(ahead)),
            _ => *steps = Steps { ahead: Some(ahead), count: steps.count + 1 },
        }
        steps.count
    }

    /// The number of steps that were noticed so far.
    fn noticed(&self) -> u64 {
        self.lock().count
    }
}

/// A reading of the clock for one segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ordered {
    pub(super) epoch: u64,
    pub(super) clock: u64,
    /// Elapsed time of the process when it was given out.
    elapsed: i64,
}

/// What is to be thought of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    Right,
    /// What was acknowledged before may count as newer.
    Behind,
    /// What will be acknowledged next may count as older.
    Ahead,
}

impl Engine {
    /// Looks at the clocks: how often the wall clock has been set back since the process started, plus one.
    pub(super) fn clock_steps(&self) -> u64 {
        self.inner.steps.count(self.inner.clock.now(), self.inner.clock.elapsed())
    }

    /// The newest manifest and the log, by a LIST that begins now; takes note of the tail, and of the readings
    /// that were given out in the open epoch.
    pub(super) async fn look(&self, handle: &DatabaseHandle, store: &Store) -> Result<Listing<DatabaseState>> {
        let steps = self.inner.steps.noticed();
        let listing = handle.ledger.load(store).await?;
        handle.learn_tail(&listing);
        let epoch = listing.manifest.state.epoch;
        let orders = listing.segments.iter().map(|(name, _)| name.order).filter(|order| order.epoch == epoch);
        handle.order.observe(epoch, orders.map(|order| order.clock).max().unwrap_or(0));
        handle.looked.fetch_max(steps, Ordering::SeqCst);
        Ok(listing)
    }

    /// The reading for a segment of `epoch`.
    pub(super) fn order(&self, handle: &DatabaseHandle, epoch: u64) -> Ordered {
        let elapsed = self.inner.clock.elapsed();
        Ordered { epoch, clock: handle.order.next(epoch, self.now()), elapsed }
    }

    /// How far the readings of `epoch` are ahead of the time, nanoseconds: while they are, nobody's clock tells
    /// which write is the newer one.
    pub(super) fn ahead(&self, handle: &DatabaseHandle, epoch: u64) -> u64 {
        handle.order.last(epoch).saturating_sub(u64::try_from(self.now()).unwrap_or(0))
    }

    /// Whether a write to `epoch` has to look at what others have written there.
    pub(super) fn has_to_look(&self, handle: &DatabaseHandle, epoch: u64) -> bool {
        handle.looked.load(Ordering::SeqCst) < self.clock_steps() || self.ahead(handle, epoch) > TOLERATED_AHEAD
    }

    /// Judges a reading by what is known now, when its segment has landed. `seen`: the largest reading that
    /// others had given out in its epoch before, or 0.
    pub(super) fn judge(&self, ordered: Ordered, seen: u64) -> Judgement {
        let Some((earliest, latest)) = self.inner.store.time().at(ordered.elapsed) else {
            return if ordered.clock > seen { Judgement::Right } else { Judgement::Behind };
        };
        let clock = i64::try_from(ordered.clock).unwrap_or(i64::MAX);
        if ordered.clock <= seen || clock < earliest.saturating_sub(TOLERANCE) {
            Judgement::Behind
        } else if clock > latest.saturating_add(TOLERANCE) {
            Judgement::Ahead
        } else {
            Judgement::Right
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn only_steps_backwards_count() {
        let steps = ClockSteps::default();
        assert_eq!(steps.count(100 * SECOND, 0), 1);
        assert_eq!(steps.count(101 * SECOND, SECOND), 1);
        // Slept for an hour, or set forward.
        assert_eq!(steps.count(3_702 * SECOND, 2 * SECOND), 1);
        assert_eq!(steps.count(3_702 * SECOND + 600_000_000, 3 * SECOND), 1, "slewed");
        assert_eq!(steps.count(3_000 * SECOND, 4 * SECOND), 2);
        assert_eq!(steps.count(3_001 * SECOND, 5 * SECOND), 2);
    }
}
