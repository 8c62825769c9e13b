//! Commits: C1 to C4.

use std::sync::Arc;
use std::time::Duration;

use super::{
    CommitId, Ledger, LedgerState, Manifest, Moment, PROOF_AGE,
    history::unknown,
    lock,
    manifest::{FORMAT, RECENT},
};
use crate::model::paths;
use crate::model::{Code, Error, Result};
use crate::store::{Attempt, Attempts, Store};

/// How often a commit is rebased on a newer manifest before it gives up. Each loss means that
/// somebody else's commit won, so that the system as a whole goes on.
const COMMIT_ATTEMPTS: usize = 100;

/// The longest that a commit gives way after it has lost its turn.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A manifest that was the newest so short a time ago is built on without another look: that it still is,
/// the store says when the next one is created.
pub(super) const LOOK_AGE: Duration = Duration::from_secs(2);

/// What to do with the newest manifest.
pub enum CommitStep<S, T> {
    /// Make this the next state.
    Commit { kind: &'static str, state: S, output: T },
    /// There is nothing (left) to do.
    Done(T),
}

/// What became of an attempt to append a manifest.
enum Appended {
    /// It is in the history.
    Done,
    /// The number was taken, or lay in a hole of deleted numbers.
    Lost,
    Failed {
        error: Error,
        again: bool,
    },
}

/// Attempts of one commit of which the store has not said what became of them. Each has a commit id of its
/// own and is sent once: one that lands when its number has been freed is nobody's, and not the manifest that
/// once had the number.
struct Doubts<S, T> {
    sent: Vec<(Arc<Manifest<S>>, T)>,
    patience: Option<Attempts>,
}

impl<S: LedgerState, T> Doubts<S, T> {
    fn new() -> Self {
        Doubts { sent: Vec::new(), patience: None }
    }

    /// Notes an attempt that failed, and waits for the next one. An error when there will be none.
    async fn note(
        &mut self,
        store: &Store,
        next: Arc<Manifest<S>>,
        output: T,
        error: Error,
        again: bool,
    ) -> Result<()> {
        let kind = next.kind.clone();
        if error.code == Code::OutcomeUnknown {
            self.sent.push((next, output));
        }
        let patience = self.patience.get_or_insert_with(|| store.patience());
        if again && patience.pause().await {
            return Ok(());
        }
        Err(if self.sent.is_empty() { error } else { unknown(&kind, &error) })
    }

    /// What to say instead of `error` while an attempt may have landed, or may land later.
    fn explain(&self, error: Error) -> Error {
        self.sent.first().map_or(error.clone(), |(next, _)| unknown(&next.kind, &error))
    }

    /// The same, where the error or the answer is that there is nothing to do.
    fn refuse(&self) -> Result<()> {
        match self.sent.first() {
            None => Ok(()),
            Some((next, _)) => Err(unknown(&next.kind, &"an attempt may still land")),
        }
    }
}

impl<S: LedgerState> Ledger<S> {
    /// Changes the state: `decide` looks at the newest manifest and says what becomes of it; it is
    /// asked again with a newer one when another commit came first. Returns the manifest that holds
    /// the outcome.
    ///
    /// Errors: those of `decide`, unchanged; `StoreUnavailable` when nothing was committed; `OutcomeUnknown`
    /// when the store did not say whether the commit landed.
    pub async fn commit<T>(
        &self,
        store: &Store,
        mut decide: impl FnMut(&Manifest<S>) -> Result<CommitStep<S, T>>,
    ) -> Result<(Arc<Manifest<S>>, T)> {
        // Not on what the hint alone led to: by single objects, a manifest that came back to its freed number looks
        // like the newest.
        let mut recent = self.proven_within(store, LOOK_AGE).filter(|_| lock(&self.looked).has_listed);
        let mut doubts = Doubts::new();
        for lost in 0..COMMIT_ATTEMPTS {
            let began = tokio::time::Instant::now();
            // Only a commit may be built on what was the newest a moment ago; that there is nothing to do, or
            // that it cannot be done, has to be true of the newest.
            let recent = recent.take().and_then(|base| match decide(&base.manifest) {
                Ok(CommitStep::Commit { kind, state, output }) => Some((base, kind, state, output)),
                _ => None,
            });
            let (base, kind, state, output) = match recent {
                Some(step) => step,
                None => {
                    let base = self.load(store).await.map_err(|error| doubts.explain(error))?.proven();
                    if let Some(landed) = self.landed(store, &base.manifest, &mut doubts).await? {
                        return Ok(landed);
                    }
                    match decide(&base.manifest) {
                        Ok(CommitStep::Commit { kind, state, output }) => (base, kind, state, output),
                        Ok(CommitStep::Done(output)) => return doubts.refuse().map(|()| (base.manifest, output)),
                        Err(error) => return Err(doubts.explain(error)),
                    }
                }
            };
            let next = Arc::new(self.successor(&base.manifest, kind, state));
            match self.append(store, &next, Some(base.when)).await {
                Appended::Done => return Ok((next, output)),
                Appended::Lost => self.backoff(began.elapsed(), lost).await,
                Appended::Failed { error, again } => doubts.note(store, next, output, error, again).await?,
            }
        }
        Err(doubts.explain(Error::new(
            Code::Unavailable,
            format!("{} is so busy that {COMMIT_ATTEMPTS} commits in a row lost their turn", self.root()),
        )))
    }

    /// The attempt in doubt that is in the history of the newest manifest, if one is. Those that never can
    /// be are forgotten.
    async fn landed<T>(
        &self,
        store: &Store,
        newest: &Manifest<S>,
        doubts: &mut Doubts<S, T>,
    ) -> Result<Option<(Arc<Manifest<S>>, T)>> {
        let mut position = 0;
        while let Some((next, _)) = doubts.sent.get(position) {
            if next.version > newest.version {
                position += 1;
                continue;
            }
            let is_there = self.descends_from(store, newest, next).await;
            let landed = is_there.map_err(|error| unknown(&next.kind, &error))?;
            let attempt = doubts.sent.remove(position);
            if landed {
                if attempt.0.version == newest.version
                    && let Ok(bytes) = newest.encode()
                {
                    self.update_hint(store, newest, bytes).await;
                }
                return Ok(Some(attempt));
            }
        }
        Ok(None)
    }

    /// Waits a random time, longer with every turn that was lost: of many that commit at once each would
    /// otherwise lose to every other, and pay for it. Measured by what an attempt takes on this store.
    async fn backoff(&self, took: Duration, lost: usize) {
        let turns = 4_u32 << lost.min(4);
        let longest = took.saturating_mul(turns).min(LONGEST_PAUSE);
        let longest = u64::try_from(longest.as_micros()).unwrap_or(0);
        self.clock.sleep(Duration::from_micros(self.clock.random() % longest.max(1))).await;
    }

    /// Creates manifest 1 if the log is empty. `false` when somebody had done so.
    pub async fn begin(&self, store: &Store, kind: &'static str, state: S) -> Result<bool> {
        let mut doubts = Doubts::new();
        let begun = loop {
            let first = Arc::new(Manifest {
                format: FORMAT,
                version: 1,
                commit: self.new_commit_id(),
                parent: None,
                kind: kind.to_owned(),
                recent: Vec::new(),
                state: state.clone(),
            });
            match self.append(store, &first, None).await {
                Appended::Done => break true,
                Appended::Lost if doubts.sent.is_empty() => break false,
                Appended::Lost => {}
                Appended::Failed { error, again } => doubts.note(store, first, (), error, again).await?,
            }
            if let Some(newest) = self.try_load(store).await.map_err(|error| doubts.explain(error))? {
                break self.landed(store, &newest.manifest, &mut doubts).await?.is_some();
            }
        };
        // What follows is likely to be the only commit for long, such as a table's first columns.
        lock(&self.hinted).when = None;
        Ok(begun)
    }

    fn new_commit_id(&self) -> CommitId {
        CommitId(u128::from(self.clock.random()) << 64 | u128::from(self.clock.random()))
    }

    fn successor(&self, newest: &Manifest<S>, kind: &'static str, state: S) -> Manifest<S> {
        let mut recent = newest.recent.clone();
        recent.push((newest.version, newest.commit));
        let excess = recent.len().saturating_sub(RECENT);
        recent.drain(..excess);
        Manifest {
            format: FORMAT,
            version: newest.version + 1,
            commit: self.new_commit_id(),
            parent: Some(newest.commit),
            kind: kind.to_owned(),
            recent,
            state,
        }
    }

    /// C3 to C5. `base`: when the manifest before was proven to be the newest, if there is one.
    async fn append(&self, store: &Store, next: &Arc<Manifest<S>>, base: Option<Moment>) -> Appended {
        let began = Moment::now(&self.clock, store);
        let bytes = match next.encode() {
            Ok(bytes) => bytes,
            Err(error) => return Appended::Failed { error, again: false },
        };
        let path = paths::manifest(self.root(), next.version);
        // Only the first manifest may stand where nothing does.
        let created = match next.parent {
            None => store.create_once(&path, bytes.clone()).await,
            Some(_) => store.create_once_beside(&path, bytes.clone()).await,
        };
        match created {
            Attempt::Created => {}
            Attempt::Taken(_) => return Appended::Lost,
            Attempt::Failed { error, again } => return Appended::Failed { error, again },
        }
        // What follows a manifest that was the newest a minute ago is younger than that, and no collector has
        // deleted it: the number was never used. Judged afterwards: the process may have been frozen.
        let surely = base.is_some_and(|base| !base.is_older_than(PROOF_AGE, &self.clock, store));
        if !surely {
            match self.is_in_history(store, next).await {
                Ok(true) => {}
                Ok(false) => return Appended::Lost,
                // The manifest is on the store: whatever went wrong, it may have taken place.
                Err(error) => {
                    let error = Error::new(Code::OutcomeUnknown, error.message);
                    return Appended::Failed { error, again: false };
                }
            }
        }
        self.learn(next, began);
        self.update_hint(store, next, bytes).await;
        Appended::Done
    }
}
