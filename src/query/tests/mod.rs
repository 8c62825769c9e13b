//! SQL on an engine in memory.

mod answers;
mod ends;
mod hostile;
mod lanes;
mod made;
mod memory;
mod scan;
mod star;
mod statements;

use std::sync::Arc;

use arrow::{array::RecordBatch, util::pretty::pretty_format_batches};
use futures::TryStreamExt;

use crate::{
    engine::{Engine, EngineOptions},
    model::{Code, Error, Mode, Result, clock::ManualClock, limits::Limits},
    store::{Meter, Store},
};

use super::{Output, Queries, Session};

/// 2026-11-24T00:00:00Z.
const NOW: i64 = 1_795_478_400_000_000_000;

struct Sql {
    queries: Queries,
    session: Session,
}

impl Sql {
    async fn new() -> Sql {
        Sql::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Sql {
        let clock = Arc::new(ManualClock::new(NOW, 1));
        let options = EngineOptions { limits, ..EngineOptions::default() };
        let engine = Engine::open(Store::memory(), clock, options).await.unwrap();
        let user = engine.authenticate("root", "").await.unwrap();
        let tenant = engine.tenant(&user, "cnosdb").await.unwrap();
        let session = Session {
            user,
            tenant,
            tenant_name: "cnosdb".to_owned(),
            database: "public".to_owned(),
            target_partitions: Some(4),
            mode: Mode::ReadWrite,
        };
        Sql { queries: Queries::new(engine).unwrap(), session }
    }

    async fn run(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        match self.queries.run(self.session.clone(), sql, &Arc::new(Meter::new())).await? {
            Output::Nothing => Ok(Vec::new()),
            Output::Description(batch) => Ok(vec![batch]),
            Output::Rows { schema, batches, .. } => {
                let batches: Vec<RecordBatch> = batches.try_collect().await?;
                assert!(batches.iter().all(|batch| batch.schema() == schema));
                Ok(if batches.is_empty() { vec![RecordBatch::new_empty(schema)] } else { batches })
            }
        }
    }

    /// Runs each statement, which must succeed.
    async fn all(&self, statements: &[&str]) {
        for sql in statements {
            self.run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    }

    /// The answer as a table; nothing for statements without rows.
    async fn table(&self, sql: &str) -> String {
        let batches = self.run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        if batches.is_empty() { String::new() } else { pretty_format_batches(&batches).unwrap().to_string() }
    }

    /// The cells of the answer, rows joined by `;`, cells by `,`, in the order they came.
    async fn cells(&self, sql: &str) -> String {
        let table = self.table(sql).await;
        let rows = table.lines().filter(|line| line.starts_with('|')).skip(1);
        rows.map(|row| {
            let cells = row.trim_matches('|').split('|').map(str::trim);
            cells.collect::<Vec<_>>().join(",")
        })
        .collect::<Vec<_>>()
        .join(";")
    }

    async fn error(&self, sql: &str) -> Error {
        match self.run(sql).await {
            Err(error) => error,
            Ok(_) => panic!("{sql} was not refused"),
        }
    }

    async fn code(&self, sql: &str) -> Code {
        self.error(sql).await.code
    }
}
