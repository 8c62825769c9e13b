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
use proptest::test_runner::{Config, TestRunner};
use siltdb::engine::{Database, Duties, Engine, EngineOptions};
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
            target_partitions: Some(3),
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

    pub async fn maintain(&self, duties: Duties) {
        self.engine.maintain(duties).await.expect("maintained");
    }

    pub async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let output = self.queries.run(self.session.clone(), sql, &Arc::new(Meter::default())).await;
        let Output::Rows { batches, .. } = output.unwrap_or_else(|error| panic!("{sql}: {error}")) else {
            panic!("{sql}: no rows");
        };
        let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        batches.iter().flat_map(texts).collect()
    }
}

#[test]
fn any_history_has_the_answers_of_the_model() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&(history(), any::<u64>()), |(steps, seed)| {
        runtime.block_on(replay(&steps, seed));
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

async fn replay(steps: &[Step], seed: u64) {
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
    for step in steps {
        match step {
            Step::Write(points) => {
                world.write(&points.iter().map(Point::line).collect::<String>()).await;
                points.iter().for_each(|point| point.merge_into(&mut model));
            }
            Step::Flush => world.maintain(Duties { flush: true, ..Duties::NONE }).await,
            Step::Settle => world.maintain(Duties::ALL).await,
        }
        verify(&world, &model).await;
    }
    let report = world.engine.check().await.expect("checked");
    assert!(report.is_clean(), "{report}");
}

fn text_of<T: ToString>(value: Option<T>) -> String {
    match value.map(|value| value.to_string()) {
        None => "NULL".to_owned(),
        Some(text) if text.is_empty() => "(empty)".to_owned(),
        Some(text) => text,
    }
}

fn number(value: i64) -> Vec<Vec<String>> {
    vec![vec![value.to_string()]]
}

async fn verify(world: &World, model: &BTreeMap<Key, Fields>) {
    let doubled = |fields: &Fields| text_of(fields.float.map(i64::from));
    let all: Vec<Vec<String>> = model
        .iter()
        .map(|((host, zone, time), fields)| {
            vec![
                text_of(*host),
                text_of(*zone),
                time.to_string(),
                doubled(fields),
                text_of(fields.integer),
                text_of(fields.text),
                text_of(fields.boolean),
            ]
        })
        .collect();
    let sql = "select host, zone, cast(time as bigint), cast(f * 2 as bigint), i, s, b from m \
               order by host nulls first, zone nulls first, time";
    assert_eq!(world.rows(sql).await, all);

    assert_eq!(world.rows("select count(*) from m").await, number(model.len() as i64));
    let with_float = model.values().filter(|fields| fields.float.is_some()).count();
    assert_eq!(world.rows("select count(f) from m").await, number(with_float as i64));

    // A filter on a field has to see merged values; one on time and tags may be pushed into files.
    let positive = model.values().filter(|fields| fields.float.is_some_and(|value| value > 0)).count();
    assert_eq!(world.rows("select count(*) from m where f > 0").await, number(positive as i64));
    let in_range = |key: &&Key| key.2 >= DAY && key.2 < 2 * DAY + 1 && key.0 == Some("a");
    let sql = format!("select count(*) from m where time >= {DAY} and time < {} and host = 'a'", 2 * DAY + 1);
    assert_eq!(world.rows(&sql).await, number(model.keys().filter(in_range).count() as i64));
    let untagged = model.keys().filter(|key| key.1.is_none()).count();
    assert_eq!(world.rows("select count(*) from m where zone is null").await, number(untagged as i64));

    let mut groups: BTreeMap<Option<&str>, (i64, Option<i64>)> = BTreeMap::new();
    for ((host, _, _), fields) in model {
        let group = groups.entry(*host).or_default();
        group.0 += 1;
        group.1 = group.1.max(fields.integer);
    }
    let grouped: Vec<Vec<String>> = groups
        .into_iter()
        .map(|(host, (count, largest))| vec![text_of(host), count.to_string(), text_of(largest)])
        .collect();
    let sql = "select host, count(*), max(i) from m group by host order by host nulls first";
    assert_eq!(world.rows(sql).await, grouped);

    let latest = model.keys().map(|key| key.2).max();
    assert_eq!(world.rows("select cast(max(time) as bigint) from m").await, vec![vec![text_of(latest)]]);
    let mut times: Vec<i64> = model.keys().map(|key| key.2).collect();
    times.sort_unstable_by(|left, right| right.cmp(left));
    let newest: Vec<Vec<String>> = times.into_iter().take(3).map(|time| vec![time.to_string()]).collect();
    assert_eq!(world.rows("select cast(time as bigint) from m order by time desc limit 3").await, newest);
}
