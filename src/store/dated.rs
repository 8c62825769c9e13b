//! Where the store's time comes from: the `Date` of each answer over HTTP; in simulations, a clock.

use std::ops::Range;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::raw::{Failure, Page, PutMode, Raw};
use super::time::StoreTime;
use crate::model::clock::{Clock, SharedClock, SystemClock};

/// Connects as the client would by itself, and takes note of the `Date` of each answer.
#[derive(Debug)]
pub(super) struct DatingConnector(pub(super) Arc<StoreTime>);

impl HttpConnector for DatingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(DatingService { inner, time: Arc::clone(&self.0) }))
    }
}

#[derive(Debug)]
struct DatingService {
    inner: HttpClient,
    time: Arc<StoreTime>,
}

#[async_trait]
impl HttpService for DatingService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let asked = SystemClock.elapsed();
        let response = self.inner.execute(request).await?;
        let date = response.headers().get("date").and_then(|date| date.to_str().ok()).and_then(parse_date);
        if let Some(date) = date {
            self.time.learn(asked, SystemClock.elapsed(), date);
        }
        Ok(response)
    }
}

/// A date of HTTP (RFC 9110, section 5.6.7) as nanoseconds since 1970.
fn parse_date(text: &str) -> Option<i64> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

/// A store whose answers are dated by a clock of its own, for one simulated process.
#[derive(Debug)]
pub(super) struct Dated {
    inner: Arc<dyn Raw>,
    time: Arc<StoreTime>,
    process: SharedClock,
    dates: SharedClock,
}

impl Dated {
    pub(super) fn new(inner: Arc<dyn Raw>, time: Arc<StoreTime>, process: SharedClock, dates: SharedClock) -> Self {
        Dated { inner, time, process, dates }
    }

    async fn ask<T>(&self, request: impl Future<Output = Result<T, Failure>> + Send) -> Result<T, Failure> {
        let asked = self.process.elapsed();
        let answer = request.await;
        let date = self.dates.now().div_euclid(1_000_000_000) * 1_000_000_000;
        self.time.learn(asked, self.process.elapsed(), date);
        answer
    }
}

#[async_trait]
impl Raw for Dated {
    async fn put(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<(), Failure> {
        self.ask(self.inner.put(path, bytes, mode)).await
    }

    async fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Bytes, Failure> {
        self.ask(self.inner.get(path, range)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, page: Option<&str>) -> Result<Page, Failure> {
        self.ask(self.inner.list(prefix, after, page)).await
    }

    async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.ask(self.inner.delete(path)).await
    }

    async fn begin_upload(&self, path: &str) -> Result<String, Failure> {
        self.ask(self.inner.begin_upload(path)).await
    }

    async fn put_part(&self, path: &str, upload: &str, index: usize, bytes: Bytes) -> Result<String, Failure> {
        self.ask(self.inner.put_part(path, upload, index, bytes)).await
    }

    async fn complete_upload(&self, path: &str, upload: &str, parts: Vec<String>) -> Result<(), Failure> {
        self.ask(self.inner.complete_upload(path, upload, parts)).await
    }

    async fn abort_upload(&self, path: &str, upload: &str) -> Result<(), Failure> {
        self.ask(self.inner.abort_upload(path, upload)).await
    }

    fn worthwhile_gap(&self) -> u64 {
        self.inner.worthwhile_gap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(parse_date("Tue, 24 Nov 2026 00:00:00 GMT"), Some(1_795_478_400_000_000_000));
        assert_eq!(parse_date("yesterday"), None);
    }
}
