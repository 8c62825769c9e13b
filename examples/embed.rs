//! SiltDB inside a program of one's own: opens a store, writes, flushes and queries.
//!
//! `cargo run --features examples --example embed -- /tmp/store`, or `s3://bucket/prefix` with the variables of AWS.

use std::sync::Arc;

use futures::TryStreamExt;
use siltdb::engine::{Engine, EngineOptions, Tasks};
use siltdb::model::clock::SystemClock;
use siltdb::model::{Mode, Precision, Result, time::WritePrecision};
use siltdb::parse;
use siltdb::query::{Output, Queries, Session};
use siltdb::store::{Meter, Store};

/// Returns how many rows the store has, and what the requests for that were.
pub async fn embed(place: &str) -> Result<(usize, String)> {
    let store = Store::open_or_make(place).await?;
    let engine = Engine::open(store, Arc::new(SystemClock), EngineOptions::default()).await?;
    let user = engine.authenticate("root", "").await?;
    let tenant = engine.tenant(&user, "cnosdb").await?;

    // A write has been made durable when it returns.
    let database = engine.database(tenant, "public").await?;
    let options = parse::Options {
        write_precision: WritePrecision::Nanosecond,
        database_precision: Precision::Nanosecond,
        now: engine.clock().now(),
        limits: engine.limits(),
    };
    let points = parse::line_protocol(b"air,station=a temperature=21.5 1\nair,station=b temperature=19 1", &options)?;
    engine.write(&database, points, &Arc::new(Meter::default())).await?;

    // A server does this by itself, in the background: `engine::run_background`.
    engine.maintain(Tasks::ALL).await?;

    let session = Session {
        user,
        tenant,
        tenant_name: "cnosdb".to_owned(),
        database: "public".to_owned(),
        target_partitions: None,
        mode: Mode::ReadOnly,
    };
    let queries = Queries::new(engine.clone())?;
    let (sql, meter) = ("SELECT station, temperature FROM air ORDER BY station", Arc::new(Meter::default()));
    let mut rows = 0;
    if let Output::Rows { batches, .. } = queries.run(session, sql, &meter).await? {
        let batches: Vec<_> = batches.try_collect().await?;
        rows = batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
    }
    engine.shutdown().await;
    Ok((rows, meter.snapshot().to_string()))
}

#[allow(dead_code, reason = "the tests call what it calls")]
#[tokio::main]
async fn main() -> std::process::ExitCode {
    let place = std::env::args().nth(1).unwrap_or_else(|| "/tmp/siltdb-example".to_owned());
    match embed(&place).await {
        Ok((rows, requests)) => {
            println!("{rows} rows, for {requests}");
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}
