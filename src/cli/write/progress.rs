//! The file that remembers how far each input is acknowledged, so that a run can go on where an
//! earlier one ended.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::batcher::Position;
use crate::cli::usage_error;
use crate::model::{Error, Result};

/// What the file looks like; another number is another form.
const FORM: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    form: u32,
    /// Where the points went: what is acknowledged there says nothing about another place.
    target: String,
    inputs: BTreeMap<String, Reached>,
}

/// How far an input is acknowledged, in bytes and lines of its text (decompressed).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Reached {
    bytes: u64,
    lines: u64,
}

/// The file, and what is in it.
#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    contents: Contents,
}

impl Progress {
    /// Reads the file, or begins it.
    ///
    /// # Errors
    /// It cannot be read, is of another form, or belongs to another target.
    pub(super) fn open(path: &Path, target: &str) -> Result<Progress> {
        let shown = path.display();
        let contents = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| usage_error(format!("{shown} is not a file of --progress: {error}")))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Contents { form: FORM, target: target.to_owned(), inputs: BTreeMap::new() }
            }
            Err(error) => return Err(usage_error(format!("{shown} cannot be read: {error}"))),
        };
        if contents.form != FORM {
            return Err(usage_error(format!("{shown} has form {}, this program knows form {FORM}", contents.form)));
        }
        if contents.target != target {
            let message =
                format!("{shown} tells of writes to {}, and not to {target}; use another file", contents.target);
            return Err(usage_error(message));
        }
        Ok(Progress { path: path.to_owned(), contents })
    }

    /// How far an input is acknowledged.
    pub(super) fn of(&self, input: &str) -> u64 {
        self.contents.inputs.get(input).map_or(0, |reached| reached.bytes)
    }

    /// Notes how far an input is acknowledged; see [`Progress::save`].
    pub(super) fn note(&mut self, input: &str, place: Position) {
        self.contents.inputs.insert(input.to_owned(), Reached { bytes: place.bytes, lines: place.lines });
    }

    /// Writes the file: the new one, whole and on the disk, takes the place of the old one.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn save(&self) -> Result<()> {
        let fresh = self.path.with_added_extension("new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&fresh)?;
            file.write_all(&serde_json::to_vec_pretty(&self.contents)?)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)
        };
        write().map_err(|error| Error::internal(format!("{} cannot be written: {error}", self.path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_lasts_and_is_of_one_target() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("load.progress");
        let mut progress = Progress::open(&path, "here").unwrap();
        assert_eq!(progress.of("a"), 0);
        progress.note("a", Position { bytes: 7, lines: 1 });
        progress.note("a", Position { bytes: 9, lines: 2 });
        progress.save().unwrap();
        let again = Progress::open(&path, "here").unwrap();
        assert_eq!((again.of("a"), again.of("b")), (9, 0));
        assert!(Progress::open(&path, "there").unwrap_err().message.contains("tells of writes to here"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(&path, "a,b\n").unwrap();
        assert!(Progress::open(&path, "here").unwrap_err().message.contains("is not a file of --progress"));
        fs::write(&path, "{\"form\":2,\"target\":\"here\",\"inputs\":{}}").unwrap();
        assert!(Progress::open(&path, "here").unwrap_err().message.contains("form 2"));
    }
}
