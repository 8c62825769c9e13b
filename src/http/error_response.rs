//! Failures on the wire.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::status::status;
use super::{ROUTES, allowed_methods};
use crate::model::{Code, Error};
use crate::store::Cost;

/// An error with the status it is sent with.
#[derive(Debug)]
pub struct ErrorResponse {
    pub status: StatusCode,
    pub error: Error,
}

impl From<Error> for ErrorResponse {
    fn from(error: Error) -> Self {
        ErrorResponse { status: status(error.code), error }
    }
}

impl ErrorResponse {
    /// The client took too long to send its body.
    pub fn too_slow(message: String) -> ErrorResponse {
        ErrorResponse { status: StatusCode::REQUEST_TIMEOUT, error: Error::new(Code::BadRequest, message) }
    }
}

/// The two members of every error body, in this order.
#[derive(Serialize)]
struct Members<'a> {
    error_code: &'a str,
    error_message: &'a str,
}

/// What a client is told. Where the store is, and why it failed, is for whoever runs the server: they find it in
/// the log by the answer's id.
fn told(error: &Error) -> Cow<'_, str> {
    let what = match error.code {
        Code::StoreUnavailable => "the store did not answer as it should; the same may work later",
        Code::StoreFull => "the store has no room; the same works when somebody has made room",
        Code::StoreRefused => "the store does not let the server do this, and would not the next time",
        Code::NoStore => "the store is not there",
        Code::OutcomeUnknown => {
            "whether it was done is unknown, because the store did not answer as it should; points may be written again"
        }
        _ => return Cow::Borrowed(&error.message),
    };
    Cow::Owned(format!("{what} (the server's log has the reason, under the x-request-id of this answer)"))
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let members = Members { error_code: self.error.code.number(), error_message: &told(&self.error) };
        let body = serde_json::to_vec(&members).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"siltdb\""));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response.extensions_mut().insert(self.error);
        response
    }
}

/// The answer to a request that a door refuses before it comes to a route.
pub fn error_response(error: Error) -> Response {
    ErrorResponse::from(error).into_response()
}

pub async fn not_found(uri: Uri) -> ErrorResponse {
    let paths: Vec<&str> = ROUTES.iter().map(|route| route.0).collect();
    Error::new(Code::NotFound, format!("there is nothing at {}, only at {}", uri.path(), paths.join(", "))).into()
}

/// A known path with another method. `Allow` is set here because the router would leave no space
/// after its comma.
pub async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let allowed = allowed_methods(uri.path());
    let message = format!("{} does not take {method}, only {}", uri.path(), allowed.unwrap_or("other methods"));
    let mut response = ErrorResponse::from(Error::new(Code::MethodNotAllowed, message)).into_response();
    if let Some(allowed) = allowed {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    }
    response
}

/// The header that tells what an answer cost in requests to the object store and bytes.
pub const COST: &str = "x-siltdb-cost";

/// The value of [`COST`]: `put=1 get=1 list=0 delete=0 read=0 written=1234`.
pub fn cost_header(cost: Cost) -> HeaderValue {
    HeaderValue::from_str(&cost.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
}
