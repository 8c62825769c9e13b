//! How much memory a process takes for its kind of work, beside what its executable's own pages take (80 MB at
//! the very most). The platform ends a process that takes more than its function has.

use std::fmt::Write;

use serde_json::json;
use tempfile::TempDir;

use crate::platform::{Function, Options, schedule};
use crate::server::Target;

const WRITES: usize = 80;
const LINES: usize = 2_000;
/// What an executable may have in memory, MiB.
const EXECUTABLE: usize = 80;

fn with(memory: usize) -> Options {
    Options { memory, ..Options::default() }.set("SILTDB_FLUSH_AGE", "0s").set("MALLOC_ARENA_MAX", "2")
}

/// The most that the only process of a function had in memory at a time, MiB: without, and with, the pages of files.
fn most(function: &Function) -> (usize, usize) {
    let environments = function.environments();
    assert_eq!(environments.len(), 1, "one process did it all");
    let status = std::fs::read_to_string(format!("/proc/{}/status", environments[0].pid)).expect("a process");
    let value = |name: &str| -> usize {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of the status");
        line.trim().trim_end_matches(" kB").parse().expect("KiB")
    };
    let all = value("VmHWM:");
    ((all - value("RssFile:")) >> 10, all >> 10)
}

fn judge(what: &str, function: &Function, memory: usize) {
    let (own, all) = most(function);
    crate::say(&format!("memory for {what}: {own} MiB, {all} MiB with the executable, of {memory}"));
    assert!(own + EXECUTABLE <= memory, "{what}: {own} MiB of {memory}");
}

/// Points of a hundred hosts, ten numbers each.
fn lines(write: usize) -> String {
    let mut lines = String::new();
    for number in write * LINES..(write + 1) * LINES {
        let _ = write!(lines, "cpu,host=host_{},region=eu-central-{} ", number % 100, number % 3);
        for field in 0..10 {
            let _ =
                write!(lines, "{}usage_{field}={}", if field == 0 { "" } else { "," }, (number * (field + 7)) % 1_000);
        }
        let _ = writeln!(lines, " {}", number as u64 * 100_000_000);
    }
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_small_function_suffices() {
    let folder = TempDir::new().expect("a folder");
    let target = Target::folder(folder.path());
    let (writer, keeper) = (Function::deploy(&target, with(256)).await, Function::deploy(&target, with(512)).await);
    let rounds = 8;
    for round in 0..rounds {
        for write in 0..WRITES / rounds {
            assert_eq!(writer.write(lines(round * (WRITES / rounds) + write)).await.status, 200);
        }
        let report = keeper.invoke(&schedule()).await.expect("a report");
        assert_eq!(report["segments"], json!(WRITES / rounds), "{report}");
        keeper.idle().await;
    }
    let report = keeper.invoke(&schedule()).await.expect("a report");
    assert_eq!(report["merges"], json!(1), "{report}");
    keeper.idle().await;
    judge(&format!("{WRITES} writes of {LINES} lines"), &writer, 256);
    judge(&format!("settling and merging {} rows", WRITES * LINES), &keeper, 512);
    let reader = Function::deploy(&target, with(512)).await;
    let by_host = "select host, avg(usage_0), max(usage_9) from cpu group by host order by host limit 1";
    assert!(reader.answer(by_host).await.starts_with("host,"));
    let all = reader.answer("select * from cpu").await;
    assert_eq!(all.lines().count(), WRITES * LINES + 1);
    judge(&format!("queries, one of {} MB", all.len() / 1_000_000), &reader, 512);
    target.check();
}
