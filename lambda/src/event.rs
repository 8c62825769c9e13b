//! Events: which kind it is, told by its shape.
//!
//! | event | is |
//! |---|---|
//! | function URL (payload 2.0) | a request |
//! | object created, from S3, by SQS or EventBridge or straight | segments to settle |
//! | EventBridge schedule, `{}` | a round of what is due |

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::COOKIE;
use http::{HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use siltdb::model::{Code, Error, Result};

/// An event that is understood.
pub enum Event {
    Request(Box<UrlRequest>),
    /// A request that makes no sense.
    Malformed(Error),
    Maintenance(MaintenanceJob),
}

/// A request to the function URL.
pub struct UrlRequest {
    pub request: Request,
    /// The client's address.
    pub source: String,
    /// Whether AWS has authenticated the client.
    pub authenticated: bool,
}

/// Housekeeping that is asked for.
pub enum MaintenanceJob {
    /// Whatever is due.
    Scheduled,
    /// Objects have come.
    ObjectsCreated { objects: Vec<CreatedObject>, answer_by: ReplyMode },
}

/// Who receives the result of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyMode {
    /// A queue, which brings failed messages again.
    Message,
    /// A caller, who calls again.
    Event,
}

/// An object that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedObject {
    /// The queue's name for the message that tells of it.
    pub message: String,
    pub bucket: String,
    pub key: String,
}

impl UrlRequest {
    /// What the metrics call it.
    pub fn kind(&self) -> &'static str {
        match self.request.uri().path().trim_end_matches('/') {
            "/api/v1/write" | "/write" => "write",
            "/api/v1/sql" => "sql",
            "/api/v1/ping" => "ping",
            _ => "other",
        }
    }
}

impl MaintenanceJob {
    /// What the metrics call it.
    pub fn kind(&self) -> &'static str {
        match self {
            MaintenanceJob::Scheduled => "round",
            MaintenanceJob::ObjectsCreated { .. } => "settle",
        }
    }
}

/// Every member that any of the events has and that we look at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    request_context: Option<RequestContext>,
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    #[serde(default)]
    headers: HashMap<String, String>,
    #[serde(default)]
    cookies: Vec<String>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    #[serde(rename = "Records")]
    records: Option<Vec<Record>>,
    source: Option<String>,
    detail: Option<Place>,
}

#[derive(Deserialize)]
struct RequestContext {
    http: Option<HttpContext>,
    #[serde(default)]
    authorizer: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpContext {
    method: String,
    #[serde(default)]
    source_ip: String,
}

/// A message of SQS, or what S3 tells of one object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(default)]
    message_id: String,
    body: Option<String>,
    s3: Option<Place>,
}

/// A message's text: what S3 sends, itself or by EventBridge.
#[derive(Deserialize)]
struct Notice {
    #[serde(rename = "Records", default)]
    records: Vec<NoticeRecord>,
    detail: Option<Place>,
}

#[derive(Deserialize)]
struct NoticeRecord {
    s3: Option<Place>,
}

#[derive(Deserialize)]
struct Place {
    bucket: Option<Bucket>,
    object: Option<Key>,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

/// How the key of an object is written.
#[derive(Debug, Clone, Copy)]
enum KeyEncoding {
    /// As in a form: S3's own notices.
    Encoded,
    /// As it is: EventBridge.
    Plain,
}

impl Place {
    fn object(self, message: &str, spelling: KeyEncoding) -> Option<CreatedObject> {
        let (bucket, key) = (self.bucket?.name, self.object?.key);
        let key = match spelling {
            KeyEncoding::Encoded => percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned(),
            KeyEncoding::Plain => key,
        };
        Some(CreatedObject { message: message.to_owned(), bucket, key })
    }
}

impl Event {
    /// # Errors
    /// It is none of the known events.
    pub fn parse(event: &[u8]) -> Result<Event> {
        let shape: Shape = serde_json::from_slice(event).map_err(|error| unknown(&error.to_string()))?;
        if shape.request_context.as_ref().is_some_and(|context| context.http.is_some()) {
            return Ok(match shape.into_request() {
                Ok(request) => Event::Request(Box::new(request)),
                Err(why) => {
                    Event::Malformed(Error::new(Code::BadRequest, format!("the request makes no sense: {why}")))
                }
            });
        }
        let from_s3 = shape.source.as_deref() == Some("aws.s3");
        let job = match (shape.records, shape.detail) {
            (Some(records), _) => created(records),
            (None, Some(place)) if from_s3 => MaintenanceJob::ObjectsCreated {
                objects: place.object("", KeyEncoding::Plain).into_iter().collect(),
                answer_by: ReplyMode::Event,
            },
            (None, _) if shape.request_context.is_none() => MaintenanceJob::Scheduled,
            (None, _) => return Err(unknown("requestContext.http is missing: payload format 2.0 is needed")),
        };
        Ok(Event::Maintenance(job))
    }
}

fn unknown(why: &str) -> Error {
    let message = "the event is none that SiltDB knows (function URL, S3 by SQS, S3, EventBridge, {})";
    Error::new(Code::BadRequest, format!("{message}: {why}"))
}

fn created(records: Vec<Record>) -> MaintenanceJob {
    let mut objects = Vec::new();
    let mut answer_by = ReplyMode::Event;
    for record in records {
        if let Some(place) = record.s3 {
            objects.extend(place.object("", KeyEncoding::Encoded));
            continue;
        }
        answer_by = ReplyMode::Message;
        match serde_json::from_str::<Notice>(record.body.as_deref().unwrap_or_default()) {
            // S3's test message, for one, tells of no object.
            Ok(notice) => {
                let places = notice.records.into_iter().filter_map(|record| record.s3);
                objects.extend(places.filter_map(|place| place.object(&record.message_id, KeyEncoding::Encoded)));
                let bridged = notice.detail.and_then(|place| place.object(&record.message_id, KeyEncoding::Plain));
                objects.extend(bridged);
            }
            // It would be no clearer the next time.
            Err(error) => tracing::warn!(message = record.message_id, %error, "a message is not of S3 and is dropped"),
        }
    }
    MaintenanceJob::ObjectsCreated { objects, answer_by }
}

impl Shape {
    /// # Errors
    /// What makes no sense.
    fn into_request(self) -> Result<UrlRequest, String> {
        let context = self.request_context.ok_or("no requestContext")?;
        let http = context.http.ok_or("no requestContext.http")?;
        let body = match self.body {
            None => Body::empty(),
            // What the platform says of the coding counts, never the content type.
            Some(text) if self.is_base64_encoded => {
                Body::from(STANDARD.decode(text.as_bytes()).map_err(|error| format!("the body: {error}"))?)
            }
            Some(text) => Body::from(text),
        };
        let mut target = self.raw_path.filter(|path| path.starts_with('/')).unwrap_or_else(|| "/".to_owned());
        if let Some(query) = self.raw_query_string.filter(|query| !query.is_empty()) {
            target = format!("{target}?{query}");
        }
        let method = Method::from_bytes(http.method.as_bytes()).map_err(|error| error.to_string())?;
        let request = Request::builder().method(method).uri(target).body(body);
        let mut request = request.map_err(|error| error.to_string())?;
        for (name, value) in self.headers {
            let value = HeaderValue::try_from(value).map_err(|error| format!("header {name}: {error}"))?;
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            request.headers_mut().insert(name, value);
        }
        if !self.cookies.is_empty() {
            let cookies = HeaderValue::try_from(self.cookies.join("; "));
            request.headers_mut().insert(COOKIE, cookies.map_err(|error| format!("cookies: {error}"))?);
        }
        let authenticated = context.authorizer.is_some_and(|authorizer| names_principal(&authorizer));
        Ok(UrlRequest { request, source: http.source_ip, authenticated })
    }
}

/// Whether AWS says whom it has authenticated. Only a function URL's front puts that there; who may invoke the
/// function past its URL writes the whole event, and is to be trusted as much.
fn names_principal(authorizer: &serde_json::Value) -> bool {
    authorizer["iam"]["userArn"].as_str().is_some_and(|arn| arn.starts_with("arn:"))
}

#[cfg(test)]
mod tests;
