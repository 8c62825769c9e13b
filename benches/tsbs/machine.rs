//! What the kernel says of processes and of the machine.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::SystemTime;

use crate::report::Result;

/// Ticks of a second in `/proc/<pid>/stat`: the same on every Linux.
const TICKS: f64 = 100.0;

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}").into())
}

/// Numbers of `/proc/<pid>/stat` at these positions (as proc(5) counts them), summed, in seconds.
fn stat_seconds(process: &str, positions: [usize; 2]) -> Result<f64> {
    let text = read(&format!("/proc/{process}/stat"))?;
    // The second word is the program's name, which may hold blanks.
    let rest = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let words: Vec<&str> = rest.split(' ').collect();
    let ticks = positions.iter().filter_map(|position| words.get(position - 3)?.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS)
}

/// CPU-seconds (user and system) of a process, to 10 ms.
pub fn cpu_seconds(process: u32) -> Result<f64> {
    stat_seconds(&process.to_string(), [14, 15])
}

/// CPU-seconds of all children of this process that have ended and been waited for.
pub fn children_cpu_seconds() -> Result<f64> {
    stat_seconds("self", [16, 17])
}

/// The most memory a process has held, and what it holds, bytes.
pub fn memory(process: u32) -> Result<(u64, u64)> {
    let text = read(&format!("/proc/{process}/status"))?;
    let kibibytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().ok())
    };
    Ok((kibibytes("VmHWM").unwrap_or(0) << 10, kibibytes("VmRSS").unwrap_or(0) << 10))
}

/// CPU-seconds of a process to the nanosecond. They come from a helper that can ask the kernel for another
/// process's clock: the numbers in `/proc` are too coarse, or leave out threads that have ended.
#[derive(Debug)]
pub struct CpuMeter {
    process: u32,
    helper: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl CpuMeter {
    pub fn new(process: u32) -> Result<CpuMeter> {
        let python = python().unwrap_or_else(|| "python3".into());
        let mut command = Command::new(&python);
        command.args(["-I", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/tsbs/process_clock.py")]);
        let helper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut helper = helper.map_err(|error| format!("{} does not start: {error}", python.display()))?;
        let pipes = helper.stdin.take().zip(helper.stdout.take());
        let (questions, answers) = pipes.ok_or("the helper has no pipes")?;
        Ok(CpuMeter { process, helper, questions, answers: BufReader::new(answers) })
    }

    pub fn look(&mut self) -> Result<f64> {
        writeln!(self.questions, "{}", self.process)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let nanoseconds = answer.trim().parse::<u64>();
        let nanoseconds =
            nanoseconds.map_err(|_| format!("the CPU clock of process {} cannot be read", self.process))?;
        Ok(nanoseconds as f64 / 1e9)
    }
}

impl Drop for CpuMeter {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.helper.kill();
        let _ = self.helper.wait();
    }
}

/// The Python that has DuckDB; `benches/run` says which.
pub fn python() -> Option<OsString> {
    std::env::var_os("SILTDB_BENCH_PYTHON").filter(|python| !python.is_empty())
}

/// Bytes and number of all files below a folder whose names end so.
pub fn files_below(folder: &Path, ending: &str) -> Result<(u64, usize)> {
    let (mut bytes, mut count) = (0, 0);
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let (more, others) = files_below(&entry.path(), ending)?;
            bytes += more;
            count += others;
        } else if entry.file_name().to_string_lossy().ends_with(ending) {
            bytes += entry.metadata()?.len();
            count += 1;
        }
    }
    Ok((bytes, count))
}

/// The load of the last minute, five and fifteen.
pub fn load() -> String {
    let text = read("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The date and time in UTC.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Cores, processor, memory and kernel in one line.
pub fn describe() -> String {
    let after = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|line| line.trim_start_matches([' ', '\t', ':']).to_owned())
    };
    let processor = read("/proc/cpuinfo").ok().and_then(|text| after(&text, "model name"));
    let memory = read("/proc/meminfo").ok().and_then(|text| after(&text, "MemTotal"));
    let gibibytes =
        memory.and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1_048_576.0;
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} cores, {}, {gibibytes:.1} GiB of memory, Linux {}",
        std::thread::available_parallelism().map_or(0, usize::from),
        processor.unwrap_or_else(|| "unknown processor".to_owned()),
        kernel.trim()
    )
}

/// The commit that was built, if git knows.
pub fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]);
    let said = git.output().ok().filter(|output| output.status.success());
    said.map_or("unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
