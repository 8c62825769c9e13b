//! Every duty, until nothing is left to do.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::{Engine, databases::DatabaseHandle, snapshot::Losses};
use crate::catalog::CatalogState;
use crate::database::merge_jobs;
use crate::ledger::Manifest;
use crate::model::Result;
use std::sync::Arc;

/// Which tasks to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tasks {
    pub flush: bool,
    pub merge: bool,
    pub retain: bool,
    pub collect: bool,
}

impl Tasks {
    pub const ALL: Tasks = Tasks { flush: true, merge: true, retain: true, collect: true };
    pub const NONE: Tasks = Tasks { flush: false, merge: false, retain: false, collect: false };
}

/// How far a round of housekeeping goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Budget {
    /// Merge all that can be merged, and not only what pays off by itself.
    pub thorough: bool,
    /// No job is begun that would hardly be done by then.
    pub until: Option<Instant>,
    /// What becomes of a tail that lacks acknowledged segments.
    pub losses: Losses,
}

/// What a job is reckoned to rewrite in a second where its time is limited. Much less than most machines
/// do: a job that is broken off has done nothing.
const REWRITTEN_BYTES: u64 = 4 << 20;
/// What a job takes however small it is.
const JOB_TIME: Duration = Duration::from_secs(1);

impl Budget {
    /// Whether there is time to rewrite so many bytes.
    pub(super) fn allows(self, bytes: u64) -> bool {
        let time = JOB_TIME + Duration::from_millis(bytes.saturating_mul(1_000) / REWRITTEN_BYTES);
        self.until.is_none_or(|until| until.saturating_duration_since(Instant::now()) >= time)
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    pub databases: usize,
    /// Segments settled.
    pub segments: usize,
    /// Rows settled.
    pub rows: u64,
    /// Data files written by flushes.
    pub files: usize,
    pub merges: usize,
    /// Data files past their retention.
    pub expired: usize,
    /// Objects deleted.
    pub collected: usize,
    /// Jobs that were not begun for lack of time, or given up because others kept getting in the way.
    pub left: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} databases: {} segments ({} rows) settled into {} files, {} merges, {} files expired, {} objects deleted",
            self.databases, self.segments, self.rows, self.files, self.merges, self.expired, self.collected
        )?;
        match self.left {
            0 => Ok(()),
            left => write!(formatter, ", {left} jobs left undone"),
        }
    }
}

impl Engine {
    /// Does the tasks for every database of the store until nothing is left to do.
    pub async fn maintain(&self, tasks: Tasks) -> Result<Report> {
        self.maintain_with(tasks, Losses::Refused).await
    }

    /// The same; if `losses` says so, segments that are gone are given up.
    pub async fn maintain_with(&self, tasks: Tasks, losses: Losses) -> Result<Report> {
        let mut report = Report::default();
        let catalog = self.existing_catalog().await?;
        for handle in self.all_databases(&catalog) {
            self.maintain_open(&handle, tasks, Budget { thorough: true, until: None, losses }, &mut report).await?;
            report.databases += 1;
        }
        if tasks.collect {
            report.collected += self.collect_catalog(&catalog).await?;
        }
        self.inner.catalog.flush_hint(&self.inner.store).await;
        Ok(report)
    }

    /// Every database that a catalog names.
    pub(super) fn all_databases(&self, catalog: &Manifest<CatalogState>) -> Vec<Arc<DatabaseHandle>> {
        let mut databases = Vec::new();
        for tenant in catalog.state.tenants.values() {
            databases.extend(tenant.databases.values().map(|id| self.open_database(tenant.id, *id)));
        }
        databases
    }

    pub(super) async fn maintain_open(
        &self,
        handle: &DatabaseHandle,
        tasks: Tasks,
        budget: Budget,
        report: &mut Report,
    ) -> Result<()> {
        let done = self.run_tasks(handle, tasks, budget, report).await;
        // Also after an error: what was committed before it is not hinted at yet.
        handle.ledger.flush_hint(&self.inner.store).await;
        done
    }

    async fn run_tasks(
        &self,
        handle: &DatabaseHandle,
        tasks: Tasks,
        budget: Budget,
        report: &mut Report,
    ) -> Result<()> {
        if tasks.flush {
            let flushed = self.flush_open(handle, budget).await?;
            report.left += flushed.left;
            report.segments += flushed.segments;
            report.rows += flushed.rows;
            report.files += flushed.files;
        }
        if tasks.retain {
            report.expired += self.retain_open(handle).await?;
        }
        if tasks.merge {
            self.merge_open(handle, budget, report).await?;
        }
        if tasks.collect && budget.allows(0) {
            report.collected += self.collect_open(handle).await?;
        }
        Ok(())
    }

    /// Merges a database's files until no job is left. Each round commits at least one merge or
    /// ends.
    async fn merge_open(&self, handle: &DatabaseHandle, budget: Budget, report: &mut Report) -> Result<()> {
        if !budget.allows(0) {
            report.left += 1;
            return Ok(());
        }
        let rules = self.rules(budget.thorough);
        // One look at the store to begin with, unless there was one just now; from then on every commit, won or
        // lost, shows the newest.
        let manifest = handle.ledger.recent(&self.inner.store).await?;
        self.unpack_open(handle, &manifest, rules).await?;
        loop {
            let manifest = handle.ledger.current(&self.inner.store).await?;
            let mut jobs = if manifest.state.dropped { Vec::new() } else { merge_jobs(&manifest.state, rules) };
            // Processes that merge at the same time begin at different jobs, to do less work twice.
            let begin = self.inner.clock.random() % (jobs.len() as u64).max(1);
            jobs.rotate_left(usize::try_from(begin).unwrap_or(0));
            let (mut progress, mut left) = (false, 0);
            for job in &jobs {
                if !budget.allows(job.inputs.iter().map(|file| file.size).sum()) {
                    left += 1;
                    continue;
                }
                // A base version below the fence could not commit: take the newest for each job.
                let newest = handle.ledger.current(&self.inner.store).await?;
                if !job.is_possible(&newest.state) {
                    continue;
                }
                if self
                    .run_merge(handle, &newest, job)
                    .await
                    .map_err(|error| error.at(format!("table '{}'", job.name)))?
                {
                    report.merges += 1;
                    progress = true;
                }
            }
            if !progress {
                report.left += left;
                break;
            }
        }
        self.pack_open(handle, rules).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_begun_as_far_as_the_time_goes() {
        assert!(Budget::default().allows(u64::MAX));
        let within = |seconds| Budget {
            thorough: false,
            until: Some(Instant::now() + Duration::from_secs(seconds)),
            ..Budget::default()
        };
        assert!(within(10).allows(4 << 20) && within(10).allows(0));
        assert!(!within(10).allows(64 << 20) && !within(0).allows(0));
    }
}
