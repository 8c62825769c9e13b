//! The store's time, as far as its answers tell: what puts processes whose clocks differ in one order.
//!
//! Each answer of S3 carries a `Date`, in whole seconds. What it says is true of some moment between
//! question and answer, so that each bounds how far the store's clock is ahead of the process's own clock
//! that is never set; all answers together bound it more closely (Marzullo 1984, for one source).

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::clock::Clock;

/// A `Date` means the second that begins with it.
const RESOLUTION: i64 = 1_000_000_000;

/// Two clocks drift apart by at most one part in so many: 500 parts in a million, which is what NTP
/// allows a clock before it gives it up.
const DRIFT: i64 = 2_000;

/// What is known of a store's clock. Times are nanoseconds since 1970.
#[derive(Debug, Default)]
pub struct StoreTime {
    known: Mutex<Option<Bounds>>,
}

/// Bounds of the store's time at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    least: i64,
    most: i64,
    /// The moment, by both clocks of the process.
    at: ClockReading,
}

/// What both clocks of a process show at one moment, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The clock that can be set.
    pub wall: i64,
    /// The clock that cannot, and that stands still while the machine sleeps.
    pub elapsed: i64,
}

impl ClockReading {
    pub fn of(clock: &dyn Clock) -> ClockReading {
        ClockReading { wall: clock.now(), elapsed: clock.elapsed() }
    }

    /// How much time has passed since an earlier moment: more than the elapsed time if the machine slept.
    fn since(self, then: ClockReading) -> i64 {
        self.elapsed.saturating_sub(then.elapsed).max(self.wall.saturating_sub(then.wall))
    }
}

impl Bounds {
    /// The bounds some time later.
    fn later(self, at: ClockReading, passed: i64) -> Bounds {
        Bounds { least: self.least.saturating_add(passed), most: self.most.saturating_add(passed), at }
    }

    /// Wider by what the clocks may have drifted apart meanwhile.
    fn widened(self, passed: i64) -> Bounds {
        let drift = passed.saturating_abs() / DRIFT;
        Bounds { least: self.least.saturating_sub(drift), most: self.most.saturating_add(drift), ..self }
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

    /// Takes note that an answer that was asked for at `asked` and came at `answered` is dated `date`,
    /// nanoseconds since 1970.
    pub(super) fn learn(&self, asked: ClockReading, answered: ClockReading, date: i64) {
        let most = date.saturating_add(RESOLUTION).saturating_add(answered.since(asked));
        let news = Bounds { least: date, most, at: answered };
        let mut known = self.known();
        let before = known.map(|known| {
            let passed = answered.elapsed.saturating_sub(known.at.elapsed);
            known.later(answered, passed).widened(passed)
        });
        // A contradiction: the machine slept, or the store's clock was set. The younger one counts.
        *known = Some(before.and_then(|before| before.intersect(news)).unwrap_or(news));
    }

    /// What time it is: as the machine says if the store has not told otherwise; else in the middle of what
    /// it told.
    pub fn correct(&self, now: ClockReading) -> i64 {
        let Some(known) = *self.known() else { return now.wall };
        let known = known.later(now, now.since(known.at));
        if (known.least..=known.most).contains(&now.wall) { now.wall } else { known.least.midpoint(known.most) }
    }

    /// Bounds of the store's time at elapsed time `then`, before the last answer, as far as they are known by
    /// now; none if the store has no clock that it shows. If the machine slept in between, `then` was earlier
    /// than the first.
    pub fn at(&self, then: i64) -> Option<(i64, i64)> {
        self.known().map(|known| {
            let passed = then.saturating_sub(known.at.elapsed);
            let then = known.later(known.at, passed).widened(passed);
            (then.least, then.most)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const MILLISECOND: i64 = 1_000_000;

    fn reading(wall: i64, elapsed: i64) -> ClockReading {
        ClockReading { wall, elapsed }
    }

    /// An answer that took no time.
    fn learn(time: &StoreTime, now: ClockReading, date: i64) {
        time.learn(now, now, date);
    }

    #[test]
    fn a_right_clock_is_left_alone_and_a_wrong_one_corrected() {
        let time = StoreTime::default();
        assert_eq!(time.correct(reading(77, 5)), 77);
        assert_eq!(time.at(5), None);
        // Truly 1000.4 s; asked at 10 s of the process's life, answered 20 ms later.
        for ahead in [0, -3_600 * SECOND, 3_600 * SECOND] {
            let time = StoreTime::default();
            let truth = 1_000 * SECOND + 400 * MILLISECOND;
            let asked = reading(truth + ahead, 10 * SECOND);
            let answered = reading(truth + ahead + 20 * MILLISECOND, 10 * SECOND + 20 * MILLISECOND);
            time.learn(asked, answered, 1_000 * SECOND);
            let middle = 1_000 * SECOND + 510 * MILLISECOND;
            let expected = if ahead == 0 { answered.wall } else { middle };
            assert_eq!(time.correct(answered), expected);
            let bounds = (1_000 * SECOND, 1_001 * SECOND + 20 * MILLISECOND);
            assert_eq!(time.at(answered.elapsed), Some(bounds));
            let drift = SECOND / DRIFT;
            assert_eq!(
                time.at(answered.elapsed - SECOND),
                Some((bounds.0 - SECOND - drift, bounds.1 - SECOND + drift))
            );
        }
    }

    #[test]
    fn many_answers_bound_more_closely_than_one() {
        let time = StoreTime::default();
        let truth = |elapsed: i64| 5_000 * SECOND + 300 * MILLISECOND + elapsed;
        let right = |elapsed: i64| reading(truth(elapsed), elapsed);
        for asked in (0..50).map(|question| question * 170 * MILLISECOND) {
            let answered = asked + 8 * MILLISECOND;
            let date = truth(asked + 4 * MILLISECOND) / SECOND * SECOND;
            time.learn(right(asked), right(answered), date);
            assert_eq!(time.correct(right(answered)), truth(answered), "a right clock is never corrected");
        }
        let now = 50 * 170 * MILLISECOND;
        let off = (time.correct(reading(0, now)) - truth(now)).abs();
        assert!(off < 100 * MILLISECOND, "{off} ns");
    }

    #[test]
    fn a_process_that_slept_knows_what_time_it_is() {
        for ahead in [0, -7_200 * SECOND] {
            let time = StoreTime::default();
            learn(&time, reading(100 * SECOND + ahead, 0), 100 * SECOND);
            // For an hour elapsed time stood still.
            let now = reading(3_701 * SECOND + ahead, SECOND);
            let before = time.correct(now);
            assert!((before - 3_701 * SECOND).abs() <= SECOND / 2, "{before}");
            learn(&time, now, 3_701 * SECOND);
            assert_eq!(time.at(SECOND), Some((3_701 * SECOND, 3_702 * SECOND)));
        }
    }
}
