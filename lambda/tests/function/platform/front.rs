//! The function URL: requests become events, answers become responses.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use bytes::Bytes;
use futures::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::environment::{Answers, Message};
use super::event::of_request;
use super::{Failure, Inner};

/// More than any event may hold.
const REQUEST_BYTES: usize = 64 << 20;

pub async fn serve(function: Arc<Inner>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(answer).with_state(function);
    tokio::spawn(async move { axum::serve(listener.tap_io(|io| drop(io.set_nodelay(true))), router).await });
    address
}

async fn answer(State(function): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, REQUEST_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let answered = match function.begin(of_request(&parts, &body).to_string()).await {
        Ok(answers) => respond(answers).await,
        Err(failure) => Err(failure),
    };
    answered.unwrap_or_else(|failure| refuse(&failure))
}

fn refuse(failure: &Failure) -> Response {
    let (status, message) = match failure {
        Failure::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the platform: the event is too large"),
        Failure::Throttled => (StatusCode::TOO_MANY_REQUESTS, "the platform: Rate Exceeded."),
        Failure::Function(_) => (StatusCode::BAD_GATEWAY, "the platform: Internal Server Error"),
    };
    (status, json!({"Message": message}).to_string()).into_response()
}

async fn respond(mut answers: Answers) -> Result<Response, Failure> {
    let prelude = match answers.next().await {
        Some(Message::Prelude(prelude)) => prelude,
        Some(Message::Failed(why)) => return Err(Failure::Function(why)),
        other => return Err(Failure::Function(format!("no streamed answer but {other:?}"))),
    };
    let rest = stream::unfold(answers, |mut answers| async {
        match answers.next().await? {
            Message::Data(data) => Some((Ok(data), answers)),
            Message::End => None,
            // An error ends the connection without the last chunk.
            other => Some((Err::<Bytes, _>(format!("{other:?}")), answers)),
        }
    });
    head(&prelude, Body::from_stream(rest)).ok_or_else(|| Failure::Function(format!("a malformed prelude {prelude}")))
}

fn head(prelude: &Value, body: Body) -> Option<Response> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(u16::try_from(prelude["statusCode"].as_u64()?).ok()?).ok()?;
    for (name, value) in prelude["headers"].as_object()? {
        let (name, value) = (HeaderName::try_from(name).ok()?, HeaderValue::try_from(value.as_str()?).ok()?);
        response.headers_mut().insert(name, value);
    }
    if response.status() == StatusCode::NO_CONTENT {
        *response.body_mut() = Body::empty();
    }
    Some(response)
}
