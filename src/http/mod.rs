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

mod access_log;
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

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::{MethodRouter, get, post};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use error_response::error_response;
pub use extensions::{ClientAddress, PreAuthenticated};
pub use manual::routes;
pub use serve::{serve, serve_metrics};

use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::model::{Code, Error, Mode, Result};
use crate::query::Queries;

use budget::BodyBudget;
use connections::Connections;
use logins::Logins;

/// One part in so many of the connections is for those from one address that have not authenticated. More would be of
/// no use to a proxy, whose connections authenticate with their first request.
const STRANGERS: usize = 4;

/// What the wire is set up with, next to the engine's limits.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// The address listened on, a label of the metrics.
    pub host: String,
    /// What clients may do.
    pub mode: Mode,
    /// Bytes of an unchunked result that are gathered before its status is sent. A larger result is
    /// sent as it comes; an error after that cuts the connection.
    pub result_buffer_bytes: usize,
    /// Bytes of request bodies held at once, over all requests.
    pub body_memory_bytes: usize,
    /// How long a client may pause while it sends a body.
    pub body_idle: Duration,
    /// How long a client may pause while it takes a result.
    pub result_idle: Duration,
    /// Connections at the same time.
    pub connections: usize,
    /// `/metrics` asks for no credentials.
    pub open_metrics: bool,
    /// Only requests that call this server localhost, or by a loopback address, are answered: others come from pages
    /// in a browser that had a name of theirs point here.
    pub local_names_only: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            host: String::new(),
            mode: Mode::ReadWrite,
            result_buffer_bytes: 32 << 20,
            body_memory_bytes: 512 << 20,
            body_idle: Duration::from_secs(30),
            result_idle: Duration::from_secs(60),
            connections: 4_096,
            open_metrics: false,
            local_names_only: false,
        }
    }
}

/// What all requests share. Cheap to clone.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    queries: Queries,
    metrics: Metrics,
    options: HttpOptions,
    draining: AtomicBool,
    writes: Arc<Semaphore>,
    running_queries: Arc<Semaphore>,
    body_memory: BodyBudget,
    connections: Connections,
    logins: Logins,
    /// Bodies decoded at once: each may take its limit of memory before anyone can count it.
    decoding: Arc<Semaphore>,
}

impl App {
    pub fn new(engine: Engine, queries: Queries, options: HttpOptions) -> App {
        let limits = engine.limits();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        App {
            inner: Arc::new(Inner {
                metrics: Metrics::new(&options.host),
                draining: AtomicBool::new(false),
                writes: Arc::new(Semaphore::new(limits.concurrent_writes)),
                running_queries: Arc::new(Semaphore::new(limits.concurrent_queries)),
                body_memory: BodyBudget::new(options.body_memory_bytes),
                connections: Connections::new(options.connections, options.connections / STRANGERS),
                logins: Logins::default(),
                decoding: Arc::new(Semaphore::new(processors)),
                engine,
                queries,
                options,
            }),
        }
    }

    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// From now on every new request but pings and metrics is refused: the process is about to end.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::SeqCst);
    }

    fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::SeqCst)
    }

    fn write_permit(&self) -> Result<OwnedSemaphorePermit> {
        self.inner.writes.clone().try_acquire_owned().map_err(|_| {
            let most = self.engine().limits().concurrent_writes;
            let message = format!("Memory Exhausted Retry Later: {most} writes are under way, nothing was stored");
            Error::new(Code::TooManyWrites, message)
        })
    }

    /// Waits a moment: where many short queries come at once, or others are just ending, there soon is room.
    async fn query_permit(&self) -> Result<OwnedSemaphorePermit> {
        let permit = self.inner.running_queries.clone().acquire_owned();
        match tokio::time::timeout(ADMISSION, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => {
                let most = self.engine().limits().concurrent_queries;
                let message = format!("Concurrent query request limit exceeded: {most} queries are under way");
                Err(Error::new(Code::TooManyQueries, message))
            }
        }
    }
}

/// How long a query waits for others to end before it is refused.
const ADMISSION: Duration = Duration::from_secs(2);

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
