//! Who may hash a password, and whose turn is next.
//!
//! So many at a time; the others wait in lines, a line for each user's name and one for all names that no user has, and
//! within it one for each address. Turns go round the names, and within a name round the addresses: who tries
//! passwords for one name, or from one address, makes only those wait who come after the same name from the same address.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::model::{Code, Error, Result};

/// Callers that may wait at the same time.
const WAITING: usize = 1_024;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whose line it is: a user's, or that of all names which no user has.
pub type Name<'a> = Option<&'a str>;

/// Turns to hash. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    lines: Lines<oneshot::Sender<Turn>>,
}

/// A turn, which passes on when dropped.
#[derive(Debug)]
pub struct Turn(Option<Turns>);

impl Turns {
    /// So many at a time.
    pub fn new(at_once: usize) -> Turns {
        Turns(Arc::new(Mutex::new(State { free: at_once, lines: Lines::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when it does not come in time.
    pub async fn take(&self, name: Name<'_>, from: Option<IpAddr>) -> Result<Turn> {
        let receiver = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Turn(Some(self.clone())));
            }
            if state.lines.length >= WAITING {
                state.lines.retain(|waiting| !waiting.is_closed());
            }
            if state.lines.length >= WAITING {
                return Err(busy());
            }
            let (sender, receiver) = oneshot::channel();
            state.lines.push(name, from, sender);
            receiver
        };
        match tokio::time::timeout(PATIENCE, receiver).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(busy()),
        }
    }

    /// Gives a turn that has ended to the next one who still waits.
    fn pass_on(self) {
        loop {
            let next = {
                let mut state = self.lock();
                let next = state.lines.next();
                state.free += usize::from(next.is_none());
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                // Nobody waits there any more: it is still ours.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

fn busy() -> Error {
    let message = "too many logins at the same time, nothing was stored; try again in a moment";
    Error::new(Code::Unavailable, message)
}

/// Lines within lines, each with its next one in front.
#[derive(Debug)]
struct Lines<T> {
    names: VecDeque<Line<T>>,
    length: usize,
}

#[derive(Debug)]
struct Line<T> {
    name: Option<Box<str>>,
    addresses: VecDeque<(Option<IpAddr>, VecDeque<T>)>,
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Lines { names: VecDeque::new(), length: 0 }
    }
}

impl<T> Lines<T> {
    fn push(&mut self, name: Name<'_>, from: Option<IpAddr>, waiting: T) {
        self.length += 1;
        let at = self.names.iter().position(|line| line.name.as_deref() == name).unwrap_or_else(|| {
            self.names.push_back(Line { name: name.map(Into::into), addresses: VecDeque::new() });
            self.names.len() - 1
        });
        let addresses = &mut self.names[at].addresses;
        match addresses.iter_mut().find(|(address, _)| *address == from) {
            Some((_, line)) => line.push_back(waiting),
            None => addresses.push_back((from, VecDeque::from([waiting]))),
        }
    }

    /// Whose turn it is.
    fn next(&mut self) -> Option<T> {
        let mut line = self.names.pop_front()?;
        let (address, mut waiting) = line.addresses.pop_front()?;
        let next = waiting.pop_front();
        if !waiting.is_empty() {
            line.addresses.push_back((address, waiting));
        }
        if !line.addresses.is_empty() {
            self.names.push_back(line);
        }
        self.length -= usize::from(next.is_some());
        next
    }

    fn retain(&mut self, still_waits: impl Fn(&T) -> bool) {
        for line in &mut self.names {
            for (_, waiting) in &mut line.addresses {
                waiting.retain(&still_waits);
            }
            line.addresses.retain(|(_, waiting)| !waiting.is_empty());
        }
        self.names.retain(|line| !line.addresses.is_empty());
        self.length = self.names.iter().flat_map(|line| &line.addresses).map(|(_, waiting)| waiting.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn turns_go_round_names_and_addresses() {
        let mut lines = Lines::default();
        for number in 0..3 {
            lines.push(Some("root"), address(1), format!("root/1/{number}"));
        }
        lines.push(Some("root"), address(2), "root/2/0".to_owned());
        for number in 0..2 {
            lines.push(None, address(number), format!("unknown/{number}"));
        }
        lines.push(Some("alice"), address(1), "alice".to_owned());
        let order: Vec<String> = std::iter::from_fn(|| lines.next()).collect();
        assert_eq!(order, ["root/1/0", "unknown/0", "alice", "root/2/0", "unknown/1", "root/1/1", "root/1/2"]);
        assert_eq!(lines.length, 0);
    }

    #[test]
    fn who_left_is_forgotten() {
        let mut lines = Lines::default();
        for number in 0..6 {
            lines.push((number % 2 == 0).then_some("even"), address(number), number);
        }
        lines.retain(|number| number % 2 == 0 && *number > 0);
        assert_eq!((lines.length, lines.names.len()), (2, 1));
        assert_eq!((lines.next(), lines.next(), lines.next()), (Some(2), Some(4), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_for_one_name_leaves_the_others_their_turn() {
        let turns = Turns::new(1);
        let held = turns.take(Some("root"), address(1)).await.unwrap();
        let flood: Vec<_> = (0..100)
            .map(|_| {
                let turns = turns.clone();
                tokio::spawn(async move { turns.take(Some("root"), address(1)).await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        let other = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take(Some("alice"), address(1)).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(turns.lock().lines.length, 101);
        // Two turns later, at most.
        drop(held);
        let other = other.await.unwrap().unwrap();
        assert!(turns.lock().lines.length >= 98);
        // And who waits too long is told.
        let refused = flood.into_iter().next_back().unwrap().await.unwrap();
        assert_eq!(refused.unwrap_err().code, Code::Unavailable);
        drop(other);
        let state = turns.lock();
        assert_eq!((state.free, state.lines.length), (1, 0));
    }
}
