//! Where queries put what does not fit into memory: a folder of this process alone, which goes with it. A process
//! that is killed cannot remove its own, so each removes at its start those whose processes have ended: whose lock
//! is free.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};

use crate::model::{Code, Error, Result, limits::Limits};

const PREFIX: &str = "siltdb-spill-";
/// Attempts to make a folder that nobody takes for one that was left.
const ATTEMPTS: usize = 16;

/// A folder of this process, which its end removes.
#[derive(Debug)]
pub(super) struct SpillFolder {
    path: PathBuf,
    /// Open for as long as the process lives, which is what its lock tells others.
    _lock: File,
}

/// How queries spill, and the folder that has to be kept for as long as they do.
///
/// # Errors
/// The folder that the settings name cannot be used. Without one of the system, they merely do not spill.
pub(super) fn prepare(limits: &Limits) -> Result<(DiskManagerBuilder, Option<SpillFolder>)> {
    let disabled = || (DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled), None);
    if limits.query_spill_bytes == 0 {
        return Ok(disabled());
    }
    let said = Some(&limits.query_spill_folder).filter(|folder| !folder.is_empty());
    let place = said.map_or_else(std::env::temp_dir, PathBuf::from);
    match SpillFolder::make(&place) {
        Ok(folder) => {
            let mode = DiskManagerMode::Directories(vec![folder.path.clone()]);
            let disk = DiskManagerBuilder::default().with_mode(mode);
            Ok((disk.with_max_temp_directory_size(limits.query_spill_bytes), Some(folder)))
        }
        Err(error) => {
            let why = format!("no folder for what queries spill can be made in {}: {error}", place.display());
            if said.is_some() {
                return Err(Error::new(Code::BadRequest, why));
            }
            tracing::warn!(why, "queries that do not fit into memory will fail");
            Ok(disabled())
        }
    }
}

impl SpillFolder {
    fn make(place: &Path) -> io::Result<SpillFolder> {
        for _ in 0..ATTEMPTS {
            let path = place.join(format!("{PREFIX}{}-{:08x}", std::process::id(), rand::random::<u32>()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            let lock = File::open(&path)?;
            // Where the file system has no locks, nobody takes one, and nothing is ever removed. Where it has,
            // another process may have found the folder before it was locked, and removed it.
            if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) && is_at(&lock, &path) {
                let folder = SpillFolder { path, _lock: lock };
                folder.remove_abandoned(place);
                return Ok(folder);
            }
        }
        Err(io::Error::other("others remove what is made there"))
    }

    /// Removes what processes of the same user left that have ended.
    fn remove_abandoned(&self, place: &Path) {
        let Ok(owner) = fs::metadata(&self.path).map(|found| found.uid()) else { return };
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let is_spill = name.to_str().is_some_and(|name| name.starts_with(PREFIX)) && path != self.path;
            if !is_spill || !fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir() && found.uid() == owner) {
                continue;
            }
            let Ok(folder) = File::open(&path) else { continue };
            if folder.try_lock().is_ok() && is_at(&folder, &path) {
                match fs::remove_dir_all(&path) {
                    Ok(()) => tracing::info!(folder = ?path, "removed what a process that has ended had spilled"),
                    Err(error) => tracing::warn!(folder = ?path, %error, "what was spilled cannot be removed"),
                }
            }
        }
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        // Whatever is left goes at the next start.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Whether an open folder is the one that has this path now.
fn is_at(folder: &File, path: &Path) -> bool {
    let same = |found: fs::Metadata| {
        folder.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (found.dev(), found.ino()))
    };
    fs::symlink_metadata(path).is_ok_and(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(place: &Path) -> Vec<PathBuf> {
        let mut names: Vec<PathBuf> = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    }

    #[test]
    fn folders_of_the_dead_are_removed_and_of_the_living_kept() {
        let place = tempfile::tempdir().unwrap();
        let living = SpillFolder::make(place.path()).unwrap();
        fs::write(living.path.join("spilled"), "x").unwrap();
        assert_eq!(fs::metadata(&living.path).unwrap().mode() & 0o777, 0o700);
        let dead = place.path().join(format!("{PREFIX}1-dead"));
        fs::create_dir_all(dead.join("datafusion-x")).unwrap();
        fs::write(dead.join("datafusion-x/part"), "x").unwrap();
        let others = place.path().join("of-others");
        fs::create_dir(&others).unwrap();
        std::os::unix::fs::symlink(&others, place.path().join(format!("{PREFIX}link"))).unwrap();
        let second = SpillFolder::make(place.path()).unwrap();
        let left = names(place.path());
        assert!(!left.contains(&dead) && left.contains(&others) && left.contains(&second.path), "{left:?}");
        assert!(living.path.join("spilled").exists());
        drop((living, second));
        assert_eq!(names(place.path()).len(), 2, "the folder of others, and the link");
    }

    #[test]
    fn a_folder_that_is_named_has_to_be_there() {
        let limits = Limits { query_spill_folder: "/nowhere/at/all".to_owned(), ..Limits::default() };
        let error = prepare(&limits).unwrap_err();
        assert!(error.message.contains("/nowhere/at/all"), "{error}");
        let none = Limits { query_spill_bytes: 0, ..limits };
        assert!(prepare(&none).unwrap().1.is_none());
    }
}
