//! The fifteen query types of the Time Series Benchmark Suite's "cpu-only", each with hosts and windows
//! chosen at random, always the same. One text for all engines.

use crate::workload::{FIELDS, Random, START_SECONDS, Workload};

const HOUR: i64 = 3_600;

/// A query type and its statements.
#[derive(Debug)]
pub struct Query {
    pub name: String,
    /// The first one warms up and is checked, the others are timed.
    pub statements: Vec<String>,
}

/// A kind of statement: what it is called and how one is written.
struct Kind {
    name: &'static str,
    write: fn(&mut Chooser) -> String,
}

const KINDS: [Kind; 15] = [
    Kind { name: "single-groupby-1-1-1", write: |choose| single_groupby(choose, 1, 1, 1) },
    Kind { name: "single-groupby-1-1-12", write: |choose| single_groupby(choose, 1, 1, 12) },
    Kind { name: "single-groupby-1-8-1", write: |choose| single_groupby(choose, 1, 8, 1) },
    Kind { name: "single-groupby-5-1-1", write: |choose| single_groupby(choose, 5, 1, 1) },
    Kind { name: "single-groupby-5-1-12", write: |choose| single_groupby(choose, 5, 1, 12) },
    Kind { name: "single-groupby-5-8-1", write: |choose| single_groupby(choose, 5, 8, 1) },
    Kind { name: "cpu-max-all-1", write: |choose| cpu_max_all(choose, 1) },
    Kind { name: "cpu-max-all-8", write: |choose| cpu_max_all(choose, 8) },
    Kind { name: "double-groupby-1", write: |choose| double_groupby(choose, 1) },
    Kind { name: "double-groupby-5", write: |choose| double_groupby(choose, 5) },
    Kind { name: "double-groupby-all", write: |choose| double_groupby(choose, FIELDS.len()) },
    Kind { name: "high-cpu-all", write: |choose| high_cpu(choose, None) },
    Kind { name: "high-cpu-1", write: |choose| high_cpu(choose, Some(1)) },
    Kind { name: "lastpoint", write: |_| lastpoint() },
    Kind { name: "groupby-orderby-limit", write: groupby_orderby_limit },
];

/// All query types with one statement to warm up and `runs` to time.
pub fn queries(workload: &Workload, runs: usize) -> Vec<Query> {
    let query = |(number, kind): (usize, &Kind)| {
        let mut choose = Chooser { random: Random(1_000 + number as u64), workload: *workload };
        let statements = (0..=runs).map(|_| (kind.write)(&mut choose)).collect();
        Query { name: kind.name.to_owned(), statements }
    };
    KINDS.iter().enumerate().map(query).collect()
}

/// Chooses hosts and windows.
struct Chooser {
    random: Random,
    workload: Workload,
}

impl Chooser {
    /// A condition on this many different hosts.
    fn hosts(&mut self, count: usize) -> String {
        let mut chosen: Vec<usize> = Vec::new();
        while chosen.len() < count.min(self.workload.hosts) {
            let host = self.random.below(self.workload.hosts);
            if !chosen.contains(&host) {
                chosen.push(host);
            }
        }
        let names: Vec<String> = chosen.iter().map(|host| format!("'host_{host}'")).collect();
        match names.as_slice() {
            [one] => format!("hostname = {one}"),
            several => format!("hostname IN ({})", several.join(", ")),
        }
    }

    /// Begin and end of a window, seconds since 1970; as long as the data if there is not so much.
    fn window(&mut self, hours: i64) -> (i64, i64) {
        let (have, wanted) = (self.workload.seconds(), hours * HOUR);
        let length = wanted.min(have);
        let offset = self.random.below((have - length + 1) as usize) as i64;
        (START_SECONDS + offset, START_SECONDS + offset + length)
    }

    fn within(&mut self, hours: i64) -> String {
        let (begin, end) = self.window(hours);
        format!("time >= {} AND time < {}", literal(begin), literal(end))
    }
}

/// A time as all three engines read it.
fn literal(seconds: i64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.unsigned_abs());
    let text = humantime::format_rfc3339_seconds(time).to_string();
    format!("TIMESTAMP '{}'", text.trim_end_matches('Z').replace('T', " "))
}

/// `max(usage_user) AS max_usage_user, …` of the first fields.
fn aggregates(function: &str, count: usize) -> String {
    let each = FIELDS.iter().take(count).map(|field| format!("{function}({field}) AS {function}_{field}"));
    each.collect::<Vec<_>>().join(", ")
}

fn single_groupby(choose: &mut Chooser, metrics: usize, hosts: usize, hours: i64) -> String {
    let (columns, hosts, window) = (aggregates("max", metrics), choose.hosts(hosts), choose.within(hours));
    format!(
        "SELECT date_trunc('minute', time) AS minute, {columns} FROM cpu WHERE {hosts} AND {window} \
         GROUP BY minute ORDER BY minute"
    )
}

fn cpu_max_all(choose: &mut Chooser, hosts: usize) -> String {
    let (columns, hosts, window) = (aggregates("max", FIELDS.len()), choose.hosts(hosts), choose.within(8));
    format!(
        "SELECT date_trunc('hour', time) AS hour, {columns} FROM cpu WHERE {hosts} AND {window} \
         GROUP BY hour ORDER BY hour"
    )
}

fn double_groupby(choose: &mut Chooser, metrics: usize) -> String {
    let (columns, window) = (aggregates("avg", metrics), choose.within(12));
    format!(
        "SELECT date_trunc('hour', time) AS hour, hostname, {columns} FROM cpu WHERE {window} \
         GROUP BY hour, hostname ORDER BY hour, hostname"
    )
}

fn high_cpu(choose: &mut Chooser, hosts: Option<usize>) -> String {
    let hosts = hosts.map_or(String::new(), |hosts| format!(" AND {}", choose.hosts(hosts)));
    let window = choose.within(12);
    format!("SELECT * FROM cpu WHERE usage_user > 90 AND {window}{hosts}")
}

fn lastpoint() -> String {
    "SELECT DISTINCT ON (hostname) * FROM cpu ORDER BY hostname, time DESC".to_owned()
}

fn groupby_orderby_limit(choose: &mut Chooser) -> String {
    let (_, end) = choose.window(1);
    format!(
        "SELECT date_trunc('minute', time) AS minute, max(usage_user) AS max_usage_user FROM cpu WHERE time < {} \
         GROUP BY minute ORDER BY minute DESC LIMIT 5",
        literal(end)
    )
}
