//! Log lines that others could cause at will.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(1);

/// Lets one event a second be told, and counts the others.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    untold: u64,
}

impl Throttle {
    /// Whether to tell this event; if so, how many came since the last one that was told.
    pub fn turn(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.told.is_some_and(|told| now.duration_since(told) < PAUSE) {
            state.untold += 1;
            return None;
        }
        state.told = Some(now);
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_is_told() {
        let (throttle, began) = (Throttle::default(), Instant::now());
        let at = |millis| throttle.turn(began + Duration::from_millis(millis));
        assert_eq!(
            (at(0), at(1), at(999), at(1_000), at(1_001), at(5_000)),
            (Some(0), None, None, Some(2), None, Some(1))
        );
    }
}
