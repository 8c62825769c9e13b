//! Logins that were refused: counted, and told to whoever reads the log.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::throttle::Throttle;

const LOGGED_CHARACTERS: usize = 64;

/// Counts refused logins.
#[derive(Debug, Default)]
pub struct Logins {
    wrong: AtomicU64,
    busy: AtomicU64,
    lines: Throttle,
}

/// Why a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginRefusal {
    /// Unknown name or wrong password.
    Wrong,
    /// Too many wait for their passwords to be checked.
    Busy,
}

impl Logins {
    pub fn refused(&self, why: LoginRefusal, user: &str, peer: Option<IpAddr>) {
        let (counter, reason) = match why {
            LoginRefusal::Wrong => (&self.wrong, "name or password are wrong"),
            LoginRefusal::Busy => (&self.busy, "too many logins at the same time"),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(untold) = self.lines.turn(Instant::now()) {
            let user: String = user.chars().take(LOGGED_CHARACTERS).collect();
            let (user, peer) = (user.as_str(), peer.map(tracing::field::display));
            tracing::warn!(user, peer, reason, untold, "a login was refused");
        }
    }

    /// How many were wrong, and how many came at a bad time.
    pub fn counts(&self) -> (u64, u64) {
        (self.wrong.load(Ordering::Relaxed), self.busy.load(Ordering::Relaxed))
    }
}
