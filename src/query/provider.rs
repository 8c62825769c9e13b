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
    engine::{Engine, Leaves, TableSnapshot},
    model::{DataFile, Error},
    store::{Meter, Store},
    table::Footers,
};

use super::{errors::external, scan};

/// One table at one moment.
#[derive(Debug)]
pub(super) struct SnapshotTable {
    pub(super) store: Store,
    pub(super) footers: Arc<Footers>,
    leaves: Leaves,
    pub(super) table: TableSnapshot,
    pub(super) schema: SchemaRef,
    /// Rows before this time are too old to be seen.
    pub(super) oldest: Option<i64>,
    /// Where requests to the store are made.
    pub(super) runtime: Handle,
}

impl SnapshotTable {
    /// Requests to the store are counted into `meter`, and made on the runtime this is called on.
    pub(super) fn new(engine: &Engine, meter: &Arc<Meter>, table: TableSnapshot) -> SnapshotTable {
        let now = engine.clock().now();
        let footers = engine.footers().clone();
        SnapshotTable::at(engine.store().metered(meter), footers, engine.leaves().clone(), table, now)
    }

    /// `now`, nanoseconds since 1970, decides what is too old.
    pub(super) fn at(
        store: Store,
        footers: Arc<Footers>,
        leaves: Leaves,
        table: TableSnapshot,
        now: i64,
    ) -> SnapshotTable {
        let oldest = table.ttl.map(|ttl| {
            let ttl = i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX);
            table.precision.from_nanoseconds(now.saturating_sub(ttl))
        });
        let schema = table.schema.query_schema(table.precision);
        SnapshotTable { store, footers, leaves, table, schema, oldest, runtime: Handle::current() }
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
            files.extend(load.await.map_err(ended).and_then(|loaded| loaded).map_err(external)?);
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
