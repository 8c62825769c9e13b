//! A table of a snapshot as DataFusion sees it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::{Session, TableProvider},
    common::Result,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};
use tokio::runtime::Handle;

use crate::{
    engine::{Engine, FileLists, TableSnapshot},
    model::{ColumnKind, DataFile, Error},
    store::{Meter, Store},
    table::Footers,
};

use super::{errors::external, scan, selector::GroupSelector};

/// One table at one moment.
#[derive(Debug, Clone)]
pub(super) struct SnapshotTable {
    pub(super) store: Store,
    pub(super) footers: Arc<Footers>,
    leaves: FileLists,
    pub(super) table: Arc<TableSnapshot>,
    pub(super) schema: SchemaRef,
    /// Rows before this time are too old to be seen.
    pub(super) oldest: Option<i64>,
    /// Where requests to the store are made.
    pub(super) runtime: Handle,
    /// Set if of each group one row is wanted only.
    pub(super) ends: Option<GroupSelector>,
}

impl SnapshotTable {
    /// Requests to the store are counted into `meter`, and made on the runtime this is called on.
    pub(super) fn new(engine: &Engine, meter: &Arc<Meter>, table: TableSnapshot) -> SnapshotTable {
        let now = engine.now();
        let footers = engine.footers().clone();
        SnapshotTable::at(engine.store().metered(meter), footers, engine.leaves().clone(), table, now)
    }

    /// `now`, nanoseconds since 1970, decides what is too old.
    pub(super) fn at(
        store: Store,
        footers: Arc<Footers>,
        leaves: FileLists,
        table: TableSnapshot,
        now: i64,
    ) -> SnapshotTable {
        let oldest = table.ttl.map(|ttl| {
            let ttl = i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX);
            table.precision.from_nanoseconds(now.saturating_sub(ttl))
        });
        let schema = table.schema.query_schema(table.precision);
        let (table, runtime) = (Arc::new(table), Handle::current());
        SnapshotTable { store, footers, leaves, table, schema, oldest, runtime, ends: None }
    }

    /// The same table for a query that wants one row of each group only.
    pub(super) fn wanting(&self, ends: GroupSelector) -> SnapshotTable {
        SnapshotTable { ends: Some(ends), ..self.clone() }
    }

    /// Whether an expression says the same of all rows of a series.
    pub(super) fn on_tags(&self, expression: &Expr) -> bool {
        self.speaks_of(expression, |kind| kind == ColumnKind::Tag)
    }

    /// Whether an expression speaks of nothing but tags and time.
    pub(super) fn on_keys(&self, expression: &Expr) -> bool {
        self.speaks_of(expression, |kind| !matches!(kind, ColumnKind::Field(_)))
    }

    fn speaks_of(&self, expression: &Expr, kinds: impl Fn(ColumnKind) -> bool) -> bool {
        let column = |name: &str| self.table.schema.column(name);
        let mut columns = expression.column_refs().into_iter();
        !expression.is_volatile() && columns.all(|named| column(&named.name).is_some_and(|column| kinds(column.kind)))
    }

    /// The data files that may hold rows of the answer: those that the manifest describes, and those of
    /// the lists whose times are asked for.
    async fn files(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<Arc<DataFile>>> {
        let mut files = self.table.files.clone();
        let lists = scan::lists(self, state, filters)?;
        if !lists.is_empty() {
            let (leaves, store, root) = (self.leaves.clone(), self.store.clone(), self.table.root.clone());
            let load = self.runtime.spawn(async move { leaves.load_all(&store, &root, &lists).await });
            let ended = |error| Error::internal(format!("reading a list of files ended: {error}"));
            let loaded = load.await.map_err(ended).and_then(|loaded| loaded);
            files.extend(loaded.map_err(|error| external(error.of_table(&self.table.name)))?);
        }
        Ok(files)
    }
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Inexact, so that the filter stays above: below a merge only keys may be filtered.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.files(state, filters).await?;
        scan::plan(self, files, state, projection, filters, limit)
    }
}
