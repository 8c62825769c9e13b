//! How much memory this process may have: the machine's, or less where a control group says so.

use std::fmt;
use std::path::{Path, PathBuf};

/// Memory that is there, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub bytes: u64,
    pub origin: Origin,
}

/// What bounds the memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Machine,
    /// The file with the limit.
    ControlGroup(PathBuf),
    /// Of AWS Lambda.
    Function,
    /// The system does not tell.
    Guess,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Machine => formatter.write_str("the machine's memory"),
            Origin::ControlGroup(file) => write!(formatter, "the control group's memory ({})", file.display()),
            Origin::Function => formatter.write_str("the function's memory"),
            Origin::Guess => formatter.write_str("a guess, since the system does not tell its memory"),
        }
    }
}

/// Where the system does not tell.
const GUESS: u64 = 2 << 30;

impl Machine {
    /// A function with so much memory.
    pub fn function(bytes: u64) -> Machine {
        Machine { bytes, origin: Origin::Function }
    }

    /// Asks the system.
    pub fn look() -> Machine {
        Machine::look_below(Path::new("/"))
    }

    /// The same of a system whose files are below `root`.
    fn look_below(root: &Path) -> Machine {
        let read = |path: &Path| std::fs::read_to_string(root.join(path)).ok();
        let machine = read(Path::new("proc/meminfo")).and_then(|text| total_memory(&text));
        let machine = machine.map(|bytes| Machine { bytes, origin: Origin::Machine });
        let groups = read(Path::new("proc/self/cgroup")).unwrap_or_default();
        let limits = limit_files(&groups).into_iter().filter_map(|file| {
            // "max" is no number, and says that there is no limit.
            let bytes = read(&file)?.trim().parse().ok()?;
            Some(Machine { bytes, origin: Origin::ControlGroup(Path::new("/").join(file)) })
        });
        // Of equal ones the machine; a limit of version 1 that is none is larger than any machine.
        let least = machine.into_iter().chain(limits).min_by_key(|machine| machine.bytes);
        least.unwrap_or(Machine { bytes: GUESS, origin: Origin::Guess })
    }
}

/// `MemTotal` of /proc/meminfo.
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()? << 10)
}

/// The files that may hold a limit: of the process's group and of those around it, in both versions. In a
/// container the group's path is often that outside of it, and then the limit is at the top.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (top, file) = match controllers {
            "" if number == "0" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        // A path that leads out of the tree is another's.
        let is_plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let groups = path.ancestors().filter(|_| is_plain || path.as_os_str().is_empty());
        let here = groups.map(|group| Path::new(top).join(group).join(file));
        files.extend(here.chain([Path::new(top).join(file)]));
    }
    files.dedup();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> Machine {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Machine::look_below(root.path())
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:        1 kB\n");
    const VERSION_2: (&str, &str) = ("proc/self/cgroup", "0::/system.slice/siltdb.service\n");

    #[test]
    fn the_least_counts() {
        let machine = Machine { bytes: 16 << 30, origin: Origin::Machine };
        let group = |bytes: u64, file: &str| Machine { bytes, origin: Origin::ControlGroup(PathBuf::from(file)) };
        assert_eq!(system(&[MEMINFO]), machine);
        assert_eq!(system(&[MEMINFO, VERSION_2]), machine);
        let unbounded = ("sys/fs/cgroup/system.slice/siltdb.service/memory.max", "max\n");
        assert_eq!(system(&[MEMINFO, VERSION_2, unbounded]), machine);
        let around = ("sys/fs/cgroup/system.slice/memory.max", "2147483648\n");
        let found = group(2 << 30, "/sys/fs/cgroup/system.slice/memory.max");
        assert_eq!(system(&[MEMINFO, VERSION_2, unbounded, around]), found);
        // A container sees its own limit at the top.
        let top = ("sys/fs/cgroup/memory.max", "1073741824\n");
        assert_eq!(system(&[MEMINFO, VERSION_2, top]), group(1 << 30, "/sys/fs/cgroup/memory.max"));
        let version_1 = ("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/docker/1f\n0::/\n");
        let file = "sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes";
        assert_eq!(system(&[MEMINFO, version_1, (file, "9223372036854771712\n")]), machine);
        assert_eq!(system(&[MEMINFO, version_1, (file, "536870912\n")]), group(512 << 20, &format!("/{file}")));
        assert_eq!(system(&[]), Machine { bytes: GUESS, origin: Origin::Guess });
    }

    #[test]
    fn groups_elsewhere_are_not_asked() {
        let files = limit_files("0::/../../other\n");
        assert_eq!(files, [PathBuf::from("sys/fs/cgroup/memory.max")]);
        assert_eq!(limit_files("nonsense\n1:name=systemd:/x\n"), Vec::<PathBuf>::new());
    }
}
