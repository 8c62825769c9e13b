//! `POST /write`: line protocol with the conventions of InfluxDB 1, for its clients and Telegraf's
//! output for it.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::App;
use super::names::Route;
use super::observe::Facts;
use super::respond::Failure;
use crate::model::Code;

/// As [`super::write::write`], but 204 once the points are durable, 404 for an unknown database, 400 for
/// points that are refused, and 503 for too much at once: Telegraf drops what is answered with any 4xx.
pub async fn write(
    State(app): State<App>,
    Extension(facts): Extension<Facts>,
    request: Request,
) -> Result<Response, Failure> {
    match super::write::receive(app, facts, request, Route::Influx).await {
        Ok(mut response) => {
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        Err(mut failure) => {
            failure.status = match (failure.error.code, failure.status) {
                (Code::DatabaseNotFound, _) => StatusCode::NOT_FOUND,
                (_, StatusCode::TOO_MANY_REQUESTS) => StatusCode::SERVICE_UNAVAILABLE,
                (_, StatusCode::UNPROCESSABLE_ENTITY) => StatusCode::BAD_REQUEST,
                (_, status) => status,
            };
            Err(failure)
        }
    }
}
