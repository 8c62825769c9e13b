//! The commit protocol: numbered manifests, created if absent, never changed.
//!
//! In: a state and what to make of it. Out: the newest manifest, proven; a commit that is in the
//! history for ever, or an error. Invariants: version numbers are dense, each manifest's parent is
//! the one before; a commit reported as successful stays; the hint is a lower bound for LIST and
//! never an authority. Never: what the state means.
//!
//! Steps C1 to C5 and their reasons: the crate's front page, section "The protocol".

mod commit;
mod hint;
mod history;
mod manifest;
mod open;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::model::paths::{self, LogName, SegmentName};
use crate::model::{Code, Error, Result, clock::SharedClock};
use crate::store::Store;

pub use commit::CommitStep;
pub use manifest::{CommitId, Manifest, ManifestHeader, decompress};

use hint::HintState;

/// A proof that a manifest was the newest stays good this long: none is deleted that is not several times as
/// old.
pub const PROOF_AGE: Duration = Duration::from_secs(60);

/// How often, at least, a process that uses a log looks at the whole of it: whatever it may have come to believe
/// by single objects ends with that. No manifest is deleted that is not several times as old.
const LOOK_INTERVAL: Duration = Duration::from_secs(600);

/// When such a look may as well be taken, beside the work: then nobody has to wait for it.
const EARLY_LOOK: Duration = Duration::from_secs(300);

/// How often a load starts over when objects vanish under it.
const LOAD_ATTEMPTS: usize = 4;

/// What a ledger keeps.
pub trait LedgerState: Serialize + DeserializeOwned + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The log number a LIST has to begin at to show all that still matters.
    fn list_from(&self, version: u64) -> u64;

    /// Whether another commit is about to follow, so that a hint at this one would be worth nothing.
    fn is_intermediate(&self) -> bool {
        false
    }

    /// The state as text, each a single line: a head, and parts that most commits leave as they are, so
    /// that their text may be kept.
    fn encode(&self) -> std::result::Result<(String, Vec<Arc<str>>), String> {
        Ok((serde_json::to_string(self).map_err(|error| error.to_string())?, Vec::new()))
    }

    /// The state of such a text. Parts that are as they were in the state `before` may be shared with it.
    fn decode(head: &str, _parts: &[&str], _before: Option<&Self>) -> std::result::Result<Self, String> {
        serde_json::from_str(head).map_err(|error| error.to_string())
    }
}

/// What one LIST of the log showed.
#[derive(Debug, Clone)]
pub struct Listing<S> {
    /// The newest manifest.
    pub manifest: Arc<Manifest<S>>,
    /// Every segment at or above the floor the LIST began at, in order, with its bytes.
    pub segments: Vec<(SegmentName, u64)>,
    /// Names that SiltDB did not give.
    pub unknown: Vec<String>,
    /// Whether this process knew the manifest before the LIST began: then the LIST shows all that was there
    /// when the manifest was created.
    pub is_later: bool,
    began: Moment,
}

impl<S> Listing<S> {
    /// Before the LIST was sent, by [`Clock::elapsed`](crate::model::clock::Clock::elapsed).
    pub fn began(&self) -> i64 {
        self.began.monotonic
    }

    fn proven(self) -> Proven<S> {
        Proven { manifest: self.manifest, when: self.began }
    }
}

/// When something was proven: by the clock that never goes back, by the one that does not stand still while the
/// process does (a laptop that was closed, a function that was frozen), and by the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    /// Nanoseconds.
    monotonic: i64,
    /// Nanoseconds since 1970.
    wall: i64,
    /// The least that the store's clock showed, nanoseconds since 1970; none before it told.
    store: Option<i64>,
}

impl Moment {
    fn now(clock: &SharedClock, store: &Store) -> Moment {
        let store = earliest(clock, store);
        Moment { monotonic: clock.elapsed(), wall: clock.now(), store }
    }

    /// Whether any of the clocks says that it is longer ago, or the wall clock went back. After an answer of the
    /// store whose `Date` it read, a process need not have noticed itself for how long it stood still.
    fn is_older_than(&self, age: Duration, clock: &SharedClock, store: &Store) -> bool {
        let is_over = |passed: i64| u64::try_from(passed).is_ok_and(|passed| Duration::from_nanos(passed) >= age);
        let monotonic = clock.elapsed().saturating_sub(self.monotonic);
        let wall = clock.now().saturating_sub(self.wall);
        let by_store = earliest(clock, store).zip(self.store).map(|(now, then)| now.saturating_sub(then));
        is_over(monotonic) || wall < 0 || is_over(wall) || by_store.is_some_and(is_over)
    }
}

/// The least that the store's clock shows now, as far as its answers tell.
fn earliest(clock: &SharedClock, store: &Store) -> Option<i64> {
    store.time().at(clock.elapsed()).map(|(least, _)| least)
}

/// The newest manifest this process knows, and when that was last proven.
#[derive(Debug)]
struct Proven<S> {
    manifest: Arc<Manifest<S>>,
    when: Moment,
}

/// When this process last looked at the whole log: before the LIST, or before it opened the log by the hint.
#[derive(Debug, Default)]
struct Looked {
    when: Option<Moment>,
    /// Whether it ever was by a LIST, so that it does not rest on single objects alone.
    has_listed: bool,
    /// When a look beside the work was last begun.
    early: Option<Moment>,
    /// A version whose number held another commit when it was read back, until a LIST says why.
    replaced: Option<u64>,
}

impl<S> Clone for Proven<S> {
    fn clone(&self) -> Self {
        Proven { manifest: self.manifest.clone(), when: self.when }
    }
}

/// The log below one root.
#[derive(Debug)]
pub struct Ledger<S> {
    root: String,
    clock: SharedClock,
    known: Mutex<Option<Proven<S>>>,
    looked: Mutex<Looked>,
    hinted: Mutex<HintState>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these mutexes guard is replaced whole, so a panic elsewhere cannot leave it half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: LedgerState> Ledger<S> {
    /// A handle on the log below `root` (which ends in `/`). Asks the store nothing.
    pub fn new(root: impl Into<String>, clock: SharedClock) -> Self {
        let (known, looked, hinted) = (Mutex::new(None), Mutex::default(), Mutex::default());
        Ledger { root: root.into(), clock, known, looked, hinted }
    }

    pub fn root(&self) -> &str {
        &self.root
    }

    /// The newest manifest this process has seen, perhaps outdated.
    pub fn cached(&self) -> Option<Arc<Manifest<S>>> {
        lock(&self.known).as_ref().map(|known| known.manifest.clone())
    }

    /// The cached manifest, or else the newest one of the store.
    pub async fn current(&self, store: &Store) -> Result<Arc<Manifest<S>>> {
        match self.cached() {
            Some(manifest) => Ok(manifest),
            None => self.open(store).await?.ok_or_else(|| self.no_manifest()),
        }
    }

    fn no_manifest(&self) -> Error {
        let message = format!("there is no manifest below {}", paths::log_prefix(&self.root));
        Error::new(Code::StoreUnavailable, message)
    }

    /// The newest manifest, as of a moment ago at most. For what ends in a commit, or is looked at again.
    pub async fn recent(&self, store: &Store) -> Result<Arc<Manifest<S>>> {
        self.fresh(store, commit::LOOK_AGE).await
    }

    /// A manifest that was the newest at some moment within the last `age`.
    pub async fn fresh(&self, store: &Store, age: Duration) -> Result<Arc<Manifest<S>>> {
        if let Some(known) = self.proven_within(store, age) {
            return Ok(known.manifest);
        }
        match self.cached() {
            Some(manifest) if self.is_newest(store, &manifest).await? => Ok(manifest),
            Some(_) => Ok(self.load(store).await?.manifest),
            None => self.current(store).await,
        }
    }

    /// The cached manifest if it was the newest at some moment within the last `age`.
    fn proven_within(&self, store: &Store, age: Duration) -> Option<Proven<S>> {
        let known = lock(&self.known).clone().filter(|known| !known.when.is_older_than(age, &self.clock, store));
        known.filter(|_| !self.has_not_looked_for(store, LOOK_INTERVAL))
    }

    /// Whether no manifest follows `manifest`, by one GET (two when the last proof is old: then the
    /// absence of the next one proves nothing unless this one is still there). "No" also where only a LIST can
    /// tell: when the last one is long ago, or the number has come to hold another commit.
    pub async fn is_newest(&self, store: &Store, manifest: &Manifest<S>) -> Result<bool> {
        if self.cached().is_some_and(|known| known.version > manifest.version) {
            return Ok(false);
        }
        let began = Moment::now(&self.clock, store);
        if store.get(&paths::manifest(&self.root, manifest.version + 1)).await?.is_some() {
            return Ok(false);
        }
        // Judged afterwards: the process may have been frozen while it waited.
        if self.has_not_looked_for(store, LOOK_INTERVAL) {
            return Ok(false);
        }
        let stale = match lock(&self.known).as_ref() {
            Some(known) => {
                known.manifest.version != manifest.version || known.when.is_older_than(PROOF_AGE, &self.clock, store)
            }
            None => true,
        };
        if stale {
            // After the next one: collectors delete the older first, so if this one is there, the next one
            // was not deleted before it was asked for.
            let own = paths::manifest(&self.root, manifest.version);
            let Some(bytes) = store.get(&own).await? else { return Ok(false) };
            if ManifestHeader::decode(&own, &bytes)?.commit != manifest.commit {
                // The number was freed, and created again by somebody who slept; or the store was set back.
                lock(&self.looked).replaced = Some(manifest.version);
                return Ok(false);
            }
        }
        self.prove(manifest, began);
        Ok(true)
    }

    fn has_not_looked_for(&self, store: &Store, age: Duration) -> bool {
        lock(&self.looked).when.is_none_or(|when| when.is_older_than(age, &self.clock, store))
    }

    fn looked_at(&self, when: Moment, by_list: bool) {
        let mut looked = lock(&self.looked);
        looked.when = looked.when.max(Some(when));
        looked.has_listed |= by_list;
    }

    /// Whether to look at the whole log now, beside the work ([`Ledger::load`]). True once in half a minute:
    /// whoever is told so does it. Asks the store nothing.
    pub fn claim_look(&self, store: &Store) -> bool {
        if !self.has_not_looked_for(store, EARLY_LOOK) {
            return false;
        }
        let mut looked = lock(&self.looked);
        let is_due = looked.early.is_none_or(|early| early.is_older_than(EARLY_LOOK / 10, &self.clock, store));
        if is_due {
            looked.early = Some(Moment::now(&self.clock, store));
        }
        is_due
    }

    /// Notes that `manifest` was the newest at `when`.
    fn prove(&self, manifest: &Manifest<S>, when: Moment) {
        if let Some(known) = lock(&self.known).as_mut()
            && known.manifest.version == manifest.version
            && known.when < when
        {
            known.when = when;
        }
    }

    /// Notes a newer manifest.
    fn learn(&self, manifest: &Arc<Manifest<S>>, when: Moment) {
        let mut known = lock(&self.known);
        match known.as_mut() {
            Some(known) if known.manifest.version > manifest.version => {}
            Some(known) if known.manifest.version == manifest.version => known.when = known.when.max(when),
            _ => *known = Some(Proven { manifest: manifest.clone(), when }),
        }
    }

    fn store_regressed(&self, version: u64) -> Error {
        Error::new(
            Code::StoreUnavailable,
            format!(
                "the store went back in time: {} no longer holds version {version}, which this process has seen; \
                 restart SiltDB if the bucket was restored on purpose",
                paths::log_prefix(&self.root)
            ),
        )
    }

    /// The newest manifest and the log's segments, by one LIST that starts now. An error
    /// (`DatabaseNotFound` is the caller's to say) when there is no manifest at all.
    pub async fn load(&self, store: &Store) -> Result<Listing<S>> {
        self.try_load(store).await?.ok_or_else(|| self.no_manifest())
    }

    /// As [`Ledger::load`]; `None` when there is no manifest at all.
    pub async fn try_load(&self, store: &Store) -> Result<Option<Listing<S>>> {
        let from = match self.cached() {
            Some(manifest) => manifest.state.list_from(manifest.version),
            None => self.floor_of(self.hint(store).await),
        };
        self.try_load_from(store, from).await
    }

    async fn try_load_from(&self, store: &Store, mut from: u64) -> Result<Option<Listing<S>>> {
        for _ in 0..LOAD_ATTEMPTS {
            let before = self.cached();
            let began = Moment::now(&self.clock, store);
            let listed = self.list(store, from).await?;
            let Some(newest) = listed.newest else {
                // A hint may lie; the beginning of the log does not.
                if from > 0 && before.is_none() {
                    from = 0;
                    continue;
                }
                return match before {
                    Some(manifest) => Err(self.store_regressed(manifest.version)),
                    None => Ok(None),
                };
            };
            let replaced = std::mem::take(&mut lock(&self.looked).replaced);
            let is_gone = |before: &Manifest<S>| before.version > newest || replaced == Some(newest);
            if let Some(before) = before.as_ref().filter(|before| is_gone(before)) {
                return Err(self.store_regressed(before.version));
            }
            let Some(manifest) = self.fetch(store, newest, before.as_ref()).await? else { continue };
            let floor = manifest.state.list_from(manifest.version);
            if floor < from {
                // Only a hint that lies leads beyond it, and past segments.
                from = floor;
                continue;
            }
            self.learn(&manifest, began);
            self.looked_at(began, true);
            let is_later = before.is_some_and(|before| before.version == manifest.version);
            let Listed { segments, unknown, .. } = listed;
            return Ok(Some(Listing { manifest, segments, unknown, is_later, began }));
        }
        Err(Error::new(
            Code::StoreUnavailable,
            format!("manifests below {} keep vanishing while they are read", paths::log_prefix(&self.root)),
        ))
    }

    /// Manifest `version`, from memory if it is the cached one, after checking its descent.
    async fn fetch(
        &self,
        store: &Store,
        version: u64,
        before: Option<&Arc<Manifest<S>>>,
    ) -> Result<Option<Arc<Manifest<S>>>> {
        if let Some(before) = before.filter(|before| before.version == version) {
            return Ok(Some(before.clone()));
        }
        let key = paths::manifest(&self.root, version);
        let Some(bytes) = store.get(&key).await? else { return Ok(None) };
        let manifest = Manifest::<S>::decode(&key, &bytes, before.map(|before| &before.state))?;
        if manifest.version != version {
            return Err(misnumbered(&key, manifest.version));
        }
        if let Some(before) = before
            && manifest.remembers(before.version, before.commit) == Some(false)
        {
            return Err(Error::corrupt(&key, format!("it does not descend from version {} seen here", before.version)));
        }
        Ok(Some(Arc::new(manifest)))
    }

    async fn list(&self, store: &Store, from: u64) -> Result<Listed> {
        let prefix = paths::log_prefix(&self.root);
        let after = paths::log_before(&self.root, from);
        let mut listed = Listed::default();
        for entry in store.list(&prefix, Some(&after)).await? {
            match LogName::parse(entry.path.strip_prefix(&prefix).unwrap_or(&entry.path)) {
                Some(LogName::Manifest(number)) => listed.newest = listed.newest.max(Some(number)),
                Some(LogName::Segment(name)) => listed.segments.push((name, entry.size)),
                None => listed.unknown.push(entry.path),
            }
        }
        listed.segments.sort_unstable_by_key(|(name, _)| name.order);
        Ok(listed)
    }

    /// The segments of the epochs from `floor`, by a LIST that starts now.
    pub async fn list_segments(&self, store: &Store, floor: u64) -> Result<Vec<(SegmentName, u64)>> {
        Ok(self.list(store, floor).await?.segments)
    }
}

fn misnumbered(key: &str, version: u64) -> Error {
    Error::corrupt(key, format!("it says that it is version {version}"))
}

#[derive(Default)]
struct Listed {
    newest: Option<u64>,
    segments: Vec<(SegmentName, u64)>,
    unknown: Vec<String>,
}
