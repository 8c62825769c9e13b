//! CnosDB's own clients for Python, as they are on PyPI: its connector (PEP 249) and its dialect for
//! SQLAlchemy, the older and the current one. They read rows by the places of JSON's keys.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::server::{NO_MAINTENANCE, Server, Target};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cnosdbs_connector_and_its_dialect_read_what_is_there() {
    let Ok(python) = std::env::var("SILTDB_TEST_PYTHON") else {
        eprintln!("SILTDB_TEST_PYTHON is not set: not run (tests/run sets it to a Python that has the connector)");
        return;
    };
    let older = Path::new(&python).parent().and_then(Path::parent).expect("an environment").join("sqlalchemy-1.4");
    assert!(older.is_dir(), "{} is missing: tests/s3/start.sh makes it", older.display());
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(folder.path());
    let server = Server::start(&target, NO_MAINTENANCE).await;
    server.write("public", "air,station=a temperature=1.5,pressure=10i 1000\nair,station=b wet=true 2000").await;
    for (version, path) in [("1.4.", older.as_path()), ("2.", Path::new(""))] {
        let said = run(&python, path, &server.address);
        assert!(said["version"].as_str().is_some_and(|found| found.starts_with(version)), "{said}");
        for (what, expected) in EXPECTED {
            let expected: Value = serde_json::from_str(expected).expect("JSON");
            assert_eq!(said[what], expected, "{what} with SQLAlchemy {version}");
        }
    }
    server.terminate().await;
}

/// What the script finds, by name.
const EXPECTED: &[(&str, &str)] = &[
    ("tables", r#"[{"table_name": "air"}]"#),
    ("databases", r#"[{"database_name": "public"}]"#),
    // Under its own name each: with a key left out, a value would slip under its neighbour's.
    ("names", r#"["time", "wet", "station", "temperature", "pressure"]"#),
    (
        "rows",
        r#"[["1970-01-01T00:00:00.000001", null, "a", 1.5, 10], ["1970-01-01T00:00:00.000002", true, "b", null, null]]"#,
    ),
    ("one", r#"[null, "b"]"#),
    ("empty", "[]"),
    ("empty_count", "0"),
    ("parameters", r#"[["a"]]"#),
    ("inspected_tables", r#"["air"]"#),
    (
        "columns",
        r#"[["pressure", "FIELD", "BIGINT"], ["station", "TAG", "VARCHAR"], ["temperature", "FIELD", "FLOAT"],
            ["time", "TIME", "TIMESTAMP"], ["wet", "FIELD", "BOOLEAN"]]"#,
    ),
    ("reflected", r#"["pressure", "station", "temperature", "time", "wet"]"#),
    // In the order of the SELECT, which is that of no alphabet.
    ("selected", r#"[[true, "b", null], [null, "a", 1.5]]"#),
    ("selected_by_name", r#"[["b", true], ["a", null]]"#),
    ("selected_none", "[]"),
    ("aggregated", r#"[["a", 10, 1], ["b", null, 1]]"#),
    ("text", r#"[[null, "a"], [true, "b"]]"#),
];

const SCRIPT: &str = r#"
import json, sys
import sqlalchemy
from sqlalchemy import MetaData, Table, create_engine, func, inspect, select, text
from cnosdb_connector import connect

address = sys.argv[1]
said = {"version": sqlalchemy.__version__}

connection = connect(url=f"http://{address}/", user="root", password="")
said["tables"], said["databases"] = connection.list_table(), connection.list_database()
cursor = connection.cursor()
cursor.execute("SELECT time, wet, station, temperature, pressure FROM air ORDER BY time")
said["names"] = [name for name, _ in cursor.description]
said["rows"] = cursor.fetchall()
cursor.execute("SELECT temperature, station FROM air ORDER BY time DESC")
said["one"] = cursor.fetchone()
cursor.execute("SELECT station FROM air WHERE station = 'nobody'")
said["empty"], said["empty_count"] = cursor.fetchall(), cursor.rowcount
cursor.execute("SELECT station FROM air WHERE temperature > %(least)s", {"least": 1})
said["parameters"] = cursor.fetchall()

engine = create_engine(f"cnosdb://root:@{address}?tenant=cnosdb&db=public")
inspector = inspect(engine)
said["inspected_tables"] = inspector.get_table_names()
said["columns"] = [[c["name"], c["col_type"], str(c["type"])] for c in inspector.get_columns("air")]
air = Table("air", MetaData(), autoload_with=engine)
said["reflected"] = [column.name for column in air.columns]
with engine.connect() as connected:
    rows = lambda query: [list(row) for row in connected.execute(query)]
    query = select(air.c.wet, air.c.station, air.c.temperature).order_by(air.c.station.desc())
    said["selected"] = rows(query)
    said["selected_by_name"] = [[row.station, row.wet] for row in connected.execute(query)]
    said["selected_none"] = rows(query.where(air.c.station == "nobody"))
    counted = select(air.c.station, func.sum(air.c.pressure), func.count()).group_by(air.c.station)
    said["aggregated"] = rows(counted.order_by(air.c.station))
    said["text"] = rows(text("SELECT wet, station FROM air ORDER BY station"))
print(json.dumps(said))
"#;

/// What the script says with the packages of a folder in front of the environment's.
fn run(python: &str, packages: &Path, address: &str) -> Value {
    let mut command = Command::new(python);
    command.args(["-W", "ignore", "-c", SCRIPT, address]).env("PYTHONPATH", packages);
    let output = command.output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
