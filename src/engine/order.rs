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
//!   ([`OpenDatabase::has_to_look`]): the first write of a process, the first after the clock was set back,
//!   and those of an epoch in which somebody's clock ran ahead;
//! * once the segment has landed the reading is judged ([`is_behind`]): a segment that would count as older
//!   than what was acknowledged before it was sent is written again, with a larger one.
//!
//! [`StoreTime`]: crate::store::StoreTime

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Engine, databases::OpenDatabase};
use crate::database::DatabaseState;
use crate::ledger::Listing;
use crate::store::Store;

/// Readings that are ahead of the time by less than this are taken for those of right clocks: a `Date` has
/// whole seconds.
const AHEAD: i64 = 1_000_000_000;

/// Readings that are behind the time by less than this are left as they are, and clocks that lose less
/// against the one that is never set do not count as set back.
const BEHIND: i64 = 500_000_000;

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
            Some(most) if ahead >= most.saturating_sub(BEHIND) => steps.ahead = Some(most.max(ahead)),
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
    pub(super) clock: u64,
    /// Elapsed time of the process when it was given out.
    elapsed: i64,
}

impl Engine {
    /// Looks at the clocks: how often the wall clock has been set back since the process started, plus one.
    pub(super) fn clock_steps(&self) -> u64 {
        self.inner.steps.count(self.now(), self.inner.clock.elapsed())
    }

    /// Takes note of what a LIST showed: the tail, and the readings that were given out in the open epoch.
    pub(super) fn learn_tail(&self, open: &OpenDatabase, listing: &Listing<DatabaseState>) {
        open.learn_tail(listing);
        let epoch = listing.manifest.state.epoch;
        let clocks =
            listing.segments.iter().filter(|(name, _)| name.order.epoch == epoch).map(|(name, _)| name.order.clock);
        if let Some(clock) = clocks.max() {
            open.order.observe(epoch, clock);
        }
        // A step that is noticed later may have been before the LIST began: then there will be another one.
        open.looked.fetch_max(self.inner.steps.noticed(), Ordering::SeqCst);
    }

    /// The reading for a segment of `epoch`.
    pub(super) fn order(&self, open: &OpenDatabase, epoch: u64) -> Ordered {
        let elapsed = self.inner.clock.elapsed();
        Ordered { clock: open.order.next(epoch, self.now()), elapsed }
    }

    /// Whether somebody's clock ran ahead in `epoch`: until it ends, nobody's clock tells which write is
    /// the newer one.
    pub(super) fn is_ahead(&self, open: &OpenDatabase, epoch: u64) -> bool {
        open.order.last(epoch) > u64::try_from(self.now().saturating_add(AHEAD)).unwrap_or(0)
    }

    /// Whether a write to `epoch` has to look at what others have written there.
    pub(super) fn has_to_look(&self, open: &OpenDatabase, epoch: u64) -> bool {
        open.looked.load(Ordering::SeqCst) < self.clock_steps() || self.is_ahead(open, epoch)
    }
}

/// Whether a reading is smaller than it has to be: by what is known now, the store's clock had passed it by
/// before the segment was sent.
pub(super) fn is_behind(store: &Store, ordered: Ordered) -> bool {
    let earliest = store.time().earliest(ordered.elapsed).and_then(|earliest| u64::try_from(earliest).ok());
    earliest.is_some_and(|earliest| ordered.clock.saturating_add(BEHIND.unsigned_abs()) < earliest)
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
