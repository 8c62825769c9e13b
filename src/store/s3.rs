//! S3 and what speaks its language, by `object_store`'s client, which repeats nothing here: retries
//! are the room's own, so that each is counted and none hides what an earlier one may have done.

use std::error::Error as StdError;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryFutureExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{ClientOptions, GetOptions, GetRange, ObjectStore, PutOptions, RetryConfig};

use super::aws::{S3Config, Unobtainable};
use super::backend::{Backend, BackendError, ListEntry, Page, PutMode};
use super::dated::DatingConnector;
use super::location::BucketLocation;
use super::time::StoreTime;

#[derive(Debug)]
pub(super) struct S3 {
    client: Arc<AmazonS3>,
    /// Goes before every path: empty or ending in `/`.
    prefix: String,
}

impl S3 {
    /// A client of a bucket; the dates of its answers go to `time`.
    pub(super) fn new(bucket: &BucketLocation, settings: S3Config, time: Arc<StoreTime>) -> object_store::Result<S3> {
        let plain_http = settings.endpoint.as_deref().is_some_and(is_plain_http);
        let options = ClientOptions::new()
            .with_allow_http(plain_http)
            .with_connect_timeout(Duration::from_secs(4))
            // Ours are shorter; this one is for what outlives them.
            .with_timeout(Duration::from_secs(180))
            // Below the time after which S3 closes an idle connection.
            .with_pool_idle_timeout(Duration::from_secs(15));
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        // With a dot in its name a bucket has no certificate as a host.
        let as_host = settings.endpoint.is_none() && !bucket.name.contains('.');
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&bucket.name)
            .with_region(settings.region)
            .with_credentials(settings.credentials)
            .with_virtual_hosted_style_request(as_host)
            .with_client_options(options)
            .with_http_connector(DatingConnector(time))
            .with_retry(retry);
        if let Some(endpoint) = settings.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let prefix = if bucket.prefix.is_empty() { String::new() } else { format!("{}/", bucket.prefix) };
        Ok(S3 { client: Arc::new(builder.build()?), prefix })
    }

    /// The key of a path. Keys are taken as they are: `Path::from` would encode `~`.
    fn key(&self, path: &str) -> Result<Path, BackendError> {
        Path::parse(format!("{}{path}", self.prefix)).map_err(|error| BackendError::Refused(error.to_string()))
    }
}

fn is_plain_http(endpoint: &str) -> bool {
    endpoint.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
}

#[async_trait]
impl Backend for S3 {
    async fn put(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<(), BackendError> {
        let mode = match mode {
            PutMode::Create | PutMode::CreateBeside => object_store::PutMode::Create,
            PutMode::Overwrite => object_store::PutMode::Overwrite,
        };
        let options = PutOptions { mode, ..PutOptions::default() };
        self.client.put_opts(&self.key(path)?, bytes.into(), options).await.map_err(classify)?;
        Ok(())
    }

    async fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Bytes, BackendError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let answer = self.client.get_opts(&self.key(path)?, options).await.map_err(classify)?;
        let expected = answer.range.end - answer.range.start;
        let bytes = answer.bytes().await.map_err(classify)?;
        if bytes.len() as u64 != expected {
            return Err(BackendError::Transient(format!("the body has {} bytes of {expected}", bytes.len())));
        }
        Ok(bytes)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, page: Option<&str>) -> Result<Page, BackendError> {
        let prefix = format!("{}{prefix}", self.prefix);
        let options = PaginatedListOptions {
            offset: after.filter(|_| page.is_none()).map(|after| format!("{}{after}", self.prefix)),
            page_token: page.map(str::to_owned),
            ..PaginatedListOptions::default()
        };
        let prefix = Some(prefix.as_str()).filter(|prefix| !prefix.is_empty());
        let answer = self.client.list_paginated(prefix, options).await.map_err(classify)?;
        let entries = answer.result.objects.into_iter().filter_map(|object| {
            Some(ListEntry {
                path: object.location.as_ref().strip_prefix(self.prefix.as_str())?.to_owned(),
                size: object.size,
                modified: object.last_modified.timestamp_nanos_opt().unwrap_or(0),
            })
        });
        Ok(Page { entries: entries.collect(), next: answer.page_token })
    }

    async fn delete(&self, path: &str) -> Result<(), BackendError> {
        let key = self.key(path)?;
        let mut deleted = self.client.delete_stream(stream::iter([Ok(key)]).boxed());
        match deleted.next().await {
            Some(Err(error)) => match classify(error) {
                BackendError::Absent => Ok(()),
                failure => Err(failure),
            },
            _ => Ok(()),
        }
    }

    async fn begin_upload(&self, path: &str) -> Result<String, BackendError> {
        self.client.create_multipart(&self.key(path)?).await.map_err(classify)
    }

    async fn put_part(&self, path: &str, upload: &str, index: usize, bytes: Bytes) -> Result<String, BackendError> {
        let key = self.key(path)?;
        let part = self.client.put_part(&key, &upload.to_owned(), index, bytes.into()).await;
        part.map(|part| part.content_id).map_err(classify)
    }

    async fn complete_upload(&self, path: &str, upload: &str, parts: Vec<String>) -> Result<(), BackendError> {
        let key = self.key(path)?;
        let parts = parts.into_iter().map(|content_id| PartId { content_id }).collect();
        self.client.complete_multipart(&key, &upload.to_owned(), parts).await.map_err(classify)?;
        Ok(())
    }

    async fn abort_upload(&self, path: &str, upload: &str) -> Result<(), BackendError> {
        let key = self.key(path)?;
        self.client.abort_multipart(&key, &upload.to_owned()).map_err(classify).await
    }

    fn coalesce_gap(&self) -> u64 {
        object_store::OBJECT_STORE_COALESCE_DEFAULT
    }
}

/// What an error of the client means. Its types tell too little (a failed delete is "generic" whatever
/// its status), so the status and S3's own code are read from its text.
fn classify(error: object_store::Error) -> BackendError {
    let text = causes(&error).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let code = between(&text, "<Code>", "</Code>");
    let why = summary(&error, &text, code);
    if code == Some("NoSuchBucket") {
        return BackendError::Refused("the bucket does not exist".into());
    }
    if matches!(code, Some("RequestTimeout" | "SlowDown" | "InternalError")) {
        return BackendError::Transient(why);
    }
    if was_not_sent(&error) {
        return BackendError::Unsent(why);
    }
    use object_store::Error as Client;
    match error {
        Client::NotFound { .. } => BackendError::Absent,
        Client::AlreadyExists { .. } | Client::Precondition { .. } | Client::NotModified { .. } => {
            BackendError::Conflict(why)
        }
        Client::Generic { .. } | Client::JoinError { .. } => match status(&text) {
            Some(404) => BackendError::Absent,
            Some(409 | 412) => BackendError::Conflict(why),
            Some(416) => BackendError::Short,
            Some(408 | 429) => BackendError::Transient(why),
            Some(300..=499) => BackendError::Refused(why),
            // One key of a batch of deletes has no status.
            _ if text.contains("(code: AccessDenied)") => BackendError::Refused(why),
            _ if text.contains("Received redirect without LOCATION") => {
                BackendError::Refused("the bucket is in another region: set AWS_REGION".into())
            }
            _ => BackendError::Transient(why),
        },
        _ => BackendError::Refused(why),
    }
}

/// An error and those beneath it.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

/// Whether the request never reached the server.
fn was_not_sent(error: &object_store::Error) -> bool {
    causes(error).any(|cause| {
        let no_connection = |error: &HttpError| error.kind() == HttpErrorKind::Connect;
        cause.is::<Unobtainable>() || cause.downcast_ref().is_some_and(no_connection)
    })
}

/// Says why in few words. An answer's body is not repeated as a whole, for it may hold an access key
/// and a signature.
fn summary(error: &object_store::Error, text: &str, code: Option<&str>) -> String {
    let message = between(text, "<Message>", "</Message>").unwrap_or("");
    match (status(text), code) {
        (Some(status), Some(code)) => format!("{status} {code}: {message}"),
        (Some(status), None) => format!("the store answered with status {status}"),
        (None, _) => causes(error).last().map(ToString::to_string).unwrap_or_default(),
    }
}

/// The HTTP status in an error's text.
fn status(text: &str) -> Option<u16> {
    let (_, after) = text.split_once("status code: ")?;
    after.get(..3)?.parse().ok()
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(open)?;
    Some(after.split_once(close)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn errors_of_the_client_are_told_apart() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>The signature is wrong</Message>\
                    <AWSAccessKeyId>AKIASECRET</AWSAccessKeyId></Error>";
        let refused = classify(generic(&format!("Server returned non-2xx status code: 403 Forbidden: {body}")));
        assert_eq!(refused, BackendError::Refused("403 SignatureDoesNotMatch: The signature is wrong".into()));
        let slow = "Server returned non-2xx status code: 503 Slow: <Code>SlowDown</Code><Message>m</Message>";
        assert!(matches!(classify(generic(slow)), BackendError::Transient(_)));
        assert!(matches!(classify(generic("operation timed out")), BackendError::Transient(_)));
        assert!(matches!(classify(generic("status code: 416 x")), BackendError::Short));
        assert!(matches!(classify(generic("status code: 400 x")), BackendError::Refused(_)));
        let absent = |body: &str| object_store::Error::NotFound { path: "k".into(), source: body.to_owned().into() };
        assert_eq!(classify(absent("status code: 404 x: <Code>NoSuchKey</Code>")), BackendError::Absent);
        assert!(matches!(classify(absent("status code: 404 x: <Code>NoSuchBucket</Code>")), BackendError::Refused(_)));
    }
}
