//! The programs and settings of `examples` do what they say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::client::Request;
use crate::server::{NO_MAINTENANCE, ROOT, Server, Target};

#[path = "../../examples/embed.rs"]
mod embed;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_has_siltdb_inside() {
    let folder = TempDir::new().expect("a temporary folder");
    let place = folder.path().join("store");
    let (rows, requests) = embed::embed(place.to_str().expect("a plain path")).await.expect("an answer");
    assert_eq!(rows, 2);
    assert!(requests.contains("list=1"), "{requests}");
    Target::folder(&place).check();
}

fn said(python: &str, name: &str, arguments: &[&str]) -> String {
    let output = Command::new(python).arg(example(name)).args(arguments).output().expect("Python runs");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_writes_and_asks_and_duckdb_reads_the_files() {
    let Ok(python) = std::env::var("SILTDB_TEST_PYTHON") else {
        eprintln!("SILTDB_TEST_PYTHON is not set: not run (tests/run sets it to a Python that has DuckDB)");
        return;
    };
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(folder.path());
    let server = Server::start(&target, NO_MAINTENANCE).await;
    let address = format!("http://{}", server.address);
    assert_eq!(said(&python, "write_and_query.py", &[&address]), "a 21.5\nb 19.0\n");
    target.collect_at_once();
    assert_eq!(said(&python, "duckdb_over_the_bucket.py", &[&target.store, "air"]), "a 21.5\nb 19.0\n");
    server.terminate().await;
}

/// What Telegraf sends with these settings is accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telegrafs_settings_fit() {
    let settings: toml::Table = fs::read_to_string(example("telegraf.conf")).expect("a file").parse().expect("TOML");
    let output = &settings["outputs"]["influxdb"][0];
    assert_eq!((output["username"].as_str(), output["password"].as_str()), (Some("root"), Some("")));
    assert_eq!(
        (output["content_encoding"].as_str(), output["skip_database_creation"].as_bool()),
        (Some("gzip"), Some(true))
    );
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::start(&Target::folder(folder.path()), NO_MAINTENANCE).await;
    let database = output["database"].as_str().expect("a name");
    let mut body = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut body, b"cpu,cpu=cpu-total,host=a usage_idle=99.5 1\n").expect("compressed");
    let body = body.finish().expect("compressed");
    let request = Request::new("POST", &format!("/write?consistency=any&db={database}"), body);
    let request = request.header("Authorization", ROOT).header("Content-Encoding", "gzip");
    let answer = server.send(&request).await.expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(server.number(database, "SELECT count(*) AS n FROM cpu").await, 1);
    server.terminate().await;
}
