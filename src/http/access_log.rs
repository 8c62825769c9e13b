//! What surrounds every request: refusal of its head and while stopping, a request id, one log line, metrics, and no
//! body for HEAD.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, CONTENT_LENGTH};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::connections::{Connection, UnderWay};
use super::error_response::ErrorResponse;
use super::{App, ClientAddress, ROUTES, body, heads, without_trailing_slash};
use crate::metrics::CallerLabels;
use crate::model::{Code, Error};

const LOGGED_PATH_CHARACTERS: usize = 200;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Paths that answer even while the server stops.
const OPEN_PATHS: [&str; 2] = ["/api/v1/ping", "/metrics"];

/// What kind of work a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkKind {
    Query,
    Write,
}

/// What the handler has found out about its request, for the log and the metrics.
#[derive(Clone, Default)]
pub struct RequestFacts {
    known: Arc<Mutex<Known>>,
    /// The client's address.
    peer: Option<IpAddr>,
    /// What the request came on, if that is a connection of ours.
    connection: Option<Arc<Connection>>,
}

#[derive(Debug, Default)]
struct Known {
    tenant: String,
    /// Only of callers whose credentials were right.
    user: Option<String>,
    database: Option<RequestedDatabase>,
    kind: Option<WorkKind>,
    bytes_in: u64,
    rows: Option<usize>,
}

/// The database that a request names.
#[derive(Debug)]
struct RequestedDatabase {
    name: String,
    /// It exists. Only then it is a label of the metrics: clients may invent any number of names.
    exists: bool,
}

impl RequestFacts {
    fn new(extensions: &Extensions) -> RequestFacts {
        let connection = extensions.get::<Arc<Connection>>().cloned();
        let peer = connection.as_ref().map(|connection| connection.peer);
        RequestFacts {
            peer: peer.or(extensions.get().map(|ClientAddress(address)| *address)),
            connection,
            ..RequestFacts::default()
        }
    }

    /// The client's address.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A body of so many bytes came.
    pub fn received(&self, bytes: usize) {
        self.lock().bytes_in = bytes as u64;
    }

    /// The credentials are right.
    pub fn authenticated(&self) {
        if let Some(connection) = &self.connection {
            connection.authenticate();
        }
    }

    /// The credentials are right, and the tenant exists.
    pub fn identified(&self, user: &str, tenant: &str) {
        let mut known = self.lock();
        known.user = Some(user.to_owned());
        known.tenant = tenant.to_owned();
    }

    /// What is asked for, and of which database.
    pub fn set_target(&self, kind: WorkKind, database: Option<&str>) {
        let mut known = self.lock();
        known.kind = Some(kind);
        known.database = database.map(|name| RequestedDatabase { name: name.to_owned(), exists: false });
    }

    /// The database that is asked for exists.
    pub fn found_database(&self) {
        if let Some(database) = &mut self.lock().database {
            database.exists = true;
        }
    }

    pub fn rows(&self, rows: usize) {
        self.lock().rows = Some(rows);
    }
}

/// The layer around all routes.
pub async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let line = AccessLogEntry::new(app.clone(), &request);
    let (id, facts) = (line.id.clone(), line.facts.clone());
    let is_head = request.method() == Method::HEAD;
    request.extensions_mut().insert(facts.clone());
    let (parts, body) = body::lingering(request).into_parts();
    let mut response = match refuse(&app, &parts, &facts) {
        Err(refused) => refused.into_response(),
        Ok(()) => match AssertUnwindSafe(next.run(Request::from_parts(parts, body))).catch_unwind().await {
            Ok(response) => response,
            Err(_) => ErrorResponse::from(Error::internal("the request met a fault of the server")).into_response(),
        },
    };
    response.headers_mut().insert(REQUEST_ID, id);
    if is_head {
        strip_body(&mut response);
    }
    line.track(response)
}

/// A request that comes to no route.
struct Refused {
    error: Error,
    /// Nothing more can be read on this connection with certainty.
    closes: bool,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused { error, closes: false }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = ErrorResponse::from(self.error).into_response();
        if self.closes {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// What is refused before any route looks at it.
fn refuse(app: &App, parts: &Parts, facts: &RequestFacts) -> Result<(), Refused> {
    if app.is_draining() && !OPEN_PATHS.contains(&without_trailing_slash(parts.uri.path())) {
        return Err(Error::new(Code::Unavailable, "the server is stopping, nothing was stored").into());
    }
    heads::check_size(parts)?;
    // What came in another way than in bytes on a connection was framed by somebody else.
    if facts.connection.is_some() {
        heads::check_framing(parts).map_err(|error| Refused { error, closes: true })?;
    }
    heads::check_claims(&parts.headers)?;
    heads::check_origin(parts)?;
    if app.inner.options.local_names_only {
        heads::check_local(parts)?;
    }
    Ok(())
}

/// Leaves the headers that a GET would have had.
fn strip_body(response: &mut Response) {
    if let Some(bytes) = response.body().size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(bytes));
    }
    *response.body_mut() = Body::empty();
}

/// The id a client gave, if it is a short plain word, or a new one.
fn request_id(app: &App, headers: &HeaderMap) -> HeaderValue {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match headers.get(REQUEST_ID) {
        Some(id) if (1..=64).contains(&id.len()) && id.as_bytes().iter().all(is_plain) => id.clone(),
        _ => HeaderValue::from_str(&format!("{:016x}", app.engine().clock().random()))
            .unwrap_or_else(|_| HeaderValue::from_static("-")),
    }
}

/// The log line of a request, written when its answer has been taken or its client has left.
struct AccessLogEntry {
    app: App,
    facts: RequestFacts,
    method: Method,
    path: String,
    api: &'static str,
    id: HeaderValue,
    began: Instant,
    status: Option<u16>,
    error: Option<Error>,
    bytes_out: u64,
    ending: BodyEnd,
    /// The connection is not idle before the last byte was taken.
    _under_way: Option<UnderWay>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyEnd {
    /// Not at its end yet: if this stays, the client left.
    Open,
    Whole,
    BrokenOff,
}

impl AccessLogEntry {
    fn new(app: App, request: &Request) -> AccessLogEntry {
        let path = request.uri().path();
        let facts = RequestFacts::new(request.extensions());
        let known = ROUTES.iter().map(|route| route.0).find(|known| *known == without_trailing_slash(path));
        AccessLogEntry {
            _under_way: facts.connection.as_ref().map(Connection::begin),
            facts,
            method: request.method().clone(),
            path: path.chars().take(LOGGED_PATH_CHARACTERS).collect(),
            api: known.map_or("other", |path| path.trim_start_matches('/')),
            id: request_id(&app, request.headers()),
            began: Instant::now(),
            status: None,
            error: None,
            bytes_out: 0,
            ending: BodyEnd::Open,
            app,
        }
    }

    /// Stays with the response until its last byte.
    fn track(mut self, mut response: Response) -> Response {
        self.status = Some(response.status().as_u16());
        self.error = response.extensions_mut().remove::<Error>();
        if response.body().is_end_stream() {
            self.ending = BodyEnd::Whole;
            return response;
        }
        response.map(|inner| Body::new(TrackedBody { inner, line: self }))
    }

    fn count(&self, known: &Known) {
        let took = self.began.elapsed();
        let metrics = &self.app.inner.metrics;
        metrics.request(self.api, self.status.unwrap_or(499), known.bytes_in + self.bytes_out, took);
        let (Some(user), Some(kind)) = (&known.user, known.kind) else { return };
        let database = known.database.as_ref().filter(|database| database.exists);
        let database = database.map(|database| database.name.as_str());
        let caller = CallerLabels { tenant: &known.tenant, user, database, api: self.api };
        match kind {
            WorkKind::Query => metrics.query(&caller, took),
            WorkKind::Write => metrics.write(&caller, took),
        }
        metrics.data(&caller, known.bytes_in, self.bytes_out);
    }

    fn log(&self, known: &Known) {
        let (user, database) = (known.user.as_deref(), known.database.as_ref().map(|database| database.name.as_str()));
        let id = self.id.to_str().unwrap_or_default();
        let peer = self.facts.peer.map(tracing::field::display);
        let took = self.began.elapsed().as_secs_f64();
        let error = self.error.as_ref().map(|error| error.message.as_str());
        let outcome = match self.ending {
            BodyEnd::Whole => "answered",
            BodyEnd::BrokenOff => "broken off",
            BodyEnd::Open => "the client left",
        };
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "siltdb::request",
                    id, peer, method = %self.method, path = self.path.as_str(), status = self.status, seconds = took,
                    bytes_in = known.bytes_in, bytes_out = self.bytes_out, rows = known.rows, user, database,
                    error, outcome, "request"
                )
            };
        }
        match self.status {
            Some(500..) => line!(warn),
            _ if OPEN_PATHS.contains(&without_trailing_slash(&self.path)) => line!(debug),
            _ => line!(info),
        }
    }
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        let facts = self.facts.clone();
        let known = facts.lock();
        self.count(&known);
        self.log(&known);
    }
}

/// A body that tells its [`AccessLogEntry`] what was sent.
struct TrackedBody {
    inner: Body,
    line: AccessLogEntry,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.line.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64);
                if self.inner.is_end_stream() {
                    self.line.ending = BodyEnd::Whole;
                }
            }
            Poll::Ready(Some(Err(_))) => self.line.ending = BodyEnd::BrokenOff,
            Poll::Ready(None) => self.line.ending = BodyEnd::Whole,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
