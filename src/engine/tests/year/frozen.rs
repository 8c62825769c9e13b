//! Processes that are stopped in the midst of their housekeeping: for good, or for days, after which
//! they go on as if nothing had happened.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::world::{Slow, open_with};
use super::{COLLECT, FLUSH, Year};
use crate::engine::{Report, Tasks};
use crate::model::{Code, Error, Result};
use crate::store::fault::{Fault, Faults, RequestKind};

/// A housekeeping may be stopped so late, milliseconds.
const LATEST: usize = 300;
/// Steps from the stop to the thaw.
const LONGEST: usize = 9;

/// Housekeeping that nobody drives on until its step has come.
pub struct Frozen {
    until: usize,
    /// All that the others do meanwhile.
    pub others: Tasks,
    work: BoxFuture<'static, Result<Report>>,
}

/// Tells when a process has made a data file, or read it back, for the so-manieth time: the moments at
/// which it has most to lose.
#[derive(Debug)]
struct Tripwire {
    slow: Slow,
    left: AtomicUsize,
    made: Mutex<BTreeSet<String>>,
    told: Arc<Notify>,
}

impl Faults for Tripwire {
    fn before(&self, operation: RequestKind, path: &str) -> Fault {
        self.slow.before(operation, path)
    }

    fn after(&self, operation: RequestKind, path: &str) -> Fault {
        let mut made = self.made.lock().unwrap();
        let touched = match operation {
            RequestKind::Create if path.contains("/data/") => made.insert(path.to_owned()),
            RequestKind::Get => made.contains(path),
            _ => false,
        };
        if touched && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.told.notify_one();
        }
        Fault::Proceed
    }
}

/// What a thawed process may complain of: that its commit is too long ago to be known of.
fn is_excused(error: &Error) -> bool {
    error.code == Code::OutcomeUnknown
}

impl fmt::Debug for Frozen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Frozen").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Year {
    /// Lets a process begin its housekeeping and stops it somewhere, or lets the stopped one go on.
    pub(super) async fn freeze_or_thaw(&mut self) {
        match self.frozen.take() {
            Some(frozen) if self.step < frozen.until => self.frozen = Some(frozen),
            Some(frozen) => {
                if let Err(error) = frozen.work.await
                    && !is_excused(&error)
                {
                    panic!("{}: a thawed housekeeping failed: {error}", self.context());
                }
            }
            None => self.freeze().await,
        }
    }

    async fn freeze(&mut self) {
        self.opened += 1;
        let seed = self.seed * 1_000_000 + self.opened;
        let told = Arc::new(Notify::new());
        let left = AtomicUsize::new(1 + self.dice.roll(16));
        let tripwire = Arc::new(Tripwire { slow: Slow::new(seed), left, made: Mutex::default(), told: told.clone() });
        let engine = open_with(tripwire, &self.store, &self.work, &self.time, seed).await;
        let mut work = async move { engine.maintain(Tasks::ALL).await }.boxed();
        let stop = match self.dice.roll(3) {
            0 => tokio::time::sleep(Duration::from_millis(1 + self.dice.roll(LATEST) as u64)).boxed(),
            _ => async move { told.notified().await }.boxed(),
        };
        let done = tokio::select! {
            biased;
            () = stop => None,
            done = &mut work => Some(done),
        };
        match done {
            Some(done) => drop(done.unwrap_or_else(|error| panic!("{}: housekeeping failed: {error}", self.context()))),
            // Killed.
            None if self.dice.once_in(6) => {}
            None => {
                let unmerged = Tasks { flush: true, collect: true, ..Tasks::NONE };
                let others = [Tasks::ALL, COLLECT, FLUSH, unmerged][self.dice.roll(4)];
                self.frozen = Some(Frozen { until: self.step + 1 + self.dice.roll(LONGEST), others, work });
            }
        }
    }

    /// What the processes that are awake do in this step.
    pub(super) fn tasks(&self) -> Tasks {
        self.frozen.as_ref().map_or(Tasks::ALL, |frozen| frozen.others)
    }
}
