//! The hint: what this process tells others of its commits. C5.

use std::time::Duration;

use bytes::Bytes;

use super::{Ledger, LedgerState, Manifest, lock};
use crate::model::paths;
use crate::store::Store;

/// The hint is written at most this often.
const HINT_INTERVAL: Duration = Duration::from_secs(1);

/// What this process has told others by the hint.
#[derive(Debug, Default)]
pub(super) struct HintState {
    /// The last attempt, by the monotonic clock.
    pub(super) when: Option<i64>,
    /// The last commit of this process that no hint was written for; 0 if there is none.
    behind: u64,
}

impl<S: LedgerState> Ledger<S> {
    /// C5. Best effort: a lost hint costs a LIST, nothing else.
    pub(super) async fn update_hint(&self, store: &Store, next: &Manifest<S>, bytes: Bytes) {
        {
            let mut hinted = lock(&self.hinted);
            hinted.behind = hinted.behind.max(next.version);
            if next.state.is_intermediate() || !self.may_hint(&hinted) {
                return;
            }
        }
        self.write_hint(store, next.version, bytes).await;
    }

    /// Whether a commit of this process is not hinted at, and [`Ledger::catch_up`] would change that. Asks
    /// the store nothing.
    pub fn is_behind(&self) -> bool {
        let hinted = lock(&self.hinted);
        hinted.behind > 0 && self.may_hint(&hinted)
    }

    fn may_hint(&self, hinted: &HintState) -> bool {
        let passed = |when: i64| Duration::from_nanos(self.clock.elapsed().abs_diff(when));
        hinted.when.is_none_or(|when| passed(when) >= HINT_INTERVAL)
    }

    /// Hints at what was committed since the last hint, for whoever ends a series of commits.
    pub async fn flush_hint(&self, store: &Store) {
        let behind = lock(&self.hinted).behind;
        match self.cached() {
            Some(newest) if behind > 0 && newest.version == behind => {
                if let Ok(bytes) = newest.encode() {
                    self.write_hint(store, behind, bytes).await;
                }
            }
            // Somebody else has committed since and sees to the hint; what this process knows may be older.
            Some(newest) if newest.version > behind => lock(&self.hinted).behind = 0,
            _ => {}
        }
    }

    async fn write_hint(&self, store: &Store, version: u64, bytes: Bytes) {
        lock(&self.hinted).when = Some(self.clock.elapsed());
        match store.overwrite(&paths::hint(self.root()), bytes).await {
            Ok(()) => {
                let mut hinted = lock(&self.hinted);
                if hinted.behind <= version {
                    hinted.behind = 0;
                }
            }
            Err(error) => tracing::debug!(root = self.root(), %error, "the hint could not be written"),
        }
    }
}
