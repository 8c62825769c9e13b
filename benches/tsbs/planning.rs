//! Part 3: what a query, a write and a flush cost in databases of many files and of many tables.

use std::path::{Path, PathBuf};
use std::time::Instant;

use hyper::body::Bytes;

use crate::client::{CSV, Connection, WRITE};
use crate::report::{Report, Result, Table, Timings, mebibytes, milliseconds, progress, short, since, thousands};
use crate::server::{ALL_TAIL, Binary, Server};
use crate::store::{FlushCost, Many, build};

/// Timed runs of a statement or a write.
const RUNS: usize = 20;

const COLUMNS: &[&str] = &[
    "newest manifest KiB",
    "one day's query: first ms",
    "warm",
    "its EXPLAIN",
    "store requests, warm",
    "a write",
    "a flush of one row",
    "its store requests",
    "KiB it writes",
    "server MiB: after the queries",
    "peak",
];

pub async fn report(many: Many, counts: &[usize], binary: &Binary, folder: &Path, report: &mut Report) -> Result<()> {
    let (title, about) = match many {
        Many::Files => ("Planning: days of a table", "One table, one file of ten rows a day."),
        Many::Tables => ("Manifest: tables of a database", "Each table has one file of ten rows."),
    };
    report.heading(2, title);
    report.paragraph(&format!(
        "{about} The query asks for one file's rows over HTTP; *first* is the first one of a new server. Times are \
         medians in milliseconds of CPU / of wall clock, of {RUNS} queries and writes of one row over HTTP and of flushes \
         (seal, freeze, settle and commit) by the library in a warm process."
    ));
    let mut columns = vec![if many == Many::Files { "files" } else { "tables" }];
    columns.extend(COLUMNS);
    let mut table = Table::new(&columns);
    for count in counts.iter().copied() {
        if count == 0 {
            return Err("a count of files or tables has to be 1 or more".into());
        }
        progress(format!("{title}: {count}"));
        let folder = tempfile::tempdir_in(folder)?;
        let store = folder.path().join("store");
        std::fs::create_dir(&store)?;
        let flush = build(many, count, &store).await?;
        progress(format!("  built in {} s", short(flush.building)));
        table.row(&measure(many, count, &flush, binary, &store).await?);
    }
    report.table(&table);
    Ok(())
}

async fn measure(many: Many, count: usize, flush: &FlushCost, binary: &Binary, store: &Path) -> Result<Vec<String>> {
    let manifest = newest_manifest(store)?;
    let mut server = Server::start(binary, store, ALL_TAIL).await?;
    let mut connection = server.connect().await?;
    let query = many.query(count);
    let begun = Instant::now();
    let answer = connection.sql(&query, CSV).await?;
    let first = since(begun);
    let rows = answer.iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
    if rows != many.answers() {
        return Err(format!("{query}: {rows} rows instead of {}", many.answers()).into());
    }
    connection.sql(&query, CSV).await?;
    let before = server.counters().await?;
    let warm = repeat(&mut server, &mut connection, &query).await?;
    let requests = server.counters().await?.minus(&before).requests();
    let explain = repeat(&mut server, &mut connection, &format!("EXPLAIN {query}")).await?;
    let (_, memory) = server.memory()?;
    let writes = write(&mut server, &mut connection, many, count).await?;
    let (peak, _) = server.memory()?;
    server.stop().await?;
    Ok(vec![
        thousands(count as u64),
        short(manifest as f64 / 1_024.0),
        milliseconds(first),
        warm.medians(),
        explain.medians(),
        short(requests as f64 / RUNS as f64),
        writes.medians(),
        flush.timings.medians(),
        short(flush.requests),
        short(flush.bytes_written / 1_024.0),
        mebibytes(memory),
        mebibytes(peak),
    ])
}

async fn repeat(server: &mut Server, connection: &mut Connection, statement: &str) -> Result<Timings> {
    let mut runs = Vec::new();
    let mut cpu = server.exact_cpu_seconds()?;
    for _ in 0..RUNS {
        let begun = Instant::now();
        connection.sql(statement, CSV).await?;
        let wall = since(begun);
        let now = server.exact_cpu_seconds()?;
        runs.push((now - cpu, wall));
        cpu = now;
    }
    Ok(Timings::new(&runs))
}

async fn write(server: &mut Server, connection: &mut Connection, many: Many, count: usize) -> Result<Timings> {
    let mut runs = Vec::new();
    for number in 0..=RUNS {
        let line = Bytes::from(many.line(count, 1_000 + number));
        let (cpu, begun) = (server.exact_cpu_seconds()?, Instant::now());
        connection.send("POST", WRITE, CSV, line).await?.good("a write")?;
        let wall = since(begun);
        // The first one warms up.
        if number > 0 {
            runs.push((server.exact_cpu_seconds()? - cpu, wall));
        }
    }
    Ok(Timings::new(&runs))
}

/// Bytes of the newest manifest of the only database.
fn newest_manifest(store: &Path) -> Result<u64> {
    let mut newest: Option<PathBuf> = None;
    let mut folders = vec![store.join("t")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "m")
                && newest.as_ref().is_none_or(|newest| newest.file_name() < path.file_name())
            {
                newest = Some(path);
            }
        }
    }
    let newest = newest.ok_or("the store has no manifest")?;
    Ok(std::fs::metadata(newest)?.len())
}
