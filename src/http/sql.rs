//! `POST /api/v1/sql`: one statement, its rows in the format that `Accept` names.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::access_log::{RequestFacts, WorkKind};
use super::error_response::{COST, ErrorResponse, cost_header};
use super::names::NamedRoute;
use super::parameters::{Parameters, header_text};
use super::query_response::{self, QueryResponse};
use super::{App, accept, auth, body, encoding, redact};
use crate::model::{Error, Result};
use crate::query::{Output, ResultRows, Session};
use crate::store::Meter;

/// A statement in the log is cut after this many characters.
const LOGGED_CHARACTERS: usize = 1_000;

/// Runs a statement.
pub async fn sql(
    State(app): State<App>,
    Extension(facts): Extension<RequestFacts>,
    request: Request,
) -> Result<Response, ErrorResponse> {
    let (parts, body) = request.into_parts();
    let limit = app.engine().limits().sql_body_bytes;
    body::check_announced(&parts.headers, limit)?;
    let claim = auth::claim(&parts)?;
    let parameters = Parameters::parse(NamedRoute::Sql, parts.uri.query())?;
    let request_coding = encoding::of_request(header_text(&parts.headers, CONTENT_ENCODING)?.as_deref())?;
    let caller = auth::authorize(&app, claim, &parameters, &facts).await?;
    facts.set_target(WorkKind::Query, None);
    parameters.check_stream_trigger()?;
    let format = accept::negotiate(header_text(&parts.headers, ACCEPT)?.as_deref())?;
    let coding = encoding::negotiate(header_text(&parts.headers, ACCEPT_ENCODING)?.as_deref())?;
    let share = app.inner.body_memory.share(caller.holder);
    let payload = body::read(body, limit, app.inner.options.body_idle, share).await?;
    facts.received(payload.bytes.len());
    let (text, _share) = payload.decode(&app, request_coding).await?.into_parts();
    let permit = app.query_permit().await?;
    let statement = String::from_utf8_lossy(&text).into_owned();
    log(&statement);
    let meter = Arc::new(Meter::new());
    let session = Session {
        user: caller.user,
        tenant: caller.tenant,
        tenant_name: parameters.tenant,
        database: parameters.database,
        target_partitions: parameters.target_partitions,
        mode: app.inner.options.mode,
    };
    match run(&app, session, statement, &meter).await?.into_rows(format)? {
        None => {
            let headers = [(CONTENT_TYPE.as_str(), format.content_type())];
            Ok((headers, [(COST, cost_header(meter.snapshot()))], Body::empty()).into_response())
        }
        Some(ResultRows { schema, batches, share }) => {
            let limits = query_response::ResponseLimits {
                buffer_bytes: app.inner.options.result_buffer_bytes,
                idle: app.inner.options.result_idle,
                time: app.engine().limits().query_time,
            };
            let share = share.unwrap_or_else(|| app.inner.queries.share());
            let answer = QueryResponse { schema, batches, format, coding, chunked: parameters.chunked };
            Ok(answer.respond(limits, &meter, permit, share).await?)
        }
    }
}

/// Starts a statement, in a task of its own: what it writes is not to be left half done when the
/// client leaves. The rows of a query come later and stop with the client.
async fn run(app: &App, session: Session, statement: String, meter: &Arc<Meter>) -> Result<Output> {
    let (app, meter) = (app.clone(), meter.clone());
    let started = tokio::spawn(async move { app.inner.queries.run(session, &statement, &meter).await });
    started.await.map_err(|error| Error::internal(format!("the statement ended: {error}")))?
}

/// Of which kind it is, at level debug; its text, which may hold what is nobody's business, at level trace only.
fn log(statement: &str) {
    if tracing::enabled!(tracing::Level::TRACE) {
        let text: String = redact::redact(statement).chars().take(LOGGED_CHARACTERS).collect();
        tracing::trace!(statement = text, "sql");
    } else if tracing::enabled!(tracing::Level::DEBUG) {
        tracing::debug!(kind = redact::kind(statement), bytes = statement.len(), "sql");
    }
}
