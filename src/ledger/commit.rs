//! Commits: C1 to C5.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{CommitId, Hinted, Ledger, Manifest, Moment, PROOF_AGE, State, lock, manifest::RECENT};
use crate::model::{Code, Error, Result};
use crate::store::{CreateOutcome, Store, paths};

/// The hint is written at most this often.
const HINT_INTERVAL: Duration = Duration::from_secs(1);

/// How often a commit is rebased on a newer manifest before it gives up. Each loss means that
/// somebody else's commit won, so that the system as a whole goes on.
const COMMIT_ATTEMPTS: usize = 100;

/// The longest that a commit gives way after it has lost its turn.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A manifest that was the newest so short a time ago is built on without another look: that it still is,
/// the store says when the next one is created.
pub(super) const LOOK_AGE: Duration = Duration::from_secs(2);

/// What to do with the newest manifest.
pub enum Step<S, T> {
    /// Make this the next state.
    Commit { kind: &'static str, state: S, output: T },
    /// There is nothing (left) to do.
    Done(T),
}

impl<S: State> Ledger<S> {
    /// Changes the state: `decide` looks at the newest manifest and says what becomes of it; it is
    /// asked again with a newer one when another commit came first. Returns the manifest that holds
    /// the outcome.
    ///
    /// Errors: those of `decide`, unchanged; `OutcomeUnknown` when the store did not say whether
    /// the commit landed.
    pub async fn commit<T>(
        &self,
        store: &Store,
        mut decide: impl FnMut(&Manifest<S>) -> Result<Step<S, T>>,
    ) -> Result<(Arc<Manifest<S>>, T)> {
        let mut recent = self.proven_within(LOOK_AGE);
        for lost in 0..COMMIT_ATTEMPTS {
            let began = tokio::time::Instant::now();
            // Only a commit may be built on what was the newest a moment ago; that there is nothing to do, or
            // that it cannot be done, has to be true of the newest.
            let recent = recent.take().and_then(|base| match decide(&base.manifest) {
                Ok(Step::Commit { kind, state, output }) => Some((base, kind, state, output)),
                _ => None,
            });
            let (base, kind, state, output) = match recent {
                Some(step) => step,
                None => {
                    let base = self.load(store).await?.proven();
                    match decide(&base.manifest)? {
                        Step::Done(output) => return Ok((base.manifest, output)),
                        Step::Commit { kind, state, output } => (base, kind, state, output),
                    }
                }
            };
            let next = Arc::new(self.successor(&base.manifest, kind, state));
            if self.append(store, &next, Some(base.when)).await? {
                return Ok((next, output));
            }
            self.give_way(began.elapsed(), lost).await;
        }
        Err(Error::new(
            Code::Unavailable,
            format!("{} is so busy that {COMMIT_ATTEMPTS} commits in a row lost their turn", self.root()),
        ))
    }

    /// Waits a random time, longer with every turn that was lost: of many that commit at once each would
    /// otherwise lose to every other, and pay for it. Measured by what an attempt takes on this store.
    async fn give_way(&self, took: Duration, lost: usize) {
        let turns = 4_u32 << lost.min(4);
        let longest = took.saturating_mul(turns).min(LONGEST_PAUSE);
        let longest = u64::try_from(longest.as_micros()).unwrap_or(0);
        tokio::time::sleep(Duration::from_micros(self.clock.random() % longest.max(1))).await;
    }

    /// Creates manifest 1 if the log is empty. `false` when somebody had done so.
    pub async fn begin(&self, store: &Store, kind: &'static str, state: S) -> Result<bool> {
        let first = Arc::new(Manifest {
            version: 1,
            commit: self.new_commit_id(),
            parent: None,
            kind: kind.to_owned(),
            recent: Vec::new(),
            state,
        });
        let begun = self.append(store, &first, None).await?;
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
            version: newest.version + 1,
            commit: self.new_commit_id(),
            parent: Some(newest.commit),
            kind: kind.to_owned(),
            recent,
            state,
        }
    }

    /// C3 to C5. `base`: when the manifest before was proven to be the newest, if there is one. `false` when
    /// the number was taken, or lay in a hole of deleted numbers.
    async fn append(&self, store: &Store, next: &Arc<Manifest<S>>, base: Option<Moment>) -> Result<bool> {
        let began = Moment::now(&self.clock);
        let bytes = next.encode()?;
        let path = paths::manifest(self.root(), next.version);
        // Only the first manifest may stand where nothing does.
        let created = match next.parent {
            None => store.create(&path, bytes.clone()).await,
            Some(_) => store.create_beside(&path, bytes.clone()).await,
        };
        match created {
            CreateOutcome::Created => {}
            CreateOutcome::Taken(_) => return Ok(false),
            CreateOutcome::Unknown(error) if error.code != Code::OutcomeUnknown => return Err(error),
            CreateOutcome::Unknown(error) => {
                return Err(Error::new(
                    Code::OutcomeUnknown,
                    format!("whether commit \"{}\" took place is unknown: {error}", next.kind),
                ));
            }
        }
        // What follows a manifest that was the newest a minute ago is younger than that, and no collector has
        // deleted it: the number was never used. Judged afterwards: the process may have been frozen.
        let surely = base.is_some_and(|base| !base.is_older_than(PROOF_AGE, &self.clock));
        if !surely && !self.is_in_history(store, next).await? {
            return Ok(false);
        }
        self.learn(next, began);
        self.tell(store, next, bytes).await;
        Ok(true)
    }

    /// C4. A number that the collector freed can be created again, far below the newest; only what
    /// the newest manifest descends from has happened.
    async fn is_in_history(&self, store: &Store, next: &Manifest<S>) -> Result<bool> {
        let after = paths::log_after(self.root(), next.version);
        let later = store.list(&paths::log_prefix(self.root()), Some(&after)).await?;
        if later.is_empty() {
            return Ok(true);
        }
        let newest = self.load(store).await?.manifest;
        match newest.remembers(next.version, next.commit) {
            Some(known) => Ok(known),
            None => Err(Error::new(
                Code::OutcomeUnknown,
                format!("whether commit \"{}\" took place is unknown: too many others followed it", next.kind),
            )),
        }
    }

    /// C5. Best effort: a lost hint costs a LIST, nothing else.
    async fn tell(&self, store: &Store, next: &Manifest<S>, bytes: Bytes) {
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
