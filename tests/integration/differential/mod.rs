//! Generated queries over generated data, answered several times: by databases that hold the same points in
//! their tail, half of them flushed, each request flushed by itself, and merged; each in one part and in
//! eight; and by DuckDB. All answers have to be the same, or a failing one is made as small as it goes
//! while it fails, and printed as a line for `tests/differential/kept.jsonl`, which is replayed first.
//!
//! Without a second engine: the rows for which a condition is true, not true and unknown are all rows.
//!
//! `SILTDB_TEST_QUERIES` is the number of queries, `SILTDB_TEST_SEED` the first seed: see CONTRIBUTING.md.

mod answer;
mod data;
mod duckdb;
mod expression;
mod kept;
mod query;
mod random;
mod smaller;
mod states;
mod tree;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use answer::{Answer, sorted};
use data::Row;
use duckdb::DuckDb;
use query::{Parted, Query};
use random::Random;
use states::States;
use tree::{Dialect, Tree};

/// Queries of a run of the tests.
const QUERIES: u64 = 500;
/// Queries over one set of data.
const QUERIES_PER_DATA: u64 = 25;
/// Of a hundred queries so many may be refused, by both engines or by SiltDB alone.
const REFUSED_PERCENT: u64 = 12;

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_state_answers_as_duckdb_does() {
    let Ok(python) = std::env::var("SILTDB_TEST_PYTHON") else {
        eprintln!("SILTDB_TEST_PYTHON is not set: not run (tests/run sets it to a Python that has DuckDB)");
        return;
    };
    let (first, queries) = (setting("SILTDB_TEST_SEED", 1), setting("SILTDB_TEST_QUERIES", QUERIES));
    let seeds = Arc::new(AtomicU64::new(first));
    let end = first + queries.div_ceil(QUERIES_PER_DATA);
    let mut workers = JoinSet::new();
    for _ in 0..std::thread::available_parallelism().map_or(1, NonZeroUsize::get) {
        workers.spawn(work(python.clone(), seeds.clone(), end, queries.min(QUERIES_PER_DATA)));
    }
    let mut failures = kept::replay(&mut DuckDb::start(&python)).await;
    let mut counts = Counts::default();
    while let Some(done) = workers.join_next().await {
        let (counted, failed) = done.expect("a worker ends");
        counts = counts.plus(counted);
        failures.extend(failed);
    }
    println!("{counts:?}");
    assert!(failures.is_empty(), "{} answers are wrong:\n{}", failures.len(), failures.join("\n\n"));
    let refused = counts.refused * 100;
    assert!(refused <= counts.queries * REFUSED_PERCENT, "too many queries are refused to be a test: {counts:?}");
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    queries: u64,
    parted: u64,
    answers: u64,
    refused: u64,
}

impl Counts {
    fn plus(self, other: Counts) -> Counts {
        Counts {
            queries: self.queries + other.queries,
            parted: self.parted + other.parted,
            answers: self.answers + other.answers,
            refused: self.refused + other.refused,
        }
    }
}

/// Takes one seed after the other, until they end.
async fn work(python: String, seeds: Arc<AtomicU64>, end: u64, queries: u64) -> (Counts, Vec<String>) {
    let mut duckdb = DuckDb::start(&python);
    let (mut counts, mut failures) = (Counts::default(), Vec::new());
    loop {
        let seed = seeds.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return (counts, failures);
        }
        failures.extend(one_data(seed, queries, &mut duckdb, &mut counts).await);
        println!("seed {seed}: {counts:?}, {} failures", failures.len());
    }
}

/// Queries over one set of data. Says what failed.
async fn one_data(seed: u64, queries: u64, duckdb: &mut DuckDb, counts: &mut Counts) -> Vec<String> {
    let mut random = Random::new(seed);
    let requests = data::generate(&mut random);
    let states = States::of(&requests, seed).await;
    duckdb.load(&data::for_duckdb(&requests));
    let mut failures = Vec::new();
    for number in 0..queries {
        let query = query::generate(&mut random);
        counts.queries += 1;
        if let Err(failure) = compare(&states, duckdb, &query, counts).await {
            let note = format!("seed {seed}, query {number}");
            println!("{note}: {failure}");
            failures.push(smaller::report(&note, &failure, &requests, &query, duckdb).await);
            duckdb.load(&data::for_duckdb(&requests));
        }
        if random.chance(40) {
            counts.parted += 1;
            let parted = query::parted(&mut random);
            if let Err(failure) = parts_are_the_whole(&states, &parted, &mut random).await {
                let requests = serde_json::to_string(&requests).expect("rows as JSON");
                failures.push(format!("seed {seed}, parts {number}: {failure}\nover {requests}"));
            }
        }
    }
    failures
}

/// Asks all states and DuckDB; says how their answers differ.
async fn compare(states: &States, duckdb: &mut DuckDb, query: &Query, counts: &mut Counts) -> Result<(), String> {
    let (silt, duck) = (query.tree.text(Dialect::Silt), query.tree.text(Dialect::Duck));
    let expected = duckdb.query(&duck);
    let mut is_refused = matches!(expected, Answer::Refused(_));
    for (number, (state, found)) in states.ask(&silt).await.into_iter().enumerate() {
        counts.answers += 1;
        match (&found, &expected) {
            // What is not supported is refused in every state.
            (Answer::Refused(_), _) if is_refused => {}
            (Answer::Refused(why), _) if number == 0 => {
                println!("refused by SiltDB alone: {silt}\n  {why}");
                is_refused = true;
            }
            (Answer::Rows(_), Answer::Refused(_)) => {}
            _ if found.agrees(&expected, query.ordered) && !(is_refused && matches!(found, Answer::Rows(_))) => {}
            _ => return Err(format!("{state}: {silt}\n  {}\n  instead of {}", found.show(), expected.show())),
        }
    }
    counts.refused += u64::from(is_refused);
    Ok(())
}

/// The rows of a source are those for which a condition is true, not true, and unknown.
async fn parts_are_the_whole(states: &States, parted: &Parted, random: &mut Random) -> Result<(), String> {
    let text = |tree: &Tree| tree.text(Dialect::Silt);
    let (columns, source, condition) = (text(&parted.columns), text(&parted.source), text(&parted.condition));
    let whole = format!("SELECT {columns} FROM {source}");
    let parts = [condition.clone(), format!("NOT ({condition})"), format!("({condition}) IS NULL")];
    let parts = parts.map(|part| format!("{whole} WHERE {part}"));
    let (state, all) = states.ask_one(random, &whole).await;
    let Answer::Rows(all) = all else { return Ok(()) };
    let mut together = Vec::new();
    for part in &parts {
        match states.ask_in(state, part).await {
            Answer::Rows(rows) => together.extend(rows),
            // Refused for what the condition says, and so in each part.
            Answer::Refused(_) => return Ok(()),
        }
    }
    if sorted(&together) == sorted(&all) {
        return Ok(());
    }
    let shown = Answer::Rows(together).show();
    Err(format!("{}: {}\n  {shown}\n  instead of {}", state.name(), parts.join("\n  and "), Answer::Rows(all).show()))
}

/// Asks one query of data of its own, which must not be refused; says how it fails.
async fn ask(requests: &[Vec<Row>], query: &Query, duckdb: &mut DuckDb) -> Result<(), String> {
    let states = States::of(requests, 1).await;
    duckdb.load(&data::for_duckdb(requests));
    let mut counts = Counts::default();
    compare(&states, duckdb, query, &mut counts).await?;
    if counts.refused > 0 { Err("it is refused".to_owned()) } else { Ok(()) }
}
