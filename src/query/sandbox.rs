//! Where DataFusion looks for files: nowhere. The scan brings its own readers; what slips through
//! every other check still finds one store that holds nothing and takes nothing.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    common::{Result, plan_err},
    execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl},
    object_store::{
        CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
        PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult, path::Path,
    },
};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use url::Url;

/// The only address that resolves: the scans name it and never use it.
const ADDRESS: &str = "siltdb://data";

/// The address that scans are built with.
pub fn address() -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse(ADDRESS)
}

/// A registry with exactly one store, to which nothing can be added.
#[derive(Debug, Default)]
pub struct ClosedRegistry;

impl ObjectStoreRegistry for ClosedRegistry {
    fn register_store(&self, _: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        Some(store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if url.scheme() == "siltdb" {
            return Ok(Arc::new(NoStore));
        }
        plan_err!("files and other stores cannot be reached from SQL: {url}")
    }
}

/// A store that refuses everything.
#[derive(Debug)]
struct NoStore;

impl std::fmt::Display for NoStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("no store")
    }
}

fn refused<T>() -> StoreResult<T> {
    Err(Error::NotSupported { source: "files cannot be reached from SQL".into() })
}

#[async_trait]
impl ObjectStore for NoStore {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> StoreResult<PutResult> {
        refused()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> StoreResult<Box<dyn MultipartUpload>> {
        refused()
    }

    async fn get_opts(&self, _: &Path, _: GetOptions) -> StoreResult<GetResult> {
        refused()
    }

    fn delete_stream(&self, _: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        stream::once(async { refused() }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        stream::once(async { refused() }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> StoreResult<ListResult> {
        refused()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> StoreResult<()> {
        refused()
    }
}
