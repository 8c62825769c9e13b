//! A folder as a store. What was answered with success is on the disk: file and directory entries
//! are fsynced, also those of directories made on the way.
//!
//! An object is written to a temporary file beside its final name, fsynced, and then linked to that
//! name, which fails if the name exists (create), or renamed over it (overwrite). So no reader ever
//! sees half an object, and any number of processes may share a folder, on a file system with hard
//! links. Directories are never removed, because another process may rely on one it has fsynced.

mod failures;
mod opening;
mod walk;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::raw::{Failure, Glance, PART_BYTES, Page, PutMode, Raw};
use crate::model::Error;
use crate::model::clock::SharedClock;
use failures::{failure, is_absent, write_failure};

/// Begins the name of a file that is still being written. [`super::check_path`] keeps objects off it.
pub(super) const TEMPORARY_PREFIX: &str = ".tmp-";

/// Directories remembered as durable, to bound memory.
const REMEMBERED_DIRECTORIES: usize = 65_536;

#[derive(Debug)]
pub(super) struct Folder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    clock: SharedClock,
    /// Directories whose entries, up to the root's, this process has fsynced.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Folder {
    /// Opens a folder; `make`: making it, but none above it, if it is missing. Blocks.
    ///
    /// Errors: [`NoStore`](crate::model::Code::NoStore),
    /// [`StoreRefused`](crate::model::Code::StoreRefused) and others, which name the folder and say what is wrong.
    pub(super) fn open(path: &Path, make: bool, clock: SharedClock) -> Result<Folder, Error> {
        let root = opening::open(path, make)?;
        Ok(Folder { shared: Arc::new(Shared { root, clock, durable: Mutex::default() }) })
    }

    pub(super) fn root(&self) -> &Path {
        &self.shared.root
    }

    /// Runs file system calls where blocking is allowed. Once begun they finish, also when the caller
    /// has gone: like a request on its way to S3.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(result) => result,
            Err(error) => Err(Failure::Lost(format!("the file system task ended early: {error}"))),
        }
    }
}

#[async_trait]
impl Raw for Folder {
    async fn put(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<(), Failure> {
        let path = path.to_owned();
        self.blocking(move |shared| shared.put(&path, &bytes, mode)).await
    }

    async fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Bytes, Failure> {
        let path = path.to_owned();
        self.blocking(move |shared| shared.get(&path, range)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, _page: Option<&str>) -> Result<Page, Failure> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.blocking(move |shared| shared.list(&prefix, after.as_deref())).await
    }

    async fn glance(&self) -> Result<Glance, Failure> {
        self.blocking(Shared::glance).await
    }

    async fn delete(&self, path: &str) -> Result<(), Failure> {
        let path = path.to_owned();
        self.blocking(move |shared| match fs::remove_file(shared.root.join(&path)) {
            Err(error) if !is_absent(&error) => Err(failure("delete", &error)),
            _ => Ok(()),
        })
        .await
    }

    async fn begin_upload(&self, path: &str) -> Result<String, Failure> {
        let path = path.to_owned();
        self.blocking(move |shared| {
            let (temporary, _) = shared.open_temporary(shared.directory_of(&path), true)?;
            // The name is ASCII: we made it.
            Ok(temporary.file_name().unwrap_or_default().to_string_lossy().into_owned())
        })
        .await
    }

    async fn put_part(&self, path: &str, upload: &str, index: usize, bytes: Bytes) -> Result<String, Failure> {
        let (path, upload) = (path.to_owned(), upload.to_owned());
        self.blocking(move |shared| {
            let temporary = shared.directory_of(&path).join(&upload);
            let offset = index as u64 * PART_BYTES as u64;
            let file = OpenOptions::new().write(true).open(temporary);
            let written = file.and_then(|file| file.write_all_at(&bytes, offset));
            written.map_err(|error| failure("write", &error))?;
            Ok(index.to_string())
        })
        .await
    }

    async fn complete_upload(&self, path: &str, upload: &str, _parts: Vec<String>) -> Result<(), Failure> {
        let (path, upload) = (path.to_owned(), upload.to_owned());
        self.blocking(move |shared| {
            let temporary = shared.directory_of(&path).join(&upload);
            let synced = File::open(&temporary).and_then(|file| file.sync_all());
            synced.map_err(|error| failure("fsync", &error))?;
            shared.publish(&temporary, &path, PutMode::Create)
        })
        .await
    }

    async fn abort_upload(&self, path: &str, upload: &str) -> Result<(), Failure> {
        let (path, upload) = (path.to_owned(), upload.to_owned());
        self.blocking(move |shared| {
            // Nothing there is as good as removed; any other trouble leaves a file that ages out.
            let _ = fs::remove_file(shared.directory_of(&path).join(&upload));
            Ok(())
        })
        .await
    }

    fn worthwhile_gap(&self) -> u64 {
        64 << 10
    }
}

impl Shared {
    fn directory_of(&self, path: &str) -> PathBuf {
        match path.rsplit_once('/') {
            Some((directory, _)) => self.root.join(directory),
            None => self.root.clone(),
        }
    }

    fn put(&self, path: &str, bytes: &[u8], mode: PutMode) -> Result<(), Failure> {
        let (temporary, mut file) = self.open_temporary(self.directory_of(path), mode != PutMode::CreateBeside)?;
        if let Err(error) = file.write_all(bytes).and_then(|()| file.sync_all()) {
            let _ = fs::remove_file(&temporary);
            return Err(write_failure("write", &error));
        }
        self.publish(&temporary, path, mode)
    }

    /// Gives a complete, fsynced temporary file its name, and makes that durable.
    fn publish(&self, temporary: &Path, path: &str, mode: PutMode) -> Result<(), Failure> {
        let target = self.root.join(path);
        let placed = match mode {
            PutMode::Create | PutMode::CreateBeside => {
                let linked = fs::hard_link(temporary, &target);
                let _ = fs::remove_file(temporary);
                linked
            }
            PutMode::Overwrite => fs::rename(temporary, &target),
        };
        match placed {
            Ok(()) => self.sync_entry(&target),
            // Whoever made it may not have fsynced the directory yet, and our caller is about to rely
            // on what is there.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.sync_entry(&target)?;
                Err(Failure::Conflict("the file exists".into()))
            }
            Err(error) => {
                let _ = fs::remove_file(temporary);
                Err(write_failure("link (the file system must have hard links)", &error))
            }
        }
    }

    /// Fsyncs the directory of a file. After a failure the entry may be there or not after a crash,
    /// and a second fsync may report success without having written anything: hence `Lost`.
    fn sync_entry(&self, target: &Path) -> Result<(), Failure> {
        let directory = target.parent().unwrap_or(&self.root);
        sync_directory(directory).map_err(|error| Failure::Lost(format!("cannot fsync the directory: {error}")))
    }

    /// A new temporary file in a directory that is made durable first; `make`: made, if it is missing.
    fn open_temporary(&self, directory: PathBuf, make: bool) -> Result<(PathBuf, File), Failure> {
        self.ensure_directory(&directory, make)?;
        let temporary = directory.join(format!("{TEMPORARY_PREFIX}{:016x}", self.clock.random()));
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => Ok((temporary, file)),
            Err(error) => {
                // Somebody removed the directory: where it may be made, the next attempt does so.
                self.durable().remove(&directory);
                if is_absent(&error) {
                    self.still_there()?;
                }
                if is_absent(&error) && !make {
                    return Err(gone(&directory));
                }
                Err(write_failure("create a temporary file", &error))
            }
        }
    }

    /// An error unless the folder itself is there: without it nothing is, and nothing is known to be absent.
    fn still_there(&self) -> Result<(), Failure> {
        if self.root.is_dir() { Ok(()) } else { Err(gone(&self.root)) }
    }

    /// What a read that found nothing means.
    fn read_failure(&self, error: &io::Error) -> Failure {
        match failure("read", error) {
            Failure::Absent => self.still_there().err().unwrap_or(Failure::Absent),
            other => other,
        }
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that a directory is there, and fsyncs its entry and those above it up to the root. One that
    /// exists already is fsynced too, once: the process that made it may not have come to that. The root is never
    /// made: should it have been removed, or its disk unmounted, what was in it is not to be replaced by nothing.
    fn ensure_directory(&self, directory: &Path, make: bool) -> Result<(), Failure> {
        if directory == self.root || self.durable().contains(directory) {
            return Ok(());
        }
        if !make && !directory.is_dir() {
            return Err(gone(directory));
        }
        self.still_there()?;
        let mut chain: Vec<&Path> = directory.ancestors().take_while(|ancestor| *ancestor != self.root).collect();
        chain.reverse();
        for made in &chain {
            match if make { fs::create_dir(made) } else { Ok(()) } {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(write_failure("create the directory", &error));
                }
                _ => {}
            }
            let synced = sync_directory(made.parent().unwrap_or(&self.root));
            synced.map_err(|error| write_failure("create the directory", &error))?;
        }
        let mut durable = self.durable();
        if durable.len() > REMEMBERED_DIRECTORIES {
            durable.clear();
        }
        durable.extend(chain.into_iter().map(Path::to_path_buf));
        Ok(())
    }

    fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Bytes, Failure> {
        let target = self.root.join(path);
        let Some(range) = range else {
            return fs::read(target).map(Bytes::from).map_err(|error| self.read_failure(&error));
        };
        let file = File::open(target).map_err(|error| self.read_failure(&error))?;
        let size = file.metadata().map_err(|error| failure("read", &error))?.len();
        if range.end > size {
            return Err(Failure::Short);
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut bytes, range.start).map_err(|error| failure("read", &error))?;
        Ok(bytes.into())
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn gone(directory: &Path) -> Failure {
    Failure::Refused(format!(
        "the folder {} is not there (any more): it was removed, moved away or unmounted",
        directory.display()
    ))
}
