//! `GET /api/v1/ping`.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;

use super::App;
use crate::model::Code;

#[derive(Serialize)]
struct Pong {
    version: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// Answers without asking the store: whether this process takes requests. When the store has refused the last
/// write, queries go on, and so the answer stays 200.
pub async fn ping(State(app): State<App>) -> impl IntoResponse {
    // Of a server that only reads nobody expects more.
    let is_to_write = app.inner.options.mode.check_writing().is_ok();
    let refusal = app.engine().store().refusal().filter(|_| is_to_write);
    let (status, reason) = match refusal.map(|error| error.code) {
        _ if app.is_draining() => ("stopping", None),
        None => ("healthy", None),
        // Whoever asks need not be known, so where the store is remains unsaid.
        Some(Code::StoreFull) => ("refusing writes", Some("the store is full")),
        Some(_) => ("refusing writes", Some("the store may not be written")),
    };
    let pong = Pong { version: env!("CARGO_PKG_VERSION"), status, reason };
    ([(CONTENT_TYPE, "application/json")], serde_json::to_vec(&pong).unwrap_or_default())
}
