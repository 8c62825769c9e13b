//! The memory that this process has, as the system counts it.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// More than the page has.
const PAGE_BYTES: usize = 8 << 10;

/// Bytes in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    pub all: u64,
    /// What was allocated: without the program and other files, which the system takes back by itself.
    pub own: u64,
}

/// Reads what the system counts. Nothing but Linux can be asked.
#[derive(Debug)]
pub struct ProcessMemory {
    file: File,
}

impl ProcessMemory {
    /// `None` where the system does not tell.
    pub fn open() -> Option<ProcessMemory> {
        Some(ProcessMemory { file: File::open("/proc/self/status").ok()? })
    }

    /// What it is now.
    pub fn read(&self) -> Option<Resident> {
        let mut page = [0; PAGE_BYTES];
        let length = self.file.read_at(&mut page, 0).ok()?;
        parse(std::str::from_utf8(&page[..length]).ok()?)
    }
}

fn parse(status: &str) -> Option<Resident> {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()? << 10)
    };
    Some(Resident { all: bytes("VmRSS")?, own: bytes("RssAnon")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_their_names() {
        let status = "Name:\tVmRSS\nVmHWM:\t  900 kB\nVmRSS:\t  812 kB\nRssAnon:\t     500 kB\nRssFile:\t 312 kB\n";
        assert_eq!(parse(status), Some(Resident { all: 812 << 10, own: 500 << 10 }));
        assert_eq!(parse("VmRSS:\t 1 kB\n"), None);
    }

    #[test]
    fn what_is_allocated_shows() {
        let Some(memory) = ProcessMemory::open() else { return };
        let before = memory.read().unwrap();
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = memory.read().unwrap();
        assert!(after.own > before.own + (48 << 20), "{before:?} {after:?} with {} held", held.len());
    }
}
