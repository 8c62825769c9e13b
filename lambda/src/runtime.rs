//! The Lambda Runtime API: the next event in, an answer out.
//!
//! The loop is ours and not `lambda_runtime`'s, because that one (1.5) writes the error of a stream
//! into the client's bytes and ends it as if it were whole.

use std::convert::Infallible;
use std::pin::pin;

use axum::body::Body as AxumBody;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::connect::HttpConnector;
use lambda_runtime_api_client::{PooledClient, body::Body, build_request};
use serde_json::{Value, json};
use siltdb::model::{Error, Result};
use tokio::time::timeout_at;

use crate::deadline::Deadline;

const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
const DEADLINE: &str = "lambda-runtime-deadline-ms";
/// Sent back as it came, by which the platform knows answers that come too late.
const INVOCATION_ID: HeaderName = HeaderName::from_static("lambda-runtime-invocation-id");
const RESPONSE_MODE: HeaderName = HeaderName::from_static("lambda-runtime-function-response-mode");
const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");
/// Status and headers stand before the body, as JSON, and end in zeros.
const PRELUDE_TYPE: &str = "application/vnd.awslambda.http-integration-response";
const PRELUDE_END: [u8; 8] = [0; 8];

/// The platform, as the process sees it.
pub struct RuntimeApi {
    client: PooledClient,
}

/// One event, and until when its answer is awaited.
pub struct Invocation {
    pub event: Bytes,
    pub deadline: Deadline,
    id: String,
    echo: Option<HeaderValue>,
}

/// What becomes of an event.
pub enum Reply {
    /// The answer to a request, streamed.
    Response {
        response: Response,
        deadline: Deadline,
    },
    /// The answer to whoever else called.
    Value(Value),
    Failed(Error),
}

impl RuntimeApi {
    /// # Errors
    /// The process was not started by Lambda, or by nothing that speaks as it does.
    pub fn from_environment() -> Result<RuntimeApi> {
        let address = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
        let endpoint = address.parse().map_err(|_| {
            Error::internal("AWS_LAMBDA_RUNTIME_API names no Runtime API: this program is run by AWS Lambda")
        })?;
        let mut connector = HttpConnector::new();
        // A prelude and a short body would wait for each other's acknowledgement.
        connector.set_nodelay(true);
        Ok(RuntimeApi { client: PooledClient::builder().with_connector(connector).with_endpoint(endpoint).build() })
    }

    /// Waits for the next event. The process is frozen meanwhile.
    pub async fn next(&self) -> Result<Invocation> {
        let request = build_request().method(Method::GET).uri("/2018-06-01/runtime/invocation/next");
        let answer = self.send(request.body(Body::empty()).map_err(unusable)?).await?;
        let (parts, body) = answer.into_parts();
        if !parts.status.is_success() {
            return Err(Error::internal(format!("the Runtime API answered {} instead of an event", parts.status)));
        }
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let id = text(REQUEST_ID).ok_or_else(|| Error::internal("the Runtime API gave an event without its id"))?;
        let deadline = text(DEADLINE).and_then(|milliseconds| milliseconds.parse().ok());
        let deadline = deadline.ok_or_else(|| Error::internal("the Runtime API gave an event without its deadline"))?;
        Ok(Invocation {
            id: id.to_owned(),
            deadline: Deadline::at(deadline),
            echo: parts.headers.get(&INVOCATION_ID).cloned(),
            event: body.collect().await.map_err(unreachable)?.to_bytes(),
        })
    }

    /// Gives the answer, and returns when all of it has been taken.
    pub async fn answer(&self, invocation: &Invocation, answer: Reply) -> Result<()> {
        let subject = format!("invocation/{}", invocation.id);
        match answer {
            Reply::Value(value) => {
                let request = post(&format!("{subject}/response"), invocation.echo.clone());
                self.tell(request.body(Body::from(value.to_string())).map_err(unusable)?).await
            }
            Reply::Failed(error) => {
                tracing::error!(%error, "an event failed");
                self.fail(&format!("{subject}/error"), invocation.echo.clone(), &error).await
            }
            Reply::Response { response, deadline } => {
                let request = post(&format!("{subject}/response"), invocation.echo.clone())
                    .header(CONTENT_TYPE, PRELUDE_TYPE)
                    .header(RESPONSE_MODE, "streaming")
                    .header(TRANSFER_ENCODING, "chunked")
                    .header(TRAILER, ERROR_TYPE.as_str())
                    .header(TRAILER, ERROR_BODY.as_str());
                self.tell(request.body(stream_of(response, deadline)).map_err(unusable)?).await
            }
        }
    }

    /// Says why no event can be taken.
    pub async fn init_error(&self, error: &Error) -> Result<()> {
        self.fail("init/error", None, error).await
    }

    async fn fail(&self, subject: &str, echo: Option<HeaderValue>, error: &Error) -> Result<()> {
        let request = post(subject, echo).header(ERROR_TYPE, format!("SiltDB.{:?}", error.code));
        let body = json!({"errorType": format!("SiltDB.{:?}", error.code), "errorMessage": error.message});
        self.tell(request.body(Body::from(body.to_string())).map_err(unusable)?).await
    }

    /// Sends what the platform only has to take note of. That it refuses an answer (one that is too
    /// large, or too late) is its last word on this event and no reason to end.
    async fn tell(&self, request: Request<Body>) -> Result<()> {
        let answer = self.send(request).await?;
        if !answer.status().is_success() {
            tracing::error!(status = %answer.status(), "the platform refused an answer");
        }
        answer.into_body().collect().await.map_err(unreachable)?;
        Ok(())
    }

    async fn send(&self, request: Request<Body>) -> Result<http::Response<Incoming>> {
        self.client.call(request).await.map_err(unreachable)
    }
}

fn post(subject: &str, echo: Option<HeaderValue>) -> http::request::Builder {
    let request = build_request().method(Method::POST).uri(format!("/2018-06-01/runtime/{subject}"));
    match echo {
        Some(id) => request.header(INVOCATION_ID, id),
        None => request,
    }
}

fn unreachable(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("the Runtime API cannot be reached: {error}"))
}

fn unusable(error: http::Error) -> Error {
    Error::internal(format!("an answer cannot be put into a request: {error}"))
}

/// A response as the platform takes it: prelude, body, and in the trailers what went wrong, if
/// anything did.
fn stream_of(response: Response, deadline: Deadline) -> Body {
    let (parts, body) = response.into_parts();
    let mut first = BytesMut::from(prelude(parts.status.as_u16(), parts.headers).as_bytes());
    first.extend_from_slice(&PRELUDE_END);
    let frames = frames(body, deadline).enumerate().map(move |(at, frame)| match frame.into_data() {
        // In one piece with the prelude: most answers are short.
        Ok(data) if at == 0 => {
            first.extend_from_slice(&data);
            Frame::data(first.split().freeze())
        }
        Ok(data) => Frame::data(data),
        Err(trailers) => trailers,
    });
    Body::new(StreamBody::new(frames.map(Ok::<_, Infallible>)))
}

/// The body's data, empty at first if it begins with none, and trailers if it fails.
fn frames(body: AxumBody, deadline: Deadline) -> impl Stream<Item = Frame<Bytes>> + Send {
    stream::unfold((Some(body), true), move |(body, is_first)| async move {
        let mut body = body?;
        loop {
            let next = pin!(body.frame());
            let failure = match timeout_at(deadline.hard(), next).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Some((Frame::data(data), (Some(body), false))),
                    Err(_) => continue,
                },
                Ok(None) if is_first => return Some((Frame::data(Bytes::new()), (None, false))),
                Ok(None) => return None,
                Ok(Some(Err(error))) => format!("the result broke off: {error}"),
                Err(_) => "the function's time was over before the end of the result".to_owned(),
            };
            if is_first {
                // Trailers stand after a prelude only.
                let failing = AxumBody::from_stream(stream::once(async { Err::<Bytes, _>(failure) }));
                return Some((Frame::data(Bytes::new()), (Some(failing), false)));
            }
            tracing::warn!(error = failure, "an answer was cut");
            return Some((Frame::trailers(failed(&failure)), (None, false)));
        }
    })
}

fn failed(why: &str) -> HeaderMap {
    let body = json!({"errorType": "SiltDB.Broken", "errorMessage": why}).to_string();
    let mut trailers = HeaderMap::new();
    trailers.insert(ERROR_TYPE, HeaderValue::from_static("SiltDB.Broken"));
    if let Ok(encoded) = HeaderValue::from_str(&STANDARD.encode(body)) {
        trailers.insert(ERROR_BODY, encoded);
    }
    trailers
}

fn prelude(status: u16, headers: HeaderMap) -> String {
    let mut named = serde_json::Map::new();
    let mut cookies = Vec::new();
    for (name, value) in &headers {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        match (name, named.get_mut(name.as_str())) {
            (&SET_COOKIE, _) => cookies.push(text),
            (_, Some(Value::String(before))) => *before = format!("{before}, {text}"),
            _ => {
                named.insert(name.to_string(), text.into());
            }
        }
    }
    json!({"statusCode": status, "headers": named, "cookies": cookies}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_headers_are_joined_and_cookies_kept_apart() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("vary", "a"), ("vary", "b"), ("set-cookie", "x=1")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let prelude: Value = serde_json::from_str(&prelude(204, headers)).unwrap();
        assert_eq!(prelude, json!({"statusCode": 204, "headers": {"vary": "a, b"}, "cookies": ["x=1"]}));
    }

    async fn collected(body: AxumBody, milliseconds: u64) -> (Vec<u8>, Option<HeaderMap>) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let deadline = Deadline::at(u64::try_from(now).unwrap() + milliseconds);
        let collected = stream_of(Response::new(body), deadline).collect().await.unwrap();
        let trailers = collected.trailers().cloned();
        (collected.to_bytes().to_vec(), trailers)
    }

    #[tokio::test]
    async fn a_prelude_stands_before_every_body() {
        for body in [AxumBody::empty(), AxumBody::from("x")] {
            let (bytes, trailers) = collected(body, 10_000).await;
            assert!(bytes.starts_with(b"{") && trailers.is_none());
            assert!(bytes.windows(8).any(|window| window == PRELUDE_END));
        }
    }

    #[tokio::test]
    async fn a_failure_is_told_in_the_trailers_and_not_in_the_bytes() {
        for pieces in [vec![Err("x")], vec![Ok("data"), Err("x")]] {
            let with_data = pieces.len() > 1;
            let (bytes, trailers) = collected(AxumBody::from_stream(stream::iter(pieces)), 10_000).await;
            assert_eq!(trailers.unwrap()[&ERROR_TYPE], "SiltDB.Broken");
            assert_eq!(bytes.ends_with(b"data"), with_data);
        }
        let endless = AxumBody::from_stream(stream::pending::<std::result::Result<Bytes, Infallible>>());
        let (_, trailers) = collected(endless, 400).await;
        assert!(trailers.is_some());
    }
}
