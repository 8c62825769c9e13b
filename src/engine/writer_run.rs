//! A run: the segments that this process puts into one epoch of a database, numbered without a gap. The
//! numbers in their names tell who LISTs the log whether one is missing ([`wal::first_gap`](crate::wal)).

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::clock::SharedClock;
use crate::model::paths::{RunPosition, SegmentName};

/// Gives out the numbers.
#[derive(Debug)]
pub(super) struct WriterRun {
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Random identity of the run's writer in segment names.
    writer: u64,
    epoch: u64,
    next: u32,
    /// All smaller numbers have landed.
    before: u32,
    /// Larger ones that have landed.
    landed: BTreeSet<u32>,
}

impl State {
    fn new(writer: u64, epoch: u64) -> State {
        State { writer, epoch, next: 0, before: 0, landed: BTreeSet::new() }
    }

    fn is_of(&self, name: &SegmentName) -> bool {
        self.writer == name.order.writer && self.epoch == name.order.epoch
    }
}

impl WriterRun {
    pub(super) fn new(clock: SharedClock) -> WriterRun {
        let state = Mutex::new(State::new(clock.random(), 0));
        WriterRun { clock, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer and the place of the next segment of `epoch`; no place if it is to have no number.
    pub(super) fn begin(&self, epoch: u64, is_numbered: bool) -> (u64, Option<RunPosition>) {
        let mut state = self.state();
        if state.epoch != epoch || state.next == u32::MAX {
            *state = State::new(self.clock.random(), epoch);
        }
        if !is_numbered {
            return (state.writer, None);
        }
        let place = RunPosition { number: state.next, before: state.before };
        state.next += 1;
        (state.writer, Some(place))
    }

    /// Takes note that a segment is on the store for certain.
    pub(super) fn landed(&self, name: &SegmentName) {
        let (mut state, Some(place)) = (self.state(), name.place) else { return };
        if !state.is_of(name) {
            return;
        }
        state.landed.insert(place.number);
        while state.landed.first() == Some(&state.before) {
            state.landed.pop_first();
            state.before += 1;
        }
    }

    /// Gives up a number: nobody knows whether its segment will ever be there. What follows is a run of
    /// another writer.
    pub(super) fn abandon(&self, name: &SegmentName) {
        let mut state = self.state();
        if state.is_of(name) {
            *state = State::new(self.clock.random(), state.epoch);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::OrderKey;
    use crate::model::clock::ManualClock;

    fn next(run: &WriterRun, epoch: u64) -> SegmentName {
        let (writer, place) = run.begin(epoch, true);
        SegmentName { order: OrderKey { epoch, clock: 1, writer }, tables: 1, place }
    }

    fn before(name: &SegmentName) -> (u32, u32) {
        let place = name.place.unwrap();
        (place.number, place.before)
    }

    #[test]
    fn a_number_vouches_for_those_that_had_landed() {
        let run = WriterRun::new(Arc::new(ManualClock::new(0, 1)));
        let names = [next(&run, 1), next(&run, 1), next(&run, 1)];
        assert_eq!(names.map(|name| before(&name)), [(0, 0), (1, 0), (2, 0)]);
        run.landed(&names[1]);
        assert_eq!(before(&next(&run, 1)), (3, 0));
        run.landed(&names[0]);
        assert_eq!(before(&next(&run, 1)), (4, 2));
        run.landed(&names[2]);
        assert_eq!(before(&next(&run, 1)), (5, 3));
    }

    #[test]
    fn what_is_in_doubt_ends_the_run() {
        let run = WriterRun::new(Arc::new(ManualClock::new(0, 1)));
        let (first, second) = (next(&run, 1), next(&run, 1));
        run.abandon(&first);
        run.abandon(&first);
        run.landed(&second);
        let third = next(&run, 1);
        assert_eq!(before(&third), (0, 0));
        assert_ne!(third.order.writer, first.order.writer);
        run.landed(&third);
        assert_eq!(before(&next(&run, 1)), (1, 1));
        assert_eq!(before(&next(&run, 2)), (0, 0));
    }
}
