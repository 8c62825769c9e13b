//! A store in memory, for tests, simulation and trying things out. Ends with the process.
//!
//! Our own and not `object_store`'s: prefixes are bytes as on S3, listings have pages, parts of an
//! upload may come in any order, and times are those of the clock it is given.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::backend::{Backend, BackendError, ListEntry, Page, PutMode};
use crate::model::clock::SharedClock;

/// Keys of a page, as on S3.
const PAGE_KEYS: usize = 1000;

#[derive(Debug)]
struct Object {
    bytes: Bytes,
    modified: i64,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Object>,
    uploads: HashMap<String, BTreeMap<usize, Bytes>>,
    next_upload: u64,
}

#[derive(Debug)]
pub(super) struct MemoryBackend {
    clock: SharedClock,
    state: Mutex<State>,
}

impl MemoryBackend {
    pub(super) fn new(clock: SharedClock) -> Self {
        MemoryBackend { clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn put(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<(), BackendError> {
        let modified = self.clock.now();
        let mut state = self.state();
        if mode != PutMode::Overwrite && state.objects.contains_key(path) {
            return Err(BackendError::Conflict("the object exists".into()));
        }
        state.objects.insert(path.to_owned(), Object { bytes, modified });
        Ok(())
    }

    async fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Bytes, BackendError> {
        let bytes = self.state().objects.get(path).map(|object| object.bytes.clone()).ok_or(BackendError::Absent)?;
        let Some(range) = range else { return Ok(bytes) };
        if range.end > bytes.len() as u64 {
            return Err(BackendError::Short);
        }
        Ok(bytes.slice(range.start as usize..range.end as usize))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, page: Option<&str>) -> Result<Page, BackendError> {
        let from = match page.or(after) {
            Some(last) if last >= prefix => Bound::Excluded(last),
            _ => Bound::Included(prefix),
        };
        let state = self.state();
        let mut entries: Vec<ListEntry> = state
            .objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(path, _)| path.starts_with(prefix))
            .take(PAGE_KEYS + 1)
            .map(|(path, object)| ListEntry {
                path: path.clone(),
                size: object.bytes.len() as u64,
                modified: object.modified,
            })
            .collect();
        let more = entries.len() > PAGE_KEYS;
        entries.truncate(PAGE_KEYS);
        let next = entries.last().filter(|_| more).map(|entry| entry.path.clone());
        Ok(Page { entries, next })
    }

    async fn delete(&self, path: &str) -> Result<(), BackendError> {
        self.state().objects.remove(path);
        Ok(())
    }

    async fn begin_upload(&self, _path: &str) -> Result<String, BackendError> {
        let mut state = self.state();
        state.next_upload += 1;
        let upload = state.next_upload.to_string();
        state.uploads.insert(upload.clone(), BTreeMap::new());
        Ok(upload)
    }

    async fn put_part(&self, _path: &str, upload: &str, index: usize, bytes: Bytes) -> Result<String, BackendError> {
        self.state().uploads.get_mut(upload).ok_or(BackendError::Absent)?.insert(index, bytes);
        Ok(index.to_string())
    }

    async fn complete_upload(&self, path: &str, upload: &str, parts: Vec<String>) -> Result<(), BackendError> {
        let modified = self.clock.now();
        let mut state = self.state();
        let sent = state.uploads.get(upload).ok_or(BackendError::Absent)?;
        if sent.len() != parts.len() {
            return Err(BackendError::Refused(format!("the upload has {} parts, not {}", sent.len(), parts.len())));
        }
        let parts: Vec<&[u8]> = sent.values().map(|part| part.as_ref()).collect();
        let bytes = parts.concat().into();
        state.uploads.remove(upload);
        state.objects.insert(path.to_owned(), Object { bytes, modified });
        Ok(())
    }

    async fn abort_upload(&self, _path: &str, upload: &str) -> Result<(), BackendError> {
        self.state().uploads.remove(upload);
        Ok(())
    }

    fn coalesce_gap(&self) -> u64 {
        // As on S3, so that what a test counts is what S3 would see.
        object_store::OBJECT_STORE_COALESCE_DEFAULT
    }
}
