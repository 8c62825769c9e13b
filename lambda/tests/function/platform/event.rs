//! Events in the shapes that AWS gives them.

use std::collections::BTreeMap;

use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Headers that end at the function URL.
const OF_CONNECTION: [&str; 6] = ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];
/// What a function URL takes for text besides `text/…`; everything else is base64-coded.
const TEXTS: [&str; 3] = ["application/json", "application/javascript", "application/xml"];

/// A request to the function URL (payload 2.0).
pub fn of_request(parts: &Parts, body: &[u8]) -> Value {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    let mut cookies = Vec::new();
    for (name, value) in &parts.headers {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        match name.as_str() {
            "cookie" => cookies.extend(text.split("; ").map(str::to_owned)),
            name if OF_CONNECTION.contains(&name) => {}
            name => {
                let joined = headers.get(name).map(|before| format!("{before},{text}"));
                headers.insert(name.to_owned(), joined.unwrap_or(text));
            }
        }
    }
    let is_coded = body.is_empty() || !is_text(&headers) || std::str::from_utf8(body).is_err();
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        // As sent: a function URL decodes nothing.
        "rawPath": parts.uri.path(),
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "http": {
                "method": parts.method.as_str(),
                "path": parts.uri.path(),
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
            },
            "stage": "$default",
        },
        "isBase64Encoded": is_coded && !body.is_empty(),
    });
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    if !body.is_empty() {
        let text = if is_coded { STANDARD.encode(body) } else { String::from_utf8_lossy(body).into_owned() };
        event["body"] = text.into();
    }
    event
}

fn is_text(headers: &BTreeMap<String, String>) -> bool {
    let kind = headers.get("content-type").map_or("", |kind| kind.split(';').next().unwrap_or_default().trim());
    (kind.starts_with("text/") || TEXTS.contains(&kind)) && !headers.contains_key("content-encoding")
}

/// What S3 tells of new objects.
pub fn created(bucket: &str, keys: &[String]) -> Value {
    let records = keys.iter().map(|key| {
        let key = key.replace('~', "%7E").replace('=', "%3D");
        json!({
            "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": bucket}, "object": {"key": key}},
        })
    });
    json!({"Records": records.collect::<Vec<_>>()})
}

/// The same by a queue, one message for each, named `m0`, `m1`, …
pub fn queued(notices: &[Value]) -> Value {
    let records = notices.iter().enumerate().map(|(number, notice)| {
        json!({"messageId": format!("m{number}"), "eventSource": "aws:sqs", "body": notice.to_string()})
    });
    json!({"Records": records.collect::<Vec<_>>()})
}

pub fn schedule() -> Value {
    json!({"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}, "resources": []})
}
