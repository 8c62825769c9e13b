//! Listing a folder.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::super::backend::{BackendError, Glance, ListEntry, Page};
use super::beneath::link_error;
use super::failures::{failure, is_absent};
use super::{Shared, TEMPORARY_PREFIX};
use crate::model::clock::SystemClock;

/// A temporary file this old was left by a process that died; a listing that meets it removes it.
/// Should its writer have been frozen instead, linking fails and it writes again.
const TEMPORARY_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Files and folders that a glance looks at: as much as a page of S3's shows.
const GLANCED: usize = 1_000;

/// What file systems and their tools put into a folder by themselves.
const NOT_OURS: [&str; 4] = ["lost+found", ".snapshot", ".DS_Store", ".gitkeep"];

impl Shared {
    pub(super) fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, BackendError> {
        let above = prefix.rsplit_once('/').map_or("", |(directory, _)| directory);
        match self.root.directory(above) {
            Err(error) if !is_absent(&error) => return Err(failure("list", &error)),
            _ => {}
        }
        let mut pending = vec![above.to_owned()];
        let mut entries = Vec::new();
        while let Some(directory) = pending.pop() {
            for entry in self.read_directory(&self.root.path().join(&directory))? {
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
                } else if kind.is_symlink() && path.starts_with(prefix) && !is_temporary {
                    // What it leads to is not ours, and what was there in its place would be missing.
                    return Err(failure("list", &link_error(&entry.path())));
                } else if kind.is_file() && path.starts_with(prefix) && after.is_none_or(|after| *path > *after) {
                    let Some(metadata) = if_present(entry.metadata())? else { continue };
                    entries.push(ListEntry { path, size: metadata.len(), modified: modified(&metadata) });
                }
            }
        }
        Ok(Page { entries, next: None })
    }

    /// Some of what is in the folder, whoever made it: a folder full of other things is not walked to its end.
    pub(super) fn glance(&self) -> Result<Glance, BackendError> {
        let mut pending = vec![String::new()];
        let mut seen = Glance::default();
        let mut looked_at = 0;
        while let Some(directory) = pending.pop() {
            let entries = self.read_directory(&self.root.path().join(&directory))?;
            for entry in entries {
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_ours = !name.starts_with(TEMPORARY_PREFIX) && !NOT_OURS.contains(&name.as_str());
                let Some(kind) = if_present(entry.file_type())?.filter(|_| is_ours) else { continue };
                let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
                looked_at += 1;
                if looked_at > GLANCED {
                    seen.more = true;
                    return Ok(seen);
                }
                if kind.is_dir() { pending.push(path) } else { seen.paths.push(path) }
            }
        }
        Ok(seen)
    }

    fn read_directory(&self, directory: &Path) -> Result<Vec<fs::DirEntry>, BackendError> {
        match fs::read_dir(directory).and_then(|entries| entries.collect()) {
            Ok(entries) => Ok(entries),
            Err(error) if is_absent(&error) => self.still_there().map(|()| Vec::new()),
            Err(error) => Err(failure("list", &error)),
        }
    }
}

/// `None` for a file that was deleted since its directory was read.
fn if_present<T>(found: io::Result<T>) -> Result<Option<T>, BackendError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(failure("list", &error)),
    }
}

fn remove_if_abandoned(path: &Path, metadata: &fs::Metadata) {
    let age = metadata.modified().ok().and_then(|modified| SystemClock::time().duration_since(modified).ok());
    if metadata.is_file() && age.is_some_and(|age| age > TEMPORARY_LIFE) {
        // A reader without the right to do so leaves it to others.
        let _ = fs::remove_file(path);
    }
}

/// When the file got its name: its contents are older, by as long as its writer stood still before it linked them.
fn modified(metadata: &fs::Metadata) -> i64 {
    metadata.ctime().saturating_mul(1_000_000_000).saturating_add(metadata.ctime_nsec())
}
