//! SQL, file by file, over HTTP. Every file of `tests/sql/` runs three times, each time on a store of
//! its own: with all points in the tail, with half of them flushed, and settled (flushed and merged).
//! The answers have to be the same. `tests/sql/README.md` says what a file may hold.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use tempfile::TempDir;

use crate::client::{Request, Response};
use crate::server::{NO_MAINTENANCE, ROOT, Server, Target};

const ARROW: &str = "application/vnd.apache.arrow.stream";

/// Where the points are when the queries come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Tail,
    HalfFlushed,
    Settled,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_everything_in_the_tail() {
    run_all(Layout::Tail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_flushed() {
    run_all(Layout::HalfFlushed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settled() {
    run_all(Layout::Settled).await;
}

async fn run_all(layout: Layout) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("tests/sql")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut failures = Vec::new();
    for file in files {
        if let Err(failure) = run_file(&file, layout).await {
            failures.push(failure);
        }
    }
    assert!(failures.is_empty(), "{layout:?}:\n{}", failures.join("\n\n"));
}

async fn run_file(path: &Path, layout: Layout) -> Result<(), String> {
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(folder.path());
    let server = Server::start(&target, NO_MAINTENANCE).await;
    let connect = || {
        let (address, target) = (server.address.clone(), target.clone());
        async move { Ok(Connection { address, target, layout, settles: 0 }) }
    };
    let mut runner = Runner::new(connect);
    if std::env::var_os("UPDATE_EXPECTED").is_some() && layout == Layout::Tail {
        let validator = sqllogictest::default_validator;
        let normalizer = sqllogictest::default_normalizer;
        let columns = sqllogictest::default_column_validator;
        return runner
            .update_test_file(path, " ", validator, normalizer, columns)
            .await
            .map_err(|error| format!("{}: {error}", path.display()));
    }
    // One record after the other and on after a failure: a file tells all of its failures at once.
    let records = sqllogictest::parse_file::<DefaultColumnType>(path).map_err(|error| error.to_string())?;
    let mut failures = Vec::new();
    for record in records {
        if let Err(failure) = runner.run_async(record).await {
            failures.push(failure.display(false).to_string());
        }
    }
    if layout == Layout::Settled {
        target.check();
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n\n")) }
}

/// A refused request, as `statement error` patterns see it: `status code message`.
#[derive(Debug)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

struct Connection {
    address: String,
    target: Target,
    layout: Layout,
    /// How often `SETTLE` stood in the file so far.
    settles: usize,
}

#[async_trait]
impl AsyncDB for Connection {
    type Error = Refused;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, text: &str) -> Result<DBOutput<DefaultColumnType>, Refused> {
        if text == "SETTLE" {
            self.settle();
            return Ok(DBOutput::StatementComplete(0));
        }
        if let Some(write) = text.strip_prefix("WRITE ") {
            return self.write(write).await;
        }
        self.query(text).await
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "siltdb"
    }
}

impl Connection {
    fn settle(&mut self) {
        self.settles += 1;
        match self.layout {
            Layout::Tail => {}
            Layout::HalfFlushed if self.settles % 2 == 1 => self.target.flush(),
            Layout::HalfFlushed => {}
            Layout::Settled => self.target.maintain(),
        }
    }

    /// `WRITE db [precision]`, then lines of line protocol.
    async fn write(&self, text: &str) -> Result<DBOutput<DefaultColumnType>, Refused> {
        let (first, lines) = text.split_once('\n').unwrap_or((text, ""));
        let (db, precision) = first.split_once(' ').unwrap_or((first, "ns"));
        let target = format!("/api/v1/write?db={db}&precision={precision}");
        self.send(Request::new("POST", &target, lines)).await?;
        Ok(DBOutput::StatementComplete(0))
    }

    /// A statement, in the database named by a first line `-- db NAME` or else in `public`. With a
    /// line `-- names`, the first row holds the names of the columns.
    async fn query(&self, text: &str) -> Result<DBOutput<DefaultColumnType>, Refused> {
        let db = text.lines().find_map(|line| line.strip_prefix("-- db ")).unwrap_or("public");
        let names = text.lines().any(|line| line == "-- names");
        let request = Request::new("POST", &format!("/api/v1/sql?db={db}"), text).header("Accept", ARROW);
        let response = self.send(request).await?;
        if response.body.is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let reader = StreamReader::try_new(response.body.as_slice(), None).expect("an Arrow stream");
        let mut rows = Vec::new();
        let fields = reader.schema().fields().clone();
        if names {
            rows.push(fields.iter().map(|field| field.name().clone()).collect());
        }
        for batch in reader {
            rows.extend(texts(&batch.expect("a batch")));
        }
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Text; fields.len()], rows })
    }

    async fn send(&self, request: Request) -> Result<Response, Refused> {
        let answer = crate::client::send(&self.address, &request.header("Authorization", ROOT)).await;
        let response = answer.map_err(|error| Refused(format!("no answer: {error}")))?;
        if !response.complete {
            return Err(Refused("the answer was cut".to_owned()));
        }
        if response.status == 200 {
            return Ok(response);
        }
        let error: serde_json::Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let member = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        Err(Refused(format!("{} {} {}", response.status, member("error_code"), member("error_message"))))
    }
}

/// Every value as text: NULL is `NULL`, the empty string `(empty)`.
pub fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::new().with_null("NULL");
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("a printable type"))
        .collect();
    let text = |column: &ArrayFormatter<'_>, row: usize| {
        let text = column.value(row).to_string();
        if text.is_empty() { "(empty)".to_owned() } else { text }
    };
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| text(column, row)).collect()).collect()
}
