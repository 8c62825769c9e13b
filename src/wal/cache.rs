//! Decoded segments in memory, weighed by bytes. Segments never change, so nothing is ever stale.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::future::Cache;

use super::{Segment, decode};
use crate::model::paths::SegmentName;
use crate::model::{Error, Result};
use crate::store::Store;

/// A bounded cache of decoded segments; each is fetched and decoded once however many ask.
#[derive(Debug, Clone)]
pub struct SegmentCache {
    cache: Cache<String, Arc<Segment>>,
    hits: Arc<AtomicU64>,
    misses: Arc<AtomicU64>,
}

/// Why a segment could not be had.
#[derive(Debug, Clone)]
enum Failure {
    Missing,
    Other(Error),
}

impl SegmentCache {
    /// A cache that holds about `bytes` bytes of rows.
    pub fn new(bytes: u64) -> Self {
        let cache = Cache::builder()
            .max_capacity(bytes)
            .weigher(|key: &String, segment: &Arc<Segment>| {
                u32::try_from(segment.memory_size() + key.len() + 256).unwrap_or(u32::MAX)
            })
            .build();
        SegmentCache { cache, hits: Arc::default(), misses: Arc::default() }
    }

    /// The segment below `root`; `None` when the store proves that it is not there.
    pub async fn get(&self, store: &Store, root: &str, name: SegmentName) -> Result<Option<Arc<Segment>>> {
        let key = name.path(root);
        if let Some(segment) = self.cache.get(&key).await {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(segment));
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let load = async {
            match store.get(&key).await {
                Ok(Some(bytes)) => decode(&key, &bytes).map(Arc::new).map_err(Failure::Other),
                Ok(None) => Err(Failure::Missing),
                Err(error) => Err(Failure::Other(error)),
            }
        };
        match self.cache.try_get_with_by_ref(&key, load).await.map_err(|failure| failure.as_ref().clone()) {
            Ok(segment) => Ok(Some(segment)),
            Err(Failure::Missing) => Ok(None),
            Err(Failure::Other(error)) => Err(error),
        }
    }

    /// Puts a segment that this process has just written where queries will look for it.
    pub async fn insert(&self, root: &str, name: SegmentName, segment: Arc<Segment>) {
        self.cache.insert(name.path(root), segment).await;
    }

    /// Gives up segments that have been settled: no new snapshot asks for them.
    pub async fn remove(&self, root: &str, names: &[SegmentName]) {
        for name in names {
            self.cache.invalidate(&name.path(root)).await;
        }
    }

    /// (hits, misses, bytes held).
    pub fn statistics(&self) -> (u64, u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed), self.cache.weighted_size())
    }
}
