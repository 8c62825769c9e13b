//! Stores of many files or many tables, built by the library in this process, and what a flush costs there.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use siltdb::engine::{Database, Engine, EngineOptions, Tasks};
use siltdb::model::clock::SystemClock;
use siltdb::model::time::WritePrecision;
use siltdb::parse;
use siltdb::store::{Meter, Store};

use crate::machine::CpuMeter;
use crate::report::{Result, Timings, progress, since};
use crate::workload::NANOSECONDS;

const FLUSH: Tasks = Tasks { flush: true, ..Tasks::NONE };
/// Puts lists of files that rest into leaves, as a server does beside.
const PACK: Tasks = Tasks { merge: true, ..Tasks::NONE };
/// Flushes between two of these.
const PACK_EVERY: usize = 20;
const DAY: i64 = 86_400 * NANOSECONDS;
/// 1990-01-01, in days since 1970.
const FIRST_DAY: i64 = 7_305;
/// Days of one flush: with more it would make files of months.
const DAYS: usize = 60;
/// Tables that one request writes to.
const TABLES: usize = 1_000;
const HOSTS: usize = 10;
/// Flushes that are timed.
const FLUSHES: usize = 5;

/// What there is many of, one file each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Many {
    /// Days of one table.
    Files,
    /// Tables with one day.
    Tables,
}

impl Many {
    /// A query of one file, whose answer has [`HOSTS`] rows.
    pub fn query(self, count: usize) -> String {
        let (table, day) = self.place(count / 2);
        let bound = |day: i64| {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(day.unsigned_abs() * 86_400);
            let text = humantime::format_rfc3339_seconds(time).to_string();
            format!("TIMESTAMP '{}'", text.trim_end_matches('Z').replace('T', " "))
        };
        let (begin, end) = (bound(day), bound(day + 1));
        format!(
            "SELECT host, max(value) AS most FROM {table} WHERE time >= {begin} AND time < {end} GROUP BY host ORDER BY host"
        )
    }

    /// Rows that the query has to find.
    pub fn answers(self) -> usize {
        HOSTS
    }

    /// A line beside the ones of the query.
    pub fn line(self, count: usize, number: usize) -> String {
        let (table, day) = self.place(count - 1);
        format!("{table},host=host_0 value={number}i {}\n", day * DAY + number as i64)
    }

    /// The table and the day of one file.
    fn place(self, number: usize) -> (String, i64) {
        match self {
            Many::Files => ("days".to_owned(), FIRST_DAY + number as i64),
            Many::Tables => (format!("table_{number:05}"), FIRST_DAY),
        }
    }

    /// Ten rows for each of these files.
    fn lines(self, numbers: std::ops::Range<usize>) -> String {
        let mut lines = String::new();
        for number in numbers {
            let (table, day) = self.place(number);
            for host in 0..HOSTS {
                let time = day * DAY + DAY / 2 + host as i64;
                lines.push_str(&format!("{table},host=host_{host} value={number}i {time}\n"));
            }
        }
        lines
    }
}

/// What one flush of one row costs in a store as it was built.
#[derive(Debug)]
pub struct FlushCost {
    pub timings: Timings,
    pub requests: f64,
    pub bytes_written: f64,
    /// Seconds that building took.
    pub building: f64,
}

/// Builds a store with `count` data files, and times flushes in it.
pub async fn build(many: Many, count: usize, folder: &Path) -> Result<FlushCost> {
    let url = folder.to_str().ok_or("the temporary folder's name is not UTF-8")?;
    let begun = Instant::now();
    let engine = Engine::open(Store::open_or_make(url).await?, Arc::new(SystemClock), EngineOptions::default()).await?;
    let root = engine.authenticate("root", "").await?;
    let tenant = engine.tenant(&root, "cnosdb").await?;
    let database = engine.database(tenant, "public").await?;
    let step = if many == Many::Files { DAYS } else { TABLES };
    for (flush, begin) in (0..count).step_by(step).enumerate() {
        write(&engine, &database, &many.lines(begin..count.min(begin + step))).await?;
        engine.maintain(FLUSH).await?;
        if flush % PACK_EVERY == PACK_EVERY - 1 {
            engine.maintain(PACK).await?;
            progress(format!("  {} of {count}", begin + step));
        }
    }
    engine.maintain(PACK).await?;
    let building = since(begun);
    let mut meter = CpuMeter::new(std::process::id())?;
    let mut runs = Vec::new();
    let (mut requests, mut bytes_written) = (0, 0);
    for number in 0..FLUSHES {
        write(&engine, &database, &many.line(count, number)).await?;
        let before = engine.store().totals().snapshot();
        let (cpu, begun) = (meter.look()?, Instant::now());
        let report = engine.maintain(FLUSH).await?;
        runs.push((meter.look()? - cpu, since(begun)));
        let after = engine.store().totals().snapshot();
        if report.rows != 1 {
            return Err(format!("a flush of one row settled {} rows", report.rows).into());
        }
        requests += after.requests() - before.requests();
        bytes_written += after.bytes_written - before.bytes_written;
    }
    engine.shutdown().await;
    let each = |sum: u64| sum as f64 / FLUSHES as f64;
    Ok(FlushCost {
        timings: Timings::new(&runs),
        requests: each(requests),
        bytes_written: each(bytes_written),
        building,
    })
}

async fn write(engine: &Engine, database: &Database, lines: &str) -> Result<()> {
    let options = parse::Options {
        write_precision: WritePrecision::Nanosecond,
        database_precision: database.options.precision,
        now: engine.clock().now(),
        limits: engine.limits(),
    };
    let points = parse::line_protocol(lines.as_bytes(), &options)?;
    engine.write(database, points, &Arc::new(Meter::new())).await?;
    Ok(())
}
