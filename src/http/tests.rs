//! The wire through the router, on an engine in memory. What needs a network is in the integration
//! tests, except the server loop itself.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use futures::StreamExt;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

use super::encoding::{Coding, ContentEncoder};
use super::*;
use crate::engine::{Engine, EngineOptions};
use crate::http::error_response::ErrorResponse;
use crate::model::clock::SystemClock;
use crate::model::limits::Limits;
use crate::model::{Code, Error, Mode, Result};
use crate::query::Queries;
use crate::store::Store;

const ROOT: &str = "Basic cm9vdDo=";

async fn app_with(limits: Limits, options: HttpOptions) -> App {
    let options_of_engine = EngineOptions { limits, ..EngineOptions::default() };
    let engine = Engine::open(Store::memory(), Arc::new(SystemClock), options_of_engine).await.unwrap();
    let queries = Queries::new(engine.clone()).unwrap();
    App::new(engine, queries, options)
}

async fn app() -> App {
    app_with(Limits::default(), HttpOptions::default()).await
}

fn request(method: &str, target: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body.into()).unwrap()
}

struct Answered {
    status: u16,
    response: Response,
    body: Bytes,
}

impl Answered {
    fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.text());
        let members: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(members.as_object().unwrap().len(), 2);
        assert!(!members["error_message"].as_str().unwrap().is_empty());
        members["error_code"].as_str().unwrap().to_owned()
    }
}

async fn send(app: &App, request: Request<Body>) -> Answered {
    let response = router(app.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answered { status: parts.status.as_u16(), body, response: Response::from_parts(parts, Body::empty()) }
}

async fn call(app: &App, method: &str, target: &str, headers: &[(&str, &str)], body: &'static str) -> Answered {
    send(app, request(method, target, headers, body)).await
}

async fn write(app: &App, target: &str, body: &'static str) -> Answered {
    call(app, "POST", target, &[("authorization", ROOT)], body).await
}

async fn sql(app: &App, headers: &[(&str, &str)], body: &'static str) -> Answered {
    let headers: Vec<_> = [("authorization", ROOT)].into_iter().chain(headers.iter().copied()).collect();
    call(app, "POST", "/api/v1/sql?pretty=true", &headers, body).await
}

async fn scrape(app: &App) -> Answered {
    call(app, "GET", "/metrics", &[("authorization", ROOT)], "").await
}

#[tokio::test]
async fn ping_and_metrics() {
    let app = app().await;
    for target in ["/api/v1/ping", "/api/v1/ping/"] {
        let pong = call(&app, "GET", target, &[], "").await;
        assert_eq!((pong.status, pong.header("content-type")), (200, Some("application/json")));
        let members: serde_json::Value = serde_json::from_slice(&pong.body).unwrap();
        assert_eq!(members["status"], "healthy");
        assert_eq!(members["version"], env!("CARGO_PKG_VERSION"));
    }
    let head = call(&app, "HEAD", "/api/v1/ping", &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(head.header("content-length").is_some_and(|length| length != "0"));
    write(&app, "/api/v1/write", "m f=1").await;
    let page = scrape(&app).await;
    assert_eq!(page.header("content-type"), Some(crate::metrics::CONTENT_TYPE));
    assert!(page.text().contains("http_writes{tenant=\"cnosdb\",user=\"root\",database=\"public\""), "{}", page.text());
    assert!(page.text().contains("siltdb_store_requests_total{operation=\"put\"}"));
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let app = app().await;
    let missing = call(&app, "GET", "/nothing", &[], "").await;
    assert_eq!((missing.status, missing.code().as_str()), (404, "000000"));
    let head = call(&app, "HEAD", "/nothing", &[], "").await;
    assert_eq!((head.status, head.body.len()), (404, 0));
    let wrong = call(&app, "GET", "/api/v1/write", &[], "").await;
    assert_eq!((wrong.status, wrong.code().as_str(), wrong.header("allow")), (405, "000000", Some("POST")));
    let wrong = call(&app, "POST", "/api/v1/ping/", &[], "").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD")));
    let head = call(&app, "HEAD", "/api/v1/sql", &[], "").await;
    assert_eq!((head.status, head.body.len(), head.header("allow")), (405, 0, Some("POST")));
    assert_eq!(call(&app, "OPTIONS", "/api/v1/sql", &[], "").await.status, 405);
}

#[tokio::test]
async fn writes() {
    let app = app().await;
    for (target, body) in [
        ("/api/v1/write", "m,t=a f=1 1"),
        ("/api/v1/write/", " m,t=a f=1 2\n"),
        ("/api/v1/write?db=public&tenant=cnosdb&precision=MS&pretty=true&rp=%C3%A4", "m f=1 3"),
        ("/api/v1/write?precision=s", "m f=1 3"),
        ("/api/v1/write", ""),
        ("/api/v1/write", "# a comment\n\n"),
    ] {
        let done = write(&app, target, body).await;
        assert_eq!((done.status, done.text()), (200, ""), "{target} {body}");
        assert!(done.header("x-siltdb-cost").unwrap().starts_with("put="));
        assert!(done.header("x-request-id").is_some());
    }
    for (target, body, status, code) in [
        ("/api/v1/write", "m f=", 422, "040004"),
        ("/api/v1/write?db=none", "m f=1", 422, "030017"),
        ("/api/v1/write?db=none", "", 422, "030017"),
        ("/api/v1/write?db=none", "broken", 422, "040004"),
        ("/api/v1/write?tenant=none", "m f=1", 401, "010016"),
        ("/api/v1/write?precision=h", "m f=1", 400, "000000"),
        ("/api/v1/write?precision=", "m f=1", 400, "000000"),
        ("/api/v1/write?db=a&db=b", "m f=1", 400, "000000"),
        ("/api/v1/write?db=%zz", "m f=1", 400, "000000"),
        ("/api/v1/write?db=%F", "m f=1", 400, "000000"),
        ("/api/v1/write?pretty=%FF", "m f=1", 400, "000000"),
        ("/api/v1/write?database=a", "m f=1", 400, "000000"),
        ("/api/v1/write?chunked=1", "m f=1", 400, "000000"),
    ] {
        let refused = write(&app, target, body).await;
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{target} {body}");
    }
    let bytes = request("POST", "/api/v1/write", &[("authorization", ROOT)], vec![b'm', 0xff]);
    let refused = send(&app, bytes).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "040015"));
    let large: String = (0..20_000).map(|row| format!("m,t=a f=1 {row}\n")).collect();
    let done = send(&app, request("POST", "/api/v1/write", &[("authorization", ROOT)], large)).await;
    assert_eq!(done.status, 200);
}

/// The database's label, and no name that only a client has ever heard of.
#[tokio::test]
async fn names_that_do_not_exist_are_no_labels() {
    let app = app().await;
    let series = |page: &str| page.lines().filter(|line| !line.starts_with('#')).count();
    let mut counts = Vec::new();
    for round in 0..2 {
        for number in 0..crate::metrics::MAXIMUM_SETS {
            let target = format!("/api/v1/write?db=wrong{round}-{number}");
            assert_eq!(send(&app, request("POST", &target, &[("authorization", ROOT)], "m f=1")).await.status, 422);
            let target = format!("/write?db=wrong{round}-{number}");
            assert_eq!(send(&app, request("POST", &target, &[("authorization", ROOT)], "m f=1")).await.status, 404);
            if number < 10 {
                let stranger = format!("/nowhere{round}/{number}?db=wrong");
                assert_eq!(send(&app, request("POST", &stranger, &[], "")).await.status, 404);
                let method = format!("M{round}{number}");
                assert_eq!(send(&app, request(&method, "/api/v1/sql", &[], "")).await.status, 405);
                let tenant = format!("/api/v1/sql?tenant=wrong{round}-{number}");
                assert_eq!(send(&app, request("POST", &tenant, &[("authorization", ROOT)], "")).await.status, 401);
            }
        }
        counts.push(series(scrape(&app).await.text()));
    }
    // Only the page's own series came with the second round: the first scrape counts from then on.
    assert!(counts[1] - counts[0] < 20, "{counts:?}");
    assert_eq!(write(&app, "/api/v1/write?db=public", "m f=1 1").await.status, 200);
    let page = scrape(&app).await;
    assert!(!page.text().contains("wrong"), "{}", page.text());
    for line in [
        "http_writes{tenant=\"cnosdb\",user=\"root\",host=\"\",api=\"api/v1/write\"} 2000",
        "http_writes{tenant=\"cnosdb\",user=\"root\",database=\"public\",host=\"\",api=\"api/v1/write\"} 1",
    ] {
        assert!(page.text().lines().any(|other| other == line), "{line}\n{}", page.text());
    }
}

#[tokio::test]
async fn credentials() {
    let app = app().await;
    for (headers, status, code) in [
        (vec![], 401, "000000"),
        (vec![("authorization", "Basic cm9vdDp4")], 401, "010016"),
        (vec![("authorization", "Basic bm9ib2R5Og==")], 401, "010016"),
        (vec![("authorization", "Bearer abc")], 400, "040006"),
        (vec![("authorization", "Basic !!!")], 400, "040006"),
    ] {
        for target in ["/api/v1/write", "/api/v1/sql"] {
            let refused = call(&app, "POST", target, &headers, "").await;
            assert_eq!((refused.status, refused.code().as_str()), (status, code), "{headers:?}");
            let challenge = (status == 401).then_some("Basic realm=\"siltdb\"");
            assert_eq!(refused.header("www-authenticate"), challenge);
        }
    }
    let mut latin = request("POST", "/api/v1/write", &[("authorization", ROOT)], "m f=1");
    latin.headers_mut().insert("content-encoding", axum::http::HeaderValue::from_bytes(b"gz\xe4ip").unwrap());
    let refused = send(&app, latin).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "040005"));
}

#[tokio::test]
async fn the_first_of_several_errors_is_as_cnosdb_has_it() {
    let limits = Limits { write_body_bytes: 100, sql_body_bytes: 100, ..Limits::default() };
    let app = app_with(limits, HttpOptions::default()).await;
    // Announced too large, without credentials, with a broken query string: 413.
    let refused = call(&app, "POST", "/api/v1/write?db=%zz", &[("content-length", "101")], "").await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "000000"));
    // Found too large while it is read.
    let stream = futures::stream::iter((0..11).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"0123456789"))));
    let refused =
        send(&app, request("POST", "/api/v1/sql", &[("authorization", ROOT)], Body::from_stream(stream))).await;
    assert_eq!(refused.status, 413);
    // Without credentials and with a broken query string: 401.
    assert_eq!(call(&app, "POST", "/api/v1/sql?chunked=x", &[], "").await.status, 401);
    // Wrong credentials and an unsupported Accept: 401; right ones: 400.
    let accept = ("accept", "image/png");
    let wrong = [("authorization", "Basic cm9vdDp4"), accept];
    assert_eq!(call(&app, "POST", "/api/v1/sql", &wrong, "select 1").await.status, 401);
    let refused = sql(&app, &[accept], "select 1").await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "040005"));
    // An unknown coding is refused before credentials are looked at.
    let unknown = [("authorization", "Basic cm9vdDp4"), ("content-encoding", "snappy")];
    assert_eq!(call(&app, "POST", "/api/v1/sql", &unknown, "select 1").await.code(), "040005");
}

#[tokio::test]
async fn encoded_bodies() {
    let limits = Limits { decoded_body_bytes: 2 << 20, ..Limits::default() };
    let app = app_with(limits, HttpOptions::default()).await;
    let encode = |coding, data: &[u8]| {
        let (mut out, mut encoder) = (Vec::new(), ContentEncoder::new(coding).unwrap());
        encoder.write(data, &mut out).unwrap();
        encoder.finish(&mut out).unwrap();
        out
    };
    for (name, coding) in [
        ("gzip", Coding::Gzip),
        ("x-gzip", Coding::Gzip),
        ("deflate", Coding::Deflate),
        ("br", Coding::Brotli),
        ("zstd", Coding::Zstd),
        ("compress", Coding::Compress),
        ("identity", Coding::Identity),
    ] {
        let headers = [("authorization", ROOT), ("content-encoding", name)];
        let body = encode(coding, b"m,t=a f=1 1");
        let done = send(&app, request("POST", "/api/v1/write", &headers, body)).await;
        assert_eq!(done.status, 200, "{name}");
        if coding != Coding::Identity {
            let refused = send(&app, request("POST", "/api/v1/write", &headers, "m f=1")).await;
            assert_eq!((refused.status, refused.code().as_str()), (400, "040013"), "{name}");
            let bomb = encode(coding, &vec![b' '; 3 << 20]);
            let refused = send(&app, request("POST", "/api/v1/write", &headers, bomb)).await;
            assert_eq!(refused.status, 413, "{name}");
        }
    }
    for name in ["snappy", "gzip, br"] {
        let headers = [("authorization", ROOT), ("content-encoding", name)];
        let refused = call(&app, "POST", "/api/v1/write", &headers, "").await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "040005"));
        assert!(refused.text().contains(&format!("Invalid header: content encoding not support: {name}")));
    }
    assert_eq!(app.inner.body_memory.held_bytes(), 0);
}

#[tokio::test]
async fn results() {
    let app = app().await;
    for (accept, kind, body) in [
        (None, "text/csv", "v\n1\n"),
        (Some("application/tsv"), "text/tsv", "v\n1\n"),
        (Some("application/json"), "application/json", "[{\"v\":1}]"),
        (Some("application/x-ndjson"), "application/nd-json", "{\"v\":1}\n"),
        (Some("text/table"), "text/table", "+---+\n| v |\n+---+\n| 1 |\n+---+"),
    ] {
        let headers: Vec<_> = accept.map(|accept| ("accept", accept)).into_iter().collect();
        let done = sql(&app, &headers, "select 1 as v").await;
        assert_eq!((done.status, done.header("content-type"), done.text()), (200, Some(kind), body));
        assert!(done.header("x-siltdb-cost").is_some());
        assert_eq!(done.header("content-encoding"), None);
    }
    for (accept, magic) in
        [("application/vnd.apache.parquet", b"PAR1"), ("application/vnd.apache.arrow.stream", &[0xff; 4])]
    {
        let done = sql(&app, &[("accept", accept)], "select 1 as v").await;
        assert_eq!((done.status, done.header("content-type")), (200, Some(accept)));
        assert_eq!(&done.body[..4], magic);
    }
    for (accept, coding, body) in [("application/json", Some("gzip"), "[]"), ("application/x-ndjson", None, "")] {
        let headers = [("accept", accept), ("accept-encoding", "gzip")];
        let empty = sql(&app, &headers, "select 1 as v where false").await;
        let text = match coding {
            Some(_) => super::encoding::decode(Coding::Gzip, &empty.body, 100).unwrap(),
            None => empty.body.to_vec(),
        };
        assert_eq!((empty.status, empty.header("content-encoding"), text.as_slice()), (200, coding, body.as_bytes()));
    }
    for nothing in ["", " ;", "CREATE DATABASE IF NOT EXISTS public"] {
        let done = sql(&app, &[("accept", "application/json")], nothing).await;
        assert_eq!((done.status, done.header("content-type"), done.text()), (200, Some("application/json"), ""));
    }
    let refused = sql(&app, &[("accept-encoding", "gzip")], "selekt").await;
    assert_eq!((refused.status, refused.code().as_str(), refused.header("content-encoding")), (422, "010009", None));
    let target = "/api/v1/sql?stream_trigger_interval=sometimes";
    assert_eq!(call(&app, "POST", target, &[("authorization", ROOT)], "").await.code(), "040005");
    let target = "/api/v1/sql?stream_trigger_interval=once&target_partitions=2";
    assert_eq!(call(&app, "POST", target, &[("authorization", ROOT)], "").await.status, 200);
    let target = "/api/v1/sql?target_partitions=0";
    assert_eq!(call(&app, "POST", target, &[("authorization", ROOT)], "").await.status, 400);
}

#[tokio::test]
async fn encoded_results() {
    let app = app().await;
    for (accept, name, coding) in [
        ("gzip, deflate", "gzip", Coding::Gzip),
        ("deflate", "deflate", Coding::Deflate),
        ("br;q=1, gzip;q=0.5", "br", Coding::Brotli),
        ("zstd", "zstd", Coding::Zstd),
        ("compress", "compress", Coding::Compress),
    ] {
        for chunked in ["", "?chunked=true"] {
            let headers = [("authorization", ROOT), ("accept-encoding", accept)];
            let done = call(&app, "POST", &format!("/api/v1/sql{chunked}"), &headers, "select 1 as v").await;
            assert_eq!((done.status, done.header("content-encoding")), (200, Some(name)));
            assert_eq!(super::encoding::decode(coding, &done.body, 100).unwrap(), b"v\n1\n", "{name} {chunked}");
        }
    }
    let refused = sql(&app, &[("accept-encoding", "identity;q=0")], "select 1 as v").await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "040005"));
}

#[tokio::test]
async fn limits_of_load_and_head() {
    let limits = Limits { concurrent_writes: 0, concurrent_queries: 0, ..Limits::default() };
    let app = app_with(limits, HttpOptions { body_memory_bytes: 4 << 10, ..HttpOptions::default() }).await;
    let refused = write(&app, "/api/v1/write", "m f=1").await;
    assert_eq!((refused.status, refused.code().as_str(), refused.header("retry-after")), (429, "050033", Some("1")));
    let refused = sql(&app, &[], "select 1").await;
    assert_eq!((refused.status, refused.code().as_str(), refused.header("retry-after")), (429, "010012", Some("1")));
    let body = vec![b'#'; 5 << 10];
    let refused = send(&app, request("POST", "/api/v1/write", &[("authorization", ROOT)], body.clone())).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "050033"));
    // Telegraf's output for InfluxDB 1 drops what is answered with a 4xx.
    for body in [b"m f=1".to_vec(), body] {
        let refused = send(&app, request("POST", "/write", &[("authorization", ROOT)], body)).await;
        let told = (refused.status, refused.code(), refused.header("retry-after"));
        assert_eq!(told, (503, "050033".to_owned(), Some("1")));
    }
    let long = "x".repeat(33 << 10);
    let refused = call(&app, "GET", "/api/v1/ping", &[("x-long", &long)], "").await;
    assert_eq!((refused.status, refused.code().as_str()), (431, "000000"));
    let many: Vec<String> = (0..101).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(call(&app, "GET", "/api/v1/ping", &many, "").await.status, 431);
}

#[tokio::test]
async fn while_stopping() {
    let app = app().await;
    app.drain();
    let refused = write(&app, "/api/v1/write", "m f=1").await;
    assert_eq!((refused.status, refused.code().as_str(), refused.header("retry-after")), (503, "000000", Some("1")));
    assert_eq!(sql(&app, &[], "select 1").await.status, 503);
    assert!(call(&app, "GET", "/api/v1/ping", &[], "").await.text().contains("stopping"));
    assert_eq!(scrape(&app).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn slow_bodies() {
    let app = app().await;
    let stalled = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let refused = send(&app, request("POST", "/api/v1/write", &[("authorization", ROOT)], stalled)).await;
    assert_eq!((refused.status, refused.code().as_str()), (408, "000000"));
    let broken = futures::stream::iter([Ok(Bytes::from_static(b"m f")), Err(std::io::Error::other("gone"))]);
    let refused =
        send(&app, request("POST", "/api/v1/write", &[("authorization", ROOT)], Body::from_stream(broken))).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "040013"));
}

#[tokio::test]
async fn request_ids() {
    let app = app().await;
    let given = call(&app, "GET", "/api/v1/ping", &[("x-request-id", "abc-1")], "").await;
    assert_eq!(given.header("x-request-id"), Some("abc-1"));
    let forged = call(&app, "GET", "/api/v1/ping", &[("x-request-id", "a b")], "").await;
    assert_eq!(forged.header("x-request-id").map(str::len), Some(16));
}

#[test]
fn every_status_is_reachable_by_some_code() {
    let of = |code| super::status::status(code).as_u16();
    assert_eq!(of(Code::QueryTimeout), 500);
    assert_eq!(of(Code::OutcomeUnknown), 500);
    assert_eq!(of(Code::StoreUnavailable), 503);
    assert_eq!(of(Code::DatabaseNotFound), 422);
    assert_eq!(of(Code::LimitReached), 429);
    assert_eq!(ErrorResponse::too_slow(String::new()).status, StatusCode::REQUEST_TIMEOUT);
}

mod answers;
mod server;
mod strangers;
