//! Merge: a few neighbouring data files of a partition become one.

use std::sync::atomic::Ordering;

use super::{
    Engine,
    databases::{Committed, OpenDatabase},
    flush::FileJob,
};
use crate::database::{DatabaseState, Edit, MergeJob};
use crate::ledger::Manifest;
use crate::model::{Error, OrderRange, Result};
use crate::table;

impl Engine {
    /// Runs one job against the manifest it was planned from. `false` when its work was void.
    pub(super) async fn run_merge(
        &self,
        open: &OpenDatabase,
        manifest: &Manifest<DatabaseState>,
        job: &MergeJob,
    ) -> Result<bool> {
        let Some((_, current)) = manifest.state.table_by_id(job.table) else { return Ok(false) };
        let order = job.inputs.iter().map(|file| file.order).reduce(OrderRange::union);
        let order = order.ok_or_else(|| Error::internal("a merge needs files"))?;
        let precision = manifest.state.options.precision;
        let sources = job
            .inputs
            .iter()
            .map(|file| {
                let (store, footers) = (&self.inner.store, &self.inner.footers);
                table::read_file(store, footers, open.root(), file, &current.schema, precision)
            })
            .collect();
        let file_job = FileJob {
            name: &job.name,
            table: current,
            partition: job.partition.clone(),
            base: manifest.version,
            order,
            precision,
        };
        let (output, dropped) = self.write_merged(open, file_job, sources).await?;
        let edit = Edit::Merge {
            table: job.table,
            inputs: job.inputs.iter().map(|file| file.path.clone()).collect(),
            output: output.map(Box::new),
            dropped,
            base: manifest.version,
        };
        let committed = open.commit(&self.inner.store, self.limits(), &edit).await?;
        let done = matches!(committed, Committed::Done(_));
        if done {
            self.inner.totals.merges.fetch_add(1, Ordering::Relaxed);
        }
        Ok(done)
    }
}
