//! When to try again, and when to stop.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::backend::BackendError;
use crate::model::clock::SharedClock;

/// The longest pause after the first failure; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) type RetriedRequest<'a, T> = Pin<Box<dyn Future<Output = Result<T, BackendError>> + Send + 'a>>;

/// The attempts of one operation, up to its deadline.
pub struct Attempts {
    clock: SharedClock,
    until: Instant,
    /// The longest that one attempt may take: half of the whole, so that a request that hangs is not
    /// the only one.
    each: Duration,
    longest_pause: Duration,
}

impl Attempts {
    pub(super) fn new(deadline: Duration, clock: SharedClock) -> Self {
        Attempts { clock, until: Instant::now() + deadline, each: deadline / 2, longest_pause: FIRST_PAUSE }
    }

    /// Makes one attempt.
    pub(super) async fn run<T>(&self, request: RetriedRequest<'_, T>) -> Result<T, BackendError> {
        match timeout(self.each, request).await {
            Ok(result) => result,
            Err(_) => Err(BackendError::Transient(format!("no answer within {:?}", self.each))),
        }
    }

    /// Waits, at random, until the next attempt. False: the deadline leaves no time for one.
    pub async fn pause(&mut self) -> bool {
        let longest = self.longest_pause.as_micros() as u64;
        // At least half, so that a crowd of callers gives a slow store air.
        let pause = Duration::from_micros(longest / 2 + self.clock.random() % (longest / 2 + 1));
        self.longest_pause = (self.longest_pause * 2).min(LONGEST_PAUSE);
        if Instant::now() + pause >= self.until {
            return false;
        }
        self.clock.sleep(pause).await;
        true
    }
}
