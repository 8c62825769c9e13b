//! Requests through the server's own router.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use siltdb::config::Settings;
use siltdb::engine::Engine;
use siltdb::http::{self, App, ClientAddress, HttpOptions, PreAuthenticated};
use siltdb::model::clock::SystemClock;
use siltdb::model::{Code, Error, Result};
use siltdb::query::Queries;
use siltdb::store::Store;
use tokio::time::timeout_at;
use tower::ServiceExt;

use crate::deadline::Deadline;
use crate::event::UrlRequest;
use crate::runtime::Reply;

/// Everything that answers.
pub struct Handler {
    engine: Engine,
    router: Router,
    has_root_password: bool,
}

impl Handler {
    /// Opens the store without asking it anything.
    ///
    /// # Errors
    /// The store's URL or AWS's settings make no sense.
    pub async fn open(settings: Settings) -> Result<Handler> {
        let store = Store::open(&settings.store).await?;
        let engine = Engine::lazy(store, Arc::new(SystemClock), settings.engine_options());
        let queries = Queries::new(engine.clone())?;
        let host = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
        // A function's URL is open to the world, and nobody scrapes a function.
        let options = HttpOptions { host, open_metrics: false, ..settings.http.clone() };
        let router = http::router(App::new(engine.clone(), queries, options));
        Ok(Handler { engine, router, has_root_password: settings.has_root_password() })
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn store(&self) -> &Store {
        self.engine.store()
    }

    /// The router's answer, or ours when there is no time for it.
    pub async fn answer(&self, request: UrlRequest, deadline: Deadline) -> Reply {
        let response = match self.admit(request) {
            Ok(request) => {
                let is_write = request.uri().path().trim_end_matches('/').ends_with("/write");
                match timeout_at(deadline.soft().into(), self.router.clone().oneshot(request)).await {
                    Ok(Ok(response)) => response,
                    Ok(Err(never)) => match never {},
                    Err(_) => out_of_time(is_write),
                }
            }
            Err(error) => http::error_response(error),
        };
        Reply::Response { response, deadline }
    }

    /// Without a password for root only those may come in whom AWS has authenticated, and this
    /// machine itself.
    fn admit(&self, request: UrlRequest) -> Result<Request> {
        let UrlRequest { mut request, source, authenticated } = request;
        let address = source.parse::<IpAddr>();
        if let Ok(address) = address {
            request.extensions_mut().insert(ClientAddress(address));
        }
        if authenticated {
            request.extensions_mut().insert(PreAuthenticated);
            return Ok(request);
        }
        let is_local = address.is_ok_and(|address| address.is_loopback());
        if self.has_root_password || is_local {
            return Ok(request);
        }
        let message = "this function has no password for root: set SILTDB_ROOT_PASSWORD, or let the function URL ask \
                       for AWS_IAM";
        Err(Error::new(Code::AccessDenied, message))
    }
}

/// The answer to a request that comes no further than here.
pub fn refuse(error: Error, deadline: Deadline) -> Reply {
    Reply::Response { response: http::error_response(error), deadline }
}

fn out_of_time(is_write: bool) -> Response {
    http::error_response(if is_write {
        let message = "whether the points are durable is unknown: the function's time is over; write them again";
        Error::new(Code::OutcomeUnknown, message)
    } else {
        Error::new(Code::QueryTimeout, "the function's time is over; give it more, or ask for less")
    })
}
