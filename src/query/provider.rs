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
    engine::{Engine, TableSnapshot},
    store::{Meter, Store},
    table::Footers,
};

use super::scan;

/// One table at one moment.
#[derive(Debug)]
pub(super) struct SnapshotTable {
    pub(super) store: Store,
    pub(super) footers: Arc<Footers>,
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
        SnapshotTable::at(engine.store().metered(meter), footers, table, now)
    }

    /// `now`, nanoseconds since 1970, decides what is too old.
    pub(super) fn at(store: Store, footers: Arc<Footers>, table: TableSnapshot, now: i64) -> SnapshotTable {
        let oldest = table.ttl.map(|ttl| {
            let ttl = i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX);
            table.precision.from_nanoseconds(now.saturating_sub(ttl))
        });
        let schema = table.schema.query_schema(table.precision);
        SnapshotTable { store, footers, table, schema, oldest, runtime: Handle::current() }
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
        scan::plan(self, state, projection, filters, limit)
    }
}
