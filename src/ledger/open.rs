//! Opening a log that this process has not seen yet: O1 to O5.

use std::sync::Arc;

use bytes::Bytes;

use super::{Ledger, LedgerState, Manifest, Moment, manifest::ManifestHeader};
use crate::model::Result;
use crate::model::paths;
use crate::store::Store;

/// How many commits after the hint are followed one by one before a LIST is asked for the newest.
const FOLLOWED: usize = 3;

impl<S: LedgerState> Ledger<S> {
    /// The newest manifest of a log that this process has not seen yet: what the hint names, if only few
    /// commits followed it, or else by a LIST. `None` when there is no manifest at all.
    pub async fn open(&self, store: &Store) -> Result<Option<Arc<Manifest<S>>>> {
        let hint = self.hint(store).await;
        let head = hint.as_ref().and_then(|bytes| ManifestHeader::decode(&paths::hint(&self.root), bytes).ok());
        if let Some(head) = head
            && let Some(newest) = self.walk_from_hint(store, &head).await?
        {
            return Ok(Some(newest));
        }
        Ok(self.try_load_from(store, self.floor_of(hint)).await?.map(|listing| listing.manifest))
    }

    /// The newest manifest if it is the hinted one or follows closely: the one after it is not there, and the
    /// hinted one is, looked for in this order for the reason that [`Ledger::is_newest`] gives. The hint is
    /// believed in nothing but where to begin: hint and successor may both come of a process that slept, and
    /// the successor lie in a hole. But the older go first: if the hinted one is there in the end, nothing after
    /// it was deleted. `None`, so that a LIST decides, also where one of them cannot be read.
    async fn walk_from_hint(&self, store: &Store, hint: &ManifestHeader) -> Result<Option<Arc<Manifest<S>>>> {
        let hinted = paths::manifest(&self.root, hint.version);
        let (mut version, mut commit, mut followed) = (hint.version, hint.commit, None);
        for _ in 0..=FOLLOWED {
            let began = Moment::now(&self.clock, store);
            let after = paths::manifest(&self.root, version + 1);
            if let Some(bytes) = store.get(&after).await? {
                match ManifestHeader::decode(&after, &bytes) {
                    Ok(head) if head.parent == Some(commit) => {
                        (version, commit, followed) = (version + 1, head.commit, Some((after, bytes)));
                        continue;
                    }
                    _ => return Ok(None),
                }
            }
            let Some(bytes) = store.get(&hinted).await? else { return Ok(None) };
            if ManifestHeader::decode(&hinted, &bytes).ok().map(|head| head.commit) != Some(hint.commit) {
                return Ok(None);
            }
            let (key, bytes) = followed.unwrap_or((hinted, bytes));
            let manifest = Manifest::decode(&key, &bytes, None).ok().filter(|manifest| manifest.version == version);
            let Some(manifest) = manifest.map(Arc::new) else { return Ok(None) };
            self.learn(&manifest, began);
            self.looked_at(began, false);
            return Ok(Some(manifest));
        }
        Ok(None)
    }

    /// The hint, if it can be had.
    pub(super) async fn hint(&self, store: &Store) -> Option<Bytes> {
        store.get(&paths::hint(&self.root)).await.ok().flatten()
    }

    /// Where a LIST may begin according to the hint: 0 without a usable one.
    pub(super) fn floor_of(&self, hint: Option<Bytes>) -> u64 {
        let manifest = hint.and_then(|bytes| Manifest::<S>::decode(&paths::hint(&self.root), &bytes, None).ok());
        manifest.map_or(0, |manifest| manifest.state.list_from(manifest.version))
    }
}
