//! The commit protocol: numbered manifests, created if absent, never changed.
//!
//! In: a state and what to make of it. Out: the newest manifest, proven; a commit that is in the
//! history for ever, or an error. Invariants: version numbers are dense, each manifest's parent is
//! the one before; a commit reported as successful stays; the hint is a lower bound for LIST and
//! never an authority. Never: what the state means.
//!
//! Steps C1 to C5 and their reasons: the crate's front page, section "The protocol".

mod commit;
mod manifest;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::model::{Code, Error, Result, clock::SharedClock};
use crate::store::{
    Store,
    paths::{self, LogName, SegmentName},
};

pub use commit::Step;
pub use manifest::{CommitId, Manifest, decompress};

use manifest::Head;

/// A proof that a manifest was the newest stays good this long: none is deleted that is not several times as
/// old.
pub const PROOF_AGE: Duration = Duration::from_secs(60);

/// How many commits after the hint are followed one by one before a LIST is asked for the newest.
const FOLLOWED: usize = 3;

/// How often a load starts over when objects vanish under it.
const LOAD_ATTEMPTS: usize = 4;

/// What a ledger keeps.
pub trait State: Serialize + DeserializeOwned + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The log number a LIST has to begin at to show all that still matters.
    fn list_from(&self, version: u64) -> u64;

    /// Whether another commit is about to follow, so that a hint at this one would be worth nothing.
    fn is_passing(&self) -> bool {
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
    fn proven(self) -> Proven<S> {
        Proven { manifest: self.manifest, when: self.began }
    }
}

/// When something was proven: by the clock that never goes back, and by the one that does not stand still
/// while the process does (a laptop that was closed, a function that was frozen).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    monotonic: Instant,
    /// Nanoseconds since 1970.
    wall: i64,
}

impl Moment {
    fn now(clock: &SharedClock) -> Moment {
        Moment { monotonic: Instant::now(), wall: clock.now() }
    }

    /// Whether either clock says that it is longer ago, or the wall clock went back.
    fn is_older_than(&self, age: Duration, clock: &SharedClock) -> bool {
        let wall = clock.now().checked_sub(self.wall).and_then(|passed| u64::try_from(passed).ok());
        self.monotonic.elapsed() >= age || wall.is_none_or(|passed| Duration::from_nanos(passed) >= age)
    }
}

/// The newest manifest this process knows, and when that was last proven.
#[derive(Debug)]
struct Proven<S> {
    manifest: Arc<Manifest<S>>,
    when: Moment,
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
    hinted: Mutex<Hinted>,
}

/// What this process has told others by the hint.
#[derive(Debug, Default)]
struct Hinted {
    when: Option<Instant>,
    /// Whether it has committed since.
    is_behind: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these mutexes guard is replaced whole, so a panic elsewhere cannot leave it half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: State> Ledger<S> {
    /// A handle on the log below `root` (which ends in `/`). Asks the store nothing.
    pub fn new(root: impl Into<String>, clock: SharedClock) -> Self {
        Ledger { root: root.into(), clock, known: Mutex::new(None), hinted: Mutex::default() }
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

    /// The newest manifest of a log that this process has not seen yet: what the hint names, if only few
    /// commits followed it, or else by a LIST. `None` when there is no manifest at all.
    pub async fn open(&self, store: &Store) -> Result<Option<Arc<Manifest<S>>>> {
        let hint = self.hint(store).await;
        let head = hint.as_ref().and_then(|bytes| Head::decode(&paths::hint(&self.root), bytes).ok());
        if let Some(head) = head
            && let Some(newest) = self.follow(store, &head).await?
        {
            return Ok(Some(newest));
        }
        Ok(self.try_load_from(store, self.floor_of(hint)).await?.map(|listing| listing.manifest))
    }

    /// The newest manifest if it is the hinted one or follows closely: the one after it is not there, and the
    /// hinted one is, looked for in this order for the reason that [`Ledger::is_newest`] gives. The hint is
    /// believed in nothing but where to begin: hint and successor may both come of a process that slept, and
    /// the successor lie in a hole. But the older go first: if the hinted one is there in the end, nothing after
    /// it was deleted.
    async fn follow(&self, store: &Store, hint: &Head) -> Result<Option<Arc<Manifest<S>>>> {
        let hinted = paths::manifest(&self.root, hint.version);
        let (mut version, mut commit, mut followed) = (hint.version, hint.commit, None);
        for _ in 0..=FOLLOWED {
            let began = Moment::now(&self.clock);
            let after = paths::manifest(&self.root, version + 1);
            if let Some(bytes) = store.get(&after).await? {
                // Whether a damaged one is the newest, and so needed, a LIST has to tell.
                let Ok(head) = Head::decode(&after, &bytes) else { return Ok(None) };
                if head.parent != Some(commit) {
                    return Ok(None);
                }
                (version, commit, followed) = (version + 1, head.commit, Some((after, bytes)));
                continue;
            }
            let Some(bytes) = store.get(&hinted).await? else { return Ok(None) };
            if !Head::decode(&hinted, &bytes).is_ok_and(|head| head.commit == hint.commit) {
                return Ok(None);
            }
            let (key, bytes) = followed.unwrap_or((hinted, bytes));
            let manifest = Arc::new(Manifest::decode(&key, &bytes, None)?);
            if manifest.version != version {
                return Err(misnumbered(&key, manifest.version));
            }
            self.learn(&manifest, began);
            return Ok(Some(manifest));
        }
        Ok(None)
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
        if let Some(known) = self.proven_within(age) {
            return Ok(known.manifest);
        }
        match self.cached() {
            Some(manifest) if self.is_newest(store, &manifest).await? => Ok(manifest),
            Some(_) => Ok(self.load(store).await?.manifest),
            None => self.current(store).await,
        }
    }

    /// The cached manifest if it was the newest at some moment within the last `age`.
    fn proven_within(&self, age: Duration) -> Option<Proven<S>> {
        lock(&self.known).clone().filter(|known| !known.when.is_older_than(age, &self.clock))
    }

    /// Whether no manifest follows `manifest`, by one GET (two when the last proof is old: then the
    /// absence of the next one proves nothing unless this one is still there).
    pub async fn is_newest(&self, store: &Store, manifest: &Manifest<S>) -> Result<bool> {
        let began = Moment::now(&self.clock);
        if store.get(&paths::manifest(&self.root, manifest.version + 1)).await?.is_some() {
            return Ok(false);
        }
        // Judged afterwards: the process may have been frozen while it waited.
        let stale = match lock(&self.known).as_ref() {
            Some(known) => {
                known.manifest.version != manifest.version || known.when.is_older_than(PROOF_AGE, &self.clock)
            }
            None => true,
        };
        if stale {
            // After the next one: collectors delete the older first, so if this one is there, the next one
            // was not deleted before it was asked for.
            let own = paths::manifest(&self.root, manifest.version);
            let Some(bytes) = store.get(&own).await? else { return Ok(false) };
            if Head::decode(&own, &bytes)?.commit != manifest.commit {
                return Err(self.went_back(manifest.version));
            }
        }
        self.prove(manifest, began);
        Ok(true)
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

    fn went_back(&self, version: u64) -> Error {
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
            let began = Moment::now(&self.clock);
            let listed = self.list(store, from).await?;
            let Some(newest) = listed.newest else {
                // A hint may lie; the beginning of the log does not.
                if from > 0 && before.is_none() {
                    from = 0;
                    continue;
                }
                return match before {
                    Some(manifest) => Err(self.went_back(manifest.version)),
                    None => Ok(None),
                };
            };
            if let Some(before) = before.as_ref().filter(|before| before.version > newest) {
                return Err(self.went_back(before.version));
            }
            let Some(manifest) = self.fetch(store, newest, before.as_ref()).await? else { continue };
            let floor = manifest.state.list_from(manifest.version);
            if floor < from {
                // Only a hint that lies leads beyond it, and past segments.
                from = floor;
                continue;
            }
            self.learn(&manifest, began);
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

    /// The hint, if it can be had.
    async fn hint(&self, store: &Store) -> Option<Bytes> {
        store.get(&paths::hint(&self.root)).await.ok().flatten()
    }

    /// Where a LIST may begin according to the hint: 0 without a usable one.
    fn floor_of(&self, hint: Option<Bytes>) -> u64 {
        let manifest = hint.and_then(|bytes| Manifest::<S>::decode(&paths::hint(&self.root), &bytes, None).ok());
        manifest.map_or(0, |manifest| manifest.state.list_from(manifest.version))
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
