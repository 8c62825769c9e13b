//! Every duty, until nothing is left to do.

use std::fmt;

use super::{Engine, databases::OpenDatabase};
use crate::catalog::CatalogState;
use crate::database::merge_jobs;
use crate::ledger::Manifest;
use crate::model::{Error, Result};
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
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} databases: {} segments ({} rows) settled into {} files, {} merges, {} files expired, {} objects deleted",
            self.databases, self.segments, self.rows, self.files, self.merges, self.expired, self.collected
        )
    }
}

impl Engine {
    /// Does the duties for every database of the store until nothing is left to do.
    pub async fn maintain(&self, duties: Duties) -> Result<Report> {
        let mut report = Report::default();
        let catalog = self.newest_catalog().await?;
        for open in self.all_databases(&catalog) {
            self.maintain_open(&open, duties, true, &mut report).await?;
            report.databases += 1;
        }
        if duties.collect {
            report.collected += self.collect_catalog(&catalog).await?;
        }
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

    /// `thorough`: merge all that can be merged, not only what pays off by itself.
    pub(super) async fn maintain_open(
        &self,
        open: &OpenDatabase,
        duties: Duties,
        thorough: bool,
        report: &mut Report,
    ) -> Result<()> {
        if duties.flush {
            let flushed = self.flush_open(open).await?;
            report.segments += flushed.segments;
            report.rows += flushed.rows;
            report.files += flushed.files;
        }
        if duties.retain {
            report.expired += self.retain_open(open).await?;
        }
        if duties.merge {
            report.merges += self.merge_open(open, thorough).await?;
        }
        if duties.collect {
            report.collected += self.collect_open(open).await?;
        }
        Ok(())
    }

    /// Merges a database's files until no job is left. Each round commits at least one merge or
    /// ends.
    async fn merge_open(&self, open: &OpenDatabase, thorough: bool) -> Result<usize> {
        let rules = self.rules(thorough);
        // One look at the store to begin with; from then on every commit, won or lost, shows the newest.
        let manifest = open.ledger.load(&self.inner.store).await?.manifest;
        self.unpack_open(open, &manifest, rules).await?;
        let mut merges = 0;
        loop {
            let manifest = open.ledger.current(&self.inner.store).await?;
            let mut jobs = if manifest.state.dropped { Vec::new() } else { merge_jobs(&manifest.state, rules) };
            // Processes that merge at the same time begin at different jobs, to do less work twice.
            let begin = self.inner.clock.random() % (jobs.len() as u64).max(1);
            jobs.rotate_left(usize::try_from(begin).unwrap_or(0));
            let mut progress = false;
            for job in &jobs {
                // A base version below the fence could not commit: take the newest for each job.
                let newest = open.ledger.current(&self.inner.store).await?;
                if !job.is_possible(&newest.state) {
                    continue;
                }
                if self.run_merge(open, &newest, job).await.map_err(|error| in_table(&job.name, error))? {
                    merges += 1;
                    progress = true;
                }
            }
            if !progress {
                break;
            }
        }
        self.pack_open(open, rules).await?;
        Ok(merges)
    }
}

fn in_table(name: &str, error: Error) -> Error {
    Error::new(error.code, format!("table '{name}': {}", error.message))
}
