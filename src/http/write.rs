//! `POST /api/v1/write`: line protocol.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_ENCODING;
use axum::response::{IntoResponse, Response};

use super::access_log::{RequestFacts, WorkKind};
use super::error_response::{COST, ErrorResponse, cost_header};
use super::names::NamedRoute;
use super::parameters::{Parameters, header_text};
use super::{App, auth, body, encoding};
use crate::engine::Receipt;
use crate::model::time::WritePrecision;
use crate::model::{Error, Precision, Result};
use crate::parse;
use crate::store::Meter;

/// A body up to this size is parsed where it was read; a larger one would hold up other requests.
const INLINE_BYTES: usize = 64 << 10;

/// Stores the points of the body: all, or none. 200 once they are durable.
pub async fn write(
    State(app): State<App>,
    Extension(facts): Extension<RequestFacts>,
    request: Request,
) -> Result<Response, ErrorResponse> {
    receive(app, facts, request, NamedRoute::Write).await
}

/// A write on one of the routes for it.
pub async fn receive(
    app: App,
    facts: RequestFacts,
    request: Request,
    route: NamedRoute,
) -> Result<Response, ErrorResponse> {
    let (parts, body) = request.into_parts();
    let limit = app.engine().limits().write_body_bytes;
    body::check_announced(&parts.headers, limit)?;
    let claim = auth::claim(&parts)?;
    let parameters = Parameters::parse(route, parts.uri.query())?;
    let coding = encoding::of_request(header_text(&parts.headers, CONTENT_ENCODING)?.as_deref())?;
    let caller = auth::authorize(&app, claim, &parameters, &facts).await?;
    facts.set_target(WorkKind::Write, Some(&parameters.database));
    app.inner.options.mode.check_writing()?;
    if body::waits_to_continue(&parts.headers) {
        app.engine().database(caller.tenant, &parameters.database).await?;
    }
    let share = app.inner.body_memory.share(caller.holder);
    let payload = body::read(body, limit, app.inner.options.body_idle, share).await?;
    facts.received(payload.bytes.len());
    let (text, share) = payload.decode(&app, coding).await?.into_parts();
    let permit = app.write_permit()?;
    let meter = Arc::new(Meter::new());
    // In a task of its own, so that a client that leaves does not leave half a write behind.
    let stored = tokio::spawn({
        let (meter, facts) = (meter.clone(), facts.clone());
        async move {
            let (_permit, _share) = (permit, share);
            store(&app, &caller, &parameters, text, &meter, &facts).await
        }
    });
    let receipt = stored.await.map_err(|error| Error::internal(format!("the write ended: {error}")))??;
    facts.rows(receipt.rows);
    Ok([(COST, cost_header(meter.snapshot()))].into_response())
}

/// Parses and stores. A malformed body is reported before a missing database, as CnosDB does.
async fn store(
    app: &App,
    caller: &auth::Principal,
    parameters: &Parameters,
    text: Bytes,
    meter: &Arc<Meter>,
    facts: &RequestFacts,
) -> Result<Receipt> {
    let database = app.engine().database(caller.tenant, &parameters.database).await;
    if database.is_ok() {
        facts.found_database();
    }
    let reading = Reading {
        app: app.clone(),
        write_precision: parameters.precision,
        database_precision: database.as_ref().map(|database| database.options.precision).unwrap_or_default(),
        now: app.engine().now(),
        text,
    };
    let points = reading.run(parse::line_protocol).await??;
    match app.engine().write(&database?, points, meter).await {
        Err(error) if error.subject.is_some() => {
            Err(reading.run(|text, options| parse::located(error, text, options)).await?)
        }
        written => written,
    }
}

/// A body, and how it is read.
#[derive(Clone)]
struct Reading {
    app: App,
    write_precision: WritePrecision,
    database_precision: Precision,
    now: i64,
    text: Bytes,
}

impl Reading {
    /// Reads the body here, or elsewhere if that takes long.
    async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&[u8], &parse::Options<'_>) -> T + Send + 'static,
    ) -> Result<T> {
        let reading = self.clone();
        let work = move || {
            let options = parse::Options {
                write_precision: reading.write_precision,
                database_precision: reading.database_precision,
                now: reading.now,
                limits: reading.app.engine().limits(),
            };
            read(&reading.text, &options)
        };
        if self.text.len() <= INLINE_BYTES {
            return Ok(work());
        }
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| Error::internal(format!("the parser ended: {error}")))
    }
}
