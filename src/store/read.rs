//! Reading and listing.

use std::ops::Range;

use bytes::Bytes;
use object_store::coalesce_ranges;

use super::backend::{BackendError, Glance, ListEntry};
use super::{Cost, Store, check_path};
use crate::model::{Error, Result};

/// Keys of a page of S3's: what one list request is billed for.
const PAGE_KEYS: usize = 1000;

/// How a read of one of several ranges ends early.
enum Stop {
    Absent,
    Failed(Error),
}

impl Store {
    /// Reads an object; `None` if there is none.
    ///
    /// Errors: [`Code::StoreUnavailable`](crate::model::Code::StoreUnavailable);
    /// [`Code::StoreRefused`](crate::model::Code::StoreRefused) when the store refuses: without the right to list a
    /// bucket S3 answers 403 for what is absent.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        check_path(path)?;
        self.read(path, None).await
    }

    /// Reads a range of an object; `None` if there is no object. An empty range is answered without
    /// asking the store.
    ///
    /// Errors: as [`Store::get`]; [`Code::Corrupt`](crate::model::Code::Corrupt) if the object ends
    /// before the range does.
    pub async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        check_path(path)?;
        check_range(path, &range)?;
        if range.is_empty() {
            return Ok(Some(Bytes::new()));
        }
        self.read(path, Some(range)).await
    }

    /// Reads several ranges of an object, in the order given; `None` if there is no object. Ranges less
    /// than 1 MiB apart (on a folder 64 KiB) are read with one request, at most ten requests at a time.
    ///
    /// Errors: as [`Store::get_range`].
    pub async fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Option<Vec<Bytes>>> {
        check_path(path)?;
        for range in ranges {
            check_range(path, range)?;
        }
        let fetch = |range: Range<u64>| async move {
            if range.is_empty() {
                return Ok(Bytes::new());
            }
            self.read(path, Some(range)).await.map_err(Stop::Failed)?.ok_or(Stop::Absent)
        };
        match coalesce_ranges(ranges, fetch, self.raw.coalesce_gap()).await {
            Ok(parts) => Ok(Some(parts)),
            Err(Stop::Absent) => Ok(None),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>> {
        // A body that is short of the range is asked for once more: it may have been cut on the way.
        let deadline = self.deadline_for(range.as_ref().map_or(0, |range| range.end - range.start));
        for attempt in 1.. {
            let result = self.repeat(deadline, || {
                self.count(Cost::get());
                self.raw.get(path, range.clone())
            });
            let bytes = match result.await {
                Ok(bytes) => Some(bytes),
                Err(BackendError::Absent) => return Ok(None),
                Err(BackendError::Short) => None,
                Err(failure) => return Err(self.error("read", path, &failure)),
            };
            let received = bytes.as_ref().map_or(0, Bytes::len);
            self.count(Cost::received(received));
            match (bytes, &range) {
                (Some(bytes), None) => return Ok(Some(bytes)),
                (Some(bytes), Some(range)) if received as u64 == range.end - range.start => return Ok(Some(bytes)),
                _ if attempt == 2 => break,
                _ => {}
            }
        }
        Err(Error::corrupt(path, format!("in {} it ends before the range {range:?}", self.url)))
    }

    /// Lists the objects whose path begins with `prefix` (bytewise, not by folders) and sorts strictly
    /// after `after`: all pages, in ascending byte order of the paths. An object whose create had
    /// succeeded before the call is shown; one that is created or deleted meanwhile may be or not.
    ///
    /// Errors: as [`Store::get`].
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<ListEntry>> {
        if prefix.starts_with('/') || prefix.split('/').any(|segment| segment == "..") {
            return Err(Error::internal(format!("{prefix:?} is not a prefix of objects")));
        }
        let mut found: Vec<ListEntry> = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = self.repeat(self.deadline, || {
                self.count(Cost::lists(1));
                self.raw.list(prefix, after, next.as_deref())
            });
            let page = page.await.map_err(|failure| self.error("list", prefix, &failure))?;
            // A folder gives all at once.
            let further_pages = page.entries.len().saturating_sub(1) / PAGE_KEYS;
            self.count(Cost::lists(further_pages as u64));
            found.extend(page.entries);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        found.retain(|entry| after.is_none_or(|after| *entry.path > *after));
        found.sort_unstable_by(|left, right| left.path.cmp(&right.path));
        Ok(found)
    }

    /// Some of what is there at all, by one request: enough to tell an empty place from others.
    ///
    /// Errors: as [`Store::get`].
    pub async fn glance(&self) -> Result<Glance> {
        let seen = self.repeat(self.deadline, || {
            self.count(Cost::lists(1));
            self.raw.glance()
        });
        seen.await.map_err(|failure| self.error("list", "all objects", &failure))
    }
}

fn check_range(path: &str, range: &Range<u64>) -> Result<()> {
    if range.start > range.end {
        return Err(Error::internal(format!("range {range:?} of {path} ends before it begins")));
    }
    Ok(())
}
