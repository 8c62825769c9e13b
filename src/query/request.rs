//! One statement under way: its session, its time and memory, and what it shares with all others.

use std::sync::Arc;

use tokio::{sync::Semaphore, time::Instant};

use crate::{
    engine::{Database, Engine},
    model::{Code, Error, Result},
    store::Meter,
};

use super::{
    context::Context,
    errors::timed_out,
    session::Session,
    shares::{QueryShare, QueryShares},
    statement::TableName,
    threads::Threads,
    watch::Watch,
};

/// What all statements share.
#[derive(Debug)]
pub(super) struct QueryServices {
    pub(super) engine: Engine,
    pub(super) context: Context,
    pub(super) threads: Threads,
    pub(super) parts: Arc<QueryShares>,
    pub(super) watch: Watch,
    /// Planning cannot be interrupted: what is given up still holds its permit until it ends.
    pub(super) planners: Arc<Semaphore>,
}

/// One statement being run.
pub(super) struct StatementRequest {
    pub(super) queries: Arc<QueryServices>,
    pub(super) session: Session,
    pub(super) meter: Arc<Meter>,
    pub(super) deadline: Instant,
    pub(super) part: Arc<QueryShare>,
}

impl StatementRequest {
    pub(super) fn engine(&self) -> &Engine {
        &self.queries.engine
    }

    /// The name of the database that a table's name means; its tenant must be the session's.
    pub(super) fn database_name<'a>(&'a self, table: &'a TableName) -> Result<&'a str> {
        self.check_tenant(table.tenant.as_deref())?;
        Ok(table.database.as_deref().unwrap_or(&self.session.database))
    }

    pub(super) fn check_tenant(&self, tenant: Option<&str>) -> Result<()> {
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
    pub(super) async fn database(&self, name: &str) -> Result<Database> {
        self.engine().database(self.session.tenant, name).await.map_err(|error| match error.code {
            Code::DatabaseNotFound => Error::new(Code::DatabaseNotFoundInQuery, format!("Database {name} not found.")),
            _ => error,
        })
    }

    pub(super) fn table_not_found(&self, database: &str, table: &str) -> Error {
        let name = format!("{}.{database}.{table}", self.session.tenant_name);
        Error::new(Code::TableNotFound, format!("Table not found: \"{name}\""))
    }

    pub(super) fn timed_out(&self) -> Error {
        timed_out(self.engine().limits().query_time)
    }
}
