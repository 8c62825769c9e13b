//! Whether a store takes writes, as the last ones fared.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{CreateOutcome, Store};
use crate::model::Error;

/// What was refused last, until something is stored again. Shared by all handles on a store.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// So that a store that takes everything costs no lock.
    any: AtomicBool,
    last: Mutex<Option<Error>>,
}

impl Refusals {
    pub(super) fn note(&self, outcome: &CreateOutcome) {
        match outcome {
            CreateOutcome::Created | CreateOutcome::Taken(_) => self.note_success(),
            CreateOutcome::Unknown(error) => self.note_error(error),
        }
    }

    pub(super) fn note_success(&self) {
        if self.any.load(Ordering::Relaxed) {
            self.any.store(false, Ordering::Relaxed);
            *self.last() = None;
        }
    }

    /// Notes a refusal. Any other error says nothing about the next write.
    pub(super) fn note_error(&self, error: &Error) {
        if error.code.is_refusal() {
            *self.last() = Some(error.clone());
            self.any.store(true, Ordering::Relaxed);
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<Error>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Why the store takes no writes: what it answered to the last one, if that was a refusal. Asks it nothing.
    pub fn refusal(&self) -> Option<Error> {
        if self.refusals.any.load(Ordering::Relaxed) { self.refusals.last().clone() } else { None }
    }
}
