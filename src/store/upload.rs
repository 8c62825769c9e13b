//! Large objects, sent as they are produced.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::backend::{Backend, BackendError, PART_BYTES};
use super::{Cost, CreateOutcome, Store, check_path};
use crate::model::{Code, Error, Result};

/// Parts on their way at once. With the one that is being filled, an upload holds 32 MiB at most.
const PARTS_IN_FLIGHT: usize = 3;

/// An immutable object of any size under construction. Nothing is visible before [`Upload::finish`]
/// returns, and nothing ever if it is dropped.
///
/// Up to 8 MiB become one create. More become a multipart upload in parts of 8 MiB; on a folder, a
/// temporary file that is fsynced and linked to its name. S3 finishes an upload without a condition,
/// so the path must be unique: it holds random bits that no one else can have drawn.
#[derive(Debug)]
#[must_use]
pub struct Upload {
    store: Store,
    path: String,
    pending: BytesMut,
    size: u64,
    /// Name of the multipart upload, once there is one.
    name: Option<String>,
    /// The store's names of the parts so far; `None` while one is on its way.
    parts: Vec<Option<String>>,
    in_flight: JoinSet<Result<(usize, String), BackendError>>,
}

impl Store {
    /// Begins a large immutable object under a unique path. Sends nothing yet.
    pub fn upload(&self, path: &str) -> Result<Upload> {
        check_path(path)?;
        Ok(Upload {
            store: self.clone(),
            path: path.to_owned(),
            pending: BytesMut::new(),
            size: 0,
            name: None,
            parts: Vec::new(),
            in_flight: JoinSet::new(),
        })
    }
}

impl Upload {
    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds bytes at the end. Waits while too many parts are on their way.
    ///
    /// Errors: [`Code::StoreUnavailable`], [`Code::StoreFull`], [`Code::StoreRefused`]; the upload is then good
    /// for nothing but dropping.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.size += bytes.len() as u64;
        self.pending.extend_from_slice(&bytes);
        // "Larger than", so that the last part is never empty and 8 MiB are still one create.
        while self.pending.len() > PART_BYTES {
            let part = self.pending.split_to(PART_BYTES).freeze();
            self.send_part(part).await?;
        }
        Ok(())
    }

    /// Makes the object visible, and durable, with all that was written. Returns its size in bytes.
    ///
    /// Errors: [`Code::StoreUnavailable`] or [`Code::OutcomeUnknown`]: nobody may refer to the object,
    /// though it may exist. [`Code::Internal`] if the path was not unique.
    pub async fn finish(mut self) -> Result<u64> {
        let last = std::mem::take(&mut self.pending).freeze();
        if self.name.is_none() {
            return match self.store.create(&self.path, last).await {
                CreateOutcome::Created => Ok(self.size),
                CreateOutcome::Taken(_) => Err(Error::internal(format!("object {} exists already", self.path))),
                CreateOutcome::Unknown(error) => Err(error),
            };
        }
        self.send_part(last).await?;
        while !self.in_flight.is_empty() {
            self.await_part().await?;
        }
        self.complete().await?;
        self.name = None;
        Ok(self.size)
    }

    /// Gives up: removes what was sent. Dropping does the same in the background.
    pub async fn abort(mut self) {
        self.in_flight.shutdown().await;
        if let Some(name) = self.name.take() {
            discard(&self.store, &self.path, &name).await;
        }
    }

    async fn send_part(&mut self, part: Bytes) -> Result<()> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => self.begin().await?,
        };
        while self.in_flight.len() >= PARTS_IN_FLIGHT {
            self.await_part().await?;
        }
        let index = self.parts.len();
        self.parts.push(None);
        let (store, path) = (self.store.clone(), self.path.clone());
        self.in_flight.spawn(async move {
            // The others share the line.
            let deadline = store.deadline_for((part.len() * PARTS_IN_FLIGHT) as u64);
            let sent = store.repeat(deadline, || {
                store.count(Cost::put(part.len()));
                store.raw.put_part(&path, &name, index, part.clone())
            });
            sent.await.map(|part| (index, part))
        });
        Ok(())
    }

    async fn begin(&mut self) -> Result<String> {
        let store = &self.store;
        let begun = store.repeat(store.deadline, || {
            store.count(Cost::put(0));
            store.raw.begin_upload(&self.path)
        });
        let name = begun.await.map_err(|failure| self.failed(&failure))?;
        self.name = Some(name.clone());
        Ok(name)
    }

    async fn await_part(&mut self) -> Result<()> {
        match self.in_flight.join_next().await {
            None => Ok(()),
            Some(Ok(Ok((index, part)))) => {
                self.parts[index] = Some(part);
                Ok(())
            }
            Some(Ok(Err(failure))) => Err(self.failed(&failure)),
            Some(Err(error)) => Err(Error::internal(format!("upload of {} ended early: {error}", self.path))),
        }
    }

    fn failed(&self, failure: &BackendError) -> Error {
        let error = self.store.error("upload", &self.path, failure);
        self.store.refusals.note_error(&error);
        error
    }

    async fn complete(&self) -> Result<()> {
        let (store, path) = (&self.store, self.path.as_str());
        let Some(name) = &self.name else { return Ok(()) };
        let parts: Option<Vec<String>> = self.parts.iter().cloned().collect();
        let parts = parts.ok_or_else(|| Error::internal(format!("upload of {path} lacks a part")))?;
        let mut attempts = store.attempts(store.deadline);
        let mut in_doubt = false;
        loop {
            store.count(Cost::put(0));
            let completed = attempts.run(store.raw.complete_upload(path, name, parts.clone())).await;
            let Err(failure) = completed else {
                store.refusals.note_success();
                return Ok(());
            };
            // The upload has gone, or the name is taken: by an earlier attempt of ours whose answer was lost?
            if in_doubt && is_no(&failure) {
                let listed = store.list(path, None).await?;
                if listed.iter().any(|entry| entry.path == path && entry.size == self.size) {
                    return Ok(());
                }
            }
            in_doubt |= !matches!(failure, BackendError::Unsent(_));
            let may_heal = matches!(failure, BackendError::Transient(_) | BackendError::Unsent(_));
            if !may_heal || !attempts.pause().await {
                let code = if may_heal && in_doubt { Code::OutcomeUnknown } else { failure.code() };
                let error = Error { code, ..store.error("finish the upload of", path, &failure) };
                store.refusals.note_error(&error);
                return Err(error);
            }
        }
    }
}

/// Whether the store has said that it did not finish an upload.
fn is_no(failure: &BackendError) -> bool {
    matches!(
        failure,
        BackendError::Absent | BackendError::Conflict(_) | BackendError::Refused(_) | BackendError::Full(_)
    )
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Parts that were sent and never completed cost money for ever, or lie in the folder.
        let Some(name) = self.name.take() else { return };
        self.in_flight.abort_all();
        if let Ok(runtime) = Handle::try_current() {
            let (store, path) = (self.store.clone(), std::mem::take(&mut self.path));
            runtime.spawn(async move { discard(&store, &path, &name).await });
        }
    }
}

/// Aborts a multipart upload. One that cannot be is left to the bucket's lifecycle rule.
async fn discard(store: &Store, path: &str, name: &str) {
    let raw: &Arc<dyn Backend> = &store.raw;
    let aborted = store.repeat(store.deadline.min(Duration::from_secs(5)), || {
        store.count(Cost::delete());
        raw.abort_upload(path, name)
    });
    if let Err(failure) = aborted.await {
        tracing::warn!(path, "an unfinished upload could not be removed: {failure}");
    }
}
