//! A store whose answers are dated as S3's are, for simulated processes.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::backend::{Backend, BackendError, Page, PutMode};
use super::time::{ClockReading, StoreTime};
use crate::model::clock::SharedClock;

/// A store whose answers are dated by a clock of its own, for one simulated process.
#[derive(Debug)]
pub(super) struct Dated {
    inner: Arc<dyn Backend>,
    time: Arc<StoreTime>,
    process: SharedClock,
    dates: SharedClock,
}

impl Dated {
    pub(super) fn new(inner: Arc<dyn Backend>, time: Arc<StoreTime>, process: SharedClock, dates: SharedClock) -> Self {
        Dated { inner, time, process, dates }
    }

    async fn ask<T>(&self, request: impl Future<Output = Result<T, BackendError>> + Send) -> Result<T, BackendError> {
        let asked = ClockReading::of(self.process.as_ref());
        let answer = request.await;
        let date = self.dates.now().div_euclid(1_000_000_000) * 1_000_000_000;
        self.time.learn(asked, ClockReading::of(self.process.as_ref()), date);
        answer
    }
}

#[async_trait]
impl Backend for Dated {
    async fn put(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<(), BackendError> {
        self.ask(self.inner.put(path, bytes, mode)).await
    }

    async fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Bytes, BackendError> {
        self.ask(self.inner.get(path, range)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, page: Option<&str>) -> Result<Page, BackendError> {
        self.ask(self.inner.list(prefix, after, page)).await
    }

    async fn delete(&self, path: &str) -> Result<(), BackendError> {
        self.ask(self.inner.delete(path)).await
    }

    async fn begin_upload(&self, path: &str) -> Result<String, BackendError> {
        self.ask(self.inner.begin_upload(path)).await
    }

    async fn put_part(&self, path: &str, upload: &str, index: usize, bytes: Bytes) -> Result<String, BackendError> {
        self.ask(self.inner.put_part(path, upload, index, bytes)).await
    }

    async fn complete_upload(&self, path: &str, upload: &str, parts: Vec<String>) -> Result<(), BackendError> {
        self.ask(self.inner.complete_upload(path, upload, parts)).await
    }

    async fn abort_upload(&self, path: &str, upload: &str) -> Result<(), BackendError> {
        self.ask(self.inner.abort_upload(path, upload)).await
    }

    fn coalesce_gap(&self) -> u64 {
        self.inner.coalesce_gap()
    }
}
