//! Where time and chance enter, so that a simulation can own both.

use std::pin::Pin;
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicI64, AtomicU64, Ordering},
};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The wall clock, a monotonic clock, sleep and random numbers. Two implementations: the machine's and a seeded one.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Nanoseconds since 1970, UTC.
    fn now(&self) -> i64;
    /// Nanoseconds since some moment in the life of the process, by the monotonic clock: each reading is larger than
    /// the one before. It stands still while the machine sleeps.
    fn elapsed(&self) -> i64;
    /// 64 random bits.
    fn random(&self) -> u64;

    /// Waits by the clock of the runtime, which a simulation pauses.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(time))
    }
}

pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock and its random source.
#[derive(Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The wall clock, for what the machine and others date: files, credentials.
    pub fn time() -> SystemTime {
        SystemTime::now()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        match SystemClock::time().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(_) => 0,
        }
    }

    fn elapsed(&self) -> i64 {
        static START: OnceLock<Instant> = OnceLock::new();
        static RISING: Rising = Rising::new();
        RISING.next(i64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(i64::MAX))
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

/// Makes readings of a clock rise: each is at least a nanosecond larger than the one before, so that two moments of a
/// process always have an order.
#[derive(Debug)]
pub struct Rising(AtomicI64);

impl Rising {
    pub const fn new() -> Self {
        Rising(AtomicI64::new(i64::MIN))
    }

    /// `reading`, or one more than the last if that is larger.
    pub fn next(&self, reading: i64) -> i64 {
        let after = |last: i64| reading.max(last.saturating_add(1));
        match self.0.try_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(after(last))) {
            Ok(last) | Err(last) => after(last),
        }
    }
}

impl Default for Rising {
    fn default() -> Self {
        Rising::new()
    }
}

/// A clock that is set by hand and numbers from a seed (SplitMix64, Steele et al. 2014).
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicU64,
    seed: AtomicU64,
    rising: Rising,
}

impl ManualClock {
    pub fn new(now: i64, seed: u64) -> Self {
        ManualClock { now: AtomicU64::new(now as u64), seed: AtomicU64::new(seed), rising: Rising::new() }
    }

    pub fn set(&self, now: i64) {
        self.now.store(now as u64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst) as i64
    }

    fn elapsed(&self) -> i64 {
        self.rising.next(self.now())
    }

    fn random(&self) -> u64 {
        let mut z = self.seed.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// A hybrid logical clock (Kulkarni et al. 2014) for one epoch of one database: each reading is larger
/// than every reading of the epoch that this process has given out or seen, and not behind `now`.
///
/// A new epoch begins anew: whatever its readings are, they count as newer than those of the one before.
/// So a clock that ran ahead does no harm beyond the epoch that it was used in.
#[derive(Debug, Default)]
pub struct EpochClock {
    last: Mutex<Reading>,
}

#[derive(Debug, Default)]
struct Reading {
    epoch: u64,
    clock: u64,
}

impl EpochClock {
    /// The next reading in `epoch`: `now`, nanoseconds since 1970, or one more than the last if that is
    /// larger.
    pub fn next(&self, epoch: u64, now: i64) -> u64 {
        let mut last = self.of(epoch);
        last.clock = u64::try_from(now).unwrap_or(0).max(last.clock.saturating_add(1));
        last.clock
    }

    /// Takes note of a reading that another process, or an earlier one, gave out in `epoch`.
    pub fn observe(&self, epoch: u64, clock: u64) {
        let mut last = self.of(epoch);
        if last.epoch == epoch {
            last.clock = last.clock.max(clock);
        }
    }

    /// The largest reading known in `epoch`; 0 when there is none.
    pub fn last(&self, epoch: u64) -> u64 {
        self.of(epoch).clock
    }

    /// The last reading, in `epoch` or a later one.
    fn of(&self, epoch: u64) -> MutexGuard<'_, Reading> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.epoch < epoch {
            *last = Reading { epoch, clock: 0 };
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_readings_of_a_monotonic_clock_are_equal() {
        let manual = ManualClock::new(100, 1);
        assert_eq!([manual.elapsed(), manual.elapsed()], [100, 101]);
        manual.set(50);
        assert_eq!((manual.now(), manual.elapsed()), (50, 102), "what is set back is the wall clock alone");
        assert!((0..1_000).map(|_| SystemClock.elapsed()).is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn readings_of_an_epoch_rise_above_all_that_was_seen() {
        let clock = EpochClock::default();
        assert_eq!(clock.next(3, 100), 100);
        assert_eq!(clock.next(3, 100), 101);
        clock.observe(3, 500);
        clock.observe(2, 900);
        assert_eq!(clock.next(3, 100), 501);
        assert_eq!(clock.last(3), 501);
        assert_eq!(clock.next(4, 100), 100, "a new epoch needs no reading of the one before");
        assert_eq!(clock.next(3, 50), 101, "a late reading of an old epoch never equals one of the new");
        clock.observe(4, u64::MAX);
        assert_eq!(clock.next(4, 1), u64::MAX);
    }
}
