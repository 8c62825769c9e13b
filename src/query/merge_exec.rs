//! The leaf of a plan that reads files and tail parts which overlap in time, and merges their rows.
//!
//! It is plain data: file lists, batches, a predicate on keys, a projection. Every partition merges
//! its groups one after another. Filters on fields stay above.

use std::fmt;
use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{AsArray, RecordBatch},
        compute::filter_record_batch,
        datatypes::SchemaRef,
    },
    common::{Result, Statistics, internal_err, stats::Precision as Certainty, tree_node::TreeNodeRecursion},
    datasource::source::DataSourceExec,
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr, conjunction_opt, utils::reassign_expr_columns},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet},
        statistics::StatisticsArgs,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use crate::{
    engine::{SegmentProjection, TableSnapshot},
    merge::{self, KeyColumns},
    model::{ColumnId, ColumnKind, Error, TableSchema},
};

use super::{
    errors::{external, from_datafusion},
    overlap::MergeInput,
    parquet::{ScanFiles, ScanSpec},
};

/// Bytes of one value of a batch in memory, about: a view and a part of a key.
const VALUE_BYTES: usize = 16;

/// What to read of every group.
#[derive(Debug, Clone)]
pub(super) struct Merging {
    pub files: ScanFiles,
    /// Positions in the table's schema.
    pub projection: Vec<usize>,
    /// On tags and time alone.
    pub keys: Option<Arc<dyn PhysicalExpr>>,
    pub limit: Option<usize>,
}

/// Merges groups of overlapping files and tail parts.
#[derive(Debug, Clone)]
pub(super) struct MergeExec {
    /// By partition.
    groups: Arc<Vec<Vec<Vec<MergeInput>>>>,
    merging: Merging,
    /// What the merge reads: the projection and the key, in the table's order.
    read: Vec<usize>,
    projection: SegmentProjection,
    /// The predicate on keys, for what the merge reads.
    read_keys: Option<Arc<dyn PhysicalExpr>>,
    /// The projection, as positions in `read`.
    output: Vec<usize>,
    key: KeyColumns,
    ids: Vec<ColumnId>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl MergeExec {
    pub(super) fn new(groups: Vec<Vec<Vec<MergeInput>>>, merging: Merging, table: &TableSnapshot) -> Result<MergeExec> {
        let columns = &table.schema.columns;
        let needed = |position: usize| {
            merging.projection.contains(&position) || !matches!(columns[position].kind, ColumnKind::Field(_))
        };
        let read: Vec<usize> = (0..columns.len()).filter(|position| needed(*position)).collect();
        let read_columns: Vec<_> = read.iter().map(|position| columns[*position].clone()).collect();
        let ids = read_columns.iter().map(|column| column.id).collect();
        let key = KeyColumns::of(&TableSchema { columns: read_columns });
        let place = |position: &usize| read.binary_search(position).ok();
        let Some(output) = merging.projection.iter().map(place).collect::<Option<Vec<usize>>>() else {
            return internal_err!("a merge does not read what it puts out");
        };
        let projection = table.projection(&read).map_err(external)?;
        let schema: SchemaRef = Arc::new(projection.schema().project(&output)?);
        let of_read = |keys| reassign_expr_columns(keys, projection.schema());
        let read_keys = merging.keys.clone().map(of_read).transpose()?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(groups.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(MergeExec {
            groups: Arc::new(groups),
            projection,
            read_keys,
            merging,
            read,
            output,
            key,
            ids,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    pub(super) fn metrics_set(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    /// Rows of its sources, or of those of one partition.
    pub(super) fn rows(&self, partition: Option<usize>) -> u64 {
        match partition {
            Some(partition) => self.groups.get(partition).into_iter().flatten().flatten().map(MergeInput::rows).sum(),
            None => self.sources().map(MergeInput::rows).sum(),
        }
    }

    fn sources(&self) -> impl Iterator<Item = &MergeInput> {
        self.groups.iter().flatten().flatten()
    }

    /// The merged rows of a group, before projection.
    fn merged(
        &self,
        group: &[MergeInput],
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, crate::model::Result<RecordBatch>>> {
        let batch_rows = context.session_config().batch_size();
        // A merge holds a batch of every file at once.
        let memory = MemoryConsumer::new("MergeExec").register(context.memory_pool());
        let rows: u64 =
            group.iter().filter(|source| source.is_file()).map(|file| file.rows().min(batch_rows as u64)).sum();
        memory.try_grow(usize::try_from(rows).unwrap_or(usize::MAX).saturating_mul(self.read.len() * VALUE_BYTES))?;
        let sources: Vec<_> = group.iter().map(|source| self.open(source, context)).collect::<Result<_>>()?;
        let merged = merge::merge(
            sources,
            self.projection.schema().clone(),
            self.key.clone(),
            self.ids.clone(),
            batch_rows,
            None,
        );
        Ok(merged
            .inspect(move |_| {
                let _held_until_the_end = &memory;
            })
            .boxed())
    }

    fn open(
        &self,
        source: &MergeInput,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, crate::model::Result<RecordBatch>>> {
        match source {
            MergeInput::File(file, times) => {
                let within = times.map(|times| self.merging.files.within(times)).transpose()?;
                let wanted = ScanSpec {
                    projection: Some(self.read.clone()),
                    predicate: conjunction_opt(self.merging.keys.iter().cloned().chain(within)),
                    limit: None,
                    together: None,
                    ordered: true,
                };
                let scan = self.merging.files.scan(vec![vec![file.clone()]], wanted, |_| {})?;
                let rows = DataSourceExec::from_data_source(scan).execute(0, context.clone())?;
                Ok(rows.map_err(|error| from_datafusion(&error)).boxed())
            }
            MergeInput::Tail(rows) => {
                let batch = rows.project(&self.projection).map_err(external)?;
                let batch = match &self.read_keys {
                    None => batch,
                    Some(keys) => {
                        let passes = keys.evaluate(&batch)?.into_array(batch.num_rows())?;
                        filter_record_batch(&batch, passes.as_boolean())?
                    }
                };
                Ok(stream::iter([Ok::<_, Error>(batch)]).boxed())
            }
        }
    }
}

impl DisplayAs for MergeExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: usize = self.groups.iter().map(Vec::len).sum();
        let files = self.sources().filter(|source| source.is_file()).count();
        let tails = self.sources().count() - files;
        write!(formatter, "MergeExec: groups={groups}, files={files}, tail_parts={tails}")?;
        if let Some(keys) = &self.merging.keys {
            write!(formatter, ", predicate={keys}")?;
        }
        if let Some(limit) = self.merging.limit {
            write!(formatter, ", limit={limit}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for MergeExec {
    fn name(&self) -> &'static str {
        "MergeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.merging.keys.as_ref().map_or(Ok(TreeNodeRecursion::Continue), visit)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(groups) = self.groups.get(partition) else {
            return internal_err!("a merge has no partition {partition}");
        };
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        MetricBuilder::new(&self.metrics).counter("groups_merged", partition).add(groups.len());
        let plan = self.clone();
        let groups: Vec<Vec<MergeInput>> = groups.clone();
        let rows = stream::iter(groups)
            .map(move |group| plan.merged(&group, &context))
            .map_ok(|rows| rows.map_err(external))
            .try_flatten();
        let output = self.output.clone();
        let mut left = self.merging.limit.unwrap_or(usize::MAX);
        let rows = rows
            .map(move |batch| Ok(batch?.project(&output)?))
            .try_take_while(move |batch| {
                let wanted = left > 0;
                left = left.saturating_sub(batch.num_rows());
                futures::future::ready(Ok(wanted))
            })
            .map(move |batch: Result<RecordBatch>| {
                if let Ok(batch) = &batch {
                    baseline.record_output(batch.num_rows());
                }
                batch
            });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    /// Duplicates make every count an estimate.
    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let rows = self.rows(args.partition());
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = usize::try_from(rows).map_or(Certainty::Absent, Certainty::Inexact);
        Ok(Arc::new(statistics))
    }
}
