//! The hint: what this process tells others of its commits. C5.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Ledger, Manifest, State, lock};
use crate::store::{Store, paths};

/// The hint is written at most this often.
const HINT_INTERVAL: Duration = Duration::from_secs(1);

/// What this process has told others by the hint.
#[derive(Debug, Default)]
pub(super) struct Hinted {
    pub(super) when: Option<Instant>,
    /// Whether it has committed since.
    is_behind: bool,
}

impl<S: State> Ledger<S> {
    /// C5. Best effort: a lost hint costs a LIST, nothing else.
    pub(super) async fn tell(&self, store: &Store, next: &Manifest<S>, bytes: Bytes) {
        {
            let mut hinted = lock(&self.hinted);
            if next.state.is_passing() || hinted.when.is_some_and(|when| when.elapsed() < HINT_INTERVAL) {
                hinted.is_behind = true;
                return;
            }
        }
        self.write_hint(store, bytes).await;
    }

    /// Hints at what was committed since the last hint, for whoever ends a series of commits.
    pub async fn catch_up(&self, store: &Store) {
        let is_behind = lock(&self.hinted).is_behind;
        if let Some(newest) = self.cached().filter(|_| is_behind)
            && let Ok(bytes) = newest.encode()
        {
            self.write_hint(store, bytes).await;
        }
    }

    async fn write_hint(&self, store: &Store, bytes: Bytes) {
        *lock(&self.hinted) = Hinted { when: Some(Instant::now()), is_behind: false };
        if let Err(error) = store.overwrite(&paths::hint(self.root()), bytes).await {
            tracing::debug!(root = self.root(), %error, "the hint could not be written");
        }
    }
}
