//! The wire: everything that knows of HTTP.
//!
//! | method | path | does |
//! |---|---|---|
//! | GET, HEAD | `/api/v1/ping` | says that the server is there |
//! | POST | `/api/v1/write` | line protocol → points |
//! | POST | `/api/v1/sql` | SQL → rows in the format that `Accept` names |
//! | POST | `/write` | the same with the conventions of InfluxDB 1 |
//! | GET, HEAD | `/metrics` | numbers for Prometheus, to administrators, or to all where that is set |
//!
//! In: requests. Out: answers, one log line each. Invariants: every failure is JSON `{"error_code", "error_message"}`
//! with the status of the one table in `status.rs`; no body is held that the limits do not allow; a client that leaves
//! stops its query but never its write. Never: what is stored where, what SQL means; `Authorization` in a log.
//!
//! The order of the checks decides which of several errors a client sees: size, framing and origin of the head, path,
//! method, announced size of the body, `Authorization` present, query string, codings, credentials, the mode for writes, `Accept`,
//! `Accept-Encoding`, and only then the body: its size, load, and the content. Nothing is read of a body, and
//! no client that waits for `100 Continue` is told to go on, before all that its head says is right.

pub mod accept;
mod access_log;
mod app;
mod auth;
mod body;
mod budget;
mod connections;
pub mod encoding;
mod error_response;
mod extensions;
mod heads;
mod influx;
mod logins;
mod manual;
mod metrics_page;
mod names;
mod parameters;
mod patience;
mod ping;
mod query_response;
mod redact;
mod rows;
mod serve;
mod sql;
mod status;
#[cfg(test)]
mod tests;
mod throttle;
mod write;

use axum::Router;
use axum::routing::{MethodRouter, get, post};

pub use app::{App, HttpOptions};
pub use error_response::error_response;
pub use extensions::{ClientAddress, PreAuthenticated};
pub use manual::routes;
pub use serve::{serve, serve_metrics};

/// A path, what its methods are, and how they are served.
type Route = (&'static str, &'static str, fn() -> MethodRouter<App>);

/// The whole surface. A slash at the end of a path makes no difference.
const ROUTES: [Route; 5] = [
    ("/api/v1/ping", "GET, HEAD", || get(ping::ping)),
    ("/api/v1/write", "POST", || post(write::write)),
    ("/api/v1/sql", "POST", || post(sql::sql)),
    ("/write", "POST", || post(influx::write)),
    ("/metrics", "GET, HEAD", || get(metrics_page::scrape)),
];

/// A path without the slash at its end.
fn without_trailing_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// The methods of a known path, as `Allow` lists them.
fn allowed_methods(path: &str) -> Option<&'static str> {
    ROUTES.iter().find(|(known, ..)| *known == without_trailing_slash(path)).map(|(_, methods, _)| *methods)
}

/// The service behind every door.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    for (path, _, methods) in ROUTES {
        router = router.route(path, methods()).route(&format!("{path}/"), methods());
    }
    router
        .fallback(error_response::not_found)
        .method_not_allowed_fallback(error_response::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(app.clone(), access_log::observe))
        .with_state(app)
}
