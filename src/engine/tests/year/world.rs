//! The world of a simulated year: one time for everybody, processes that come and go, a store whose
//! answers take a while.

use std::sync::Arc;
use std::time::Duration;

use crate::database::Sizes;
use crate::engine::{Engine, EngineOptions};
use crate::model::clock::{Clock, ManualClock, Rising};
use crate::model::time::civil_from_days;
use crate::store::{
    Meter, Store,
    fault::{Fault, Faults, RequestKind},
};

pub const SECOND: i64 = 1_000_000_000;
pub const HOUR: i64 = 3_600 * SECOND;
pub const DAY: i64 = 24 * HOUR;
/// 2027-01-01T00:00:00Z.
pub const NEW_YEAR: i64 = 1_798_761_600 * SECOND;
/// What nobody names any more is kept this long: two steps of the year.
pub const GRACE: i64 = 2 * DAY;

/// Numbers from a seed.
#[derive(Debug)]
pub struct Dice(ManualClock);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(ManualClock::new(0, seed.wrapping_mul(0x5851_F42D_4C95_7F2D)))
    }

    /// From 0 to `sides - 1`.
    pub fn roll(&self, sides: usize) -> usize {
        (self.0.random() % sides.max(1) as u64) as usize
    }

    /// True once in so many throws.
    pub fn once_in(&self, throws: usize) -> bool {
        self.roll(throws) == 0
    }
}

/// The time that all processes and the store share.
#[derive(Debug, Clone)]
pub struct Time(Arc<ManualClock>);

impl Time {
    pub fn new(now: i64) -> Self {
        Time(Arc::new(ManualClock::new(now, 0)))
    }

    pub fn now(&self) -> i64 {
        self.0.now()
    }

    pub fn pass(&self, nanoseconds: i64) {
        self.0.set(self.now() + nanoseconds);
    }

    pub fn date(&self) -> String {
        let (year, month, day) = civil_from_days(self.now().div_euclid(DAY));
        format!("{year}-{month:02}-{day:02}")
    }

    /// Months since the year 0.
    pub fn month(&self) -> i64 {
        let (year, month, _) = civil_from_days(self.now().div_euclid(DAY));
        year * 12 + month - 1
    }

    /// The clock of one process: everybody's time, its own chance.
    pub fn process_clock(&self, seed: u64) -> Arc<ProcessClock> {
        Arc::new(ProcessClock { time: self.clone(), chance: ManualClock::new(0, seed), rising: Rising::new() })
    }
}

#[derive(Debug)]
pub struct ProcessClock {
    time: Time,
    chance: ManualClock,
    rising: Rising,
}

impl Clock for ProcessClock {
    fn now(&self) -> i64 {
        self.time.now()
    }

    fn elapsed(&self) -> i64 {
        self.rising.next(self.time.now())
    }

    fn random(&self) -> u64 {
        self.chance.random()
    }
}

/// A store that takes a few milliseconds for most answers, so that processes really meet.
#[derive(Debug)]
pub struct Slow(Dice);

impl Slow {
    pub fn new(seed: u64) -> Self {
        Slow(Dice::new(seed ^ 0xFEED))
    }
}

impl Faults for Slow {
    fn before(&self, _operation: RequestKind, _path: &str) -> Fault {
        match self.0.roll(4) {
            0 => Fault::Proceed,
            milliseconds => Fault::Delay(Duration::from_millis(milliseconds as u64)),
        }
    }
}

/// One more process on a store; what it asks of it is counted in `work`.
pub async fn open(store: &Store, work: &Arc<Meter>, time: &Time, seed: u64) -> Engine {
    open_with(Arc::new(Slow::new(seed)), store, work, time, seed).await
}

/// A process whose requests meet `faults`.
pub async fn open_with(faults: Arc<dyn Faults>, store: &Store, work: &Arc<Meter>, time: &Time, seed: u64) -> Engine {
    // Lists of files are small, so that a year makes many of them.
    let sizes = Sizes { listed_files: 64, leaf_files: 64, ..Sizes::default() };
    let options = EngineOptions { grace: Duration::from_nanos(GRACE as u64), sizes, ..EngineOptions::default() };
    let store = store.with_faults(faults).metered(work);
    Engine::open(store, time.process_clock(seed), options).await.unwrap()
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}
