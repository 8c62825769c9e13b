//! Cases that failed once: `tests/differential/kept.jsonl`, one a line.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ask;
use super::data::Row;
use super::duckdb::DuckDb;
use super::query::Query;
use super::tree::{Dialect, Kind, dialects};

#[derive(Debug, Serialize, Deserialize)]
struct Case {
    /// Where it came from, or what was wrong.
    note: String,
    /// The points of each request.
    requests: Vec<Vec<Row>>,
    query: String,
    /// In DuckDB's words, where they are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duckdb: Option<String>,
    #[serde(default)]
    ordered: bool,
}

/// A case as a line of the file.
pub fn line(note: &str, requests: &[Vec<Row>], query: &Query) -> String {
    let (silt, duck) = (query.tree.text(Dialect::Silt), query.tree.text(Dialect::Duck));
    let duckdb = (silt != duck).then_some(duck);
    let case = Case { note: note.to_owned(), requests: requests.to_vec(), query: silt, duckdb, ordered: query.ordered };
    serde_json::to_string(&case).expect("a case as JSON")
}

/// Asks every kept case again. Says what is wrong.
pub async fn replay(duckdb: &mut DuckDb) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/kept.jsonl");
    let text = std::fs::read_to_string(&path).expect("the kept cases");
    let mut failures = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let case: Case = serde_json::from_str(line).unwrap_or_else(|error| panic!("kept case {}: {error}", number + 1));
        let duck = case.duckdb.clone().unwrap_or_else(|| case.query.clone());
        let query = Query { tree: dialects(Kind::Query, case.query.clone(), duck), ordered: case.ordered };
        if let Err(failure) = ask(&case.requests, &query, duckdb).await {
            failures.push(format!("kept case {} ({}): {failure}", number + 1, case.note));
        }
    }
    assert!(text.lines().count() > 0, "cases are kept");
    failures
}
