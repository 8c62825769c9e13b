//! A folder as a store. What was answered with success is on the disk: file and directory entries
//! are fsynced, also those of directories made on the way.
//!
//! An object is written to a temporary file beside its final name, fsynced, and then linked to that
//! name, which fails if the name exists (create), or renamed over it (overwrite). So no reader ever
//! sees half an object, and any number of processes may share a folder, on a file system with hard
//! links. Directories are never removed, because another process may rely on one it has fsynced.
//! What is made is its owner's alone, or the group's that shares the folder; no link inside is followed.

mod beneath;
mod failures;
mod opening;
mod walk;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::backend::{Backend, BackendError, Glance, PART_BYTES, Page, PutMode};
use crate::model::Error;
use crate::model::clock::SharedClock;
use beneath::{Directory, Root};
use failures::{failure, is_absent, write_failure};

/// Begins the name of a file that is still being written. [`super::check_path`] keeps objects off it.
pub(super) const TEMPORARY_PREFIX: &str = ".tmp-";

/// Directories remembered as durable, to bound memory.
const REMEMBERED_DIRECTORIES: usize = 65_536;

#[derive(Debug)]
pub(super) struct FolderBackend {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: Root,
    clock: SharedClock,
    /// Directories whose entries, up to the root's, this process has fsynced.
    durable: Mutex<HashSet<String>>,
}

impl FolderBackend {
    /// Opens a folder; `make`: making it, but none above it, if it is missing. Blocks.
    ///
    /// Errors: [`NoStore`](crate::model::Code::NoStore),
    /// [`StoreRefused`](crate::model::Code::StoreRefused) and others, which name the folder and say what is wrong.
    pub(super) fn open(path: &Path, make: bool, clock: SharedClock) -> Result<FolderBackend, Error> {
        let root = Root::new(opening::open(path, make)?).map_err(|error| opening::failed("open", path, &error))?;
        Ok(FolderBackend { shared: Arc::new(Shared { root, clock, durable: Mutex::default() }) })
    }

    pub(super) fn root(&self) -> &Path {
        self.shared.root.path()
    }

    /// Runs file system calls where blocking is allowed. Once begun they finish, also when the caller
    /// has gone: like a request on its way to S3.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(result) => result,
            Err(error) => Err(BackendError::Lost(format!("the file system task ended early: {error}"))),
        }
    }
}

#[async_trait]
impl Backend for FolderBackend {
    async fn put(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<(), BackendError> {
        let path = path.to_owned();
        self.blocking(move |shared| shared.put(&path, &bytes, mode)).await
    }

    async fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Bytes, BackendError> {
        let path = path.to_owned();
        self.blocking(move |shared| shared.get(&path, range)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, _page: Option<&str>) -> Result<Page, BackendError> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.blocking(move |shared| shared.list(&prefix, after.as_deref())).await
    }

    async fn glance(&self) -> Result<Glance, BackendError> {
        self.blocking(Shared::glance).await
    }

    async fn delete(&self, path: &str) -> Result<(), BackendError> {
        let path = path.to_owned();
        self.blocking(move |shared| {
            let (directory, name) = parts_of(&path);
            match shared.root.directory(directory).and_then(|directory| directory.remove(name)) {
                Err(error) if !is_absent(&error) => Err(failure("delete", &error)),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn begin_upload(&self, path: &str) -> Result<String, BackendError> {
        let path = path.to_owned();
        self.blocking(move |shared| shared.open_temporary(parts_of(&path).0, true).map(|temporary| temporary.name))
            .await
    }

    async fn put_part(&self, path: &str, upload: &str, index: usize, bytes: Bytes) -> Result<String, BackendError> {
        let (path, upload) = (path.to_owned(), upload.to_owned());
        self.blocking(move |shared| {
            let offset = index as u64 * PART_BYTES as u64;
            let directory = shared.root.directory(parts_of(&path).0);
            let file = directory.and_then(|directory| directory.reopen(&upload));
            let written = file.and_then(|file| file.write_all_at(&bytes, offset));
            written.map_err(|error| failure("write", &error))?;
            Ok(index.to_string())
        })
        .await
    }

    async fn complete_upload(&self, path: &str, upload: &str, _parts: Vec<String>) -> Result<(), BackendError> {
        let (path, upload) = (path.to_owned(), upload.to_owned());
        self.blocking(move |shared| {
            let opened = shared.root.directory(parts_of(&path).0).and_then(|directory| {
                let file = directory.reopen(&upload)?;
                Ok(Temporary { directory, name: upload, file })
            });
            let synced = opened.and_then(|temporary| temporary.file.sync_all().map(|()| temporary));
            shared.publish(&synced.map_err(|error| failure("fsync", &error))?, &path, PutMode::Create)
        })
        .await
    }

    async fn abort_upload(&self, path: &str, upload: &str) -> Result<(), BackendError> {
        let (path, upload) = (path.to_owned(), upload.to_owned());
        self.blocking(move |shared| {
            // Nothing there is as good as removed; any other trouble leaves a file that ages out.
            let _ = shared.root.directory(parts_of(&path).0).and_then(|directory| directory.remove(&upload));
            Ok(())
        })
        .await
    }

    fn coalesce_gap(&self) -> u64 {
        64 << 10
    }
}

/// A file that has not got its name yet, and the directory it is to have it in.
#[derive(Debug)]
struct Temporary {
    directory: Directory,
    name: String,
    file: File,
}

impl Shared {
    fn put(&self, path: &str, bytes: &[u8], mode: PutMode) -> Result<(), BackendError> {
        let mut temporary = self.open_temporary(parts_of(path).0, mode != PutMode::CreateBeside)?;
        if let Err(error) = temporary.file.write_all(bytes).and_then(|()| temporary.file.sync_all()) {
            let _ = temporary.directory.remove(&temporary.name);
            return Err(write_failure("write", &error));
        }
        self.publish(&temporary, path, mode)
    }

    /// Gives a complete, fsynced temporary file its name, and makes that durable.
    fn publish(&self, temporary: &Temporary, path: &str, mode: PutMode) -> Result<(), BackendError> {
        let Temporary { directory, name, .. } = temporary;
        let target = parts_of(path).1;
        let placed = match mode {
            PutMode::Create | PutMode::CreateBeside => {
                let linked = directory.link(name, target);
                let _ = directory.remove(name);
                linked
            }
            PutMode::Overwrite => directory.rename(name, target),
        };
        match placed {
            Ok(()) => sync_entry(directory),
            // Whoever made it may not have fsynced the directory yet, and our caller is about to rely
            // on what is there.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                sync_entry(directory)?;
                Err(BackendError::Conflict("the file exists".into()))
            }
            Err(error) => {
                let _ = directory.remove(name);
                Err(write_failure("link (the file system must have hard links)", &error))
            }
        }
    }

    /// A new temporary file in a directory that is made durable first; `make`: made, if it is missing.
    fn open_temporary(&self, path: &str, make: bool) -> Result<Temporary, BackendError> {
        self.ensure_directory(path, make)?;
        let name = format!("{TEMPORARY_PREFIX}{:016x}", self.clock.random());
        let opened =
            self.root.directory(path).and_then(|directory| directory.create(&name).map(|file| (directory, file)));
        match opened {
            Ok((directory, file)) => Ok(Temporary { directory, name, file }),
            Err(error) => {
                // Somebody removed the directory: where it may be made, the next attempt does so.
                self.durable().remove(path);
                if is_absent(&error) {
                    self.still_there()?;
                }
                if is_absent(&error) && !make {
                    return Err(gone(&self.root.path().join(path)));
                }
                Err(write_failure("create a temporary file", &error))
            }
        }
    }

    /// An error unless the folder itself is there: without it nothing is, and nothing is known to be absent.
    fn still_there(&self) -> Result<(), BackendError> {
        if self.root.path().is_dir() { Ok(()) } else { Err(gone(self.root.path())) }
    }

    /// What a read that found nothing means.
    fn read_failure(&self, error: &io::Error) -> BackendError {
        match failure("read", error) {
            BackendError::Absent => self.still_there().err().unwrap_or(BackendError::Absent),
            other => other,
        }
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that a directory is there, and fsyncs its entry and those above it up to the root. One that
    /// exists already is fsynced too, once: the process that made it may not have come to that. The root is never
    /// made: should it have been removed, or its disk unmounted, what was in it is not to be replaced by nothing.
    fn ensure_directory(&self, path: &str, make: bool) -> Result<(), BackendError> {
        if path.is_empty() || self.durable().contains(path) {
            return Ok(());
        }
        if !make && self.root.directory(path).is_err_and(|error| is_absent(&error)) {
            return Err(gone(&self.root.path().join(path)));
        }
        self.still_there()?;
        let failed = |error: io::Error| write_failure("create the directory", &error);
        let mut chain = Vec::new();
        let mut at = self.root.directory("").map_err(failed)?;
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let made = &path[..end];
            let name = parts_of(made).1;
            if make {
                at.make(name).map_err(failed)?;
            }
            at.sync().map_err(failed)?;
            // By its path, for the sake of what is said of a link.
            at = match at.enter(name) {
                Ok(inside) => inside,
                Err(_) => self.root.directory(made).map_err(failed)?,
            };
            chain.push(made.to_owned());
        }
        let mut durable = self.durable();
        if durable.len() > REMEMBERED_DIRECTORIES {
            durable.clear();
        }
        durable.extend(chain);
        Ok(())
    }

    fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Bytes, BackendError> {
        let mut file = self.root.file(path).map_err(|error| self.read_failure(&error))?;
        let Some(range) = range else {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(|error| self.read_failure(&error))?;
            return Ok(bytes.into());
        };
        let size = file.metadata().map_err(|error| failure("read", &error))?.len();
        if range.end > size {
            return Err(BackendError::Short);
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut bytes, range.start).map_err(|error| failure("read", &error))?;
        Ok(bytes.into())
    }
}

/// The directory of a path, and the name in it.
fn parts_of(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Fsyncs a directory for the sake of an entry. After a failure the entry may be there or not after a crash,
/// and a second fsync may report success without having written anything: hence `Lost`.
fn sync_entry(directory: &Directory) -> Result<(), BackendError> {
    directory.sync().map_err(|error| BackendError::Lost(format!("cannot fsync the directory: {error}")))
}

fn gone(directory: &Path) -> BackendError {
    BackendError::Refused(format!(
        "the folder {} is not there (any more): it was removed, moved away or unmounted",
        directory.display()
    ))
}
