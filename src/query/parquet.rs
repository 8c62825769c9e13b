//! Scans of data files: DataFusion's Parquet source with our readers beneath, so that footers come
//! from the cache, ranges through the store, and requests are counted for the one who asked.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::SchemaRef,
    common::{Result, Statistics, config::TableParquetOptions},
    config::ParquetOptions,
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource},
    },
    logical_expr::Operator,
    parquet::arrow::async_reader::AsyncFileReader,
    physical_expr::{
        self, PhysicalExpr, conjunction_opt,
        expressions::{BinaryExpr, Literal},
    },
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use tokio::runtime::Handle;

use crate::{
    engine::TableSnapshot,
    model::{DataFile, Precision, TableSchema, schema::TIME_COLUMN},
    store::Store,
    table::{Footers, ObjectReader},
};

use super::{one_zero::OneZeroAdapters, overlap::Times, prune, sandbox, threads::IoRuntimeReader};

/// What every scan of one table's files shares.
#[derive(Debug, Clone)]
pub(super) struct ScanFiles {
    store: Store,
    footers: Arc<Footers>,
    root: Arc<str>,
    name: Arc<str>,
    schema: TableSchema,
    precision: Precision,
    /// All columns of the table.
    query_schema: SchemaRef,
    options: ParquetOptions,
    /// Where requests to the store are made.
    runtime: Handle,
}

/// One scan: which columns, which rows.
#[derive(Debug, Clone, Default)]
pub(super) struct ScanSpec {
    /// Positions in the table's schema; `None` is all.
    pub projection: Option<Vec<usize>>,
    /// Applied to every row.
    pub predicate: Option<Arc<dyn PhysicalExpr>>,
    pub limit: Option<usize>,
    /// Names of the columns to fetch together.
    pub together: Option<Arc<[String]>>,
    /// Rows in the file's own order.
    pub ordered: bool,
}

impl ScanFiles {
    pub(super) fn new(
        store: Store,
        footers: Arc<Footers>,
        table: &TableSnapshot,
        query_schema: SchemaRef,
        options: ParquetOptions,
        runtime: Handle,
    ) -> ScanFiles {
        ScanFiles {
            store,
            footers,
            root: table.root.as_str().into(),
            name: table.name.as_str().into(),
            schema: table.schema.clone(),
            precision: table.precision,
            query_schema,
            options,
            runtime,
        }
    }

    /// What the manifest says of a file.
    pub(super) fn statistics(&self, file: &DataFile) -> Statistics {
        prune::statistics(file, &self.schema, self.precision)
    }

    /// Whether a row's time lies between two moments, both included.
    pub(super) fn within(&self, (first, last): Times) -> Result<Arc<dyn PhysicalExpr>> {
        self.both(Operator::And, (Operator::GtEq, first), (Operator::LtEq, last))
    }

    /// Whether a row's time lies within none of some windows.
    pub(super) fn outside(&self, windows: &[Times]) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let outside = |(first, last): &Times| self.both(Operator::Or, (Operator::Lt, *first), (Operator::Gt, *last));
        Ok(conjunction_opt(windows.iter().map(outside).collect::<Result<Vec<_>>>()?))
    }

    /// Two comparisons of a row's time, each an operator and a moment in ticks, put together.
    fn both(&self, operator: Operator, left: (Operator, i64), right: (Operator, i64)) -> Result<Arc<dyn PhysicalExpr>> {
        let time = physical_expr::expressions::col(TIME_COLUMN, &self.query_schema)?;
        let compared = |(operator, ticks): (Operator, i64)| {
            let moment = Arc::new(Literal::new(prune::timestamp(self.precision, Some(ticks))));
            Arc::new(BinaryExpr::new(time.clone(), operator, moment))
        };
        Ok(Arc::new(BinaryExpr::new(compared(left), operator, compared(right))))
    }

    /// A scan of groups of files, one partition a group.
    pub(super) fn scan(
        &self,
        groups: Vec<Vec<Arc<DataFile>>>,
        wanted: ScanSpec,
        metrics: impl FnOnce(&ExecutionPlanMetricsSet),
    ) -> Result<FileScanConfig> {
        let options = TableParquetOptions { global: self.options.clone(), ..TableParquetOptions::default() };
        let readers = Readers {
            store: self.store.clone(),
            footers: self.footers.clone(),
            root: self.root.clone(),
            table: self.name.clone(),
            together: wanted.together,
            runtime: self.runtime.clone(),
        };
        let mut source = ParquetSource::new(self.query_schema.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers));
        if let Some(predicate) = wanted.predicate {
            source = source.with_predicate(predicate).with_pushdown_filters(true);
        }
        metrics(datafusion::datasource::physical_plan::FileSource::metrics(&source));
        let mut all = Vec::new();
        let mut file_groups = Vec::with_capacity(groups.len());
        for files in groups {
            let mut group = Vec::with_capacity(files.len());
            for file in files {
                let statistics = Arc::new(self.statistics(&file));
                all.push(statistics.clone());
                group.push(
                    PartitionedFile::new(file.path.clone(), file.size).with_statistics(statistics).with_extension(file),
                );
            }
            file_groups.push(FileGroup::new(group));
        }
        let statistics = prune::sum(all.iter().map(AsRef::as_ref), &self.query_schema)?;
        Ok(FileScanConfigBuilder::new(sandbox::address()?, Arc::new(source))
            .with_file_groups(file_groups)
            .with_expr_adapter(Some(Arc::new(OneZeroAdapters)))
            .with_statistics(statistics)
            .with_projection_indices(wanted.projection)?
            .with_limit(wanted.limit)
            .with_preserve_order(wanted.ordered)
            .build())
    }
}

/// Rows of the files that a scan reads. `None`: there are others among them.
pub(super) fn rows(scan: &FileScanConfig) -> Option<usize> {
    let files = scan.file_groups.iter().flat_map(FileGroup::iter);
    let rows = files.map(|file| file.extension::<Arc<DataFile>>().map(|file| file.rows));
    usize::try_from(rows.sum::<Option<u64>>()?).ok()
}

/// Opens data files for DataFusion.
#[derive(Debug)]
struct Readers {
    store: Store,
    footers: Arc<Footers>,
    root: Arc<str>,
    table: Arc<str>,
    together: Option<Arc<[String]>>,
    runtime: Handle,
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        _partition: usize,
        file: PartitionedFile,
        _metadata_size: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let Some(data_file) = file.extension::<Arc<DataFile>>() else {
            return datafusion::common::internal_err!("{} is not a data file", file.path());
        };
        let mut reader =
            ObjectReader::new(&self.store, &self.footers, &self.root, data_file).of_table(self.table.clone());
        if let Some(together) = &self.together {
            reader = reader.with_columns(together.clone());
        }
        Ok(Box::new(IoRuntimeReader::new(reader, self.runtime.clone())))
    }
}
