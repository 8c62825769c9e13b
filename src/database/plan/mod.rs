//! What maintenance should do next: pure functions of the manifest and the time.

mod expire;
mod merge;
mod pack;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use expire::{Expired, expired_files, horizon};
pub use merge::{MergeJob, merge_jobs};
pub use pack::{PackJob, UnpackJob, is_worth_unpacking, pack_jobs, unpack_jobs};

/// How large things become. Tests make them small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of a merged file after which the next one begins.
    pub file_bytes: u64,
    /// Files that a manifest should describe itself, all tables together.
    pub listed_files: usize,
    /// Files of a file list.
    pub leaf_files: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes { file_bytes: 256 << 20, listed_files: 512, leaf_files: 256 }
    }
}

/// How to work.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Nanoseconds since 1970.
    pub now: i64,
    /// Do all that can be done, instead of what pays off by itself.
    pub thorough: bool,
    pub sizes: Sizes,
}

/// A partition that nothing was written to for so long is worked on as far as that pays off.
const QUIET: Duration = Duration::from_secs(3_600);

/// A partition that nothing was written to for so long is worked on to the end.
const STILL: Duration = Duration::from_secs(24 * 3_600);

/// How much a partition is at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rest {
    Busy,
    Quiet,
    Still,
}

impl Rules {
    /// How much at rest is what was last written to at a reading of the hybrid clock.
    fn rest(&self, clock: u64) -> Rest {
        let age = u64::try_from(self.now).unwrap_or(0).saturating_sub(clock);
        let age = Duration::from_nanos(age);
        match (self.thorough || age >= STILL, age >= QUIET) {
            (true, _) => Rest::Still,
            (false, true) => Rest::Quiet,
            (false, false) => Rest::Busy,
        }
    }
}
