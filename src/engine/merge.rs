//! Merge: a few neighbouring data files of a partition become fewer that do not overlap.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    Engine,
    databases::{Committed, DatabaseHandle},
    flush::{FileJob, RowStream},
};
use crate::database::{DatabaseState, Edit, MergeJob, horizon};
use crate::ledger::Manifest;
use crate::merge::{self, KeyColumns};
use crate::model::{DataFile, Digest, Error, OrderRange, Precision, Result, TableSchema};
use crate::table;

impl Engine {
    /// Runs one job against a manifest in which its inputs are live. `false` when its work was void.
    pub(super) async fn run_merge(
        &self,
        handle: &DatabaseHandle,
        manifest: &Manifest<DatabaseState>,
        job: &MergeJob,
    ) -> Result<bool> {
        let Some((_, current)) = manifest.state.table_by_id(job.table) else { return Ok(false) };
        let order = job.inputs.iter().map(|file| file.order).reduce(OrderRange::union);
        let order = order.ok_or_else(|| Error::internal("a merge needs files"))?;
        let precision = manifest.state.options.precision;
        let expired = Arc::new(Mutex::new(Digest::default()));
        let signs = Arc::new(Mutex::new(Digest::default()));
        let oldest = horizon(&manifest.state, self.earlier_now());
        let mut sources: Vec<RowStream> = Vec::new();
        for run in runs(&job.inputs) {
            let rows = self.read_run(handle, run, &current.schema, precision);
            let rows = with_one_zero(rows, &current.schema, signs.clone());
            sources.push(match oldest.filter(|oldest| job.inputs.iter().any(|file| file.min_time < *oldest)) {
                Some(oldest) => without_older(rows, oldest, &current.schema, expired.clone()),
                None => rows,
            });
        }
        let file_job = FileJob {
            name: &job.name,
            table: current,
            partition: job.partition.clone(),
            base: manifest.version,
            order,
            precision,
        };
        let (outputs, replaced) = match self.write_merged(handle, file_job, sources).await {
            Ok(written) => written,
            Err(error) if self.is_superseded(handle, manifest, &error).await? => return Ok(false),
            Err(error) => return Err(error),
        };
        let expired = *expired.lock().unwrap_or_else(PoisonError::into_inner);
        let signs = *signs.lock().unwrap_or_else(PoisonError::into_inner);
        let edit = Edit::Merge {
            table: job.table,
            inputs: job.inputs.iter().map(|file| file.path.clone()).collect(),
            outputs,
            dropped: replaced.plus(expired).plus(signs),
            base: manifest.version,
        };
        let committed = handle.commit(&self.inner.store, self.limits(), &edit).await?;
        let done = matches!(committed, Committed::Done(_));
        if done {
            self.inner.totals.merges.fetch_add(1, Ordering::Relaxed);
        }
        Ok(done)
    }

    /// The rows of files that follow each other in the order of keys.
    fn read_run(
        &self,
        handle: &DatabaseHandle,
        run: Vec<Arc<DataFile>>,
        schema: &TableSchema,
        precision: Precision,
    ) -> RowStream {
        let (store, footers) = (self.inner.store.clone(), self.inner.footers.clone());
        let (root, schema) = (handle.root().to_owned(), schema.clone());
        let rows = move |file: Arc<DataFile>| table::read_file(&store, &footers, &root, &file, &schema, precision);
        stream::iter(run).flat_map(rows).boxed()
    }
}

/// The inputs in runs, the oldest first: what one merge put out, if its keys ascend, is read as one.
fn runs(inputs: &[Arc<DataFile>]) -> Vec<Vec<Arc<DataFile>>> {
    let mut inputs = inputs.to_vec();
    let first = |file: &DataFile| file.keys.as_ref().map(|keys| keys.first.clone());
    inputs.sort_by_key(|file| (file.order.first, first(file)));
    let follows = |left: &Arc<DataFile>, right: &Arc<DataFile>| match (&left.keys, &right.keys) {
        (Some(before), Some(after)) => left.order == right.order && before.last < after.first,
        _ => false,
    };
    inputs.chunk_by(follows).map(<[_]>::to_vec).collect()
}

/// The rows with 0.0 for the -0.0 that older files may hold. What that changes in their sum is added to
/// `signs`.
fn with_one_zero(rows: RowStream, schema: &TableSchema, signs: Arc<Mutex<Digest>>) -> RowStream {
    let key = KeyColumns::of(schema);
    let ids: Vec<_> = schema.columns.iter().map(|column| column.id).collect();
    let change = move |batch: RecordBatch| -> Result<RecordBatch> {
        let Some(changed) = merge::positive_zeros(&batch)? else { return Ok(batch) };
        let change = merge::sum(&batch, &key, &ids)?.minus(merge::sum(&changed, &key, &ids)?);
        let mut signs = signs.lock().unwrap_or_else(PoisonError::into_inner);
        *signs = signs.plus(change);
        Ok(changed)
    };
    rows.and_then(move |batch| std::future::ready(change(batch))).boxed()
}

/// The rows that are not older than `oldest`, ticks. The sum of the others is added to `expired`.
fn without_older(rows: RowStream, oldest: i64, schema: &TableSchema, expired: Arc<Mutex<Digest>>) -> RowStream {
    let key = KeyColumns::of(schema);
    let ids: Vec<_> = schema.columns.iter().map(|column| column.id).collect();
    let keep = move |batch: RecordBatch| -> Result<RecordBatch> {
        let ticks = table::ticks(&batch, key.time)?;
        if ticks.iter().all(|ticks| *ticks >= oldest) {
            return Ok(batch);
        }
        let young: BooleanArray = ticks.iter().map(|ticks| Some(*ticks >= oldest)).collect();
        let old = filter_record_batch(&batch, &arrow::compute::not(&young)?)?;
        let mut expired = expired.lock().unwrap_or_else(PoisonError::into_inner);
        *expired = expired.plus(merge::sum(&old, &key, &ids)?);
        Ok(filter_record_batch(&batch, &young)?)
    };
    rows.and_then(move |batch| std::future::ready(keep(batch))).boxed()
}
