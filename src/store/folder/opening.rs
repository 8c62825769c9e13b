//! Opening a folder: what is there is taken, and only the folder itself is ever made.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::model::{Code, Error, Result};

/// The folder's path, free of links. Made for its owner alone, and fsynced into the one above, if it is missing
/// and `make` says so. Blocks.
///
/// Errors: [`Code::NoStore`] when it is missing and not to be made, or the folder above it is missing, which is
/// more likely a slip or a disk that is not mounted than a wish; [`Code::StoreRefused`] for what is no folder or
/// may not be opened; [`Code::StoreFull`]; [`Code::StoreUnavailable`] for anything else.
pub(super) fn open(path: &Path, make: bool) -> Result<PathBuf> {
    let path = std::path::absolute(path).map_err(|error| failed("find", path, &error))?;
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(refused(&path, "it is a file, not a folder")),
        Err(error) if error.kind() == ErrorKind::NotFound && make => make_folder(&path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing(&path)),
        Err(error) if error.kind() == ErrorKind::NotADirectory => return Err(below_file(&path)),
        Err(error) => return Err(failed("open", &path, &error)),
    }
    path.canonicalize().map_err(|error| failed("open", &path, &error))
}

fn make_folder(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|parent| parent.is_dir());
    let Some(parent) = parent else {
        let above = path.parent().unwrap_or(path);
        let (path, above) = (path.display(), above.display());
        let message = format!(
            "cannot make the folder {path} for a store: {above} is not there; make it, mount it, or correct --store"
        );
        return Err(Error::new(Code::NoStore, message));
    };
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed("make", path, &error)),
        _ => {
            let synced = File::open(parent).and_then(|parent| parent.sync_all());
            synced.map_err(|error| failed("make", path, &error))
        }
    }
}

fn missing(path: &Path) -> Error {
    super::super::no_store(&path.display().to_string())
}

fn below_file(path: &Path) -> Error {
    let file = path.ancestors().find(|above| above.is_file()).unwrap_or(path);
    refused(path, &format!("{} is a file, not a folder", file.display()))
}

fn refused(path: &Path, why: &str) -> Error {
    Error::new(Code::StoreRefused, format!("cannot open {} as a store: {why}", path.display()))
}

pub(super) fn failed(action: &str, path: &Path, error: &io::Error) -> Error {
    let code = match super::failures::failure(action, error) {
        super::BackendError::Absent => Code::NoStore,
        failure => failure.code(),
    };
    Error::new(code, format!("cannot {action} the folder {} of a store: {error}", path.display()))
}
