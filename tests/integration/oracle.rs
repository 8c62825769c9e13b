//! Random histories against a model: points with duplicates, partial fields and late times, flushes and
//! merges in between, and queries whose answers a map of points knows. Through the library, in memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use siltdb::engine::{Database, Engine, EngineOptions, Tasks};
use siltdb::model::clock::{ManualClock, SharedClock};
use siltdb::model::{DatabaseOptions, Precision, time::WritePrecision};
use siltdb::parse;
use siltdb::query::{Output, Queries, Session};
use siltdb::store::{Meter, Store};

use crate::sql::texts;

/// Histories in one run.
const CASES: u32 = 40;
/// Nanoseconds of a day: times fall on four of them, so on four partitions.
const DAY: i64 = 86_400_000_000_000;

/// One line of line protocol.
#[derive(Debug, Clone)]
struct Point {
    host: Option<&'static str>,
    zone: Option<&'static str>,
    time: i64,
    float: Option<i32>,
    integer: Option<i64>,
    text: Option<&'static str>,
    boolean: Option<bool>,
}

#[derive(Debug, Clone)]
enum Step {
    /// One request.
    Write(Vec<Point>),
    Flush,
    /// Flush and merge until nothing is left to do, and collect.
    Settle,
}

/// A series and a time.
type Key = (Option<&'static str>, Option<&'static str>, i64);

/// What the fields of a point are by now.
#[derive(Debug, Clone, Default, PartialEq)]
struct Fields {
    float: Option<i32>,
    integer: Option<i64>,
    text: Option<&'static str>,
    boolean: Option<bool>,
}

fn point() -> impl Strategy<Value = Point> {
    let host = prop_oneof![Just(None), Just(Some("")), Just(Some("a")), Just(Some("b")), Just(Some("ü b"))];
    let zone = prop_oneof![3 => Just(None), 1 => Just(Some("z1")), 1 => Just(Some("z2"))];
    let time = (0..4_i64, -2..3_i64).prop_map(|(day, tick)| day * DAY + tick);
    let text = prop_oneof![Just(""), Just("x"), Just("two words, \"quoted\"")];
    let fields = (option::of(-3..4_i32), option::of(any::<i64>()), option::of(text), option::of(any::<bool>()));
    let fields = fields.prop_map(|(float, integer, text, boolean)| match (float, integer, text, boolean) {
        (None, None, None, None) => (Some(0), None, None, None),
        some => some,
    });
    (host, zone, time, fields).prop_map(|(host, zone, time, (float, integer, text, boolean))| Point {
        host,
        zone,
        time,
        float,
        integer,
        text,
        boolean,
    })
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => vec(point(), 1..12).prop_map(Step::Write),
        2 => Just(Step::Flush),
        1 => Just(Step::Settle),
    ];
    vec(step, 1..14)
}

impl Point {
    fn line(&self) -> String {
        let mut line = "m".to_owned();
        for (key, tag) in [("host", self.host), ("zone", self.zone)] {
            if let Some(tag) = tag {
                let _ = write!(line, ",{key}={}", tag.replace(' ', "\\ "));
            }
        }
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\\\""));
        let fields = [
            self.float.map(|value| format!("f={}", f64::from(value) / 2.0)),
            self.integer.map(|value| format!("i={value}i")),
            self.text.map(|value| format!("s={}", quoted(value))),
            self.boolean.map(|value| format!("b={value}")),
        ];
        let fields: Vec<String> = fields.into_iter().flatten().collect();
        let _ = writeln!(line, " {} {}", fields.join(","), self.time);
        line
    }

    fn merge_into(&self, points: &mut BTreeMap<Key, Fields>) {
        let fields = points.entry((self.host, self.zone, self.time)).or_default();
        fields.float = self.float.or(fields.float);
        fields.integer = self.integer.or(fields.integer);
        fields.text = self.text.or(fields.text);
        fields.boolean = self.boolean.or(fields.boolean);
    }
}

/// A database in memory with everything that runs on it, on a clock that is set by hand.
pub struct World {
    pub engine: Engine,
    pub clock: Arc<ManualClock>,
    queries: Queries,
    session: Session,
    database: Database,
}

impl World {
    /// A world at a time (nanoseconds since 1970) with a database of its own.
    pub async fn with_database(now: i64, seed: u64, options: DatabaseOptions) -> World {
        let clock = Arc::new(ManualClock::new(now, seed));
        let shared: SharedClock = clock.clone();
        let engine = Engine::open(Store::memory(), shared, EngineOptions::default()).await.expect("an engine");
        let user = engine.authenticate("root", "").await.expect("root");
        let tenant = engine.tenant(&user, "cnosdb").await.expect("the first tenant");
        engine.create_database(tenant, "world", options, false).await.expect("created");
        let database = engine.database(tenant, "world").await.expect("the database");
        let queries = Queries::new(engine.clone()).expect("queries");
        let session = Session {
            user,
            tenant,
            tenant_name: "cnosdb".to_owned(),
            database: "world".to_owned(),
            target_partitions: None,
            mode: siltdb::model::Mode::ReadWrite,
        };
        World { engine, clock, queries, session, database }
    }

    pub async fn try_write(&self, lines: &str) -> siltdb::model::Result<()> {
        let options = parse::Options {
            write_precision: WritePrecision::Nanosecond,
            database_precision: Precision::Nanosecond,
            now: self.engine.clock().now(),
            limits: self.engine.limits(),
        };
        let points = parse::line_protocol(lines.as_bytes(), &options)?;
        self.engine.write(&self.database, points, &Arc::new(Meter::default())).await.map(|_| ())
    }

    pub async fn write(&self, lines: &str) {
        self.try_write(lines).await.unwrap_or_else(|error| panic!("{error}\n{lines}"));
    }

    pub async fn maintain(&self, duties: Tasks) {
        self.engine.maintain(duties).await.expect("maintained");
    }

    /// The answer to a query that is cut into so many parts.
    pub async fn try_batches(&self, sql: &str, partitions: usize) -> siltdb::model::Result<Vec<RecordBatch>> {
        let session = Session { target_partitions: Some(partitions), ..self.session.clone() };
        let output = self.queries.run(session, sql, &Arc::new(Meter::default())).await?;
        let Output::Rows { batches, .. } = output else { return Ok(Vec::new()) };
        batches.try_collect().await
    }

    pub async fn try_rows(&self, sql: &str) -> siltdb::model::Result<Vec<Vec<String>>> {
        Ok(self.try_batches(sql, 3).await?.iter().flat_map(texts).collect())
    }

    pub async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_rows(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

#[test]
fn any_history_has_the_answers_of_the_model() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&(history(), any::<u64>()), |(steps, seed)| {
        runtime.block_on(replay(&steps, seed)).map_err(TestCaseError::fail)
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Plays a history and compares after every step; says what is different.
async fn replay(steps: &[Step], seed: u64) -> Result<(), String> {
    let world = World::with_database(1_700_000_000_000_000_000, seed, DatabaseOptions::default()).await;
    // Every column is known from the start, so that every query below can be planned.
    let first = Point {
        host: Some("first"),
        zone: Some("z0"),
        time: 0,
        float: Some(1),
        integer: Some(1),
        text: Some("first"),
        boolean: Some(true),
    };
    let mut model = BTreeMap::new();
    first.merge_into(&mut model);
    world.write(&first.line()).await;
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Write(points) => {
                world.write(&points.iter().map(Point::line).collect::<String>()).await;
                points.iter().for_each(|point| point.merge_into(&mut model));
            }
            Step::Flush => world.maintain(Tasks { flush: true, ..Tasks::NONE }).await,
            Step::Settle => world.maintain(Tasks::ALL).await,
        }
        for (sql, expected) in answers(&model) {
            match world.try_rows(&sql).await {
                Ok(rows) if rows == expected => {}
                Ok(rows) => return Err(format!("after step {number}: {sql}\n{rows:?}\ninstead of\n{expected:?}")),
                Err(error) => return Err(format!("after step {number}: {sql}: {error}")),
            }
        }
    }
    let report = world.engine.check().await.map_err(|error| error.to_string())?;
    if report.is_clean() { Ok(()) } else { Err(report.to_string()) }
}

fn text_of<T: ToString>(value: Option<T>) -> String {
    match value.map(|value| value.to_string()) {
        None => "NULL".to_owned(),
        Some(text) if text.is_empty() => "(empty)".to_owned(),
        Some(text) => text,
    }
}

/// Queries, and the answers that the model has to them.
fn answers(model: &BTreeMap<Key, Fields>) -> Vec<(String, Vec<Vec<String>>)> {
    let everything = model.iter().map(|((host, zone, time), fields)| {
        vec![
            text_of(*host),
            text_of(*zone),
            time.to_string(),
            text_of(fields.float.map(i64::from)),
            text_of(fields.integer),
            text_of(fields.text),
            text_of(fields.boolean),
        ]
    });
    let all = "select host, zone, cast(time as bigint) as tick, cast(f * 2 as bigint) as doubled, i, s, b from m \
               order by host nulls first, zone nulls first, tick";
    let mut answers = vec![(all.to_owned(), everything.collect())];

    // Filters on fields have to see merged values; those on time and tags may be pushed into files.
    let count = |condition: &str, holds: &dyn Fn(&Key, &Fields) -> bool| {
        let number = model.iter().filter(|(key, fields)| holds(key, fields)).count();
        (format!("select count(*) from m where {condition}"), vec![vec![number.to_string()]])
    };
    let range = format!("time >= {DAY} and time < {} and host = 'a'", 2 * DAY + 1);
    answers.extend([
        count("true", &|_, _| true),
        count("f is not null", &|_, fields| fields.float.is_some()),
        count("f > 0", &|_, fields| fields.float.is_some_and(|value| value > 0)),
        count("b or s = 'x'", &|_, fields| fields.boolean == Some(true) || fields.text == Some("x")),
        count("zone is null", &|key, _| key.1.is_none()),
        count("host = ''", &|key, _| key.0 == Some("")),
        count(&range, &|key, _| key.2 >= DAY && key.2 <= 2 * DAY && key.0 == Some("a")),
    ]);

    let mut groups: BTreeMap<Option<&str>, (i64, Option<i64>)> = BTreeMap::new();
    for ((host, _, _), fields) in model {
        let group = groups.entry(*host).or_default();
        group.0 += 1;
        group.1 = group.1.max(fields.integer);
    }
    let grouped = groups.into_iter().map(|(host, (count, most))| vec![text_of(host), count.to_string(), text_of(most)]);
    let sql = "select host, count(*), max(i) from m group by host order by host nulls first";
    answers.push((sql.to_owned(), grouped.collect()));

    let mut times: Vec<i64> = model.keys().map(|key| key.2).collect();
    times.sort_unstable_by(|left, right| right.cmp(left));
    let newest = times.iter().take(3).map(|time| vec![time.to_string()]);
    let sql = "select cast(time as bigint) as tick from m order by tick desc limit 3";
    answers.push((sql.to_owned(), newest.collect()));
    let ends = vec![vec![text_of(times.last()), text_of(times.first())]];
    answers.push(("select cast(min(time) as bigint), cast(max(time) as bigint) from m".to_owned(), ends));
    answers
}
