//! What lies beneath a folder, reached without following a link: whoever may plant one there, or in a copy
//! of the folder, does not make a process read or write somewhere else.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, linkat, mkdirat, openat, renameat, unlinkat};
use rustix::io::retry_on_intr;

/// A folder and the rights of what is made in it.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    /// Rights of the group, as bits of a mode: none, unless the folder is shared.
    group: u32,
    /// Whether the system opens a path without following links by itself.
    opens_whole_paths: bool,
}

/// A directory of the folder, open.
#[derive(Debug)]
pub(super) struct Directory {
    handle: File,
    group: u32,
}

impl Root {
    /// `path` is free of links.
    pub(super) fn new(path: PathBuf) -> io::Result<Root> {
        let group = shared_with_group(fs::metadata(&path)?.permissions().mode());
        let opens_whole_paths = open_whole(&path, OFlags::DIRECTORY).is_ok();
        Ok(Root { path, group, opens_whole_paths })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a directory by its path in the folder, "" for the folder itself.
    pub(super) fn directory(&self, path: &str) -> io::Result<Directory> {
        let handle = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(Directory { handle, group: self.group })
    }

    /// Opens a file to read it.
    pub(super) fn file(&self, path: &str) -> io::Result<File> {
        self.open(path, OFlags::RDONLY)
    }

    fn open(&self, path: &str, flags: OFlags) -> io::Result<File> {
        let opened = if self.opens_whole_paths {
            open_whole(&self.path.join(path), flags)
        } else {
            self.open_step_by_step(path, flags)
        };
        // Systems say it by different errors: that there is a loop, or no directory.
        opened.map_err(|error| self.link_on(path).map_or(error, |link| link_error(&link)))
    }

    fn open_step_by_step(&self, path: &str, flags: OFlags) -> io::Result<File> {
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = File::open(&self.path)?;
        let mut steps = path.split('/').filter(|step| !step.is_empty()).peekable();
        while let Some(step) = steps.next() {
            let flags = if steps.peek().is_some() { directory } else { flags | OFlags::CLOEXEC };
            at = open_at(&at, step, flags)?;
        }
        Ok(at)
    }

    /// The first link on the way to a path, and at its end.
    fn link_on(&self, path: &str) -> Option<PathBuf> {
        let mut at = self.path.clone();
        path.split('/').find_map(|step| {
            at.push(step);
            fs::symlink_metadata(&at).is_ok_and(|found| found.is_symlink()).then(|| at.clone())
        })
    }
}

impl Directory {
    /// A new file to write to, which only the owner of the store may read.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let (flags, mode) =
            (OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC, 0o600 | self.group & 0o060);
        Ok(retry_on_intr(|| openat(&self.handle, name, flags, mode_of(mode))).map(File::from)?)
    }

    /// A file that is there, to write to.
    pub(super) fn reopen(&self, name: &str) -> io::Result<File> {
        open_at(&self.handle, name, OFlags::WRONLY | OFlags::CLOEXEC)
    }

    /// The directory of this name, made if it is missing; whether it was is not told.
    pub(super) fn make(&self, name: &str) -> io::Result<()> {
        match mkdirat(&self.handle, name, mode_of(0o700 | self.group)) {
            Ok(()) => Ok(()),
            Err(error) if io::Error::from(error).kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The directory of this name.
    pub(super) fn enter(&self, name: &str) -> io::Result<Directory> {
        let handle = open_at(&self.handle, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
        Ok(Directory { handle, group: self.group })
    }

    pub(super) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(linkat(&self.handle, from, &self.handle, to, AtFlags::empty())?)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.handle, from, &self.handle, to)?)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.handle, name, AtFlags::empty())?)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

/// Why something is refused that is a link, or lies behind one.
pub(super) fn link_error(link: &Path) -> io::Error {
    let why =
        "is a symbolic link, and none is followed inside a store; put what it leads to in its place, or mount it there";
    io::Error::new(ErrorKind::PermissionDenied, format!("{} {why}", link.display()))
}

/// A folder that nobody else may enter says by the rights of its group who shares it. One that everybody may
/// enter was made with what a shell does by default, which says nothing.
fn shared_with_group(mode: u32) -> u32 {
    if mode & 0o007 == 0 { mode & 0o070 } else { 0 }
}

fn mode_of(bits: u32) -> Mode {
    // Its type's width differs from system to system; bits of a mode fit everywhere.
    Mode::from_raw_mode(bits as rustix::fs::RawMode)
}

fn open_at(directory: &File, name: &str, flags: OFlags) -> io::Result<File> {
    Ok(retry_on_intr(|| openat(directory, name, flags | OFlags::NOFOLLOW, Mode::empty())).map(File::from)?)
}

/// Opens a path in which nothing is a link.
#[cfg(target_os = "linux")]
fn open_whole(path: &Path, flags: OFlags) -> io::Result<File> {
    use rustix::fs::{CWD, ResolveFlags, openat2};
    let (flags, resolve) = (flags | OFlags::CLOEXEC, ResolveFlags::NO_SYMLINKS);
    Ok(retry_on_intr(|| openat2(CWD, path, flags, Mode::empty(), resolve)).map(File::from)?)
}

#[cfg(not(target_os = "linux"))]
fn open_whole(_: &Path, _: OFlags) -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_link_is_followed_whether_or_not_the_system_helps() {
        let place = tempfile::tempdir().unwrap();
        let (inside, outside) = (place.path().join("store"), place.path().join("outside"));
        fs::create_dir_all(inside.join("a/b")).unwrap();
        fs::create_dir_all(outside.join("b")).unwrap();
        fs::write(outside.join("b/file"), "secret").unwrap();
        fs::write(inside.join("a/b/file"), "ours").unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        symlink(outside.join("b/file"), inside.join("a/b/planted")).unwrap();
        symlink("/nowhere", inside.join("a/dangling")).unwrap();
        let root = Root::new(inside.canonicalize().unwrap()).unwrap();
        let helped = root.opens_whole_paths;
        for opens_whole_paths in [false, helped] {
            let root = Root { path: root.path.clone(), group: 0, opens_whole_paths };
            root.file("a/b/file").unwrap();
            root.directory("").unwrap();
            root.directory("a/b").unwrap();
            assert_eq!(root.file("a/b/absent").unwrap_err().kind(), ErrorKind::NotFound);
            assert_eq!(root.directory("a/b/file").unwrap_err().kind(), ErrorKind::NotADirectory);
            for (path, link) in
                [("link/b/file", "link"), ("a/b/planted", "a/b/planted"), ("a/dangling/x", "a/dangling")]
            {
                let error = root.file(path).unwrap_err();
                let said = error.to_string();
                assert!(said.starts_with(&format!("{} is a symbolic link", root.path.join(link).display())), "{said}");
                assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            }
            assert!(root.directory("link").is_err() && root.directory("link/b").is_err());
            let at = root.directory("a/b").unwrap();
            assert!(at.reopen("planted").is_err() && at.create("planted").is_err());
            assert!(root.directory("").unwrap().enter("link").is_err());
        }
        assert_eq!(fs::read_to_string(outside.join("b/file")).unwrap(), "secret");
    }

    #[test]
    fn a_group_shares_a_folder_that_is_closed_to_others() {
        for (mode, group) in [(0o700, 0), (0o755, 0), (0o775, 0), (0o777, 0), (0o2770, 0o070), (0o750, 0o050)] {
            assert_eq!(shared_with_group(mode), group, "{mode:o}");
        }
    }
}
