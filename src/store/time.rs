//! The store's time, as far as its answers tell: what puts processes whose clocks differ in one order.
//!
//! Each answer of S3 carries a `Date`, in whole seconds. What it says is true of some moment between
//! question and answer, so that each bounds how far the store's clock is ahead of the process's own clock
//! that is never set; all answers together bound it more closely (Marzullo 1984, for one source).

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A `Date` means the second that begins with it.
const RESOLUTION: i64 = 1_000_000_000;

/// Two clocks drift apart by at most one part in so many: 500 parts in a million, which is what NTP
/// allows a clock before it gives it up.
const DRIFT: i64 = 2_000;

/// What is known of a store's clock. Times are nanoseconds since 1970; `elapsed` is a reading of
/// [`Clock::elapsed`](crate::model::clock::Clock::elapsed).
#[derive(Debug, Default)]
pub struct StoreTime {
    known: Mutex<Option<Bounds>>,
}

/// Bounds of the store's time less the elapsed time of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    least: i64,
    most: i64,
    /// When they were true, as elapsed time.
    at: i64,
}

impl Bounds {
    /// The same bounds at another time, wider by what the clocks may have drifted apart.
    fn at(self, elapsed: i64) -> Bounds {
        let drift = elapsed.saturating_sub(self.at).saturating_abs() / DRIFT;
        Bounds { least: self.least.saturating_sub(drift), most: self.most.saturating_add(drift), at: elapsed }
    }

    fn intersect(self, other: Bounds) -> Option<Bounds> {
        let both = Bounds { least: self.least.max(other.least), most: self.most.min(other.most), at: other.at };
        (both.least <= both.most).then_some(both)
    }
}

impl StoreTime {
    fn known(&self) -> MutexGuard<'_, Option<Bounds>> {
        // What it guards is replaced whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that an answer that was asked for at elapsed time `asked` and came at `answered` is dated
    /// `date`.
    pub(super) fn learn(&self, asked: i64, answered: i64, date: i64) {
        let least = date.saturating_sub(answered);
        let most = date.saturating_add(RESOLUTION).saturating_sub(asked);
        let news = Bounds { least, most, at: answered };
        let mut known = self.known();
        // A contradiction: the machine slept, or the store's clock was set. The younger one counts.
        *known = Some(known.and_then(|known| known.at(answered).intersect(news)).unwrap_or(news));
    }

    /// What time it is: as the machine says, `wall`, if the store has not told otherwise; else in the middle
    /// of what it told.
    pub fn correct(&self, wall: i64, elapsed: i64) -> i64 {
        let Some(known) = self.known().map(|known| known.at(elapsed)) else { return wall };
        let (least, most) = (elapsed.saturating_add(known.least), elapsed.saturating_add(known.most));
        if (least..=most).contains(&wall) { wall } else { least.midpoint(most) }
    }

    /// The least that the store's clock can have shown at elapsed time `then`, as is known by now; `None`
    /// if the store has no clock that it shows.
    pub fn earliest(&self, then: i64) -> Option<i64> {
        self.known().map(|known| then.saturating_add(known.at(then).least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const MILLISECOND: i64 = 1_000_000;

    #[test]
    fn a_right_clock_is_left_alone_and_a_wrong_one_corrected() {
        let time = StoreTime::default();
        assert_eq!(time.correct(77, 5), 77);
        assert_eq!(time.earliest(5), None);
        // Truly 1000.4 s; asked at 10 s of the process's life, answered 20 ms later.
        time.learn(10 * SECOND, 10 * SECOND + 20 * MILLISECOND, 1_000 * SECOND);
        let now = 10 * SECOND + 20 * MILLISECOND;
        assert_eq!(time.correct(1_000 * SECOND + 420 * MILLISECOND, now), 1_000 * SECOND + 420 * MILLISECOND);
        let middle = 1_000 * SECOND + 510 * MILLISECOND;
        assert_eq!([0, 999 * SECOND, 9_999 * SECOND].map(|wall| time.correct(wall, now)), [middle; 3]);
        assert_eq!(time.earliest(now), Some(1_000 * SECOND));
        assert_eq!(time.earliest(now - SECOND), Some(999 * SECOND - SECOND / DRIFT));
    }

    #[test]
    fn many_answers_bound_more_closely_than_one() {
        let time = StoreTime::default();
        let truth = |elapsed: i64| 5_000 * SECOND + 300 * MILLISECOND + elapsed;
        for asked in (0..50).map(|question| question * 170 * MILLISECOND) {
            let answered = asked + 8 * MILLISECOND;
            let date = truth(asked + 4 * MILLISECOND) / SECOND * SECOND;
            time.learn(asked, answered, date);
            assert_eq!(time.correct(truth(answered), answered), truth(answered), "a right clock is never corrected");
        }
        let now = 50 * 170 * MILLISECOND;
        let off = (time.correct(0, now) - truth(now)).abs();
        assert!(off < 100 * MILLISECOND, "{off} ns");
    }

    #[test]
    fn a_sleep_is_noticed_by_the_next_answer() {
        let time = StoreTime::default();
        time.learn(0, 0, 100 * SECOND);
        // The machine slept for an hour: elapsed time stood still.
        time.learn(SECOND, SECOND, 3_701 * SECOND);
        assert_eq!(time.correct(0, SECOND), 3_701 * SECOND + SECOND / 2);
        assert_eq!(time.earliest(0), Some(3_700 * SECOND - SECOND / DRIFT));
    }
}
