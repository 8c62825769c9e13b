//! One request to a store, tried once: what memory, a folder and S3 have in common. Retries, rule
//! S2 and counting are the caller's.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::Code;

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// Relative to the store's root.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, by the store's clock: nanoseconds since 1970.
    pub modified: i64,
}

/// Some of what a store holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    /// Paths of objects, in no order.
    pub paths: Vec<String>,
    /// Whether there are more.
    pub more: bool,
}

/// One answer to a listing.
#[derive(Debug)]
pub(super) struct Page {
    pub entries: Vec<ListEntry>,
    /// What to ask the next page with; `None` on the last.
    pub next: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PutMode {
    /// Only if nothing is there.
    Create,
    /// The same, beside objects that are known to be there: where folders are real, this one's is not made.
    CreateBeside,
    Overwrite,
}

/// Why one request did not succeed. The texts go into messages and hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BackendError {
    /// "It exists", or "something else happened to the key meanwhile" (409, 412): it proves nothing
    /// about what is there now.
    Conflict(String),
    /// There is no such object (404).
    Absent,
    /// The object ends before the range that was asked for.
    Short,
    /// Time-out, broken connection, 5xx, 429: the request may have been applied, or be applied later.
    Transient(String),
    /// The request never left: no connection, no credentials, no room. The same may work later.
    Unsent(String),
    /// A definite no: this request was not applied, and the same again would be refused again.
    Refused(String),
    /// No room: this request was not applied, nor would the same be before somebody has made room.
    Full(String),
    /// It cannot be known whether the request was applied, and trying again would not tell.
    Lost(String),
}

impl BackendError {
    /// Whether the same request may succeed later. A conflict is among these where no condition was sent.
    pub(super) fn is_retryable(&self) -> bool {
        matches!(self, BackendError::Transient(_) | BackendError::Unsent(_) | BackendError::Conflict(_))
    }

    /// What the caller is told of a request that was certainly not applied.
    pub(super) fn code(&self) -> Code {
        match self {
            BackendError::Refused(_) => Code::StoreRefused,
            BackendError::Full(_) => Code::StoreFull,
            _ => Code::StoreUnavailable,
        }
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackendError::Conflict(why) => write!(formatter, "conflict: {why}"),
            BackendError::Absent => formatter.write_str("no such object"),
            BackendError::Short => formatter.write_str("the object is shorter than expected"),
            BackendError::Transient(why)
            | BackendError::Unsent(why)
            | BackendError::Refused(why)
            | BackendError::Full(why)
            | BackendError::Lost(why) => formatter.write_str(why),
        }
    }
}

/// Bytes of every part of an upload but the last. Some stores want all parts equal.
pub(super) const PART_BYTES: usize = 8 << 20;

#[async_trait]
pub(super) trait Backend: Send + Sync + fmt::Debug {
    async fn put(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<(), BackendError>;

    /// The whole object, or a non-empty range of it.
    async fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Bytes, BackendError>;

    /// Objects whose path begins with `prefix` (bytewise) and sorts after `after`. `page` is
    /// [`Page::next`] of the page before.
    async fn list(&self, prefix: &str, after: Option<&str>, page: Option<&str>) -> Result<Page, BackendError>;

    /// What is there at all, as far as one page shows it.
    async fn glance(&self) -> Result<Glance, BackendError> {
        let page = self.list("", None, None).await?;
        let paths = page.entries.into_iter().map(|entry| entry.path).collect();
        Ok(Glance { paths, more: page.next.is_some() })
    }

    /// Deletes an object; that it is absent already is success.
    async fn delete(&self, path: &str) -> Result<(), BackendError>;

    /// Begins an upload and returns its name.
    async fn begin_upload(&self, path: &str) -> Result<String, BackendError>;

    /// Sends part `index`, of [`PART_BYTES`] unless it is the last, and returns the store's name for
    /// it. Parts may come in any order and more than once.
    async fn put_part(&self, path: &str, upload: &str, index: usize, bytes: Bytes) -> Result<String, BackendError>;

    /// Makes the object visible, all parts at once. [`BackendError::Absent`]: there is no such upload (any more).
    async fn complete_upload(&self, path: &str, upload: &str, parts: Vec<String>) -> Result<(), BackendError>;

    async fn abort_upload(&self, path: &str, upload: &str) -> Result<(), BackendError>;

    /// Ranges no further apart than this many bytes are cheaper to read as one.
    fn coalesce_gap(&self) -> u64;
}
