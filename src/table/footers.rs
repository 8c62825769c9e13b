//! The footers of data files, parsed once and kept.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use moka::future::Cache;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::{
    checksums::{PageChecksums, verify_tail},
    missing, unreadable,
};
use crate::{
    model::{DataFile, Error, Result},
    store::Store,
};

/// Footers and page indices of recently used data files. Clones share them.
#[derive(Debug, Clone)]
pub struct Footers {
    cache: Cache<String, DataFileFooter>,
    counters: Arc<Counters>,
}

/// What a cache did so far, and what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    /// Loads that were answered without a request of their own.
    pub hits: u64,
    /// Loads that asked the store.
    pub misses: u64,
    /// Weight of the entries, about their bytes in memory.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    loads: AtomicU64,
    misses: AtomicU64,
}

/// What the tail of a data file holds.
#[derive(Debug, Clone)]
pub(super) struct DataFileFooter {
    pub metadata: Arc<ParquetMetaData>,
    /// None if the file was written before there were checksums.
    pub checksums: Option<Arc<PageChecksums>>,
    weight: u32,
}

impl Footers {
    /// Keeps footers of about `bytes` bytes together.
    pub fn new(bytes: u64) -> Self {
        let cache = Cache::builder().max_capacity(bytes).weigher(|path: &String, footer: &DataFileFooter| {
            footer.weight.saturating_add(u32::try_from(path.len()).unwrap_or(u32::MAX))
        });
        Footers { cache: cache.build(), counters: Arc::default() }
    }

    /// The footer and page index of a file below `root`. Takes one request, whoever asks at the same
    /// time; later ones none. A failure is not kept.
    ///
    /// Errors: the store's; [`Code::Corrupt`](crate::model::Code::Corrupt) if the object is not there
    /// ([`super::is_missing`]) or is not what the manifest says.
    pub async fn load(&self, store: &Store, root: &str, file: &DataFile) -> Result<Arc<ParquetMetaData>> {
        self.load_all(store, root, file).await.map(|footer| footer.metadata)
    }

    /// The same, with the checksums of the file's pages.
    pub(super) async fn load_all(&self, store: &Store, root: &str, file: &DataFile) -> Result<DataFileFooter> {
        self.counters.loads.fetch_add(1, Ordering::Relaxed);
        let path = format!("{root}{}", file.path);
        let fetch = async {
            self.counters.misses.fetch_add(1, Ordering::Relaxed);
            fetch(store, &path, file).await
        };
        self.cache.try_get_with_by_ref(&path, fetch).await.map_err(|error: Arc<Error>| Error::clone(&error))
    }

    /// Hits, misses and weight so far.
    pub fn statistics(&self) -> CacheStatistics {
        let misses = self.counters.misses.load(Ordering::Relaxed);
        let loads = self.counters.loads.load(Ordering::Relaxed);
        CacheStatistics { hits: loads.saturating_sub(misses), misses, bytes: self.cache.weighted_size() }
    }
}

async fn fetch(store: &Store, path: &str, file: &DataFile) -> Result<DataFileFooter> {
    let tail = file.size.saturating_sub(file.tail_bytes)..file.size;
    let Some(bytes) = store.get_range(path, tail).await? else { return Err(missing(path)) };
    verify_tail(path, file, &bytes)?;
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.try_parse_sized(&bytes, file.size).map_err(|error| unreadable(path, error))?;
    let metadata = reader.finish().map_err(|error| unreadable(path, error))?;
    if u64::try_from(metadata.file_metadata().num_rows()) != Ok(file.rows) {
        let rows = metadata.file_metadata().num_rows();
        return Err(Error::corrupt(path, format!("{rows} rows instead of {}", file.rows)));
    }
    let checksums = PageChecksums::read(path, file, &bytes, &metadata)?.map(Arc::new);
    // `memory_size` hardly counts the page index, which the tail's length does.
    let weight = metadata.memory_size().max(bytes.len()) + checksums.as_ref().map_or(0, |pages| pages.memory_size());
    let weight = u32::try_from(weight).unwrap_or(u32::MAX);
    Ok(DataFileFooter { metadata: Arc::new(metadata), checksums, weight })
}
