//! A server over HTTP: SiltDB, or CnosDB with the same API.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use console::Term;
use reqwest::header::{ACCEPT, CONTENT_ENCODING, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::{Host, Url};

use super::outcome::{CommandFailure, FailureKind, Interrupted, Points, check_reader};
use super::output::Document;
use super::usage_error;
use crate::format::Format;
use crate::model::time::WritePrecision;
use crate::model::{Code, Error, Result};

const PASSWORD_VARIABLE: &str = "SILTDB_PASSWORD";
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// A write that takes longer has been lost on the way.
const WRITE_TIME: Duration = Duration::from_secs(300);
/// A server that takes longer to say that it is well is not.
const PING_TIME: Duration = Duration::from_secs(5);
/// Most of an error's body that is repeated.
const ERROR_CHARACTERS: usize = 2_000;

/// A server, and who asks it. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    client: Client,
    base: Url,
    user: String,
    tenant: String,
    password: Arc<Mutex<Password>>,
    gzip: bool,
}

#[derive(Debug)]
struct Password {
    text: SecretString,
    /// It was typed in: another one is not asked for.
    typed: bool,
}

impl Remote {
    /// # Errors
    /// A URL that is none of a server.
    pub(super) fn new(url: &str, user: &str, tenant: String) -> Result<Remote> {
        let base = base_url(url)?;
        let mut client = Client::builder()
            .connect_timeout(CONNECT_TIME)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("siltdb/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(&base) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| Error::internal(format!("HTTP cannot be spoken: {error}")))?;
        let text = SecretString::from(std::env::var(PASSWORD_VARIABLE).unwrap_or_default());
        let password = Arc::new(Mutex::new(Password { text, typed: false }));
        Ok(Remote { client, base, user: user.to_owned(), tenant, password, gzip: false })
    }

    /// The same server, to which points are sent compressed.
    pub(super) fn with_gzip(self, gzip: bool) -> Remote {
        Remote { gzip, ..self }
    }

    pub(super) async fn query(
        &self,
        database: &str,
        sql: &str,
        format: Format,
        out: Document,
    ) -> Result<(), Interrupted> {
        let mut out = out;
        let mut response = self.send_sql(database, sql, format).await?;
        loop {
            let chunk = response.chunk().await.map_err(|error| {
                CommandFailure::new(FailureKind::Unknown, "", format!("the result broke off: {}", innermost(&error)))
            })?;
            let Some(chunk) = chunk else { return check_reader(out.end()) };
            check_reader(out.write(&chunk))?;
        }
    }

    /// Asks something that costs nothing, so that a password can be asked for before work begins.
    pub(super) async fn check_login(&self, database: &str) -> Result<(), CommandFailure> {
        self.send_sql(database, "SELECT 1", Format::Csv).await.map(drop)
    }

    /// The version of the server, if it takes requests. Needs no password.
    pub(super) async fn ping(&self) -> Result<String, CommandFailure> {
        let mut url = self.base.clone();
        let path = format!("{}/api/v1/ping", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let sent = self.client.get(url).timeout(PING_TIME).send().await;
        let response = sent.map_err(|error| unanswered(&error))?;
        if !response.status().is_success() {
            return Err(failure_of(response).await);
        }
        let body = response.bytes().await.map_err(|error| unanswered(&error))?;
        health(&body)
    }

    async fn send_sql(&self, database: &str, sql: &str, format: Format) -> Result<Response, CommandFailure> {
        let accept = match format {
            // The name that CnosDB knows it by.
            Format::Table => "application/table",
            other => other.content_type(),
        };
        let url = self.url("sql", &[("db", database)]);
        self.send(|| self.client.post(url.clone()).header(ACCEPT, accept).body(sql.to_owned())).await
    }

    pub(super) async fn write(&self, points: Points) -> Result<(), CommandFailure> {
        let precision = match points.precision {
            WritePrecision::Nanosecond => "ns",
            WritePrecision::Microsecond => "us",
            WritePrecision::Millisecond => "ms",
            WritePrecision::Second => "s",
        };
        let url = self.url("write", &[("db", &points.database), ("precision", precision)]);
        let body = if self.gzip { compress(points.text).await? } else { points.text };
        let request = || {
            let request = self.client.post(url.clone()).timeout(WRITE_TIME).body(body.clone());
            if self.gzip { request.header(CONTENT_ENCODING, "gzip") } else { request }
        };
        self.send(request).await.map(drop)
    }

    fn url(&self, endpoint: &str, parameters: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        let path = format!("{}/api/v1/{endpoint}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url.query_pairs_mut().append_pair("tenant", &self.tenant).extend_pairs(parameters);
        url
    }

    /// Sends a request; once more with another password when a person can be asked for it.
    async fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, CommandFailure> {
        loop {
            let password = self.password.lock().await.text.clone();
            let sent = request().basic_auth(&self.user, Some(password.expose_secret())).send().await;
            let response = sent.map_err(|error| unanswered(&error))?;
            if response.status().is_success() {
                return Ok(response);
            }
            let failure = failure_of(response).await;
            if failure.kind != FailureKind::Unauthorized || !self.ask_password(&password).await {
                return Err(failure);
            }
        }
    }

    /// Asks for a password in place of the one that was wrong; `false` when there is nobody to ask
    /// or it has been asked already.
    async fn ask_password(&self, wrong: &SecretString) -> bool {
        let mut password = self.password.lock().await;
        if password.text.expose_secret() != wrong.expose_secret() {
            return true;
        }
        if password.typed || !std::io::stderr().is_terminal() {
            return false;
        }
        let question = format!("Password of {} on {}: ", self.user, self.base);
        let typed = tokio::task::spawn_blocking(move || {
            let mut terminal = Term::stderr();
            terminal.write_all(question.as_bytes())?;
            terminal.read_secure_line()
        });
        password.typed = true;
        match typed.await {
            Ok(Ok(text)) => {
                password.text = SecretString::from(text);
                true
            }
            _ => false,
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "server {}, tenant {}", self.base, self.tenant)
    }
}

/// The address as given, `http://` when it says nothing else.
fn base_url(text: &str) -> Result<Url> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&whole).map_err(|error| usage_error(format!("--server '{text}' is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(usage_error(format!("--server '{text}' must begin with http:// or https://")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let message = format!("--server takes no user and password: use --user and {PASSWORD_VARIABLE}");
        return Err(usage_error(message));
    }
    Ok(url)
}

/// No proxy stands between a machine and itself.
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[derive(Deserialize)]
struct Pong {
    version: String,
    status: String,
    reason: Option<String>,
}

/// The version that the answer to a ping tells, if all is well.
fn health(body: &[u8]) -> Result<String, CommandFailure> {
    match serde_json::from_slice::<Pong>(body) {
        Ok(pong) if pong.status == "healthy" => Ok(pong.version),
        Ok(pong) => {
            let reason = pong.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            Err(CommandFailure::new(FailureKind::Busy, "", format!("the server is {}{reason}", pong.status)))
        }
        Err(_) => Err(CommandFailure::new(FailureKind::Permanent, "", "what answers there is not SiltDB")),
    }
}

async fn compress(text: Bytes) -> Result<Bytes, CommandFailure> {
    let compressed = tokio::task::spawn_blocking(move || {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&text)?;
        encoder.finish()
    });
    let failed = |error: String| Error::internal(format!("points could not be compressed: {error}"));
    let bytes = compressed.await.map_err(|error| failed(error.to_string()))?;
    Ok(Bytes::from(bytes.map_err(|error| failed(error.to_string()))?))
}

/// A request without an answer.
fn unanswered(error: &reqwest::Error) -> CommandFailure {
    let address = error.url().map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let (kind, what) = if error.is_connect() {
        (FailureKind::Busy, "cannot be reached")
    } else if error.is_timeout() {
        (FailureKind::Unknown, "did not answer in time")
    } else {
        (FailureKind::Unknown, "broke the connection off")
    };
    CommandFailure::new(kind, "", format!("{address} {what}: {}", innermost(error)))
}

/// The cause at the end of the chain, which says most.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The two members of an error's body.
#[derive(Deserialize)]
struct Members {
    error_code: String,
    error_message: String,
}

async fn failure_of(response: Response) -> CommandFailure {
    let status = response.status();
    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = response.bytes().await.unwrap_or_default();
    failure(status, wait, &body)
}

/// What an answer that is no success means.
fn failure(status: StatusCode, wait: Option<u64>, body: &[u8]) -> CommandFailure {
    let (code, message) = match serde_json::from_slice::<Members>(body) {
        Ok(members) => (members.error_code, members.error_message),
        Err(_) => {
            let text: String = String::from_utf8_lossy(body).trim().chars().take(ERROR_CHARACTERS).collect();
            (String::new(), format!("the server answered {status}: {text}"))
        }
    };
    let is = |codes: &[Code]| codes.iter().any(|known| known.number() == code);
    let kind = match status.as_u16() {
        401 => FailureKind::Unauthorized,
        429 if is(&[Code::LimitReached]) => FailureKind::Refused,
        408 | 429 | 503 => FailureKind::Busy,
        500 | 502 | 504 => FailureKind::Unknown,
        // Smaller parts may fit.
        413 => FailureKind::Refused,
        422 if !is(&[Code::DatabaseNotFound, Code::DatabaseNotFoundInQuery]) => FailureKind::Refused,
        _ => FailureKind::Permanent,
    };
    CommandFailure { kind, code, message, wait: wait.map(Duration::from_secs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let base = |text: &str| base_url(text).map(|url| url.to_string()).map_err(|error| error.message);
        assert_eq!(base("db:8902").unwrap(), "http://db:8902/");
        assert_eq!(base("https://db/silt").unwrap(), "https://db/silt");
        assert!(base("ftp://db").unwrap_err().contains("http://"));
        assert!(base("http://").is_err());
        assert!(base("http://root:x@db").unwrap_err().contains("SILTDB_PASSWORD"));
        let remote = Remote::new("db:1/silt/", "root", "a b".to_owned()).unwrap();
        let url = remote.url("write", &[("db", "x&y"), ("precision", "ns")]);
        assert_eq!(url.as_str(), "http://db:1/silt/api/v1/write?tenant=a+b&db=x%26y&precision=ns");
        for (text, local) in [("localhost:1", true), ("127.0.0.9", true), ("[::1]:2", true), ("db", false)] {
            assert_eq!(is_this_machine(&base_url(text).unwrap()), local, "{text}");
        }
    }

    #[test]
    fn only_a_healthy_server_is_well() {
        assert_eq!(health(br#"{"version":"1.2.3","status":"healthy"}"#).unwrap(), "1.2.3");
        let stopping = health(br#"{"version":"1.2.3","status":"stopping"}"#).unwrap_err();
        assert_eq!((stopping.kind, stopping.to_string().as_str()), (FailureKind::Busy, "the server is stopping"));
        assert_eq!(health(b"<html>").unwrap_err().kind, FailureKind::Permanent);
    }

    #[test]
    fn answers_that_are_errors() {
        let body = |code: &str| format!("{{\"error_code\":\"{code}\",\"error_message\":\"why\"}}").into_bytes();
        let kind = |status: u16, code: &str| failure(StatusCode::from_u16(status).unwrap(), None, &body(code)).kind;
        assert_eq!(kind(422, "040004"), FailureKind::Refused);
        assert_eq!((kind(422, "030017"), kind(413, "000000")), (FailureKind::Permanent, FailureKind::Refused));
        assert_eq!((kind(429, "050033"), kind(429, "030024")), (FailureKind::Busy, FailureKind::Refused));
        assert_eq!((kind(503, "000000"), kind(500, "000000")), (FailureKind::Busy, FailureKind::Unknown));
        assert_eq!((kind(401, "010016"), kind(404, "000000")), (FailureKind::Unauthorized, FailureKind::Permanent));
        let told = failure(StatusCode::SERVICE_UNAVAILABLE, Some(7), &body("000000"));
        assert_eq!((told.to_string().as_str(), told.wait), ("why", Some(Duration::from_secs(7))));
        assert_eq!(failure(StatusCode::UNPROCESSABLE_ENTITY, None, &body("010009")).to_string(), "010009 why");
        let foreign = failure(StatusCode::BAD_GATEWAY, None, b"<html>");
        assert_eq!(foreign.to_string(), "the server answered 502 Bad Gateway: <html>");
    }
}
