//! Lists of data files that the manifest keeps in objects of their own.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use moka::future::Cache;

use super::{
    Engine, TableSnapshot,
    databases::{Committed, DatabaseHandle},
};
use crate::database::{
    DatabaseState, Edit, FileList, PackJob, Packed, Rules, Table, decode_leaf, encode_leaf, is_worth_unpacking,
    pack_jobs, unpack_jobs,
};
use crate::ledger::Manifest;
use crate::model::paths;
use crate::model::{DataFile, Error, Result};
use crate::store::{CreateOutcome, Store};
use crate::table;

/// Lists kept in memory, bytes.
const CACHE_BYTES: u64 = 64 << 20;
/// Bytes of a file's description in memory, about.
const DESCRIPTION_BYTES: usize = 1_500;
/// Lists fetched, or written, at once.
const REQUESTS: usize = 16;

type Files = Arc<Vec<Arc<DataFile>>>;

/// The recently used leaves. They never change, so nothing is ever stale. Clones share them.
#[derive(Debug, Clone)]
pub struct FileLists {
    cache: Cache<String, Files>,
}

impl Default for FileLists {
    fn default() -> Self {
        let weight = |path: &String, files: &Files| {
            u32::try_from(path.len() + files.len() * DESCRIPTION_BYTES).unwrap_or(u32::MAX)
        };
        FileLists { cache: Cache::builder().max_capacity(CACHE_BYTES).weigher(weight).build() }
    }
}

impl FileLists {
    /// The files of a file list below `root`.
    ///
    /// Errors: the store's; [`table::is_missing`] if the file list is not there; it is damaged.
    async fn load(&self, store: &Store, root: &str, leaf: &FileList) -> Result<Files> {
        let path = format!("{root}{}", leaf.path);
        let fetch = async {
            let bytes = store.get(&path).await?.ok_or_else(|| table::missing(&path))?;
            decode_leaf(&path, leaf, &bytes).map(Arc::new)
        };
        self.cache.try_get_with_by_ref(&path, fetch).await.map_err(|error: Arc<Error>| Error::clone(&error))
    }

    /// The files of several leaves.
    pub async fn load_all(&self, store: &Store, root: &str, leaves: &[FileList]) -> Result<Vec<Arc<DataFile>>> {
        let load = |leaf: FileList| async move { self.load(store, root, &leaf).await };
        let lists: Vec<Files> = stream::iter(leaves.to_vec()).map(load).buffered(REQUESTS).try_collect().await?;
        Ok(lists.iter().flat_map(|list| list.iter().cloned()).collect())
    }

    async fn keep(&self, root: &str, leaf: &FileList, files: Vec<Arc<DataFile>>) {
        self.cache.insert(format!("{root}{}", leaf.path), Arc::new(files)).await;
    }
}

impl Engine {
    pub fn leaves(&self) -> &FileLists {
        &self.inner.leaves
    }

    /// All live data files of a table in a snapshot.
    pub async fn files(&self, snapshot: &TableSnapshot) -> Result<Vec<Arc<DataFile>>> {
        let mut files = snapshot.files.clone();
        files.extend(self.inner.leaves.load_all(&self.inner.store, &snapshot.root, &snapshot.leaves).await?);
        Ok(files)
    }

    /// All live data files of a table.
    pub(super) async fn live_files(&self, handle: &DatabaseHandle, table: &Table) -> Result<Vec<Arc<DataFile>>> {
        let mut files = table.files.clone();
        files.extend(self.inner.leaves.load_all(&self.inner.store, handle.root(), &table.leaves).await?);
        Ok(files)
    }

    /// Moves descriptions of files out of the manifest until it is small enough.
    pub(super) async fn pack_open(&self, handle: &DatabaseHandle, rules: Rules) -> Result<()> {
        loop {
            let manifest = handle.ledger.current(&self.inner.store).await?;
            let jobs = if manifest.state.dropped { Vec::new() } else { pack_jobs(&manifest.state, rules) };
            if jobs.is_empty() {
                return Ok(());
            }
            let written = stream::iter(jobs).map(|job| self.write_file_list(handle, manifest.version, job));
            let tables: Vec<Packed> = match written.buffered(REQUESTS).try_collect().await {
                Ok(tables) => tables,
                Err(error) if self.is_superseded(handle, &manifest, &error).await? => return Ok(()),
                Err(error) => return Err(error),
            };
            let edit = Edit::Pack { tables, base: manifest.version };
            // Whoever came first has packed what there was.
            if !matches!(handle.commit(&self.inner.store, self.limits(), &edit).await?, Committed::Done(_)) {
                return Ok(());
            }
        }
    }

    async fn write_file_list(&self, handle: &DatabaseHandle, base: u64, job: PackJob) -> Result<Packed> {
        let store = &self.inner.store;
        let names = job.files.iter().map(|file| file.path.clone()).collect();
        let mut files = job.files;
        if let Some(leaf) = &job.joins {
            files.extend(self.inner.leaves.load(store, handle.root(), leaf).await?.iter().cloned());
        }
        files.sort_by_key(|file| (file.min_time, file.order.first));
        let bytes = encode_leaf(&files)?;
        let path = paths::leaf(base, &self.new_ulid());
        let leaf = FileList::of(path, bytes.len() as u64, &files).ok_or_else(|| Error::internal("an empty leaf"))?;
        match store.create(&format!("{}{}", handle.root(), leaf.path), bytes).await {
            CreateOutcome::Created => {}
            CreateOutcome::Taken(_) => return Err(Error::internal(format!("the random name {} was taken", leaf.path))),
            CreateOutcome::Unknown(error) => return Err(error),
        }
        self.inner.leaves.keep(handle.root(), &leaf, files).await;
        Ok(Packed { table: job.table, leaf, files: names, replaces: job.joins.map(|leaf| leaf.path) })
    }

    /// Takes the lists back into the manifest whose files have to be worked on.
    pub(super) async fn unpack_open(
        &self,
        handle: &DatabaseHandle,
        manifest: &Manifest<DatabaseState>,
        rules: Rules,
    ) -> Result<()> {
        let store = &self.inner.store;
        if manifest.state.dropped {
            return Ok(());
        }
        for job in unpack_jobs(&manifest.state, rules) {
            let files = match self.inner.leaves.load_all(store, handle.root(), &job.leaves).await {
                Ok(files) => files,
                Err(error) if self.is_superseded(handle, manifest, &error).await? => return Ok(()),
                Err(error) => return Err(error),
            };
            if !is_worth_unpacking(&manifest.state, &job, &files, rules) {
                continue;
            }
            let mut rest = files.as_slice();
            for leaf in job.leaves {
                let (files, others) = rest.split_at_checked(leaf.files).unwrap_or((rest, &[]));
                rest = others;
                // Superseded means that somebody else has done it.
                let edit = Edit::Unpack { table: job.table, leaf: leaf.path, files: files.to_vec() };
                handle.commit(store, self.limits(), &edit).await?;
            }
        }
        Ok(())
    }
}
