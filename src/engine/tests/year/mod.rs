//! A simulated year: one time for all, processes that write, settle, merge, retain and collect at
//! once, some replaced on the way. What is read equals a model all the time, and at the end of each
//! month what the store holds keeps within bounds that do not grow with time ([`figures`]).
//!
//! `SILTDB_TEST_SEEDS=20` runs so many years instead of one, `SILTDB_TEST_DAYS=3650` makes each that
//! long; `--nocapture` shows the figures of each month. One seed is one history, request by request ([`history`]).

mod compactors;
mod figures;
mod frozen;
mod history;
mod model;
mod month;
mod sleeper;
mod traffic;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use self::figures::HEADING;
use self::frozen::Frozen;
use self::model::{DatabaseModel, ModelPoint, differences, rows_in};
use self::traffic::Traffic;
use self::world::{DAY, Dice, NEW_YEAR, SECOND, Time, open, setting};
use super::oracle::{TENANT, good, points};
use crate::engine::{Database, Engine, Tasks};
use crate::model::DatabaseOptions;
use crate::store::{Cost, Meter, Store};

/// From one round of writes to the next.
const STEP: i64 = DAY;
/// The database without a retention, and the one with.
const KEEPS: &str = "public";
const FORGETS: &str = "short";
const RETENTION: i64 = 30 * DAY;
/// Who writes to which tables, so many regular rows a request, once in so many steps.
const STREAMS: [(&str, &str, usize, usize); 4] =
    [(KEEPS, "cpu", 16, 1), (KEEPS, "disk", 10, 2), (KEEPS, "events", 4, 3), (FORGETS, "cpu", 12, 1)];
/// The table that is dropped now and then.
const DROPPED: &str = "events";
const FLUSH: Tasks = Tasks { flush: true, ..Tasks::NONE };
const COLLECT: Tasks = Tasks { collect: true, ..Tasks::NONE };

/// One request on its way to a process.
struct Request {
    process: usize,
    database: &'static str,
    points: Vec<ModelPoint>,
}

struct Year {
    seed: u64,
    step: usize,
    time: Time,
    dice: Dice,
    store: Store,
    /// What the processes ask of the store, the comparisons left out.
    work: Arc<Meter>,
    /// Opened so far; each gets a chance of its own.
    opened: u64,
    /// Take writes in turn, and do everything else too.
    processes: Vec<Engine>,
    turn: usize,
    /// Lives through the whole year and only reads.
    witness: Engine,
    model: BTreeMap<&'static str, DatabaseModel>,
    /// Data files ever seen: path → bytes.
    written: BTreeMap<String, u64>,
    cost: Cost,
    peak: usize,
    frozen: Option<Frozen>,
}

impl Year {
    async fn begin(store: Store, seed: u64, time: Time) -> Year {
        let work = Arc::new(Meter::default());
        let base = seed * 1_000_000;
        let witness = open(&store, &Arc::default(), &time, base).await;
        let forgets = DatabaseOptions { ttl: Some(Duration::from_nanos(RETENTION as u64)), ..Default::default() };
        witness.create_database(TENANT, FORGETS, forgets, false).await.unwrap();
        let forgetful = DatabaseModel { ttl: Some(RETENTION), ..Default::default() };
        let model = BTreeMap::from([(KEEPS, DatabaseModel::default()), (FORGETS, forgetful)]);
        let dice = Dice::new(seed);
        let (written, processes) = (BTreeMap::new(), Vec::new());
        let (opened, step, turn, peak, cost, frozen) = (0, 0, 0, 0, Cost::default(), None);
        #[rustfmt::skip]
        let mut year = Year {
            seed, step, time, dice, store, work, opened, processes, turn, witness, model, written, cost, peak, frozen,
        };
        for _ in 0..3 {
            let process = year.open().await;
            year.processes.push(process);
        }
        year
    }

    async fn open(&mut self) -> Engine {
        self.opened += 1;
        open(&self.store, &self.work, &self.time, self.seed * 1_000_000 + self.opened).await
    }

    fn context(&self) -> String {
        format!("seed {}, step {}, {}", self.seed, self.step, self.time.date())
    }

    async fn database(&self, engine: &Engine, name: &str) -> Database {
        engine.database(TENANT, name).await.unwrap()
    }

    fn any_process(&self) -> Engine {
        self.processes[self.dice.roll(self.processes.len())].clone()
    }

    /// A day: perhaps a deploy, writes while two processes tidy up, a flush now and then, a look.
    async fn live(&mut self) {
        self.step += 1;
        self.time.pass(STEP);
        if self.dice.once_in(15) {
            let process = self.open().await;
            let replaced = self.dice.roll(self.processes.len());
            self.processes[replaced] = process;
        }
        let requests = self.requests();
        if self.step.is_multiple_of(3) {
            self.tidy_up_while(&requests).await;
        } else {
            self.send(&requests).await;
            self.freeze_or_thaw().await;
            if self.dice.once_in(2) && self.tasks().flush {
                let flushed = self.any_process().maintain(FLUSH).await;
                flushed.unwrap_or_else(|error| panic!("{}: a flush failed: {error}", self.context()));
            }
        }
        self.expect(&requests);
        if self.step % 60 == 20 {
            self.drop_table().await;
        }
        self.note_written().await;
        if self.step.is_multiple_of(5) {
            let stream = STREAMS[self.dice.roll(STREAMS.len())];
            let engine = if self.dice.once_in(2) { self.any_process() } else { self.witness.clone() };
            self.compare(&engine, "some process", stream.0, stream.1).await;
        }
    }

    fn traffic(&self) -> Traffic<'_> {
        let month = ((self.time.now() - NEW_YEAR) / (30 * DAY)).clamp(0, 11) as usize;
        Traffic { dice: &self.dice, now: self.time.now(), step: STEP, month }
    }

    /// What clients send in this step.
    fn requests(&mut self) -> Vec<Request> {
        let traffic = self.traffic();
        let (mut requests, mut turn) = (Vec::new(), self.turn);
        for (database, table, rows, throws) in STREAMS {
            if !self.dice.once_in(throws) {
                continue;
            }
            let points = traffic.request(&self.model[database], table, rows);
            requests.push(Request { process: turn, database, points });
            turn = (turn + 1) % self.processes.len();
        }
        if self.step % 60 == 10 {
            let points = traffic.backfill(&self.model[KEEPS], "disk");
            requests.push(Request { process: turn, database: KEEPS, points });
        }
        self.turn = turn;
        requests
    }

    /// Sends requests one after the other, so that the model knows which is newer.
    async fn send(&self, requests: &[Request]) {
        for request in requests {
            self.time.pass(SECOND);
            let engine = &self.processes[request.process];
            let database = self.database(engine, request.database).await;
            let lines: Vec<String> = request.points.iter().map(ModelPoint::line).collect();
            let written = engine.write(&database, points(&lines.join("\n")), &self.work).await;
            written.unwrap_or_else(|error| panic!("{}: a write failed: {error}\n{}", self.context(), lines.join("\n")));
        }
    }

    /// Two processes do everything at once, and writes go on meanwhile.
    async fn tidy_up_while(&self, requests: &[Request]) {
        let (one, other, tasks) = (&self.processes[0], &self.processes[1], self.tasks());
        // Not `tokio::join!`, which begins with another one at each poll.
        let tidied = futures::join!(one.maintain(tasks), other.maintain(tasks), self.send(requests));
        for result in [tidied.0, tidied.1] {
            result.unwrap_or_else(|error| panic!("{}: housekeeping failed: {error}", self.context()));
        }
    }

    /// Takes what was acknowledged into the model.
    fn expect(&mut self, requests: &[Request]) {
        for request in requests {
            let database = self.model.get_mut(request.database).unwrap();
            request.points.iter().for_each(|point| database.apply(point));
        }
    }

    /// A table goes, perhaps while another process tidies up. Before and after, every process writes to
    /// its name, so that some have the table in mind that is gone.
    async fn drop_table(&mut self) {
        self.write_everywhere().await;
        let dropper = self.any_process();
        let database = self.database(&dropper, KEEPS).await;
        let tasks = if self.dice.once_in(2) { Tasks::ALL } else { Tasks::NONE };
        let (dropped, tidied) =
            futures::join!(dropper.drop_table(&database, DROPPED, false), self.processes[0].maintain(tasks));
        dropped.unwrap_or_else(|error| panic!("{}: a drop failed: {error}", self.context()));
        tidied.unwrap_or_else(|error| panic!("{}: housekeeping beside a drop failed: {error}", self.context()));
        self.model.get_mut(KEEPS).unwrap().drop_table(DROPPED);
        self.compare(&self.witness, "the witness after a drop", KEEPS, DROPPED).await;
        self.write_everywhere().await;
        self.compare(&self.witness, "the witness after a table was made anew", KEEPS, DROPPED).await;
    }

    /// Each process writes to the table that is dropped now and then.
    async fn write_everywhere(&mut self) {
        for process in 0..self.processes.len() {
            let points = self.traffic().request(&self.model[KEEPS], DROPPED, 2);
            let requests = [Request { process, database: KEEPS, points }];
            self.send(&requests).await;
            self.expect(&requests);
        }
    }

    /// Compares a table with the model.
    async fn compare(&self, engine: &Engine, who: &str, database: &str, table: &str) {
        let model = &self.model[database];
        let horizon = model.horizon(self.time.now());
        let open = self.database(engine, database).await;
        let found = rows_in(engine, &self.store, &open, table).await;
        let found =
            found.unwrap_or_else(|error| panic!("{}: {who} cannot read {database}.{table}: {error}", self.context()));
        let nothing = Default::default();
        let expected = model.tables.get(table).map_or(&nothing, |table| &table.rows);
        if let Some(text) = differences(expected, &found, horizon) {
            panic!("{}: {who} sees {database}.{table} wrongly: {text}", self.context());
        }
    }

    async fn compare_all(&self, engine: &Engine, who: &str) {
        for (database, table, _, _) in STREAMS {
            self.compare(engine, who, database, table).await;
        }
    }

    /// Notes which data files there are: within the grace none can have come and gone unseen.
    async fn note_written(&mut self) {
        let entries = self.store.list("t/", None).await.unwrap();
        self.peak = self.peak.max(entries.len());
        let files = entries.into_iter().filter(|entry| entry.path.contains("/data/"));
        self.written.extend(files.map(|entry| (entry.path, entry.size)));
    }
}

async fn year(store: Store, seed: u64, time: Time, days: u64) {
    println!("seed {seed}, {}\n{HEADING}", store.url());
    let end = time.now() + days as i64 * DAY;
    let mut year = Year::begin(good(store).await, seed, time).await;
    let mut month = year.time.month();
    let mut name = year.time.date();
    while year.time.now() < end {
        year.live().await;
        if year.time.month() != month || year.time.now() >= end {
            year.end_month(&name[..7]).await;
            (month, name) = (year.time.month(), year.time.date());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_year_in_memory_keeps_every_point_and_every_bound() {
    for seed in 0..setting("SILTDB_TEST_SEEDS", 1) {
        let time = Time::new(NEW_YEAR);
        let store = Store::memory_with_clock(time.process_clock(seed));
        year(store, seed, time, setting("SILTDB_TEST_DAYS", 365)).await;
    }
}

/// Files have the machine's times, which lie before those of the simulation: no grace at all.
#[tokio::test]
async fn a_month_in_a_folder_keeps_every_point_and_every_bound() {
    for seed in 0..setting("SILTDB_TEST_SEEDS", 1) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_str().unwrap()).await.unwrap();
        year(store, 500 + seed, Time::new(NEW_YEAR), setting("SILTDB_TEST_DAYS", 365) / 12).await;
    }
}
