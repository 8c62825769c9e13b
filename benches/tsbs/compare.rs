//! Part 2: the queries over HTTP in three states of the same rows, beside the engines over the ideal file.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use crate::client::{ARROW, CSV};
use crate::digest::Digest;
use crate::ideal::{self, Measured};
use crate::ingest::LINES;
use crate::load::load;
use crate::options::Options;
use crate::queries::{Query, queries};
use crate::report::{Report, Result, Table, Timings, mebibytes, progress, short, since, thousands};
use crate::server::{ALL_TAIL, Binary, Server};
use crate::workload::Workload;

/// SiltDB over one state of the rows.
struct State {
    name: &'static str,
    measured: HashMap<String, Measured>,
    /// Requests to the store of one warm run, on average.
    requests: HashMap<String, f64>,
    peak_bytes: u64,
}

/// What was measured, and over what.
struct Comparison {
    queries: Vec<Query>,
    ideal_bytes: u64,
    datafusion: HashMap<String, Measured>,
    duckdb: Option<(String, HashMap<String, Measured>)>,
    states: Vec<State>,
}

pub async fn report(options: &Options, binary: &Binary, folder: &Path, report: &mut Report) -> Result<()> {
    let workload = Workload::new(options.scale, options.values);
    let queries = queries(&workload, usize::from(options.runs));
    let folder = tempfile::tempdir_in(folder)?;
    let file = folder.path().join("ideal.parquet");
    progress("queries: the ideal Parquet file");
    ideal::write_parquet(&workload, &file)?;
    let duckdb = ideal::duckdb(options, &file, &queries).await?;
    let datafusion = ideal::datafusion(options, &file, &queries).await?;
    let whole = folder.path().join("whole");
    progress("queries: all in the tail");
    let server = filled(&workload, 1, binary, &whole).await?;
    let tail = measure("all tail", server, options, &queries).await?;
    progress("queries: compacted");
    binary.maintain(&whole, &["--grace", "0s"]).await?;
    let server = Server::start(binary, &whole, ALL_TAIL).await?;
    let compacted = measure("compacted", server, options, &queries).await?;
    progress("queries: half flushed");
    let server = filled(&workload, 2, binary, &folder.path().join("half")).await?;
    let half = measure("half flushed", server, options, &queries).await?;
    let states = vec![compacted, half, tail];
    let comparison = Comparison { queries, ideal_bytes: std::fs::metadata(&file)?.len(), datafusion, duckdb, states };
    comparison.write(options, report)
}

/// A server whose store holds all rows: written in this many parts of the time, all but the last flushed.
async fn filled(workload: &Workload, parts: usize, binary: &Binary, store: &Path) -> Result<Server> {
    let server = Server::start(binary, store, ALL_TAIL).await?;
    for part in 0..parts {
        let ticks = workload.ticks * part / parts..workload.ticks * (part + 1) / parts;
        load(&server.address, &workload.bodies(ticks, LINES, usize::MAX), 4).await?;
        if part + 1 < parts {
            binary.maintain(store, &["flush"]).await?;
        }
    }
    let found = server.connect().await?.number("SELECT count(*) FROM cpu").await?;
    if found != workload.rows() {
        return Err(format!("{} rows were written, and a query finds {found}", workload.rows()).into());
    }
    Ok(server)
}

async fn measure(name: &'static str, mut server: Server, options: &Options, queries: &[Query]) -> Result<State> {
    let accept = if options.arrow { ARROW } else { CSV };
    let mut connection = server.connect().await?;
    let mut state = State { name, measured: HashMap::new(), requests: HashMap::new(), peak_bytes: 0 };
    for query in queries {
        progress(format!("  {name}: {}", query.name));
        let mut statements = query.statements.iter();
        let first = statements.next().ok_or("a query without a statement")?;
        let digest = Digest::of_stream(connection.sql(first, ARROW).await?.as_ref())?;
        let before = server.counters().await?;
        let mut runs = Vec::new();
        let mut cpu = server.exact_cpu_seconds()?;
        for statement in statements {
            let begun = Instant::now();
            let answer = connection.sql(statement, accept).await?;
            let wall = since(begun);
            drop(answer);
            let now = server.exact_cpu_seconds()?;
            runs.push((now - cpu, wall));
            cpu = now;
        }
        let asked = server.counters().await?.minus(&before).requests();
        state.requests.insert(query.name.clone(), asked as f64 / runs.len() as f64);
        state.measured.insert(query.name.clone(), Measured { digest, timings: Timings::new(&runs) });
    }
    state.peak_bytes = server.memory()?.0;
    server.stop().await?;
    Ok(state)
}

impl Comparison {
    fn write(&self, options: &Options, report: &mut Report) -> Result<()> {
        let format = if options.arrow { "an Arrow stream" } else { "CSV" };
        let version = self.duckdb.as_ref().map_or("not there", |(version, _)| version.as_str());
        report.heading(2, "Queries");
        report.paragraph(&format!(
            "SiltDB {} over HTTP, answers as {format}; DataFusion {} (in process, {} partitions, filter pushdown {}) and \
             DuckDB {version} ({} threads) over one Parquet file of the same rows, sorted by host and time ({} MiB). \
             Each run has hosts and a window of its own, the same for all engines; {} runs after one that warms up. \
             CPU is the whole process's.",
            env!("CARGO_PKG_VERSION"),
            datafusion::DATAFUSION_VERSION,
            options.threads,
            if options.pushdown { "on" } else { "off" },
            options.threads,
            mebibytes(self.ideal_bytes),
            options.runs
        ));
        report.paragraph("Medians, milliseconds of CPU / of wall clock:");
        self.times(Timings::medians, true, report)?;
        report.paragraph("Minima, likewise:");
        self.times(Timings::minima, false, report)?;
        let peaks: Vec<String> =
            self.states.iter().map(|state| format!("{} {} MiB", state.name, mebibytes(state.peak_bytes))).collect();
        report.paragraph(&format!("Peak memory of the server: {}.", peaks.join(", ")));
        self.agreement(report);
        Ok(())
    }

    fn times(&self, cell: fn(&Timings) -> String, with_ratios: bool, report: &mut Report) -> Result<()> {
        let names = self.states.iter().map(|state| state.name).collect::<Vec<_>>().join(", ");
        let ratios = format!("CPU to DataFusion's: {names}");
        let requests = format!("store requests: {names}");
        let mut columns = vec!["query", "rows", "DuckDB", "DataFusion"];
        columns.extend(self.states.iter().map(|state| state.name));
        if with_ratios {
            columns.extend([ratios.as_str(), requests.as_str()]);
        }
        let mut table = Table::new(&columns);
        let mut products = vec![0.0; self.states.len()];
        for query in &self.queries {
            let ideal = self.datafusion.get(&query.name).ok_or("DataFusion left out a query")?;
            let duckdb = self.duckdb.as_ref().and_then(|(_, measured)| measured.get(&query.name));
            let duckdb = duckdb.map_or("–".to_owned(), |measured| cell(&measured.timings));
            let mut cells = vec![query.name.clone(), thousands(ideal.digest.rows as u64), duckdb, cell(&ideal.timings)];
            let measured: Vec<&Measured> =
                self.states.iter().filter_map(|state| state.measured.get(&query.name)).collect();
            cells.extend(measured.iter().map(|measured| cell(&measured.timings)));
            if with_ratios {
                let ratio = |measured: &&Measured| measured.timings.cpu.median() / ideal.timings.cpu.median();
                let ratios: Vec<f64> = measured.iter().map(ratio).collect();
                products.iter_mut().zip(&ratios).for_each(|(product, ratio)| *product += ratio.ln());
                cells.push(slashed(&ratios));
                let requests = self.states.iter().filter_map(|state| state.requests.get(&query.name).copied());
                cells.push(slashed(&requests.collect::<Vec<_>>()));
            }
            table.row(&cells);
        }
        if with_ratios {
            let means: Vec<f64> = products.iter().map(|sum| (sum / self.queries.len() as f64).exp()).collect();
            let mut cells = vec!["geometric mean".to_owned()];
            cells.resize(columns.len(), String::new());
            cells[columns.len() - 2] = slashed(&means);
            table.row(&cells);
        }
        report.table(&table);
        Ok(())
    }

    /// Whether all engines gave the same answers to the first statement of each query.
    fn agreement(&self, report: &mut Report) {
        let mut others: Vec<(&str, &HashMap<String, Measured>)> =
            self.states.iter().map(|state| (state.name, &state.measured)).collect();
        others.extend(self.duckdb.iter().map(|(_, measured)| ("DuckDB", measured)));
        let mut wrong = Vec::new();
        for query in &self.queries {
            let Some(expected) = self.datafusion.get(&query.name) else { continue };
            for (name, measured) in &others {
                match measured.get(&query.name) {
                    Some(answer) if answer.digest.agrees(&expected.digest) => {}
                    answer => wrong.push(format!(
                        "{}: {name} has {:?}, DataFusion {:?}",
                        query.name,
                        answer.map(|answer| answer.digest),
                        expected.digest
                    )),
                }
            }
        }
        if wrong.is_empty() {
            let count = others.len() + 1;
            report.paragraph(&format!("The answers of all {count} engines and states agree in rows and sums."));
        } else {
            report.paragraph(&format!("**The answers differ:**\n\n* {}", wrong.join("\n* ")));
            report.set_wrong();
        }
    }
}

/// `1.02 / 1.5 / 3.1`
fn slashed(numbers: &[f64]) -> String {
    numbers.iter().map(|number| short(*number)).collect::<Vec<_>>().join(" / ")
}
