//! A store opened by this process: what a server would do, without one.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use tokio::task::JoinHandle;

use super::open;
use super::outcome::{CommandFailure, Interrupted, Points, check_reader};
use super::output::Document;
use crate::catalog::ROOT_USER;
use crate::config::Settings;
use crate::engine::{Engine, User, run_background};
use crate::format::{DocumentEncoder, Format};
use crate::model::{Error, Mode, PointBatch, Result, TenantId};
use crate::parse;
use crate::query::{Queries, Session};
use crate::store::Meter;

/// An open store.
#[derive(Debug, Clone)]
pub(super) struct Local {
    engine: Engine,
    queries: Queries,
    user: User,
    tenant: TenantId,
    tenant_name: String,
    background: Option<Arc<JoinHandle<()>>>,
}

impl Local {
    /// Opens the store, as root: who can read and write all of it needs no password.
    pub(super) async fn open(settings: &Settings, tenant_name: String) -> Result<Local> {
        let open_to_all = Settings { root_password: None, root_password_hash: None, ..settings.clone() };
        let engine = open(&open_to_all).await?;
        let queries = Queries::new(engine.clone())?;
        let user = engine.authenticate(ROOT_USER, "").await?;
        let tenant = engine.tenant(&user, &tenant_name).await?;
        Ok(Local { engine, queries, user, tenant, tenant_name, background: None })
    }

    pub(super) async fn query(
        &self,
        database: &str,
        sql: &str,
        format: Format,
        out: Document,
    ) -> Result<(), Interrupted> {
        let session = Session {
            user: self.user.clone(),
            tenant: self.tenant,
            tenant_name: self.tenant_name.clone(),
            database: database.to_owned(),
            target_partitions: None,
            mode: Mode::ReadWrite,
        };
        let answer = self.queries.run(session, sql, &Arc::new(Meter::new())).await.map_err(CommandFailure::from)?;
        match answer.into_rows(format).map_err(CommandFailure::from)? {
            None => Ok(()),
            Some(rows) => {
                let encoder = format.encoder(rows.schema).map_err(CommandFailure::from)?;
                print_rows(encoder, rows.batches, out).await
            }
        }
    }

    pub(super) async fn write(&self, points: Points) -> Result<(), CommandFailure> {
        let database = self.engine.database(self.tenant, &points.database).await?;
        let (engine, database_precision) = (self.engine.clone(), database.options.precision);
        let (now, text) = (engine.now(), points.text);
        let reading = move |error: Option<Error>| {
            let (write_precision, limits) = (points.precision, engine.limits());
            let options = parse::Options { write_precision, database_precision, now, limits };
            match error {
                None => parse::line_protocol(&text, &options),
                Some(error) => Err(parse::located(error, &text, &options)),
            }
        };
        let batches = aside(reading.clone(), None).await?;
        match self.engine.write(&database, batches, &Arc::new(Meter::new())).await {
            Ok(_) => Ok(()),
            Err(error) if error.subject.is_some() => aside(reading, Some(error)).await.map(drop),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins to settle what is written. Without it a long load would reach the most that may be
    /// unsettled, and wait for another process to settle it.
    pub(super) fn maintain(&mut self) {
        self.background = Some(Arc::new(tokio::spawn(run_background(self.engine.clone()))));
    }

    pub(super) async fn close(self) {
        if let Some(background) = self.background {
            background.abort();
        }
        self.engine.shutdown().await;
    }
}

impl fmt::Display for Local {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "store {}, tenant {}", self.engine.store().url(), self.tenant_name)
    }
}

/// Reads points, or finds out what an error is about, where it holds nothing up.
async fn aside(
    reading: impl FnOnce(Option<Error>) -> Result<Vec<PointBatch>> + Send + 'static,
    error: Option<Error>,
) -> Result<Vec<PointBatch>, CommandFailure> {
    let read = tokio::task::spawn_blocking(move || reading(error)).await;
    Ok(read.map_err(|error| Error::internal(format!("the parser ended: {error}")))??)
}

async fn print_rows(
    mut encoder: Box<dyn DocumentEncoder + Send>,
    mut batches: BoxStream<'static, Result<RecordBatch>>,
    mut out: Document,
) -> Result<(), Interrupted> {
    let mut text = Vec::new();
    loop {
        let batch = batches.try_next().await.map_err(CommandFailure::from)?;
        text.clear();
        let encoded = match &batch {
            Some(batch) => encoder.encode(batch, &mut text),
            None => encoder.finish(&mut text),
        };
        encoded.map_err(CommandFailure::from)?;
        check_reader(out.write(&text))?;
        if batch.is_none() {
            return check_reader(out.end());
        }
    }
}
