//! Settled data is ordinary Parquet: another engine, PyArrow, reads the folder and finds the rows that
//! SiltDB answers with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::server::{NO_MAINTENANCE, Server, Target};

#[tokio::test]
async fn another_engine_reads_the_same_rows() {
    let Ok(python) = std::env::var("SILTDB_TEST_PYTHON") else {
        eprintln!("SILTDB_TEST_PYTHON is not set: not run (tests/run sets it to a Python that has PyArrow)");
        return;
    };
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(folder.path());
    let server = Server::start(&target, NO_MAINTENANCE).await;
    for part in 0..3 {
        server.write("public", &lines(part)).await;
        target.maintain();
    }
    // What merges have replaced is kept for slow readers for an hour, unless one says otherwise.
    target.collect_at_once();
    let tables = ["cpu", "Odd name"];
    let data = data_folders(folder.path());
    for table in tables {
        let sql = format!("select * from \"{table}\" order by time, host");
        let expected: Vec<Value> = server.rows("public", &sql).await.into_iter().map(comparable).collect();
        assert!(!expected.is_empty());
        let folder_of_table = data.iter().find(|(name, _)| name.starts_with(folder_form(table))).map(|(_, path)| path);
        let read = read_by_python(&python, folder_of_table.expect("a folder of the table"));
        assert_eq!(read, expected, "{table}");
    }
    server.terminate().await;
}

/// Three days, late points, overlapping fields, a column that comes later.
fn lines(part: i64) -> String {
    let mut lines = String::new();
    for tick in 0..200_i64 {
        let time = (1_700_000_000 + tick * 1_000) * 1_000_000_000;
        for host in ["a", "b", "c"] {
            match part {
                0 => lines.push_str(&format!("cpu,host={host} usage={tick}.5,cores=4i {time}\n")),
                1 if tick % 3 == 0 => lines.push_str(&format!("cpu,host={host} usage={tick}.25,up=true {time}\n")),
                2 if tick % 5 == 0 => lines.push_str(&format!("cpu,host={host} note=\"n{tick}\" {time}\n")),
                _ => {}
            }
        }
    }
    lines.push_str(&format!("Odd\\ name,host=é big={}u {part}000000000\n", u64::MAX));
    lines
}

fn folder_form(table: &str) -> &'static str {
    if table == "cpu" { "cpu~" } else { "odd_name~" }
}

/// The folders `t/*/d/*/data/*` of a store, by name.
fn data_folders(store: &Path) -> BTreeMap<String, PathBuf> {
    let entries = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let databases = entries(store.join("t")).flat_map(|tenant| entries(tenant.join("d")));
    let tables = databases.flat_map(|database| entries(database.join("data")));
    tables.map(|path| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path)).collect()
}

/// Timestamps have as many digits in SiltDB's JSON as they need, and PyArrow's have another number; a file
/// has not all the columns of its table.
fn comparable(mut row: Value) -> Value {
    if let Value::Object(members) = &mut row {
        members.retain(|_, value| !value.is_null());
    }
    if let Some(time) = row["time"].as_str().map(str::to_owned) {
        let short = time.split_once('.').map_or(time.as_str(), |(seconds, _)| seconds);
        row["time"] = short.into();
    }
    row
}

const SCRIPT: &str = "
import json, pathlib, sys
import pyarrow.parquet

# Nothing but the files: neither a schema nor a list of them.
rows = []
for path in pathlib.Path(sys.argv[1]).rglob('*.parquet'):
    rows += pyarrow.parquet.ParquetFile(path).read().to_pylist()
rows.sort(key=lambda row: (row['time'], row['host']))
for row in rows:
    row['time'] = row['time'].isoformat()[:19]
print(json.dumps([{name: value for name, value in row.items() if value is not None} for row in rows]))
";

fn read_by_python(python: &str, folder: &Path) -> Vec<Value> {
    let output = Command::new(python).args(["-c", SCRIPT]).arg(folder).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON rows")
}
