//! `benches/run` measures SiltDB from end to end: the real server over HTTP, beside DataFusion and DuckDB
//! over an ideal file of the same rows. It prints figures and asserts nothing about time; it does fail when
//! a server does not start, refuses a request, or loses a row. See benches/README.md.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test or a benchmark ends where it is wrong"
)]
#![allow(clippy::disallowed_methods, reason = "measures and waits by the machine's clocks, and reads its own settings")]

mod client;
mod compare;
mod digest;
mod ideal;
mod ingest;
mod load;
mod machine;
mod options;
mod planning;
mod queries;
mod report;
mod server;
mod store;
mod workload;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use options::{Options, Part};
use report::{Report, Result, progress};
use server::Binary;
use store::Many;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Into::into);
    let outcome = outcome.and_then(|runtime| runtime.block_on(run(&options)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benchmark: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures until it is done or told to stop: then children and folders go with what owns them. What was
/// measured by then is printed all the same.
async fn run(options: &Options) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut report = begin(options);
    let outcome = tokio::select! {
        outcome = measure(options, &mut report) => outcome,
        _ = interrupt.recv() => Err("interrupted".into()),
        _ = terminate.recv() => Err("terminated".into()),
    };
    print!("{}", report.text());
    outcome?;
    if report.is_wrong() {
        return Err("answers differ; see the report".into());
    }
    progress("done");
    Ok(())
}

async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let built = Path::new(env!("CARGO_BIN_EXE_siltdb")).to_owned();
    let path = options.server_binary.clone().unwrap_or(built);
    let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
    let binary = Binary { path, server_arguments: options.server_argument.clone() };
    let directory = options.directory.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for part in Part::value_variants().iter().filter(|part| options.wants(**part)) {
        let load = machine::load();
        match part {
            Part::Ingest => ingest::report(options, &binary, folder.path(), report).await?,
            Part::Queries => compare::report(options, &binary, folder.path(), report).await?,
            Part::Planning => {
                planning::report(Many::Files, &options.file_counts(), &binary, folder.path(), report).await?;
            }
            Part::Manifest => {
                planning::report(Many::Tables, &options.table_counts(), &binary, folder.path(), report).await?;
            }
        }
        report.paragraph(&format!("Load average: {load} at the start, {} at the end.", machine::load()));
        if let Some(file) = &options.output {
            std::fs::write(file, report.text()).map_err(|error| format!("{}: {error}", file.display()))?;
        }
    }
    Ok(())
}

fn begin(options: &Options) -> Report {
    let mut report = Report::default();
    report.heading(1, "SiltDB's figures");
    let build = if cfg!(debug_assertions) { "a DEBUG build: figures mean nothing" } else { "a release build" };
    report.paragraph(&format!(
        "{}, SiltDB {} ({}), {build}{}; {:?} scale, values {:?}; {}.",
        machine::now(),
        env!("CARGO_PKG_VERSION"),
        machine::commit(),
        if options.server_binary.is_some() { " of the benchmark, the server given" } else { "" },
        options.scale,
        options.values,
        machine::describe()
    ));
    report
}
