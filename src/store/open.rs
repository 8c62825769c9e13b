//! Opening a store by its URL.

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::aws::S3Config;
use super::backend::Backend;
use super::folder::FolderBackend;
use super::location::{BucketLocation, Location};
use super::memory::MemoryBackend;
use super::s3::S3;
use super::time::StoreTime;
use super::{DEADLINE, MEMORY, Meter, Store, credentials};
use crate::model::clock::{SharedClock, SystemClock};
use crate::model::{Code, Error, Result};

impl Store {
    /// Opens `memory:`, a folder that is there (a path or a `file:` URL) or `s3://bucket/prefix`.
    ///
    /// S3 is configured by the standard AWS variables and profiles alone: endpoint
    /// (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `endpoint_url` of the profile), region (`AWS_REGION`,
    /// `AWS_DEFAULT_REGION`, profile, instance; with an endpoint us-east-1 if there is none), credentials
    /// (keys, profile, web identity, container and instance roles, single sign-on). Nothing is sent to
    /// the store yet.
    ///
    /// Errors: [`Code::BadRequest`] for a URL or a setting that is wrong or missing, [`Code::NoStore`] for a
    /// folder that is missing, [`Code::StoreRefused`] for one that is none or may not be opened,
    /// [`Code::StoreUnavailable`] for credentials that cannot be had.
    pub async fn open(url: &str) -> Result<Store> {
        Store::open_as(url, false).await
    }

    /// The same, but a folder that is missing is made. Those above it have to be there.
    pub async fn open_or_make(url: &str) -> Result<Store> {
        Store::open_as(url, true).await
    }

    async fn open_as(url: &str, make: bool) -> Result<Store> {
        match Location::parse(url)? {
            Location::Memory => Ok(Store::memory()),
            Location::Folder(path) => Store::folder(path, make).await,
            Location::S3(bucket) => Store::s3(&bucket, credentials::from_environment().await?),
        }
    }

    /// An empty store in memory, which ends with its last handle.
    pub fn memory() -> Store {
        Store::memory_with_clock(Arc::new(SystemClock))
    }

    /// An empty store in memory whose times and random pauses come from `clock`.
    pub fn memory_with_clock(clock: SharedClock) -> Store {
        let raw = Arc::new(MemoryBackend::new(Arc::clone(&clock)));
        Store { clock, ..Store::from_raw(raw, MEMORY.to_owned()) }
    }

    async fn folder(path: PathBuf, make: bool) -> Result<Store> {
        let opened = tokio::task::spawn_blocking(move || FolderBackend::open(&path, make, Arc::new(SystemClock))).await;
        let folder = opened.map_err(|error| Error::internal(format!("opening a folder ended early: {error}")))??;
        let url = match Url::from_file_path(folder.root()) {
            Ok(url) => url.to_string(),
            Err(()) => format!("file:{}", folder.root().display()),
        };
        Ok(Store::from_raw(Arc::new(folder), url))
    }

    pub(super) fn s3(bucket: &BucketLocation, settings: S3Config) -> Result<Store> {
        let url = match bucket.prefix.as_str() {
            "" => format!("s3://{}", bucket.name),
            prefix => format!("s3://{}/{prefix}", bucket.name),
        };
        let time = Arc::new(StoreTime::default());
        let s3 = S3::new(bucket, settings, Arc::clone(&time))
            .map_err(|error| Error::new(Code::BadRequest, format!("cannot set up a client for {url}: {error}")))?;
        Ok(Store { time, ..Store::from_raw(Arc::new(s3), url) })
    }

    pub(super) fn from_raw(raw: Arc<dyn Backend>, url: String) -> Store {
        Store {
            raw,
            url: url.into(),
            totals: Arc::new(Meter::new()),
            meter: None,
            refusals: Arc::default(),
            clock: Arc::new(SystemClock),
            time: Arc::default(),
            deadline: DEADLINE,
        }
    }
}

/// There is no store at `place`, and whoever looked makes none.
pub fn no_store(place: &str) -> Error {
    Error::new(Code::NoStore, format!("no SiltDB store at {place}: `siltdb serve --store {place}` makes one"))
}
