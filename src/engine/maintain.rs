//! Every duty, until nothing is left to do.

use std::fmt;
use std::time::{Duration, Instant};

use super::{Engine, databases::OpenDatabase, snapshot::Losses};
use crate::catalog::CatalogState;
use crate::database::merge_jobs;
use crate::ledger::Manifest;
use crate::model::Result;
use std::sync::Arc;

/// Which duties to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duties {
    pub flush: bool,
    pub merge: bool,
    pub retain: bool,
    pub collect: bool,
}

impl Duties {
    pub const ALL: Duties = Duties { flush: true, merge: true, retain: true, collect: true };
    pub const NONE: Duties = Duties { flush: false, merge: false, retain: false, collect: false };
}

/// How far a round of housekeeping goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Effort {
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

impl Effort {
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
    /// Does the duties for every database of the store until nothing is left to do.
    pub async fn maintain(&self, duties: Duties) -> Result<Report> {
        self.maintain_with(duties, Losses::Refused).await
    }

    /// The same; if `losses` says so, segments that are gone are given up.
    pub async fn maintain_with(&self, duties: Duties, losses: Losses) -> Result<Report> {
        let mut report = Report::default();
        let catalog = self.existing_catalog().await?;
        for open in self.all_databases(&catalog) {
            self.maintain_open(&open, duties, Effort { thorough: true, until: None, losses }, &mut report).await?;
            report.databases += 1;
        }
        if duties.collect {
            report.collected += self.collect_catalog(&catalog).await?;
        }
        self.inner.catalog.flush_hint(&self.inner.store).await;
        Ok(report)
    }

    /// Every database that a catalog names.
    pub(super) fn all_databases(&self, catalog: &Manifest<CatalogState>) -> Vec<Arc<OpenDatabase>> {
        let mut databases = Vec::new();
        for tenant in catalog.state.tenants.values() {
            databases.extend(tenant.databases.values().map(|id| self.open_database(tenant.id, *id)));
        }
        databases
    }

    pub(super) async fn maintain_open(
        &self,
        open: &OpenDatabase,
        duties: Duties,
        effort: Effort,
        report: &mut Report,
    ) -> Result<()> {
        let done = self.do_duties(open, duties, effort, report).await;
        // Also after an error: what was committed before it is not hinted at yet.
        open.ledger.flush_hint(&self.inner.store).await;
        done
    }

    async fn do_duties(&self, open: &OpenDatabase, duties: Duties, effort: Effort, report: &mut Report) -> Result<()> {
        if duties.flush {
            let flushed = self.flush_open(open, effort).await?;
            report.left += flushed.left;
            report.segments += flushed.segments;
            report.rows += flushed.rows;
            report.files += flushed.files;
        }
        if duties.retain {
            report.expired += self.retain_open(open).await?;
        }
        if duties.merge {
            self.merge_open(open, effort, report).await?;
        }
        if duties.collect && effort.allows(0) {
            report.collected += self.collect_open(open).await?;
        }
        Ok(())
    }

    /// Merges a database's files until no job is left. Each round commits at least one merge or
    /// ends.
    async fn merge_open(&self, open: &OpenDatabase, effort: Effort, report: &mut Report) -> Result<()> {
        if !effort.allows(0) {
            report.left += 1;
            return Ok(());
        }
        let rules = self.rules(effort.thorough);
        // One look at the store to begin with, unless there was one just now; from then on every commit, won or
        // lost, shows the newest.
        let manifest = open.ledger.recent(&self.inner.store).await?;
        self.unpack_open(open, &manifest, rules).await?;
        loop {
            let manifest = open.ledger.current(&self.inner.store).await?;
            let mut jobs = if manifest.state.dropped { Vec::new() } else { merge_jobs(&manifest.state, rules) };
            // Processes that merge at the same time begin at different jobs, to do less work twice.
            let begin = self.inner.clock.random() % (jobs.len() as u64).max(1);
            jobs.rotate_left(usize::try_from(begin).unwrap_or(0));
            let (mut progress, mut left) = (false, 0);
            for job in &jobs {
                if !effort.allows(job.inputs.iter().map(|file| file.size).sum()) {
                    left += 1;
                    continue;
                }
                // A base version below the fence could not commit: take the newest for each job.
                let newest = open.ledger.current(&self.inner.store).await?;
                if !job.is_possible(&newest.state) {
                    continue;
                }
                if self
                    .run_merge(open, &newest, job)
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
        self.pack_open(open, rules).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_begun_as_far_as_the_time_goes() {
        assert!(Effort::default().allows(u64::MAX));
        let within = |seconds| Effort {
            thorough: false,
            until: Some(Instant::now() + Duration::from_secs(seconds)),
            ..Effort::default()
        };
        assert!(within(10).allows(4 << 20) && within(10).allows(0));
        assert!(!within(10).allows(64 << 20) && !within(0).allows(0));
    }
}
