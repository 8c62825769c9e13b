//! Which of two points with the same series and time is the newer one.

use serde::{Deserialize, Serialize};

/// Where a segment stands among all segments of its database. The larger one is newer; inside one
/// segment no two points share series and time. The epoch is arbitrated by the store, so clocks
/// matter only between near-simultaneous writes of different processes within one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderKey {
    pub epoch: u64,
    /// Hybrid clock reading of the writer, nanoseconds since 1970 or more.
    pub clock: u64,
    /// Random identity of who put it into the epoch: a process, or one of several runs of it.
    pub writer: u64,
}

/// The span of segments that went into a data file, both ends included. Ranges of live files of a
/// table that overlap in time are disjoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderRange {
    pub first: OrderKey,
    pub last: OrderKey,
}

impl OrderRange {
    pub fn of(key: OrderKey) -> Self {
        OrderRange { first: key, last: key }
    }

    /// The smallest range that holds both.
    pub fn union(self, other: OrderRange) -> Self {
        OrderRange { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    pub fn overlaps(self, other: OrderRange) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}
