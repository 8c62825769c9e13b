//! Does this store keep what SiltDB rests on? Several that accept `If-None-Match` were found to honour
//! it one request at a time and not under concurrency, so the probe races.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::backend::{BackendError, PutMode};
use super::{CreateOutcome, Store};
use crate::model::paths;
use crate::model::{Code, Error, Result};

/// Changes whenever stores that passed must be probed again.
pub const PROBE_VERSION: u32 = 1;

/// What is kept as the result of a probe that was passed.
const PASSED: &[u8] = b"passed\n";

/// Keys that are raced for, one after another.
const RACES: usize = 8;

/// Creates of one key at a time.
const RACERS: usize = 32;

/// More than the 1,000 keys of a page.
const MANY_KEYS: usize = 1005;

/// Requests under way at once while the many keys are made and removed.
const CONCURRENT: usize = 32;

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// A sentence: what was seen.
    pub detail: String,
}

/// What a probe found. Displays as one line for each check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProbeReport {
    pub checks: Vec<Check>,
}

impl ProbeReport {
    /// Whether SiltDB may write to this store.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }

    fn add(&mut self, name: &'static str, outcome: Outcome) {
        let ok = outcome.is_ok();
        let detail = outcome.unwrap_or_else(|failed| failed);
        self.checks.push(Check { name, ok, detail });
    }
}

impl fmt::Display for ProbeReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let result = if check.ok { "ok    " } else { "FAILED" };
            writeln!(formatter, "{result} {}: {}", check.name, check.detail)?;
        }
        Ok(())
    }
}

/// A sentence for what was seen, good or bad.
type Outcome = Result<String, String>;

/// Tries everything, below `prefix` (empty or ending in `/`), and removes what it made. `random` keeps
/// probes that run at the same time apart.
pub async fn probe(store: &Store, prefix: &str, random: u64) -> ProbeReport {
    let probe = Probe::new(store, prefix, random);
    let mut report = probe.essentials().await;
    report.add("list order", probe.list_order().await);
    report.add("ranged read", probe.ranged_read().await);
    report.add("overwrite", probe.overwrite().await);
    report.add("many keys", probe.many_keys().await);
    report.add("delete", probe.delete().await);
    probe.clean_up().await;
    report
}

/// Makes sure that this store was found good once: reads the result of an earlier probe, or races and
/// lists (some 300 requests) and leaves the result for all who come after.
///
/// Errors: [`Code::StoreUnavailable`], naming the check that failed; [`Code::StoreRefused`] or [`Code::StoreFull`]
/// where nothing can be written.
pub async fn probe_once(store: &Store) -> Result<()> {
    if is_proven(store).await? {
        return Ok(());
    }
    let probe = Probe::new(store, paths::PROBE_PREFIX, store.clock.random());
    // Whoever may not write at all is told so, and not what became of a race.
    if let CreateOutcome::Unknown(error) = store.create(&probe.key("first"), body(0)).await {
        probe.clean_up().await;
        return Err(Error::new(error.code, format!("{} cannot be written: {error}", store.url())));
    }
    let report = probe.essentials().await;
    probe.clean_up().await;
    if let Some(failed) = report.checks.iter().find(|check| !check.ok) {
        let message =
            format!("{} is not a store that SiltDB may write to. {}: {}", store.url(), failed.name, failed.detail);
        return Err(Error::new(Code::StoreUnavailable, message));
    }
    try_write(store).await
}

/// Whether a store that was found good may be written by this process: writes the result of the probe again,
/// which is there already.
///
/// Errors: [`Code::StoreRefused`], [`Code::StoreFull`], [`Code::StoreUnavailable`].
pub async fn try_write(store: &Store) -> Result<()> {
    match store.create(&paths::probe_result(PROBE_VERSION), Bytes::from_static(PASSED)).await {
        CreateOutcome::Created | CreateOutcome::Taken(_) => Ok(()),
        CreateOutcome::Unknown(error) => Err(error),
    }
}

/// Whether this store was found good before.
pub async fn is_proven(store: &Store) -> Result<bool> {
    Ok(store.get(&paths::probe_result(PROBE_VERSION)).await?.is_some())
}

struct Probe<'a> {
    store: &'a Store,
    /// Begins all keys of this run. No folder of its own, for a folder would stay behind.
    prefix: String,
}

/// How one racer fared.
enum Racer {
    Created,
    Refused,
    /// No clear answer.
    Failed(BackendError),
}

impl<'a> Probe<'a> {
    fn new(store: &'a Store, prefix: &str, random: u64) -> Self {
        Probe { store, prefix: format!("{prefix}run-{random:016x}-") }
    }

    fn key(&self, name: impl fmt::Display) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What the protocol cannot do without.
    async fn essentials(&self) -> ProbeReport {
        let mut report = ProbeReport::default();
        report.add("create race", self.races().await);
        report.add("create over existing", self.create_over_existing().await);
        report.add("absent read", self.absent_read().await);
        report.add("list after write", self.list_after_write().await);
        report.add("list start-after", self.list_start_after().await);
        report
    }

    async fn races(&self) -> Outcome {
        for number in 0..RACES {
            let key = self.key(format_args!("race-{number}"));
            self.race(&key).await?;
        }
        Ok(format!("{RACERS} creates of one key at once, {RACES} times: one winner each"))
    }

    /// Creates one key many times at once, with single attempts, for rule S2 would hide a store's lie.
    async fn race(&self, key: &str) -> Result<(), String> {
        let racers = (0..RACERS).map(|number| self.create_once(key, body(number)));
        let fared = futures::future::join_all(racers).await;
        let created: Vec<usize> = fared
            .iter()
            .enumerate()
            .filter_map(|(index, racer)| matches!(racer, Racer::Created).then_some(index))
            .collect();
        let stored = self.read(key).await?;
        let winner = (0..RACERS).find(|number| stored.as_ref() == Some(&body(*number)));
        match (created.as_slice(), winner) {
            ([first], Some(winner)) if *first == winner => Ok(()),
            ([], Some(winner)) if matches!(fared[winner], Racer::Failed(_)) => Ok(()),
            ([], None) => Err(match fared.iter().find_map(Racer::failure) {
                Some(failure) => format!("no create succeeded: {failure}"),
                None => "all creates of an absent key were refused".to_owned(),
            }),
            ([], Some(_)) => Err("a create that was refused has stored its bytes".to_owned()),
            ([_], Some(_)) => Err("another's bytes are stored than those of the create that succeeded".to_owned()),
            ([_], None) => Err("what is stored is not what the create that succeeded has sent".to_owned()),
            (many, _) => Err(format!("{} of {RACERS} creates of one key succeeded", many.len())),
        }
    }

    async fn create_once(&self, key: &str, bytes: Bytes) -> Racer {
        // Half a minute is for a server under the load of the race itself.
        let sent = tokio::time::timeout(Duration::from_secs(30), self.store.send_put(key, bytes, PutMode::Create));
        match sent.await {
            Ok(Ok(())) => Racer::Created,
            Ok(Err(BackendError::Conflict(_))) => Racer::Refused,
            Ok(Err(failure)) => Racer::Failed(failure),
            Err(_) => Racer::Failed(BackendError::Transient("no answer within 30 s".into())),
        }
    }

    async fn create_over_existing(&self) -> Outcome {
        let key = self.key("existing");
        self.create(&key, body(0)).await?;
        if let Racer::Created = self.create_once(&key, body(1)).await {
            return Err("a create over an existing object succeeded".to_owned());
        }
        match self.read(&key).await? {
            Some(stored) if stored == body(0) => Ok("a create over an existing object is refused".to_owned()),
            _ => Err("a create over an existing object has changed it".to_owned()),
        }
    }

    async fn absent_read(&self) -> Outcome {
        match self.store.get(&self.key("absent")).await {
            Ok(None) => Ok("reading an absent object says so (404)".to_owned()),
            Ok(Some(_)) => Err("reading an absent object gives bytes".to_owned()),
            Err(error) => Err(format!(
                "{error}; it must answer 404, for which the bucket's ListBucket permission is needed as well"
            )),
        }
    }

    async fn list_after_write(&self) -> Outcome {
        let keys = self.make_listed().await?;
        let listed = self.list(&self.key("list-"), None).await?;
        if listed == keys { Ok("what was just written is listed".to_owned()) } else { Err(differs(&keys, &listed)) }
    }

    async fn list_start_after(&self) -> Outcome {
        let keys = self.make_listed().await?;
        let listed = self.list(&self.key("list-"), keys.first().map(String::as_str)).await?;
        let expected = &keys[1..];
        if listed == expected {
            Ok("a listing begins strictly after a given key".to_owned())
        } else {
            Err(differs(expected, &listed))
        }
    }

    /// Only told, not demanded: [`Store::list`] sorts.
    async fn list_order(&self) -> Outcome {
        let prefix = self.key("list-");
        let page = self.store.repeat(self.store.deadline, || {
            self.store.count(super::Cost::lists(1));
            self.store.raw.list(&prefix, None, None)
        });
        let page = page.await.map_err(|failure| self.store.error("list", &prefix, &failure).message)?;
        let sorted = page.entries.is_sorted_by(|left, right| left.path <= right.path);
        let order =
            if sorted { "listings come in the order of keys" } else { "listings come unordered, and are sorted" };
        Ok(order.to_owned())
    }

    async fn ranged_read(&self) -> Outcome {
        let key = self.key("range");
        self.create(&key, Bytes::from_static(b"0123456789")).await?;
        match self.store.get_range(&key, 3..7).await {
            Ok(Some(bytes)) if bytes == "3456" => Ok("a range of an object can be read".to_owned()),
            Ok(_) => Err("reading a range gives other bytes".to_owned()),
            Err(error) => Err(error.message),
        }
    }

    async fn overwrite(&self) -> Outcome {
        let key = self.key("overwritten");
        for number in 0..2 {
            self.store.overwrite(&key, body(number)).await.map_err(|error| error.message)?;
            if self.read(&key).await? != Some(body(number)) {
                return Err("what was just written is not what is read".to_owned());
            }
        }
        Ok("an object can be overwritten, and reads give the new bytes".to_owned())
    }

    async fn many_keys(&self) -> Outcome {
        let keys: Vec<String> = (0..MANY_KEYS).map(|number| self.key(format_args!("many-{number:04}"))).collect();
        let creates = stream::iter(&keys).map(|key| self.create(key, body(0))).buffer_unordered(CONCURRENT);
        creates.try_for_each(|()| std::future::ready(Ok(()))).await?;
        let listed = self.list(&self.key("many-"), None).await?;
        if listed == keys {
            Ok(format!("{MANY_KEYS} keys, more than a page, are listed completely"))
        } else {
            Err(differs(&keys, &listed))
        }
    }

    async fn delete(&self) -> Outcome {
        let key = self.key("deleted");
        self.create(&key, body(0)).await?;
        // Twice: deleting what is absent must succeed.
        for _ in 0..2 {
            self.store.delete(&key).await.map_err(|error| error.message)?;
            if self.read(&key).await?.is_some() {
                return Err("a deleted object can still be read".to_owned());
            }
        }
        Ok("a deleted object is absent".to_owned())
    }

    /// Removes all that this run made. What cannot be removed stays and harms nobody; that deleting
    /// does not work, its check says.
    async fn clean_up(&self) {
        let Ok(entries) = self.store.list(&self.prefix, None).await else { return };
        let removals = stream::iter(entries).map(|entry| async move { self.store.delete(&entry.path).await });
        removals.buffer_unordered(CONCURRENT).for_each(|_| async {}).await;
    }

    /// Makes a few keys to list, if they are not there yet, and returns them in order.
    async fn make_listed(&self) -> Result<Vec<String>, String> {
        let keys: Vec<String> = ["1", "2", "3"].into_iter().map(|name| self.key(format_args!("list-{name}"))).collect();
        // Not in the order of keys, in which they must be listed.
        for key in keys.iter().rev() {
            self.create(key, body(0)).await?;
        }
        Ok(keys)
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<(), String> {
        match self.store.create(key, bytes).await {
            CreateOutcome::Created => Ok(()),
            CreateOutcome::Taken(_) => Err(format!("object {key}, which nobody made, exists")),
            CreateOutcome::Unknown(error) => Err(error.message),
        }
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>, String> {
        self.store.get(key).await.map_err(|error| error.message)
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, String> {
        let entries = self.store.list(prefix, after).await.map_err(|error| error.message)?;
        Ok(entries.into_iter().map(|entry| entry.path).collect())
    }
}

impl Racer {
    fn failure(&self) -> Option<&BackendError> {
        match self {
            Racer::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}

fn body(number: usize) -> Bytes {
    format!("probe of SiltDB, writer {number}\n").into()
}

fn differs(expected: &[String], listed: &[String]) -> String {
    match expected.iter().find(|key| !listed.contains(key)) {
        Some(missing) => format!("listing shows {} keys of {}: {missing} is missing", listed.len(), expected.len()),
        None => format!("listing shows {} keys where {} were written", listed.len(), expected.len()),
    }
}
