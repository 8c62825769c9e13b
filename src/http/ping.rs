//! `GET /api/v1/ping`.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;

use super::App;

#[derive(Serialize)]
struct Pong {
    version: &'static str,
    status: &'static str,
}

/// Answers without asking the store: whether this process takes requests.
pub async fn ping(State(app): State<App>) -> impl IntoResponse {
    let status = if app.is_draining() { "stopping" } else { "healthy" };
    let pong = Pong { version: env!("CARGO_PKG_VERSION"), status };
    ([(CONTENT_TYPE, "application/json")], serde_json::to_vec(&pong).unwrap_or_default())
}
