//! What SiltDB is compared with: DataFusion and DuckDB over the same rows in one ideal Parquet file.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::digest::Digest;
use crate::machine::{self, CpuMeter};
use crate::options::Options;
use crate::queries::Query;
use crate::report::{Result, Timings, progress, since};
use crate::workload::{FIELDS, Host, TAGS, Values, Workload, time};

/// What an engine did with one query.
#[derive(Debug, Clone)]
pub struct Measured {
    pub digest: Digest,
    pub timings: Timings,
}

/// Writes all rows, sorted by host and time, in row groups of a million.
pub fn write_parquet(workload: &Workload, path: &Path) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(1 << 20))
        .set_column_dictionary_enabled(ColumnPath::from("time"), false)
        .set_column_encoding(ColumnPath::from("time"), Encoding::DELTA_BINARY_PACKED)
        .build();
    let mut hosts: Vec<Host> = (0..workload.hosts).map(Host::new).collect();
    hosts.sort_by(|left, right| left.tags[0].cmp(&right.tags[0]));
    let mut writer = None;
    for mut host in hosts {
        let batch = batch(workload, &mut host)?;
        if writer.is_none() {
            let file = File::create(path)?;
            writer = Some(ArrowWriter::try_new(file, batch.schema(), Some(properties.clone()))?);
        }
        if let Some(writer) = &mut writer {
            writer.write(&batch)?;
        }
    }
    if let Some(writer) = writer {
        writer.close()?;
    }
    Ok(())
}

/// All rows of a host.
fn batch(workload: &Workload, host: &mut Host) -> Result<RecordBatch> {
    let mut values: [Vec<i64>; FIELDS.len()] = Default::default();
    for _ in 0..workload.ticks {
        for (column, value) in values.iter_mut().zip(host.step()) {
            column.push(value);
        }
    }
    let times = TimestampNanosecondArray::from_iter_values((0..workload.ticks).map(time));
    let mut columns: Vec<(&str, ArrayRef)> = vec![("time", Arc::new(times))];
    for (name, value) in TAGS.iter().zip(&host.tags) {
        columns.push((name, Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, workload.ticks)))));
    }
    for (name, hundredths) in FIELDS.iter().zip(values) {
        let hundredths = hundredths.into_iter();
        let column: ArrayRef = match workload.values {
            Values::Whole => Arc::new(Int64Array::from_iter_values(hundredths.map(|value| value / 100))),
            Values::Rounded => Arc::new(Float64Array::from_iter_values(hundredths.map(|value| (value / 100) as f64))),
            Values::Float => Arc::new(Float64Array::from_iter_values(hundredths.map(|value| value as f64 / 100.0))),
        };
        columns.push((name, column));
    }
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// Runs all queries in DataFusion, in this process.
pub async fn datafusion(options: &Options, file: &Path, queries: &[Query]) -> Result<HashMap<String, Measured>> {
    let mut config = SessionConfig::new().with_target_partitions(options.threads);
    config.options_mut().execution.parquet.pushdown_filters = options.pushdown;
    let context = SessionContext::new_with_config(config);
    let path = file.to_str().ok_or("the temporary folder's name is not UTF-8")?;
    context.register_parquet("cpu", path, ParquetReadOptions::default()).await?;
    let mut meter = CpuMeter::new(std::process::id())?;
    let mut measured = HashMap::new();
    for query in queries {
        progress(format!("  datafusion: {}", query.name));
        let mut digest = Digest::default();
        let mut runs = Vec::new();
        for (number, statement) in query.statements.iter().enumerate() {
            let (cpu, begun) = (meter.look()?, Instant::now());
            let batches = context.sql(statement).await?.collect().await?;
            let wall = since(begun);
            if number == 0 {
                digest = Digest::of(&batches)?;
                meter.look()?;
            } else {
                runs.push((meter.look()? - cpu, wall));
            }
        }
        measured.insert(query.name.clone(), Measured { digest, timings: Timings::new(&runs) });
    }
    Ok(measured)
}

/// What benches/duckdb/queries.py reads.
#[derive(Serialize)]
struct Order<'a> {
    parquet: &'a Path,
    threads: usize,
    answers: &'a Path,
    queries: Vec<OrderedQuery<'a>>,
}

#[derive(Serialize)]
struct OrderedQuery<'a> {
    name: &'a str,
    statements: &'a [String],
}

/// What it writes.
#[derive(Deserialize)]
struct Delivery {
    version: String,
    queries: Vec<DeliveredQuery>,
}

#[derive(Deserialize)]
struct DeliveredQuery {
    name: String,
    runs: Vec<DeliveredRun>,
}

#[derive(Deserialize)]
struct DeliveredRun {
    cpu: f64,
    wall: f64,
}

/// DuckDB's version and what it did with all queries. `None` without a Python that has it.
pub async fn duckdb(
    options: &Options,
    file: &Path,
    queries: &[Query],
) -> Result<Option<(String, HashMap<String, Measured>)>> {
    let Some(python) = machine::python() else {
        progress("without DuckDB, which benches/run installs");
        return Ok(None);
    };
    let answers = file.parent().ok_or("the ideal file is in no folder")?;
    let queries = queries.iter().map(|query| OrderedQuery { name: &query.name, statements: &query.statements });
    let order = Order { parquet: file, threads: options.threads, answers, queries: queries.collect() };
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/duckdb/queries.py")).kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&serde_json::to_vec(&order)?).await?;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        return Err(format!("DuckDB ended with {}", output.status).into());
    }
    let delivery: Delivery = serde_json::from_slice(&output.stdout)?;
    let mut measured = HashMap::new();
    for query in delivery.queries {
        let runs: Vec<(f64, f64)> = query.runs.iter().map(|run| (run.cpu, run.wall)).collect();
        let digest = Digest::of_file(&answers.join(format!("{}.arrow", query.name)))?;
        measured.insert(query.name, Measured { digest, timings: Timings::new(&runs) });
    }
    Ok(Some((delivery.version, measured)))
}
