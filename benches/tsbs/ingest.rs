//! Part 1: what writing costs, to the acknowledgement and until everything is settled.

use std::path::Path;

use hyper::body::Bytes;

use crate::load::{Load, load};
use crate::machine;
use crate::options::Options;
use crate::report::{Report, Result, Table, mebibytes, milliseconds, progress, short, thousands};
use crate::server::{ALL_TAIL, Binary, Counters, Server, Spent};
use crate::workload::Workload;

/// Lines of a large request.
pub const LINES: usize = 5_000;

const COLUMNS: &[&str] = &[
    "connections, maintenance",
    "rows/s",
    "CPU-s a million rows: to acknowledgement",
    "settled",
    "p50 ms",
    "p99 ms",
    "max ms",
    "peak MiB: server",
    "maintain",
    "maintain s",
    "bytes a row: live files",
    "everything",
    "live files",
    "store requests a write",
    "rows a segment",
    "429s",
];

/// One run: bodies, how they are sent, and whether the server settles beside.
struct Run<'a> {
    bodies: &'a [Bytes],
    rows: usize,
    connections: usize,
    maintenance: bool,
}

/// What a run showed.
struct Outcome {
    load: Load,
    /// The server's CPU-seconds when the last write was acknowledged.
    cpu: f64,
    peak_bytes: u64,
    counters: Counters,
    /// `siltdb maintain` after the server was stopped.
    rest: Spent,
    all_bytes: u64,
    live_bytes: u64,
    live_files: usize,
}

pub async fn report(options: &Options, binary: &Binary, folder: &Path, report: &mut Report) -> Result<()> {
    let workload = Workload::new(options.scale, options.values);
    report.heading(2, "Ingest");
    report.paragraph(
        "*To acknowledgement*: the server's CPU when the last write was acknowledged, its own flushes and merges up to \
         then included where maintenance is on. *Settled*: that and the CPU of `siltdb maintain` after the server was \
         stopped. *Live files*: what `siltdb maintain collect --grace 0s` leaves in `data/`; *everything*: the whole \
         store with what the grace of an hour keeps. 429s were sent again, and their waits are part of the latency. \
         The client runs on the same cores.",
    );
    progress(format!("{} rows in requests of {LINES} lines", workload.rows()));
    let bodies = workload.bodies(0..workload.ticks, LINES, usize::MAX);
    let sizes = (workload.hosts, workload.rows(), bodies.iter().map(Bytes::len).sum::<usize>());
    let title = format!(
        "{} rows of {} hosts, {LINES} lines a request ({} MiB of line protocol)",
        thousands(sizes.1 as u64),
        thousands(sizes.0 as u64),
        mebibytes(sizes.2 as u64)
    );
    table(&title, &runs(&bodies, workload.rows(), &[1, 4]), binary, folder, report).await?;
    let count = options.single_lines().min(workload.rows());
    let bodies = workload.bodies(0..workload.ticks, 1, count);
    let title = format!("{} requests of one line", thousands(count as u64));
    table(&title, &runs(&bodies, count, &[16, 256]), binary, folder, report).await
}

/// With and without maintenance, over so many connections each.
fn runs<'a>(bodies: &'a [Bytes], rows: usize, connections: &[usize]) -> Vec<Run<'a>> {
    let with = |maintenance| move |&connections: &usize| Run { bodies, rows, connections, maintenance };
    connections.iter().map(with(true)).chain(connections.iter().map(with(false))).collect()
}

async fn table(title: &str, runs: &[Run<'_>], binary: &Binary, folder: &Path, report: &mut Report) -> Result<()> {
    report.heading(3, title);
    let mut table = Table::new(COLUMNS);
    for run in runs {
        let outcome = run.measure(binary, folder).await?;
        table.row(&run.cells(&outcome));
    }
    report.table(&table);
    Ok(())
}

impl Run<'_> {
    fn name(&self) -> String {
        format!("{}, {}", self.connections, if self.maintenance { "on" } else { "off" })
    }

    /// A request that creates the table before the clock starts, as in a server that has been used before.
    fn first_line(&self) -> Vec<Bytes> {
        let line = |body: &Bytes| {
            let end = body.iter().position(|byte| *byte == b'\n').map_or(body.len(), |end| end + 1);
            body.slice(..end)
        };
        self.bodies.first().map(line).into_iter().collect()
    }

    async fn measure(&self, binary: &Binary, folder: &Path) -> Result<Outcome> {
        let (requests, name) = (self.bodies.len(), self.name());
        progress(format!("{requests} requests; connections, maintenance: {name}"));
        let folder = tempfile::tempdir_in(folder)?;
        let store = folder.path().join("store");
        let arguments = if self.maintenance { &[] } else { ALL_TAIL };
        let server = Server::start(binary, &store, arguments).await?;
        load(&server.address, &self.first_line(), 1).await?;
        let (cpu_before, before) = (server.cpu_seconds()?, server.counters().await?);
        let load = match load(&server.address, self.bodies, self.connections).await {
            Ok(load) => load,
            Err(error) => return Err(format!("{error}\n{}", server.last_words()).into()),
        };
        let cpu = server.cpu_seconds()? - cpu_before;
        let counters = server.counters().await?.minus(&before);
        let (peak_bytes, _) = server.memory()?;
        let found = server.connect().await?.number("SELECT count(*) FROM cpu").await?;
        if found != self.rows {
            return Err(format!("{} rows were acknowledged, and a query finds {found}", self.rows).into());
        }
        server.stop().await?;
        let rest = binary.maintain(&store, &[]).await?;
        let (all_bytes, _) = machine::files_below(&store, "")?;
        binary.maintain(&store, &["collect", "--grace", "0s"]).await?;
        let (live_bytes, live_files) = machine::files_below(&store, ".parquet")?;
        Ok(Outcome { load, cpu, peak_bytes, counters, rest, all_bytes, live_bytes, live_files })
    }

    fn cells(&self, outcome: &Outcome) -> Vec<String> {
        let (rows, requests) = (self.rows as f64, self.bodies.len() as f64);
        let latencies = &outcome.load.latencies;
        vec![
            self.name(),
            thousands((rows / outcome.load.wall) as u64),
            short(outcome.cpu / rows * 1e6),
            short((outcome.cpu + outcome.rest.cpu) / rows * 1e6),
            milliseconds(latencies.median()),
            milliseconds(latencies.quantile(0.99)),
            milliseconds(latencies.max()),
            mebibytes(outcome.peak_bytes),
            mebibytes(outcome.rest.peak_bytes),
            short(outcome.rest.wall),
            short(outcome.live_bytes as f64 / rows),
            short(outcome.all_bytes as f64 / rows),
            outcome.live_files.to_string(),
            short(outcome.counters.requests() as f64 / requests),
            short(rows / outcome.counters.segments.max(1) as f64),
            outcome.load.refused.to_string(),
        ]
    }
}
