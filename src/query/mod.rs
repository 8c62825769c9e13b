//! SQL: statements in, rows out. The only room that names DataFusion.
//!
//! In: a session (who, which tenant and database) and the text of one statement. Out: [`Output`],
//! nothing or a stream of batches. A query runs over one snapshot: the tables it names are resolved
//! before it is planned, and planning and running touch no manifest again.
//!
//! Invariants: only what [`statement::Statement`] lists is run, and of a query nothing is passed over
//! (`understood`); whole numbers do not wrap (`exact`), moments are compared as what they are (`time`),
//! conditions apply from left to right (`conditions`); no statement reads or writes a file
//! of the server; every bound on a statement is checked before anything plans it; what a plan holds is
//! reserved in one pool, or a batch that is cut (`memory`); predicates on fields are never applied below a
//! merge; nothing declares an order of a scan.
//!
//! Never: knows that a network exists, or what an object is called.

mod allowance;
mod casts;
mod conditions;
mod constant_partitions;
mod context;
mod cooperative_joins;
mod ddl;
mod errors;
mod exact;
mod fence_exec;
mod full_orders;
mod functions;
mod guard;
mod insert;
mod lanes;
mod limits;
mod literals;
mod memory;
mod merge_exec;
mod one_zero;
mod opaque;
mod options;
mod overlap;
mod parquet;
mod pass_through;
mod pieces;
mod provider;
mod prune;
mod sandbox;
mod scan;
mod select;
mod selector;
mod selector_exec;
mod shares;
mod show;
mod spill;
mod star;
mod statement;
mod subqueries;
mod tag_filter;
mod tail;
mod tail_exec;
#[cfg(test)]
mod tests;
mod threads;
mod time;
mod understood;
mod watch;
mod zero;

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::stream::{self, BoxStream};
use tokio::{sync::Semaphore, time::Instant};

pub use shares::HeldMemory;
pub use watch::Counts;

use crate::{
    engine::{Database, Engine, User},
    format::Format,
    model::{Code, Error, Mode, Result, TenantId, names::BYTE_ORDER_MARK},
    store::Meter,
};

use context::Context;
use shares::{QueryShare, QueryShares};
use statement::{Statement, TableName};
use threads::Threads;
use watch::Watch;

/// Who asks, and where.
#[derive(Debug, Clone)]
pub struct Session {
    pub user: User,
    pub tenant: TenantId,
    pub tenant_name: String,
    /// The database of tables named without one.
    pub database: String,
    /// Partitions of the plan, which is also how many requests to the store are in flight at once.
    pub target_partitions: Option<usize>,
    pub mode: Mode,
}

/// What a statement answers.
pub enum Output {
    /// Done; there is nothing to say.
    Nothing,
    /// What `SHOW` and `DESCRIBE` tell, and how many rows an `INSERT` wrote.
    Description(RecordBatch),
    /// Rows. Dropping the stream cancels the query.
    Rows {
        schema: SchemaRef,
        batches: BoxStream<'static, Result<RecordBatch>>,
        /// Where their reader reserves what it holds of them.
        share: HeldMemory,
    },
}

/// The shape of rows, and the rows.
pub struct ResultRows {
    pub schema: SchemaRef,
    pub batches: BoxStream<'static, Result<RecordBatch>>,
    /// Of those of a query.
    pub share: Option<HeldMemory>,
}

impl Output {
    /// The rows as they are to be shown in a format; `None` when there is nothing to show.
    ///
    /// # Errors
    /// As [`Format::description`].
    pub fn into_rows(self, format: Format) -> Result<Option<ResultRows>> {
        match self {
            Output::Nothing => Ok(None),
            Output::Description(batch) => {
                let batch = format.description(batch)?;
                let (schema, batches) = (batch.schema(), Box::pin(stream::once(async { Ok(batch) })));
                Ok(Some(ResultRows { schema, batches, share: None }))
            }
            Output::Rows { schema, batches, share } => Ok(Some(ResultRows { schema, batches, share: Some(share) })),
        }
    }
}

/// Runs statements on an engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queries {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    context: Context,
    threads: Threads,
    parts: Arc<QueryShares>,
    watch: Watch,
    /// Planning cannot be interrupted: what is given up still holds its permit until it ends.
    planners: Arc<Semaphore>,
}

/// One statement being run.
struct Request {
    queries: Arc<Inner>,
    session: Session,
    meter: Arc<Meter>,
    deadline: Instant,
    part: Arc<QueryShare>,
}

impl Queries {
    /// Errors: the spill directory or the threads cannot be made.
    pub fn new(engine: Engine) -> Result<Queries> {
        let context = Context::new(engine.limits())?;
        let threads = Threads::new()?;
        let planners = Arc::new(Semaphore::new(engine.limits().concurrent_queries.max(1)));
        let parts = Arc::new(QueryShares::default());
        let watch = Watch::begin(engine.limits().memory_bytes, parts.clone())?;
        Ok(Queries { inner: Arc::new(Inner { engine, context, threads, parts, watch, planners }) })
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
        let request = Request { queries: self.inner.clone(), session, meter: meter.clone(), deadline, part };
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

impl Request {
    fn engine(&self) -> &Engine {
        &self.queries.engine
    }

    /// The name of the database that a table's name means; its tenant must be the session's.
    fn database_name<'a>(&'a self, table: &'a TableName) -> Result<&'a str> {
        self.check_tenant(table.tenant.as_deref())?;
        Ok(table.database.as_deref().unwrap_or(&self.session.database))
    }

    fn check_tenant(&self, tenant: Option<&str>) -> Result<()> {
        match tenant {
            Some(other) if other != self.session.tenant_name => {
                let message =
                    format!("Tenant conflict, the current connection's tenant is {}", self.session.tenant_name);
                Err(Error::new(Code::Semantic, message))
            }
            _ => Ok(()),
        }
    }

    /// A database for reading.
    async fn database(&self, name: &str) -> Result<Database> {
        self.engine().database(self.session.tenant, name).await.map_err(|error| match error.code {
            Code::DatabaseNotFound => Error::new(Code::DatabaseNotFoundInQuery, format!("Database {name} not found.")),
            _ => error,
        })
    }

    fn table_not_found(&self, database: &str, table: &str) -> Error {
        let name = format!("{}.{database}.{table}", self.session.tenant_name);
        Error::new(Code::TableNotFound, format!("Table not found: \"{name}\""))
    }

    fn timed_out(&self) -> Error {
        timed_out(self.engine().limits().query_time)
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

fn timed_out(limit: std::time::Duration) -> Error {
    let limit = humantime::format_duration(limit);
    let message = format!("the query took longer than {limit} (setting 'query_time'): ask for less, or raise it");
    Error::new(Code::QueryTimeout, message)
}
