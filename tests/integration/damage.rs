//! Damage is seen: in a store with every kind of object a bit is flipped, somewhere in some object, and a
//! new process opens it. Each query then has the right answer, or an error that names the object; and
//! `check` finds the damage, if the object is one that the store's contents depend on.
//!
//! `SILTDB_TEST_FLIPS=1000 cargo test --test integration -- damage --nocapture` flips so many bits, one
//! after the other, and prints what became of them by kind of object; `SILTDB_TEST_SEED=7` flips others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use siltdb::database::Sizes;
use siltdb::engine::{Engine, EngineOptions, Tasks};
use siltdb::model::clock::{Clock, ManualClock};
use siltdb::model::{Code, DatabaseOptions, Error, Mode, Precision, Result, time::WritePrecision};
use siltdb::parse;
use siltdb::query::{Output, Queries, Session};
use siltdb::store::fault::{Fault, Faults, RequestKind};
use siltdb::store::{CreateOutcome, Meter, Store};

use crate::sql::texts;

/// Bits flipped in one run, unless one says otherwise.
const FLIPS: u64 = 150;
const NOW: i64 = 1_700_000_000_000_000_000;
const DAY: i64 = 86_400_000_000_000;
const HOUR: i64 = DAY / 24;
/// The time of the first row: the beginning of a day.
const FIRST: i64 = NOW - NOW % DAY - 8 * DAY;

/// All columns; pages and columns that filters leave out; counts that the manifest knows; another table.
const QUERIES: [&str; 5] = [
    "select count(*), sum(cast(f * 1e6 as bigint)), sum(g), sum(i), min(u), max(u), count(b), sum(length(s)), \
     min(time), max(time), sum(late), max(host), max(zone) from cpu",
    "select * from cpu where host = 'h3' and time < '2023-11-07T03:00:00Z' order by time, zone",
    "select time, host, f from cpu where i > 9000 and b order by f, time, host limit 20",
    "select count(*) from cpu",
    "select time, v from other order by time",
];

/// A process on a store.
struct World {
    engine: Engine,
    queries: Queries,
    session: Session,
}

impl World {
    async fn open(store: Store, clock: ManualClock) -> Result<World> {
        let engine = engine(store, clock).await?;
        let user = engine.authenticate("root", "").await?;
        let tenant = engine.tenant(&user, "cnosdb").await?;
        let (tenant_name, database) = ("cnosdb".to_owned(), "world".to_owned());
        let session =
            Session { user, tenant, tenant_name, database, target_partitions: Some(2), mode: Mode::ReadWrite };
        Ok(World { queries: Queries::new(engine.clone())?, engine, session })
    }

    async fn write(&self, lines: &str) {
        let options = parse::Options {
            write_precision: WritePrecision::Nanosecond,
            database_precision: Precision::Nanosecond,
            now: self.engine.clock().now(),
            limits: self.engine.limits(),
        };
        let points = parse::line_protocol(lines.as_bytes(), &options).expect("line protocol");
        let database = self.engine.database(self.session.tenant, "world").await.expect("the database");
        self.engine.write(&database, points, &Arc::new(Meter::default())).await.expect("written");
    }

    async fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        let output = self.queries.run(self.session.clone(), sql, &Arc::new(Meter::default())).await?;
        let Output::Rows { batches, .. } = output else { return Ok(Vec::new()) };
        let batches: Vec<RecordBatch> = batches.try_collect().await?;
        Ok(batches.iter().flat_map(texts).collect())
    }
}

/// Settles into several files and leaves, and collects without mercy.
async fn engine(store: Store, clock: ManualClock) -> Result<Engine> {
    let sizes = Sizes { listed_files: 4, leaf_files: 3, ..Sizes::default() };
    let options = EngineOptions { grace: Duration::ZERO, sizes, ..EngineOptions::default() };
    Engine::open(store, Arc::new(clock), options).await
}

/// A clock that stands still.
fn at(now: i64, seed: u64) -> ManualClock {
    ManualClock::new(now, seed)
}

/// Lines of a table with a column of each type, from `first` on, in so many steps for eight hosts. What is
/// `late` has a column more.
fn lines(first: i64, steps: i64, late: bool) -> String {
    let mut lines = String::new();
    for row in 0..steps * 8 {
        let (host, step) = (row % 8, row / 8);
        let zone = if host % 3 == 0 { String::new() } else { format!(",zone=z{}", host % 3) };
        let f = ((first / HOUR + row) as f64).sin();
        let (g, i, u, b) = (row % 7, row * row % 10_007, u64::MAX - row as u64, row % 5 == 0);
        let time = first + step * 10_000_000_000;
        let _ = write!(lines, "cpu,host=h{host}{zone} f={f},g={g},i={i}i,u={u}u,b={b}");
        if row % 4 > 0 {
            let _ = write!(lines, ",s=\"text {}\"", row % 501);
        }
        if late {
            let _ = write!(lines, ",late={}i", row % 11);
        }
        let _ = writeln!(lines, " {time}");
    }
    lines
}

/// Nothing gets into data files: a flush ends when it has frozen what it would settle.
#[derive(Debug)]
struct NoData;

impl Faults for NoData {
    fn before(&self, _: RequestKind, path: &str) -> Fault {
        if path.contains("/data/") { Fault::Refuse } else { Fault::Proceed }
    }
}

/// Every object of a store in which there is something of each kind.
async fn objects() -> BTreeMap<String, Bytes> {
    const FLUSH: Tasks = Tasks { flush: true, ..Tasks::NONE };
    let store = Store::memory_with_clock(Arc::new(ManualClock::new(NOW, 0)));
    let world = World::open(store.clone(), at(NOW, 1)).await.expect("a new store");
    let options = DatabaseOptions::default();
    world.engine.create_database(world.session.tenant, "world", options, false).await.expect("created");
    // The first day has several pages, the others have a file each; then there are two that overlap.
    for day in 0..8 {
        world.write(&lines(FIRST + day * DAY, if day == 0 { 1_100 } else { 60 }, false)).await;
    }
    world.write("other v=1 1\nother v=2 2").await;
    world.engine.maintain(Tasks::ALL).await.expect("settled");
    world.write(&lines(FIRST + 7 * DAY + HOUR / 60, 40, true)).await;
    world.engine.maintain(FLUSH).await.expect("settled");
    let later = World::open(store.clone(), at(NOW + HOUR, 2)).await.expect("a store");
    later.engine.maintain(Tasks { collect: true, ..Tasks::NONE }).await.expect("collected");
    for part in 0..2 {
        later.write(&lines(FIRST + 7 * DAY + part * HOUR, 20, true)).await;
    }
    let half = World::open(store.with_faults(Arc::new(NoData)), at(NOW + HOUR, 3)).await.expect("a store");
    half.engine.maintain(FLUSH).await.expect_err("a flush without data files");
    let after = World::open(store.clone(), at(NOW + HOUR, 4)).await.expect("a store");
    after.write(&lines(FIRST + 7 * DAY + 3 * HOUR, 30, true)).await;
    after.write("other v=3 3").await;
    let mut objects = BTreeMap::new();
    for entry in store.list("", None).await.expect("listed") {
        let bytes = store.get(&entry.path).await.expect("read").expect("listed objects exist");
        objects.insert(entry.path, bytes);
    }
    objects
}

/// A store in memory that holds these objects.
async fn store_of(objects: &BTreeMap<String, Bytes>) -> Store {
    let store = Store::memory();
    for (path, bytes) in objects {
        assert_eq!(store.create(path, bytes.clone()).await, CreateOutcome::Created);
    }
    store
}

/// Whole objects, or parts of them, that are damaged alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Hint,
    Probe,
    /// The newest of its log.
    Manifest,
    OldManifest,
    Segment,
    Leaf,
    /// The pages of a data file, with the four bytes before them.
    Pages,
    /// What follows them: their checksums, page index and footer.
    Tail,
}

impl Kind {
    /// Whether what the store holds depends on the object.
    fn is_in_use(self) -> bool {
        !matches!(self, Kind::Hint | Kind::Probe | Kind::OldManifest)
    }
}

/// Where bits may be flipped: of each kind the objects, and in each the first byte and the one after the
/// last.
fn places(objects: &BTreeMap<String, Bytes>) -> BTreeMap<Kind, Vec<(String, usize, usize)>> {
    let mut places: BTreeMap<Kind, Vec<(String, usize, usize)>> = BTreeMap::new();
    for (path, bytes) in objects {
        let end = bytes.len();
        let (folder, name) = path.rsplit_once('/').expect("a folder");
        let is_newest = || {
            let log = objects.range(format!("{folder}/")..).take_while(|(other, _)| other.starts_with(folder));
            log.filter(|(other, _)| other.ends_with(".m")).last().is_some_and(|(newest, _)| newest == path)
        };
        let mut add = |kind, begin, end| places.entry(kind).or_default().push((path.clone(), begin, end));
        match name {
            "HINT" => add(Kind::Hint, 0, end),
            _ if path.starts_with("sys/probe/") => add(Kind::Probe, 0, end),
            _ if name.ends_with(".m") && is_newest() => add(Kind::Manifest, 0, end),
            _ if name.ends_with(".m") => add(Kind::OldManifest, 0, end),
            _ if name.ends_with(".wal") => add(Kind::Segment, 0, end),
            _ if folder.ends_with("/leaf") => add(Kind::Leaf, 0, end),
            _ => {
                let tail = tail_of(bytes);
                add(Kind::Pages, 0, tail);
                add(Kind::Tail, tail, end);
            }
        }
    }
    places
}

/// Where a data file's tail begins, as its footer says.
fn tail_of(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let (_, after) = text.split_once("siltdb.page_crc32c").expect("an entry for checksums");
    // A byte for the type and one for the length stand between the entry's name and its value.
    let digits: String = after.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

/// One bit.
#[derive(Debug)]
struct Flip {
    kind: Kind,
    path: String,
    byte: usize,
    bit: u32,
}

impl Flip {
    /// A store of these objects, one of which has it.
    async fn made_to(&self, objects: &BTreeMap<String, Bytes>) -> Store {
        let mut damaged = objects.clone();
        let mut bytes = damaged[&self.path].to_vec();
        bytes[self.byte] ^= 1 << self.bit;
        damaged.insert(self.path.clone(), bytes.into());
        store_of(&damaged).await
    }
}

/// As many of each kind of object, drawn from a seed.
fn flips(places: &BTreeMap<Kind, Vec<(String, usize, usize)>>) -> Vec<Flip> {
    let dice = ManualClock::new(0, number("SILTDB_TEST_SEED", 1));
    let draw = |below: usize| usize::try_from(dice.random() % below as u64).expect("small");
    let draw_one = |(kind, places): (&Kind, &Vec<(String, usize, usize)>)| {
        let (path, begin, end) = &places[draw(places.len())];
        let byte = begin + draw(end - begin);
        Flip { kind: *kind, path: path.clone(), byte, bit: u32::try_from(draw(8)).expect("small") }
    };
    let count = usize::try_from(number("SILTDB_TEST_FLIPS", FLIPS)).expect("few");
    places.iter().cycle().take(count).map(draw_one).collect()
}

/// What became of flipped bits.
#[derive(Debug, Default)]
struct Tally {
    flips: usize,
    /// Flips after which some query ended in an error.
    errors: usize,
    /// Flips that `check` found.
    found: usize,
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_gives_no_wrong_answer() {
    let objects = objects().await;
    let places = places(&objects);
    assert_eq!(places.len(), 8, "a kind is missing: {:?}", places.keys());
    let whole = World::open(store_of(&objects).await, at(NOW + HOUR, 5)).await.expect("a store");
    let mut expected = Vec::new();
    for sql in QUERIES {
        expected.push(whole.rows(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")));
    }
    assert!(expected.iter().all(|rows| !rows.is_empty()), "a query without an answer: {expected:?}");
    let report = whole.engine.check().await.expect("checked");
    assert!(report.is_clean(), "{report}");

    let flips = flips(&places);
    let (objects, expected) = (&objects, &expected);
    let judged =
        stream::iter(flips).map(async |flip| (judge(&flip.made_to(objects).await, &flip, expected).await, flip));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let judged: Vec<_> = judged.buffer_unordered(threads).collect().await;
    let mut tallies: BTreeMap<Kind, Tally> = BTreeMap::new();
    for (outcome, flip) in judged {
        let (error, found) = outcome.unwrap_or_else(|wrong| panic!("{flip:?}: {wrong}"));
        let seen = found || !flip.kind.is_in_use() && !error;
        assert!(seen, "{flip:?}: check is clean; a query ended in an error: {error}");
        let tally = tallies.entry(flip.kind).or_default();
        tally.flips += 1;
        tally.errors += usize::from(error);
        tally.found += usize::from(found);
    }
    for (kind, Tally { flips, errors, found }) in tallies {
        eprintln!("{kind:?}: {flips} bits flipped, {errors} seen by a query, {found} by check, 0 wrong answers");
    }
}

/// Whether a query, and whether `check`, met the damage; or what is wrong.
async fn judge(store: &Store, flip: &Flip, expected: &[Vec<Vec<String>>]) -> Result<(bool, bool), String> {
    let path = &flip.path;
    let world = match World::open(store.clone(), at(NOW + HOUR, 6)).await {
        Ok(world) => world,
        Err(error) => return is_true(&error, path).map(|()| (true, true)),
    };
    let mut met = false;
    for (sql, expected) in QUERIES.iter().zip(expected) {
        match world.rows(sql).await {
            Ok(rows) if rows == *expected => {}
            Ok(rows) => return Err(format!("{sql}\n{rows:?}\ninstead of\n{expected:?}")),
            Err(error) => {
                is_true(&error, path)?;
                met = true;
            }
        }
    }
    // Of another process, which has nothing in memory yet.
    let fresh = engine(store.clone(), at(NOW + HOUR, 7)).await.map_err(|error| error.to_string())?;
    let found = match fresh.check().await {
        Ok(report) if report.is_clean() => false,
        Ok(report) if report.problems.iter().any(|problem| problem.contains(path)) => true,
        Ok(report) => return Err(format!("check blames something else: {report}")),
        Err(error) => is_true(&error, path).map(|()| true)?,
    };
    Ok((met, found))
}

/// Whether an error names the damaged object, says what to do, and is nobody's fault.
fn is_true(error: &Error, path: &str) -> Result<(), String> {
    // A manifest whose format number is damaged looks like another version's.
    let is_format = error.code == Code::Unavailable && error.message.contains("unless its first line is damaged");
    let is_damage = error.code == Code::Corrupt && error.message.contains("restore it from a backup");
    let in_table = !path.contains("/data/cpu~") || error.message.starts_with("table 'cpu': day=");
    if error.message.contains(path) && in_table && (is_format || is_damage) {
        return Ok(());
    }
    Err(format!("an error that says something else: {:?}: {error}", error.code))
}
