//! Memory for the bodies of requests: one total, of which nobody holds what the others need.
//!
//! Whoever has several bodies under way may hold at most as much as is still free (dynamic thresholds,
//! Choudhury and Hahne 1998): alone a half, and of n greedy ones each the (n+1)th part, so that something is
//! left for the next one, however many there are, and without anybody's number being known beforehand.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{Code, Error, Result, UserId};

/// So much of each body is taken as long as there is any room: the small requests of a client beside its own
/// large ones, and of others that a proxy makes look like it. Connections are few enough to bound the sum.
const SMALL_BYTES: usize = 16 << 10;

/// Whose bodies count together: a user's from one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holder {
    pub user: UserId,
    pub peer: Option<IpAddr>,
}

/// How much memory all bodies together may take.
#[derive(Clone)]
pub struct BodyBudget(Arc<Inner>);

struct Inner {
    total: usize,
    state: Mutex<State>,
}

struct State {
    free: usize,
    /// Bytes of all bodies of each who holds any.
    held: HashMap<Holder, usize>,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BodyBudget {
    pub fn new(bytes: usize) -> BodyBudget {
        BodyBudget(Arc::new(Inner { total: bytes, state: Mutex::new(State { free: bytes, held: HashMap::new() }) }))
    }

    pub fn held_bytes(&self) -> usize {
        self.0.total - self.0.lock().free
    }

    /// Nothing yet, for one body.
    pub fn share(&self, holder: Holder) -> BodyReservation {
        BodyReservation { budget: self.clone(), holder, bytes: 0 }
    }
}

/// What one body holds; given back when dropped.
pub struct BodyReservation {
    budget: BodyBudget,
    holder: Holder,
    bytes: usize,
}

impl BodyReservation {
    /// Takes memory for some bytes more, or fails at once: waiting for others could last for ever.
    ///
    /// # Errors
    /// [`Code::TooManyWrites`].
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        let mut state = self.budget.0.lock();
        let held = state.held.get(&self.holder).copied().unwrap_or(0);
        if !may_take(bytes, self.bytes, held, state.free) {
            let whose = if bytes > state.free { "request bodies" } else { "your other request bodies" };
            let message =
                format!("Memory Exhausted Retry Later: {whose} take all the memory they may, nothing was stored");
            return Err(Error::new(Code::TooManyWrites, message));
        }
        state.free -= bytes;
        if bytes > 0 {
            state.held.insert(self.holder, held + bytes);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Nothing yet, for the same holder's next body.
    pub fn fresh(&self) -> BodyReservation {
        self.budget.share(self.holder)
    }
}

/// Whether a body that has `own` of the `held` bytes of its holder may take some more, with so many free.
fn may_take(bytes: usize, own: usize, held: usize, free: usize) -> bool {
    let is_only_one = held == own;
    let is_small = own + bytes <= SMALL_BYTES;
    bytes <= free && (is_only_one || is_small || held + bytes <= free - bytes)
}

impl Drop for BodyReservation {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut state = self.budget.0.lock();
        state.free += self.bytes;
        let left = state.held.get(&self.holder).map_or(0, |held| held.saturating_sub(self.bytes));
        if left == 0 {
            state.held.remove(&self.holder);
        } else {
            state.held.insert(self.holder, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(number: u64, address: u8) -> Holder {
        Holder { user: UserId(number), peer: Some(IpAddr::from([10, 0, 0, address])) }
    }

    /// Takes bodies of a mebibyte until one is refused.
    fn greedy(budget: &BodyBudget, holder: Holder) -> Vec<BodyReservation> {
        let mut shares = Vec::new();
        loop {
            let mut share = budget.share(holder);
            if share.grow(1 << 20).is_err() {
                return shares;
            }
            shares.push(share);
        }
    }

    #[test]
    fn who_takes_all_there_is_leaves_something_to_the_next() {
        let budget = BodyBudget::new(64 << 20);
        let first = greedy(&budget, holder(1, 1));
        assert_eq!(first.len(), 32);
        // Another user at the same address, the same user at another one.
        let second = greedy(&budget, holder(2, 1));
        let third = greedy(&budget, holder(1, 2));
        assert_eq!((second.len(), third.len()), (16, 8));
        let mut small = budget.share(holder(1, 1));
        small.grow(10 << 10).unwrap();
        assert!(small.grow(10 << 10).is_err());
        assert_eq!(budget.held_bytes(), (56 << 20) + (10 << 10));
        drop((first, second, third, small));
        assert_eq!(budget.held_bytes(), 0);
        assert!(budget.0.lock().held.is_empty());
    }

    #[test]
    fn a_body_that_is_its_holders_only_one_may_take_all() {
        let budget = BodyBudget::new(100 << 10);
        let mut only = budget.share(holder(1, 1));
        only.grow(60 << 10).unwrap();
        only.grow(40 << 10).unwrap();
        assert_eq!(only.grow(1).unwrap_err().code, Code::TooManyWrites);
        assert!(budget.share(holder(2, 2)).grow(1).is_err());
        let mut next = only.fresh();
        drop(only);
        next.grow(100 << 10).unwrap();
    }
}
