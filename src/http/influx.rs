//! `POST /write`: line protocol with the conventions of InfluxDB 1, for its clients and Telegraf's
//! output for it.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::App;
use super::observe::Facts;
use super::respond::Failure;
use crate::model::Code;

/// As [`super::write::write`], but 204 once the points are durable, 404 for an unknown database, and
/// 400 for points that are refused.
pub async fn write(state: State<App>, facts: Extension<Facts>, request: Request) -> Result<Response, Failure> {
    match super::write::write(state, facts, request).await {
        Ok(mut response) => {
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        Err(mut failure) => {
            if failure.error.code == Code::DatabaseNotFound {
                failure.status = StatusCode::NOT_FOUND;
            } else if failure.status == StatusCode::UNPROCESSABLE_ENTITY {
                failure.status = StatusCode::BAD_REQUEST;
            }
            Err(failure)
        }
    }
}
