//! Makes a failing case as small as it goes.

use super::data::Row;
use super::duckdb::DuckDb;
use super::query::Query;
use super::{ask, kept};

/// What a failure says that is a wrong answer, and not a query that became none.
const DIFFERENCE: &str = "instead of";

/// How many smaller cases are tried at most: each asks a dozen databases.
const TRIES: usize = 400;

/// The case made small, as a line to keep, with what is wrong about it.
pub async fn report(note: &str, failure: &str, requests: &[Vec<Row>], query: &Query, duckdb: &mut DuckDb) -> String {
    let mut tries = TRIES;
    let (mut requests, mut query) = (requests.to_vec(), query.clone());
    let mut last = failure.to_owned();
    // What happens only at times may not happen again: then the case is reported as it was found.
    loop {
        let before = tries;
        let smaller = smaller_data(&requests, &query, duckdb, &mut tries).await;
        let changed = smaller.is_some();
        if let Some((data, failure)) = smaller {
            (requests, last) = (data, failure);
        }
        let smaller = smaller_query(&requests, &query, duckdb, &mut tries).await;
        let unchanged = smaller.is_none() && !changed;
        if let Some((tree, failure)) = smaller {
            (query, last) = (tree, failure);
        }
        if unchanged || tries == 0 || tries == before {
            break;
        }
    }
    format!("{note}: {last}\n{}", kept::line(note, &requests, &query))
}

/// Leaves out requests, then rows, in ever smaller pieces.
async fn smaller_data(
    requests: &[Vec<Row>],
    query: &Query,
    duckdb: &mut DuckDb,
    tries: &mut usize,
) -> Option<(Vec<Vec<Row>>, String)> {
    let mut best: Option<(Vec<Vec<Row>>, String)> = None;
    let mut current = requests.to_vec();
    let mut piece = current.iter().map(Vec::len).sum::<usize>().div_ceil(2);
    while piece > 0 && *tries > 0 {
        let mut start = 0;
        while start < current.iter().map(Vec::len).sum() && *tries > 0 {
            let mut number = 0;
            let mut left = current.clone();
            for request in &mut left {
                request.retain(|_| {
                    number += 1;
                    number <= start || number > start + piece
                });
            }
            left.retain(|request| !request.is_empty());
            *tries -= 1;
            match ask(&left, query, duckdb).await {
                Err(failure) if !left.is_empty() && failure.contains(DIFFERENCE) => {
                    current.clone_from(&left);
                    best = Some((left, failure));
                }
                _ => start += piece,
            }
        }
        piece /= 2;
    }
    best
}

async fn smaller_query(
    requests: &[Vec<Row>],
    query: &Query,
    duckdb: &mut DuckDb,
    tries: &mut usize,
) -> Option<(Query, String)> {
    let mut best: Option<(Query, String)> = None;
    'smaller: loop {
        let current = best.as_ref().map_or(query, |(query, _)| query).clone();
        for tree in current.tree.smaller() {
            if *tries == 0 {
                break 'smaller;
            }
            *tries -= 1;
            let smaller = Query { tree, ordered: current.ordered };
            if let Err(failure) = ask(requests, &smaller, duckdb).await
                && failure.contains(DIFFERENCE)
            {
                best = Some((smaller, failure));
                continue 'smaller;
            }
        }
        break;
    }
    best
}
