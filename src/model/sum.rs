//! Conservation sums: an order-independent digest of points, so that every flush and merge proves
//! that it lost and doubled nothing.

use serde::{Deserialize, Serialize};

/// A digest of a set of points. Adding is commutative; a sum of parts is the sum of the whole.
///
/// A point contributes one cell for itself and one for each field that is not null; `hash` adds up
/// (wrapping) a 64-bit hash of each cell: of its series and time, its column id, its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digest {
    pub rows: u64,
    pub cells: u64,
    pub hash: u64,
}

impl Digest {
    #[must_use]
    pub fn plus(self, other: Digest) -> Digest {
        Digest {
            rows: self.rows.wrapping_add(other.rows),
            cells: self.cells.wrapping_add(other.cells),
            hash: self.hash.wrapping_add(other.hash),
        }
    }

    /// What has to be added to `other` for this one.
    #[must_use]
    pub fn minus(self, other: Digest) -> Digest {
        Digest {
            rows: self.rows.wrapping_sub(other.rows),
            cells: self.cells.wrapping_sub(other.cells),
            hash: self.hash.wrapping_sub(other.hash),
        }
    }
}
