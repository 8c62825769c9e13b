//! The end of a month: everything is compared, everything is tidied up, nothing is too much.

use std::sync::Arc;

use super::figures::{Holdings, Month, catalog_excess};
use super::world::{GRACE, HOUR, open};
use super::{COLLECT, STREAMS, Year};
use crate::engine::{Engine, Tasks};

impl Year {
    pub(super) async fn end_month(&mut self, name: &str) {
        let fresh = open(&self.store, &Arc::default(), &self.time, self.opened ^ 0xAAAA_0000).await;
        self.compare_all(&fresh, "a fresh process").await;
        let excesses = self.holdings(&fresh).await.iter().flat_map(|(_, held)| held.excesses_at_work()).collect();
        self.refuse(name, "at work", excesses);
        let tidied_at = self.come_to_rest().await;
        let (database, table, _, _) = STREAMS[self.dice.roll(STREAMS.len())];
        self.compare(&self.witness, "the witness", database, table).await;
        let report = fresh.check().await.unwrap();
        assert!(report.is_clean(), "{}: {report}", self.context());
        let mut excesses: Vec<String> = catalog_excess(&self.store).await.unwrap().into_iter().collect();
        let holdings = self.holdings(&fresh).await;
        for (database, held) in &holdings {
            let found = held.excesses(self.model[database].ttl, tidied_at);
            excesses.extend(found.into_iter().map(|excess| format!("{database}: {excess}")));
        }
        self.print_month(name, holdings.into_iter().map(|(_, held)| held).collect()).await;
        self.refuse(name, "at rest", excesses);
    }

    async fn holdings(&self, engine: &Engine) -> Vec<(&'static str, Holdings)> {
        let mut all = Vec::new();
        for name in self.model.keys() {
            let database = self.database(engine, name).await;
            all.push((*name, Holdings::of(engine, &self.store, &database).await.unwrap()));
        }
        all
    }

    fn refuse(&self, month: &str, when: &str, excesses: Vec<String>) {
        let context = self.context();
        assert!(excesses.is_empty(), "{context}: too much {when} at the end of {month}:\n  {}", excesses.join("\n  "));
    }

    /// Housekeeping until what was inside the grace has gone too. Returns when the last retention ran.
    async fn come_to_rest(&mut self) -> i64 {
        let mut tidied_at = self.time.now();
        for (turn, tasks) in [Tasks::ALL, Tasks::ALL, COLLECT].into_iter().enumerate() {
            if turn > 0 {
                self.time.pass(GRACE + HOUR);
            }
            if tasks == Tasks::ALL {
                tidied_at = self.time.now();
            }
            let tidied = self.processes[turn % self.processes.len()].maintain(tasks).await;
            tidied.unwrap_or_else(|error| panic!("{}: coming to rest failed: {error}", self.context()));
            self.note_written().await;
        }
        tidied_at
    }

    async fn print_month(&mut self, name: &str, holdings: Vec<Holdings>) {
        let entries = self.store.list("", None).await.unwrap();
        let total = self.work.snapshot();
        let month = Month {
            name: name.to_owned(),
            objects: (std::mem::take(&mut self.peak), entries.len()),
            bytes: entries.iter().map(|entry| entry.size).sum(),
            written: self.written.values().sum(),
            holdings,
            cost: total - std::mem::replace(&mut self.cost, total),
        };
        println!("{month}");
    }
}
