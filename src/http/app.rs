//! What all requests share: the engine, the queries, the permits and memory they take, and the options.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::budget::BodyBudget;
use super::connections::Connections;
use super::logins::Logins;
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::model::{Code, Error, Mode, Result};
use crate::query::Queries;

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
    pub(super) inner: Arc<AppState>,
}

pub(super) struct AppState {
    pub(super) engine: Engine,
    pub(super) queries: Queries,
    pub(super) metrics: Metrics,
    pub(super) options: HttpOptions,
    pub(super) draining: AtomicBool,
    pub(super) writes: Arc<Semaphore>,
    pub(super) running_queries: Arc<Semaphore>,
    pub(super) body_memory: BodyBudget,
    pub(super) connections: Connections,
    pub(super) logins: Logins,
    /// Bodies decoded at once: each may take its limit of memory before anyone can count it.
    pub(super) decoding: Arc<Semaphore>,
}

impl App {
    pub fn new(engine: Engine, queries: Queries, options: HttpOptions) -> App {
        let limits = engine.limits();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        App {
            inner: Arc::new(AppState {
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

    pub(super) fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::SeqCst)
    }

    pub(super) fn write_permit(&self) -> Result<OwnedSemaphorePermit> {
        self.inner.writes.clone().try_acquire_owned().map_err(|_| {
            let most = self.engine().limits().concurrent_writes;
            let message = format!("Memory Exhausted Retry Later: {most} writes are under way, nothing was stored");
            Error::new(Code::TooManyWrites, message)
        })
    }

    /// Waits a moment: where many short queries come at once, or others are just ending, there soon is room.
    pub(super) async fn query_permit(&self) -> Result<OwnedSemaphorePermit> {
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
