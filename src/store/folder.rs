//! A folder as a store. What was answered with success is on the disk: file and directory entries
//! are fsynced, also those of directories made on the way.
//!
//! An object is written to a temporary file beside its final name, fsynced, and then linked to that
//! name, which fails if the name exists (create), or renamed over it (overwrite). So no reader ever
//! sees half an object, and any number of processes may share a folder, on a file system with hard
//! links. Directories are never removed, because another process may rely on one it has fsynced.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;

use super::raw::{Failure, ListEntry, PART_BYTES, Page, PutMode, Raw};
use crate::model::clock::SharedClock;

/// Begins the name of a file that is still being written. [`super::check_path`] keeps objects off it.
pub(super) const TEMPORARY_PREFIX: &str = ".tmp-";

/// A temporary file this old was left by a process that died; a listing that meets it removes it.
/// Should its writer have been frozen instead, linking fails and it writes again.
const TEMPORARY_LIFE: Duration = Duration::from_secs(24 * 3600);

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
    /// Opens a folder, making it and its parents if need be. Blocks.
    pub(super) fn open(path: &Path, clock: SharedClock) -> io::Result<Folder> {
        let path = std::path::absolute(path)?;
        create_directories(&path)?;
        let root = path.canonicalize()?;
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
            let (temporary, _) = shared.open_temporary(shared.directory_of(&path))?;
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
            file.and_then(|file| file.write_all_at(&bytes, offset)).map_err(|error| failure("write", &error))?;
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
        let (temporary, mut file) = self.open_temporary(self.directory_of(path))?;
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
            PutMode::Create => {
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

    /// A new temporary file in a directory that is made durable first.
    fn open_temporary(&self, directory: PathBuf) -> Result<(PathBuf, File), Failure> {
        self.ensure_directory(&directory).map_err(|error| write_failure("create the directory", &error))?;
        let temporary = directory.join(format!("{TEMPORARY_PREFIX}{:016x}", self.clock.random()));
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => Ok((temporary, file)),
            Err(error) => {
                // Somebody removed the directory: the next attempt makes it again.
                self.durable().remove(&directory);
                Err(write_failure("create a temporary file", &error))
            }
        }
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a directory and fsyncs its entry and those above it up to the root. One that exists
    /// already is fsynced too, once: the process that made it may not have come to that.
    fn ensure_directory(&self, directory: &Path) -> io::Result<()> {
        if directory == self.root || self.durable().contains(directory) {
            return Ok(());
        }
        fs::create_dir_all(directory)?;
        let chain: Vec<&Path> = directory.ancestors().take_while(|ancestor| *ancestor != self.root).collect();
        for made in &chain {
            sync_directory(made.parent().unwrap_or(&self.root))?;
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
            return fs::read(target).map(Bytes::from).map_err(|error| failure("read", &error));
        };
        let file = File::open(target).map_err(|error| failure("read", &error))?;
        let size = file.metadata().map_err(|error| failure("read", &error))?.len();
        if range.end > size {
            return Err(Failure::Short);
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut bytes, range.start).map_err(|error| failure("read", &error))?;
        Ok(bytes.into())
    }

    fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let above = prefix.rsplit_once('/').map_or("", |(directory, _)| directory);
        let mut pending = vec![above.to_owned()];
        let mut entries = Vec::new();
        while let Some(directory) = pending.pop() {
            for entry in read_directory(&self.root.join(&directory))? {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
                // The directory says what it is; only what is listed is asked for its size.
                let Some(kind) = if_present(entry.file_type())? else { continue };
                let is_temporary = name.starts_with(TEMPORARY_PREFIX);
                if kind.is_dir() && !is_temporary {
                    let inside = format!("{path}/");
                    if inside.starts_with(prefix) || prefix.starts_with(&inside) {
                        pending.push(path);
                    }
                } else if kind.is_file() && is_temporary {
                    if let Some(metadata) = if_present(entry.metadata())? {
                        remove_if_abandoned(&entry.path(), &metadata);
                    }
                } else if kind.is_file() && path.starts_with(prefix) && after.is_none_or(|after| *path > *after) {
                    let Some(metadata) = if_present(entry.metadata())? else { continue };
                    entries.push(ListEntry { path, size: metadata.len(), modified: modified(&metadata) });
                }
            }
        }
        Ok(Page { entries, next: None })
    }
}

fn read_directory(directory: &Path) -> Result<Vec<fs::DirEntry>, Failure> {
    match fs::read_dir(directory).and_then(|entries| entries.collect()) {
        Err(error) if !is_absent(&error) => Err(failure("list", &error)),
        entries => Ok(entries.unwrap_or_default()),
    }
}

/// `None` for a file that was deleted since its directory was read.
fn if_present<T>(found: io::Result<T>) -> Result<Option<T>, Failure> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(failure("list", &error)),
    }
}

fn remove_if_abandoned(path: &Path, metadata: &fs::Metadata) {
    let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    if metadata.is_file() && age.is_some_and(|age| age > TEMPORARY_LIFE) {
        // A reader without the right to do so leaves it to others.
        let _ = fs::remove_file(path);
    }
}

fn modified(metadata: &fs::Metadata) -> i64 {
    let since = metadata.modified().ok().and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}

/// Creates a directory and its missing parents, each fsynced into the one above.
fn create_directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let Some(parent) = path.parent() else { return Ok(()) };
    create_directories(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => sync_directory(parent),
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

/// What an error means for a write that has not made anything visible yet. A directory or temporary
/// file that has gone can be made again.
fn write_failure(action: &str, error: &io::Error) -> Failure {
    match failure(action, error) {
        Failure::Absent | Failure::Transient(_) => Failure::Unsent(format!("cannot {action}: {error}")),
        other => other,
    }
}

/// What an error of the file system means for a request.
fn failure(action: &str, error: &io::Error) -> Failure {
    if is_absent(error) {
        return Failure::Absent;
    }
    let message = format!("cannot {action}: {error}");
    match error.kind() {
        // No room, no right: the same again fails again.
        ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::PermissionDenied
        | ErrorKind::Unsupported
        | ErrorKind::InvalidFilename
        | ErrorKind::FileTooLarge => Failure::Refused(message),
        _ => Failure::Transient(message),
    }
}
