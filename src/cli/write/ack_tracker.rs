//! How far everything is acknowledged, with batches in flight that end in any order. Pure.

use std::collections::BTreeMap;

use super::batcher::Position;

/// A place in one of the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The number of the input.
    pub input: usize,
    pub place: Position,
    /// Points up to here, of the batch that ends here.
    pub rows: u64,
    /// Bytes of the input as it is stored, compressed or not, that were read by then.
    pub stored: u64,
}

/// Batches are numbered from 0 in the order of the inputs.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// The first batch that is not acknowledged.
    next: u64,
    /// Acknowledged ones behind it, with where they end.
    ahead: BTreeMap<u64, Checkpoint>,
    /// Failed ones of which a first part is acknowledged, with where that ends.
    begun: BTreeMap<u64, Checkpoint>,
}

impl Tracker {
    /// A batch is acknowledged. The ends of the batches up to which now everything is.
    pub(super) fn acknowledge(&mut self, batch: u64, end: Checkpoint) -> Vec<Checkpoint> {
        self.ahead.insert(batch, end);
        let mut reached = Vec::new();
        while let Some(mark) = self.ahead.remove(&self.next) {
            reached.push(mark);
            self.next += 1;
        }
        reached
    }

    /// Of a batch that failed, what lies before `end` is acknowledged.
    pub(super) fn acknowledge_part(&mut self, batch: u64, end: Checkpoint) {
        self.begun.insert(batch, end);
    }

    /// Once nothing is in flight any more: the acknowledged part of the first batch that failed, if any.
    pub(super) fn last_part(&self) -> Option<Checkpoint> {
        self.begun.get(&self.next).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(bytes: u64) -> Checkpoint {
        Checkpoint { input: 0, place: Position { bytes, lines: bytes }, rows: 1, stored: bytes }
    }

    #[test]
    fn only_what_has_no_gap_before_it_counts() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.acknowledge(2, mark(30)), []);
        assert_eq!(tracker.acknowledge(1, mark(20)), []);
        assert_eq!(tracker.acknowledge(0, mark(10)), [mark(10), mark(20), mark(30)]);
        assert_eq!(tracker.acknowledge(4, mark(50)), []);
        tracker.acknowledge_part(5, mark(55));
        assert_eq!(tracker.last_part(), None);
        tracker.acknowledge_part(3, mark(33));
        assert_eq!(tracker.last_part(), Some(mark(33)));
    }

    proptest::proptest! {
        #[test]
        fn every_order_reaches_the_end(order in proptest::strategy::Strategy::prop_shuffle(proptest::strategy::Just((0..20_u64).collect::<Vec<_>>())), lost in 0..20_u64) {
            let mut tracker = Tracker::default();
            let reached: Vec<u64> = order
                .into_iter()
                .filter(|batch| *batch != lost)
                .flat_map(|batch| tracker.acknowledge(batch, mark(batch)))
                .map(|mark| mark.place.bytes)
                .collect();
            proptest::prop_assert_eq!(reached, (0..lost).collect::<Vec<_>>());
        }
    }
}
