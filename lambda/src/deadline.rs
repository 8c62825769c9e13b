//! When an invocation has to be over.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What is kept free before the end at most and at least: to say that the time is over takes some, too.
const MOST: Duration = Duration::from_secs(2);
const LEAST: Duration = Duration::from_millis(200);

/// The moment at which the platform kills the process.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    end: Instant,
    margin: Duration,
}

impl Deadline {
    /// From milliseconds since 1970, as the platform says it.
    pub fn at(milliseconds: u64) -> Deadline {
        let end = UNIX_EPOCH + Duration::from_millis(milliseconds);
        Deadline::within(end.duration_since(SystemTime::now()).unwrap_or_default())
    }

    fn within(time: Duration) -> Deadline {
        Deadline { end: Instant::now() + time, margin: (time / 10).clamp(LEAST, MOST) }
    }

    /// When to be done.
    pub fn soft(self) -> Instant {
        self.end.checked_sub(self.margin).unwrap_or(self.end)
    }

    /// When to break off.
    pub fn hard(self) -> tokio::time::Instant {
        self.end.checked_sub(self.margin / 2).unwrap_or(self.end).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_time_is_kept_free() {
        for (time, margin) in [(1_000, 200), (10_000, 1_000), (900_000, 2_000)] {
            let deadline = Deadline::within(Duration::from_millis(time));
            assert_eq!(deadline.end - deadline.soft(), Duration::from_millis(margin));
            assert_eq!(deadline.end - deadline.hard().into_std(), Duration::from_millis(margin / 2));
        }
    }

    #[test]
    fn a_moment_that_has_passed_is_no_fault() {
        assert!(Deadline::at(0).soft() <= Instant::now());
    }
}
