//! Where the store's time comes from: the `Date` of each answer over HTTP.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::time::{ClockReading, StoreTime};
use crate::model::clock::SystemClock;

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
        let asked = ClockReading::of(&SystemClock);
        let response = self.inner.execute(request).await?;
        let date = response.headers().get("date").and_then(|date| date.to_str().ok()).and_then(parse_date);
        // An error may be the answer of something that stands between, with a clock of its own.
        if let Some(date) = date.filter(|_| is_of_the_store(response.status().as_u16())) {
            self.time.learn(asked, ClockReading::of(&SystemClock), date);
        }
        Ok(response)
    }
}

/// Whether a status is one that a store answers with when it has looked at its objects.
fn is_of_the_store(status: u16) -> bool {
    matches!(status, 200..=299 | 304 | 404 | 409 | 412 | 416)
}

/// A date of HTTP (RFC 9110, section 5.6.7) as nanoseconds since 1970.
fn parse_date(text: &str) -> Option<i64> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
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
