//! The object store: the only state SiltDB has, and the only room that names `object_store`.
//!
//! In: paths below the store's root (built in [`crate::model::paths`] alone) and bytes. Out: bytes, listings, and
//! the outcome of a create, which is one of three. A [`Store`] is a cheap handle on memory, a folder
//! or an S3 bucket.
//!
//! Invariants:
//! - [`Store::create`] is the one primitive that decides anything: of all that create one path, one
//!   wins. "It exists" is never believed but settled by reading back; what cannot be settled is
//!   [`CreateOutcome::Unknown`].
//! - What was reported created is durable: on a folder, fsynced with the directories above it.
//! - No half object is ever visible.
//! - `None` from a read means proven absent. A refusal (403) is an error, never absence.
//! - Each request that is sent is counted, repeated ones too ([`Cost`]).
//! - No message and no debug text holds a secret.
//!
//! Never: looks into an object; knows what a path means; caches.

#[allow(clippy::disallowed_methods, reason = "delays that are asked for, by the clock of the runtime")]
pub mod fault;
pub mod meter;
pub mod probe;

mod aws;
mod backend;
mod create;
mod credentials;
mod dated;
mod folder;
mod location;
mod memory;
mod open;
mod read;
mod refusals;
mod retry;
mod s3;
#[cfg(test)]
mod simulated;
mod time;
mod upload;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use backend::{Glance, ListEntry};
pub use create::{Attempt, CreateOutcome};
pub use meter::{Cost, Meter};
pub use open::no_store;
pub use retry::Attempts;
pub use time::{ClockReading, StoreTime};
pub use upload::Upload;

use crate::model::clock::SharedClock;
use crate::model::{Error, Result};
use backend::{Backend, BackendError, PutMode};
use fault::{Faults, Faulty};
use refusals::Refusals;
use retry::RetriedRequest;

/// How long an operation repeats itself before it gives up.
const DEADLINE: Duration = Duration::from_secs(20);

/// The URL of a store in memory.
const MEMORY: &str = "memory:";

/// A handle on an object store. Clones share the connection and the totals.
#[derive(Clone)]
pub struct Store {
    raw: Arc<dyn Backend>,
    url: Arc<str>,
    totals: Arc<Meter>,
    meter: Option<Arc<Meter>>,
    refusals: Arc<Refusals>,
    clock: SharedClock,
    time: Arc<StoreTime>,
    deadline: Duration,
}

impl Store {
    /// Where the store is: `memory:`, `file:///folder`, `s3://bucket/prefix`. Safe to log.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it ends with this process.
    pub fn is_in_memory(&self) -> bool {
        &*self.url == MEMORY
    }

    /// A handle that counts into `meter` besides the totals, and into no other request's meter.
    pub fn metered(&self, meter: &Arc<Meter>) -> Store {
        Store { meter: Some(Arc::clone(meter)), ..self.clone() }
    }

    /// Everything this process asked of the store, through any handle.
    pub fn totals(&self) -> &Meter {
        &self.totals
    }

    /// A handle whose operations give up after `deadline` (20 s by default), which is
    /// extended for large bodies, as if they came at 1 MB/s. One attempt may take half of it.
    pub fn with_deadline(&self, deadline: Duration) -> Store {
        Store { deadline, ..self.clone() }
    }

    /// A handle that takes its random pauses from `clock`.
    pub fn with_clock(&self, clock: SharedClock) -> Store {
        Store { clock, ..self.clone() }
    }

    /// What its answers have told of the store's time.
    pub fn time(&self) -> &StoreTime {
        &self.time
    }

    /// A handle for one simulated process, with the clock `process`: what it is answered is dated by the
    /// clock `dates`, in whole seconds.
    #[cfg(test)]
    pub fn with_dates(&self, process: SharedClock, dates: SharedClock) -> Store {
        let time = Arc::new(StoreTime::default());
        let raw = Arc::new(simulated::Dated::new(Arc::clone(&self.raw), Arc::clone(&time), process, dates));
        Store { raw, time, ..self.clone() }
    }

    /// A handle whose requests fail as `faults` says. For tests and simulation.
    pub fn with_faults(&self, faults: Arc<dyn Faults>) -> Store {
        let raw = Arc::new(Faulty::new(Arc::clone(&self.raw), faults));
        Store { raw, ..self.clone() }
    }

    /// Replaces an object, or makes it. Only for hints, which nothing relies on: a late repetition may
    /// overwrite what came after it.
    ///
    /// Errors: [`Code::StoreUnavailable`](crate::model::Code::StoreUnavailable); the object may then have been
    /// replaced or not.
    pub async fn overwrite(&self, path: &str, bytes: Bytes) -> Result<()> {
        check_path(path)?;
        let deadline = self.deadline_for(bytes.len() as u64);
        let sent = self.repeat(deadline, || self.send_put(path, bytes.clone(), PutMode::Overwrite)).await;
        sent.map_err(|failure| self.error("overwrite", path, &failure))
    }

    /// Deletes an object. That it is absent already is success.
    ///
    /// Errors: [`Code::StoreUnavailable`](crate::model::Code::StoreUnavailable); the object may then have been
    /// deleted or not.
    pub async fn delete(&self, path: &str) -> Result<()> {
        check_path(path)?;
        let sent = self.repeat(self.deadline, || {
            self.count(Cost::delete());
            self.raw.delete(path)
        });
        match sent.await {
            Ok(()) | Err(BackendError::Absent) => Ok(()),
            Err(failure) => Err(self.error("delete", path, &failure)),
        }
    }

    /// Sends one put and counts it.
    fn send_put<'a>(&'a self, path: &'a str, bytes: Bytes, mode: PutMode) -> RetriedRequest<'a, ()> {
        self.count(Cost::put(bytes.len()));
        self.raw.put(path, bytes, mode)
    }

    fn count(&self, cost: Cost) {
        self.totals.add(cost);
        if let Some(meter) = &self.meter {
            meter.add(cost);
        }
    }

    /// The deadline of an operation that moves so many bytes: longer by what they take at 1 MB/s.
    fn deadline_for(&self, bytes: u64) -> Duration {
        self.deadline + Duration::from_millis(bytes / 1000)
    }

    fn attempts(&self, deadline: Duration) -> Attempts {
        Attempts::new(deadline, Arc::clone(&self.clock))
    }

    /// The time, from now on, of whoever tries again what [`Store::create_once`] failed to do.
    pub fn patience(&self) -> Attempts {
        self.attempts(self.deadline)
    }

    /// Repeats a request that may be sent twice until it succeeds, is refused, or `deadline` is over.
    async fn repeat<'a, T>(
        &self,
        deadline: Duration,
        mut request: impl FnMut() -> RetriedRequest<'a, T>,
    ) -> Result<T, BackendError> {
        let mut attempts = self.attempts(deadline);
        loop {
            let result = attempts.run(request()).await;
            let may_heal = result.as_ref().is_err_and(BackendError::is_retryable);
            if !may_heal || !attempts.pause().await {
                return result;
            }
        }
    }

    /// The error for a request that has finally failed.
    fn error(&self, action: &str, path: &str, failure: &BackendError) -> Error {
        Error::new(failure.code(), format!("cannot {action} {path} in {}: {failure}", self.url))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A path must mean one object on every kind of store, and not leave the root.
fn check_path(path: &str) -> Result<()> {
    let plain = |segment| location::is_plain_segment(segment) && !segment.starts_with(folder::TEMPORARY_PREFIX);
    if path.split('/').all(plain) {
        return Ok(());
    }
    Err(Error::internal(format!("{path:?} is not a path of an object")))
}
