//! Whether a commit is in the history: C4.

use std::fmt::Display;

use super::{Ledger, LedgerState, Manifest, Moment, manifest::ManifestHeader, misnumbered};
use crate::model::paths;
use crate::model::{Code, Error, Result};
use crate::store::Store;

/// The error of a commit that may have taken place, or may still.
pub(super) fn unknown(kind: &str, why: &impl Display) -> Error {
    Error::new(Code::OutcomeUnknown, format!("whether commit \"{kind}\" took place is unknown: {why}"))
}

impl<S: LedgerState> Ledger<S> {
    /// What lies at a number, whether or not it is in the history; `None` if nothing does.
    ///
    /// Errors: `Corrupt` if it is no manifest, or another number's.
    pub async fn head(&self, store: &Store, version: u64) -> Result<Option<ManifestHeader>> {
        let key = paths::manifest(self.root(), version);
        let Some(bytes) = store.get(&key).await? else { return Ok(None) };
        let head = ManifestHeader::decode(&key, &bytes)?;
        if head.version == version { Ok(Some(head)) } else { Err(misnumbered(&key, head.version)) }
    }

    /// C4. A number that the collector freed can be created again, far below the newest; only what
    /// the newest manifest descends from has happened.
    pub(super) async fn is_in_history(&self, store: &Store, next: &Manifest<S>) -> Result<bool> {
        let after = paths::log_after(self.root(), next.version);
        let began = Moment::now(&self.clock, store);
        let later = store.list(&paths::log_prefix(self.root()), Some(&after)).await?;
        if later.is_empty() {
            self.looked_at(began, true);
            return Ok(true);
        }
        let newest = self.load(store).await?.manifest;
        self.descends_from(store, &newest, next).await
    }

    /// Whether the newest manifest descends from `next`, which was created, and whose number is not greater.
    /// An error when that is too long ago to tell.
    pub(super) async fn descends_from(&self, store: &Store, newest: &Manifest<S>, next: &Manifest<S>) -> Result<bool> {
        if let Some(known) = newest.remembers(next.version, next.commit) {
            return Ok(known);
        }
        // Nobody builds on what is not in the history: so what follows it says whose number it is.
        let after = paths::manifest(self.root(), next.version + 1);
        if let Some(bytes) = store.get(&after).await? {
            return Ok(ManifestHeader::decode(&after, &bytes)?.parent == Some(next.commit));
        }
        // Something did follow in the history and was deleted, and the older are deleted first. So what is still
        // there is not the one that the history had.
        let own = paths::manifest(self.root(), next.version);
        match store.get(&own).await? {
            Some(bytes) if ManifestHeader::decode(&own, &bytes)?.commit == next.commit => Ok(false),
            _ => Err(Error::new(Code::OutcomeUnknown, "too many others followed it")),
        }
    }
}
