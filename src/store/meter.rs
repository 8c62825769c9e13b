//! What was asked of the store: requests by kind and bytes, counted as they are sent.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of requests and bytes.
///
/// Every attempt counts, a repeated one too, for each is billed: the client underneath repeats
/// nothing by itself. `puts` holds creates, overwrites and each step of a multipart upload (begin,
/// part, complete). `lists` holds pages of 1,000 keys: a folder, which has no pages, counts one for
/// each begun thousand and at least one. `deletes` holds deletes and aborted uploads. `bytes_written`
/// are bodies sent, whether they were stored or not; `bytes_read` are bodies received, the gaps that
/// coalescing reads included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    pub puts: u64,
    pub gets: u64,
    pub lists: u64,
    pub deletes: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
}

impl Cost {
    pub(super) fn put(bytes: usize) -> Cost {
        Cost { puts: 1, bytes_written: bytes as u64, ..Cost::default() }
    }

    pub(super) fn get() -> Cost {
        Cost { gets: 1, ..Cost::default() }
    }

    pub(super) fn received(bytes: usize) -> Cost {
        Cost { bytes_read: bytes as u64, ..Cost::default() }
    }

    pub(super) fn lists(pages: u64) -> Cost {
        Cost { lists: pages, ..Cost::default() }
    }

    pub(super) fn delete() -> Cost {
        Cost { deletes: 1, ..Cost::default() }
    }

    /// Requests of all kinds.
    pub fn requests(&self) -> u64 {
        self.puts + self.gets + self.lists + self.deletes
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "put={} get={} list={} delete={} read={} written={}",
            self.puts, self.gets, self.lists, self.deletes, self.bytes_read, self.bytes_written
        )
    }
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            puts: self.puts + other.puts,
            gets: self.gets + other.gets,
            lists: self.lists + other.lists,
            deletes: self.deletes + other.deletes,
            bytes_read: self.bytes_read + other.bytes_read,
            bytes_written: self.bytes_written + other.bytes_written,
        }
    }
}

impl Sub for Cost {
    type Output = Cost;

    /// What came to it since an earlier snapshot of the same meter.
    fn sub(self, earlier: Cost) -> Cost {
        Cost {
            puts: self.puts.saturating_sub(earlier.puts),
            gets: self.gets.saturating_sub(earlier.gets),
            lists: self.lists.saturating_sub(earlier.lists),
            deletes: self.deletes.saturating_sub(earlier.deletes),
            bytes_read: self.bytes_read.saturating_sub(earlier.bytes_read),
            bytes_written: self.bytes_written.saturating_sub(earlier.bytes_written),
        }
    }
}

/// A [`Cost`] that grows, shared between threads.
#[derive(Debug, Default)]
pub struct Meter {
    puts: AtomicU64,
    gets: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
}

impl Meter {
    pub fn new() -> Self {
        Meter::default()
    }

    /// What was counted so far. Not one instant: a request under way may show in part.
    pub fn snapshot(&self) -> Cost {
        Cost {
            puts: self.puts.load(Ordering::Relaxed),
            gets: self.gets.load(Ordering::Relaxed),
            lists: self.lists.load(Ordering::Relaxed),
            deletes: self.deletes.load(Ordering::Relaxed),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
            bytes_written: self.bytes_written.load(Ordering::Relaxed),
        }
    }

    pub fn add(&self, cost: Cost) {
        self.puts.fetch_add(cost.puts, Ordering::Relaxed);
        self.gets.fetch_add(cost.gets, Ordering::Relaxed);
        self.lists.fetch_add(cost.lists, Ordering::Relaxed);
        self.deletes.fetch_add(cost.deletes, Ordering::Relaxed);
        self.bytes_read.fetch_add(cost.bytes_read, Ordering::Relaxed);
        self.bytes_written.fetch_add(cost.bytes_written, Ordering::Relaxed);
    }
}
