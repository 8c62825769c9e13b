//! Databases with the same points, each at another stage of settling.

use siltdb::engine::Tasks;
use siltdb::model::DatabaseOptions;

use super::answer::{Answer, rows};
use super::data::{self, Row};
use super::random::Random;
use crate::oracle::World;

/// A time after all data.
const NOW: i64 = 1_796_000_000_000_000_000;

/// Where the points are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Tail,
    HalfFlushed,
    /// Every request in files of its own.
    Flushed,
    Merged,
}

const STAGES: [Stage; 4] = [Stage::Tail, Stage::HalfFlushed, Stage::Flushed, Stage::Merged];
/// Parts of a plan.
const PARTITIONS: [usize; 2] = [8, 1];
/// Of files in parts again: what happens at the same time may happen otherwise the next time.
const AGAIN: [Stage; 2] = [Stage::Flushed, Stage::Merged];

/// A stage and the parts of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub stage: Stage,
    pub partitions: usize,
}

impl State {
    pub fn name(self) -> String {
        format!("{:?} in {}", self.stage, self.partitions)
    }
}

pub struct States {
    worlds: Vec<(Stage, World)>,
}

impl States {
    /// Writes all requests to each of the databases.
    pub async fn of(requests: &[Vec<Row>], seed: u64) -> States {
        let mut worlds = Vec::new();
        for stage in STAGES {
            let world = World::with_database(NOW, seed, DatabaseOptions::default()).await;
            for definition in data::definitions() {
                world.rows(&definition).await;
            }
            for (number, request) in requests.iter().enumerate() {
                world.write(&request.iter().map(Row::line).collect::<String>()).await;
                if stage == Stage::Flushed || (stage == Stage::HalfFlushed && number == requests.len() / 2) {
                    world.maintain(Tasks { flush: true, ..Tasks::NONE }).await;
                }
            }
            if stage == Stage::Merged {
                world.maintain(Tasks::ALL).await;
            }
            worlds.push((stage, world));
        }
        States { worlds }
    }

    /// The answers of all states.
    pub async fn ask(&self, sql: &str) -> Vec<(String, Answer)> {
        let stages = self.worlds.iter().map(|(stage, _)| *stage);
        let states = stages.flat_map(|stage| PARTITIONS.map(|partitions| State { stage, partitions }));
        let again = AGAIN.map(|stage| State { stage, partitions: PARTITIONS[0] });
        let mut answers = Vec::new();
        for state in states.chain(again) {
            answers.push((state.name(), self.ask_in(state, sql).await));
        }
        answers
    }

    /// The answer of one state, and which.
    pub async fn ask_one(&self, random: &mut Random, sql: &str) -> (State, Answer) {
        let state = State { stage: *random.pick(&STAGES), partitions: *random.pick(&PARTITIONS) };
        (state, self.ask_in(state, sql).await)
    }

    pub async fn ask_in(&self, state: State, sql: &str) -> Answer {
        let found = self.worlds.iter().find(|(stage, _)| *stage == state.stage);
        let (_, world) = found.expect("a world for each stage");
        answer(world, sql, state.partitions).await
    }
}

async fn answer(world: &World, sql: &str, partitions: usize) -> Answer {
    match world.try_batches(sql, partitions).await {
        Ok(batches) => Answer::Rows(batches.iter().flat_map(rows).collect()),
        Err(error) => Answer::Refused(error.to_string()),
    }
}
