//! What was typed at the prompt, kept for the next time.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Entries that are kept.
const ENTRIES: usize = 1_000;

/// The entries, oldest first, and the file that they are in.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: Vec<String>,
    file: Option<PathBuf>,
}

impl History {
    /// A history that ends with the process.
    pub(super) fn forgetful() -> History {
        History::default()
    }

    /// Reads a history. One that is not there begins; one that cannot be read is left alone.
    pub(super) fn open(file: PathBuf) -> History {
        match fs::read_to_string(&file) {
            Ok(text) => {
                let mut entries: Vec<String> = text.lines().map(unescape).collect();
                if entries.len() > 2 * ENTRIES {
                    entries.drain(..entries.len() - ENTRIES);
                    // A file that stays long costs nothing but room.
                    let _ = rewrite(&file, &entries);
                }
                entries.drain(..entries.len().saturating_sub(ENTRIES));
                History { entries, file: Some(file) }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => History { entries: Vec::new(), file: Some(file) },
            Err(_) => History::forgetful(),
        }
    }

    pub(super) fn entries(&self) -> &[String] {
        &self.entries
    }

    /// Adds an entry. What holds a password is not kept, nor is the same entry twice in a row.
    ///
    /// # Errors
    /// The file cannot be written; it is not tried again.
    pub(super) fn add(&mut self, entry: &str) -> io::Result<()> {
        let entry = entry.trim();
        let secret = entry.to_lowercase().contains("password");
        if entry.is_empty() || secret || self.entries.last().is_some_and(|last| last == entry) {
            return Ok(());
        }
        self.entries.push(entry.to_owned());
        let Some(file) = self.file.take() else { return Ok(()) };
        append(&file, entry)?;
        self.file = Some(file);
        Ok(())
    }
}

/// Where the history of this user is: below `XDG_DATA_HOME`, or `.local/share` of the home folder.
pub(super) fn path(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let folder = |name: &str| variable(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let data = folder("XDG_DATA_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/share")))?;
    Some(data.join("siltdb/history"))
}

fn append(file: &Path, entry: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    // Data stands in statements: only its owner is to read it.
    let mut opened = OpenOptions::new().create(true).append(true).mode(0o600).open(file)?;
    opened.write_all(format!("{}\n", escape(entry)).as_bytes())
}

fn rewrite(file: &Path, entries: &[String]) -> io::Result<()> {
    let fresh = file.with_extension("new");
    let mut opened = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
    let text: String = entries.iter().map(|entry| format!("{}\n", escape(entry))).collect();
    opened.write_all(text.as_bytes())?;
    fs::rename(fresh, file)
}

/// An entry in one line.
fn escape(entry: &str) -> String {
    entry.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

fn unescape(line: &str) -> String {
    let mut entry = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            entry.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => entry.push('\n'),
            Some('r') => entry.push('\r'),
            Some(other) => entry.push(other),
            None => entry.push('\\'),
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn entries_last_and_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/b/history");
        let mut history = History::open(file.clone());
        for entry in ["SELECT 1;", "SELECT\n '\\n';", "SELECT\n '\\n';", " ", "ALTER USER x SET PASSWORD = 'y';", "\\d"]
        {
            history.add(entry).unwrap();
        }
        let again = History::open(file.clone());
        assert_eq!(again.entries(), ["SELECT 1;", "SELECT\n '\\n';", "\\d"]);
        assert_eq!(again.entries(), history.entries());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_long_history_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history");
        let lines: String = (0..2_500).map(|number| format!("{number}\n")).collect();
        fs::write(&file, lines).unwrap();
        let entries = History::open(file.clone()).entries().to_vec();
        assert_eq!((entries.len(), entries[0].as_str()), (ENTRIES, "1500"));
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), ENTRIES);
    }

    #[test]
    fn where_it_is() {
        let with = |pairs: &'static [(&str, &str)]| {
            path(|name| pairs.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(with(&[("XDG_DATA_HOME", "/d"), ("HOME", "/h")]), Some(PathBuf::from("/d/siltdb/history")));
        assert_eq!(with(&[("XDG_DATA_HOME", ""), ("HOME", "/h")]), Some("/h/.local/share/siltdb/history".into()));
        assert_eq!(with(&[]), None);
    }
}
