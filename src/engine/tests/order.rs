//! The newest write wins, whatever the clocks say: seeded histories of processes whose clocks are hours
//! apart, set back and forth, or stand still while the machine sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::oracle::*;
use crate::engine::{Database, Engine, Tasks};
use crate::model::clock::{Clock, ManualClock};
use crate::store::{Meter, Store};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// Histories that the test runs; each takes some tens of milliseconds.
const SEEDS: u64 = 16;

/// The clock of one process: some hours wrong, and it may sleep.
#[derive(Debug)]
struct WrongClock {
    truth: Arc<ManualClock>,
    /// How far the wall clock is ahead, nanoseconds.
    ahead: Arc<AtomicI64>,
    /// How long the process has slept, nanoseconds.
    slept: AtomicI64,
    chance: ManualClock,
}

impl Clock for WrongClock {
    fn now(&self) -> i64 {
        self.truth.now() + self.ahead.load(Ordering::SeqCst)
    }

    fn elapsed(&self) -> i64 {
        self.truth.now() - self.slept.load(Ordering::SeqCst)
    }

    fn random(&self) -> u64 {
        self.chance.random()
    }
}

struct Process {
    clock: Arc<WrongClock>,
    engine: Engine,
    database: Database,
}

/// What a history is made of.
struct World {
    store: Store,
    truth: Arc<ManualClock>,
    dice: ManualClock,
    /// Whether the store's answers are dated, as S3's are; else all processes share the machine's clock.
    is_dated: bool,
    /// How far the machine's clock is ahead, for stores without dates.
    machine: Arc<AtomicI64>,
    started: u64,
}

impl World {
    async fn new(seed: u64, is_dated: bool) -> World {
        let (truth, dice) = (Arc::new(ManualClock::new(NOW, 0)), ManualClock::new(0, seed ^ 0x0DD5));
        World { store: empty_store().await, truth, dice, is_dated, machine: Arc::default(), started: 0 }
    }

    fn roll(&self, sides: u64) -> u64 {
        self.dice.random() % sides
    }

    /// From so many hours behind to so many hours ahead.
    fn some_hours(&self) -> i64 {
        (self.roll(7) as i64 - 3) * HOUR + self.roll(5_000) as i64 * 1_000_000
    }

    fn pass(&self, nanoseconds: i64) {
        self.truth.set(self.truth.now() + nanoseconds);
    }

    async fn start(&mut self) -> Process {
        self.started += 1;
        let ahead = match self.is_dated {
            true => Arc::new(AtomicI64::new(self.some_hours())),
            false => self.machine.clone(),
        };
        let chance = ManualClock::new(0, self.dice.random());
        let clock = Arc::new(WrongClock { truth: self.truth.clone(), ahead, slept: AtomicI64::new(0), chance });
        let store = match self.is_dated {
            true => self.store.with_dates(clock.clone(), self.truth.clone()),
            false => self.store.clone(),
        };
        let engine = Engine::open(store, clock.clone(), options(0)).await.unwrap();
        let database = public(&engine).await;
        Process { clock, engine, database }
    }
}

/// Writes and reads of one point by processes that come and go; between two steps pass one to five seconds.
async fn history(seed: u64, is_dated: bool) {
    let mut world = World::new(seed, is_dated).await;
    let mut processes = vec![world.start().await, world.start().await, world.start().await];
    let mut newest = None;
    for step in 0..60u64 {
        world.pass(SECOND + world.roll(4_000) as i64 * 1_000_000);
        for process in &processes {
            // As a server's housekeeping does each second.
            process.engine.clock_steps();
        }
        let one = world.roll(processes.len() as u64) as usize;
        match world.roll(12) {
            0 => processes[one] = world.start().await,
            1 => processes[one].clock.ahead.store(world.some_hours(), Ordering::SeqCst),
            2 => {
                // The machine sleeps: its clock that is never set stands still.
                processes[one].clock.slept.fetch_add(HOUR, Ordering::SeqCst);
                world.pass(HOUR);
            }
            3 => drop(processes[one].engine.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap()),
            _ => {
                write(&processes[one].engine, &processes[one].database, &format!("t,host=a v={step},w{one}=1i 7"))
                    .await
                    .unwrap();
                newest = Some(step);
            }
        }
        let reader = &processes[world.roll(processes.len() as u64) as usize];
        let rows = read(&reader.engine, &reader.database, "t").await.unwrap();
        let seen = rows.get(&(Some("a".to_owned()), 7)).map(|fields| fields["v"].clone());
        assert_eq!(seen, newest.map(|step| step.to_string()), "seed {seed}, step {step}, dated: {is_dated}");
    }
    let report = processes[0].engine.check().await.unwrap();
    assert!(report.is_clean(), "seed {seed}: {report}");
}

#[tokio::test]
async fn the_newest_write_wins_under_clocks_hours_apart() {
    for seed in 0..SEEDS {
        history(seed, true).await;
    }
}

#[tokio::test]
async fn the_newest_write_wins_when_the_machines_clock_is_set() {
    for seed in 0..SEEDS {
        history(seed, false).await;
    }
}

#[tokio::test]
async fn a_steady_write_looks_at_nothing_but_what_it_has_to() {
    let store = empty_store().await;
    let engine = process(&store, 2).await;
    let database = public(&engine).await;
    let mut costs = Vec::new();
    for number in 0..4 {
        let meter = Arc::new(Meter::default());
        engine.write(&database, points(&format!("t,host=a v={number} 1")), &meter).await.unwrap();
        let cost = meter.snapshot();
        costs.push((cost.puts, cost.gets, cost.lists));
    }
    assert_eq!(costs[0].2, 1, "the first write of a process looks at what others have written: {costs:?}");
    assert_eq!(costs[1..], [(1, 1, 0); 3]);
}
