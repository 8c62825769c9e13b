//! `POST /write`: line protocol with the conventions of InfluxDB 1, for its clients and Telegraf's
//! output for it.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::App;
use super::access_log::RequestFacts;
use super::error_response::ErrorResponse;
use super::names::NamedRoute;
use crate::model::Code;

/// As [`super::write::write`], but 204 once the points are durable, 404 for an unknown database, 400 for
/// points that are refused, and 503 for too much at once: Telegraf drops what is answered with any 4xx.
pub async fn write(
    State(app): State<App>,
    Extension(facts): Extension<RequestFacts>,
    request: Request,
) -> Result<Response, ErrorResponse> {
    match super::write::receive(app, facts, request, NamedRoute::Influx).await {
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
