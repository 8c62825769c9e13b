//! Where time and chance enter, so that a simulation can own both.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock, and random numbers. Two implementations: the machine's and a seeded one.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Nanoseconds since 1970, UTC.
    fn now(&self) -> i64;
    /// 64 random bits.
    fn random(&self) -> u64;
}

pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock and its random source.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(_) => 0,
        }
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

/// A clock that is set by hand and numbers from a seed (SplitMix64, Steele et al. 2014).
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicU64,
    seed: AtomicU64,
}

impl ManualClock {
    pub fn new(now: i64, seed: u64) -> Self {
        ManualClock { now: AtomicU64::new(now as u64), seed: AtomicU64::new(seed) }
    }

    pub fn set(&self, now: i64) {
        self.now.store(now as u64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst) as i64
    }

    fn random(&self) -> u64 {
        let mut z = self.seed.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// A hybrid logical clock (Kulkarni et al. 2014) for one process: strictly increasing, never
/// behind the wall clock. Orders segments of one process within an epoch.
#[derive(Debug, Default)]
pub struct HybridClock {
    last: AtomicU64,
}

impl HybridClock {
    /// The next reading: nanoseconds since 1970, or one more than the last if that is larger.
    pub fn next(&self, now: i64) -> u64 {
        let wall = u64::try_from(now).unwrap_or(0);
        let previous = self.last.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(wall.max(last + 1)));
        wall.max(previous.unwrap_or(0) + 1)
    }
}
