//! Speed of line protocol into columns, beside the crate `influxdb-line-protocol`, which only finds
//! the pieces of each line: `cargo bench --bench parse`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test or a benchmark ends where it is wrong"
)]
#![allow(clippy::disallowed_methods, reason = "measures and waits by the machine's clocks, and reads its own settings")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use siltdb::model::{Precision, limits::Limits, time::WritePrecision};
use siltdb::parse::{Options, line_protocol};

const LINES: usize = 5_000;
const MEASURED: Duration = Duration::from_secs(2);

fn main() {
    println!("{:<34} {:>5} {:>14} {:>12} {:>10}", "5,000 lines of", "B", "parser", "MB/s", "rows/s");
    for hosts in [100, 4_000, LINES] {
        for fields in [Fields::Whole, Fields::Short, Fields::Full] {
            let body = body(hosts, fields);
            let name = format!("{hosts} hosts, {}", fields.name());
            report(&name, "siltdb", &body, ours);
            report("", "influxdb crate", &body, reference);
        }
    }
}

fn ours(body: &str) -> usize {
    let limits = Limits::default();
    let options = Options {
        write_precision: WritePrecision::Nanosecond,
        database_precision: Precision::Nanosecond,
        now: 0,
        limits: &limits,
    };
    match line_protocol(body.as_bytes(), &options) {
        Ok(batches) => batches.iter().map(|batch| black_box(batch).rows()).sum(),
        Err(error) => panic!("{error}"),
    }
}

fn reference(body: &str) -> usize {
    influxdb_line_protocol::parse_lines(body).filter(|line| black_box(line).is_ok()).count()
}

/// Repeats the parse for a while and prints the speed of the fastest round, which other work on the
/// machine disturbs least.
fn report(name: &str, parser: &str, body: &str, parse: fn(&str) -> usize) {
    let start = Instant::now();
    let mut fastest = f64::INFINITY;
    while start.elapsed() < MEASURED {
        let round = Instant::now();
        assert_eq!(parse(black_box(body)), LINES);
        fastest = fastest.min(round.elapsed().as_secs_f64());
    }
    let line_bytes = body.len() / LINES;
    let megabytes = body.len() as f64 / 1e6 / fastest;
    let rows = LINES as f64 / fastest;
    println!("{name:<34} {line_bytes:>5} {parser:>14} {megabytes:>12.0} {rows:>10.0}");
}

#[derive(Clone, Copy)]
enum Fields {
    /// `58i`
    Whole,
    /// `58.13`
    Short,
    /// `58.13171323049762`
    Full,
}

impl Fields {
    fn name(self) -> &'static str {
        match self {
            Fields::Whole => "integers",
            Fields::Short => "floats of 4 digits",
            Fields::Full => "floats of 16 digits",
        }
    }

    fn write(self, random: &mut Random) -> String {
        match self {
            Fields::Whole => format!("{}i", random.below(100)),
            Fields::Short => format!("{}.{:02}", random.below(100), random.below(100)),
            Fields::Full => format!("{}.{:014}", random.below(100), random.below(100_000_000_000_000)),
        }
    }
}

/// Lines like those of the Time Series Benchmark Suite's "cpu-only": each tick one line a host.
fn body(hosts: usize, fields: Fields) -> String {
    const REGIONS: [&str; 5] = ["us-east-1", "eu-central-1", "ap-southeast-2", "sa-east-1", "us-west-2"];
    const NAMES: [&str; 10] =
        ["user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"];
    let mut body = String::new();
    let mut random = Random(7);
    for line in 0..LINES {
        let host = line % hosts;
        let region = REGIONS[host % REGIONS.len()];
        let tags = format!(
            "hostname=host_{host},region={region},datacenter={region}{},rack={},os=Ubuntu16.10,arch=x64,team=NYC,\
             service={},service_version=1,service_environment=production",
            ["a", "b", "c"][host % 3],
            host * 7 % 100,
            host * 3 % 20,
        );
        let values: Vec<String> =
            NAMES.iter().map(|name| format!("usage_{name}={}", fields.write(&mut random))).collect();
        let time = 1_451_606_400_000_000_000 + (line / hosts) as u64 * 10_000_000_000;
        body.push_str(&format!("cpu,{tags} {} {time}\n", values.join(",")));
    }
    body
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % limit
    }
}
