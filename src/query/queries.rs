//! Statements in, results out.

use std::sync::Arc;

use tokio::{sync::Semaphore, time::Instant};

use crate::{
    engine::Engine,
    model::{Mode, Result, names::BYTE_ORDER_MARK},
    store::Meter,
};

use super::{
    context::Context,
    ddl, insert,
    output::Output,
    request::{QueryServices, StatementRequest},
    select,
    session::Session,
    shares::{HeldMemory, QueryShares},
    show,
    statement::{self, Statement},
    threads::Threads,
    watch::{Counts, Watch},
};

/// Runs statements on an engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queries {
    pub(super) inner: Arc<QueryServices>,
}

impl Queries {
    /// Errors: the spill directory or the threads cannot be made.
    pub fn new(engine: Engine) -> Result<Queries> {
        let context = Context::new(engine.limits())?;
        let threads = Threads::new()?;
        let planners = Arc::new(Semaphore::new(engine.limits().concurrent_queries.max(1)));
        let parts = Arc::new(QueryShares::default());
        let watch = Watch::begin(engine.limits().memory_bytes, parts.clone())?;
        Ok(Queries { inner: Arc::new(QueryServices { engine, context, threads, parts, watch, planners }) })
    }

    /// Runs the one statement of `sql`. A query's time counts from here to the end of its stream.
    ///
    /// Errors: the statement is refused, does not parse, cannot be planned or run; see [`Code`].
    pub async fn run(&self, session: Session, sql: &str, meter: &Arc<Meter>) -> Result<Output> {
        let sql = sql.strip_prefix(BYTE_ORDER_MARK).unwrap_or(sql);
        let limits = self.inner.engine.limits();
        let deadline = Instant::now() + limits.query_time;
        let statement = statement::parse(sql, limits)?;
        check_mode(session.mode, &statement)?;
        match &statement {
            Statement::Query(_) | Statement::Explain(_) => self.inner.watch.admit().await?,
            // Writes are not refused for what queries take.
            Statement::Insert(_) => self.inner.watch.wake(),
            _ => {}
        }
        let part = self.inner.parts.begin(self.inner.context.pool());
        let request = StatementRequest { queries: self.inner.clone(), session, meter: meter.clone(), deadline, part };
        match statement {
            Statement::Nothing => Ok(Output::Nothing),
            Statement::CreateDatabase { name, options, if_not_exists } => {
                ddl::create_database(&request, &name, options, if_not_exists).await
            }
            Statement::DropDatabase { name, if_exists } => ddl::drop_database(&request, &name, if_exists).await,
            Statement::CreateTable { table, columns, if_not_exists } => {
                ddl::create_table(&request, &table, columns, if_not_exists).await
            }
            Statement::DropTable { table, if_exists } => ddl::drop_table(&request, &table, if_exists).await,
            Statement::Insert(insert) => insert::insert(&request, insert).await,
            Statement::ShowDatabases => show::databases(&request).await,
            Statement::ShowTables { database } => show::tables(&request, database).await,
            Statement::DescribeDatabase { name } => show::describe_database(&request, &name).await,
            Statement::DescribeTable { table } => show::describe_table(&request, &table).await,
            Statement::Query(query) => select::query(&request, query).await,
            Statement::Explain(explain) => select::explain(&request, explain).await,
        }
    }

    /// How often the memory of the process was short.
    pub fn shortages(&self) -> &Counts {
        self.inner.watch.counts()
    }

    /// Bytes that all queries hold.
    pub fn reserved_bytes(&self) -> usize {
        self.inner.context.pool().reserved()
    }

    /// Where a reader reserves what it holds of rows that are no query's.
    pub fn share(&self) -> HeldMemory {
        HeldMemory::new(&self.inner.parts.begin(self.inner.context.pool()), "answer")
    }
}

/// Refuses what the mode does not allow.
fn check_mode(mode: Mode, statement: &Statement) -> Result<()> {
    match statement {
        Statement::Nothing => Ok(()),
        Statement::CreateDatabase { .. }
        | Statement::DropDatabase { .. }
        | Statement::CreateTable { .. }
        | Statement::DropTable { .. }
        | Statement::Insert(_) => mode.check_writing(),
        Statement::ShowDatabases
        | Statement::ShowTables { .. }
        | Statement::DescribeDatabase { .. }
        | Statement::DescribeTable { .. }
        | Statement::Query(_)
        | Statement::Explain(_) => mode.check_reading(),
    }
}
