//! Requests to the function URL: their bodies, what an event may hold, large results, who may come in.

use std::io::Write;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Request, Response, send};
use crate::platform::{EVENT_BYTES, Function, Options};
use crate::server::{ROOT, Target};

async fn on_a_folder(options: Options) -> (Function, TempDir) {
    let folder = TempDir::new().expect("a folder");
    (Function::deploy(&Target::folder(folder.path()), options).await, folder)
}

fn write(body: impl Into<Vec<u8>>) -> Request {
    Request::new("POST", "/api/v1/write?db=public", body).header("Authorization", ROOT)
}

async fn sent(function: &Function, request: Request) -> Response {
    send(&function.address, &request).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_has_acknowledged_another_reads() {
    let (function, _folder) = on_a_folder(Options::default()).await;
    assert_eq!(function.write("air,station=a temperature=1 1").await.status, 200);
    let first = function.environments()[0].pid;
    function.forget();
    assert_eq!(
        function.answer("select * from air").await,
        "time,station,temperature\n1970-01-01T00:00:00.000000001,a,1.0\n"
    );
    assert_ne!(function.environments()[0].pid, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_taken_for_what_it_is_whatever_its_type_says() {
    let (function, _folder) = on_a_folder(Options::default()).await;
    let kinds = [
        "text/plain",
        "text/plain; charset=utf-8",
        "application/json",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "multipart/form-data",
    ];
    for (number, kind) in kinds.iter().enumerate() {
        let line = format!("air,station=a&b%20+ note=\"é+&=%41\" {number}");
        let response = sent(&function, write(line).header("Content-Type", kind)).await;
        assert_eq!(response.status, 200, "{kind}: {}", response.text());
    }
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    coder.write_all(format!("air,station=a&b%20+ note=\"é+&=%41\" {}", kinds.len()).as_bytes()).expect("memory");
    let coded = coder.finish().expect("memory");
    let response =
        sent(&function, write(coded).header("Content-Encoding", "gzip").header("Content-Type", "text/plain"));
    assert_eq!(response.await.status, 200);
    let answer = function.answer("select station, note, count(*) as n from air group by station, note").await;
    assert_eq!(answer, format!("station,note,n\na&b%20+,é+&=%41,{}\n", kinds.len() + 1));
}

/// Line protocol of at least so many bytes, whose times begin at a number.
fn points(bytes: usize, start: usize) -> (String, usize) {
    let mut lines = String::with_capacity(bytes + 64);
    let mut count = 0;
    while lines.len() < bytes {
        lines.push_str(&format!("air,station=a temperature={count} {}\n", start + count));
        count += 1;
    }
    (lines, count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_an_event_cannot_hold_is_refused_by_us_first() {
    let (function, _folder) = on_a_folder(Options::default()).await;
    let (lines, count) = points((4 << 20) - 64, 0);
    for kind in ["text/plain", "application/octet-stream"] {
        let response = sent(&function, write(lines.clone()).header("Content-Type", kind)).await;
        assert_eq!(response.status, 200, "{kind}: {}", response.text());
        // Just above our limit, and as an event below the platform's: base64 makes four bytes of three.
        let response = sent(&function, write(vec![b'x'; (4 << 20) + 1]).header("Content-Type", kind)).await;
        assert_eq!(response.status, 413, "{kind}");
        assert!(response.text().contains("limit of 4194304 bytes"), "{kind}: {}", response.text());
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
    assert_eq!(function.answer("select count(*) as n from air").await, format!("n\n{count}\n"));
    let response = sent(&function, write(vec![b'x'; EVENT_BYTES])).await;
    assert_eq!(response.status, 413);
    assert!(response.text().contains("the platform"), "{}", response.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_results_are_streamed() {
    let (function, _folder) = on_a_folder(Options::default()).await;
    let rows = 26_000;
    let response =
        function.sql(&format!("select value, repeat('x', 1000) as text from generate_series(1, {rows})")).await;
    assert_eq!((response.status, response.complete), (200, true));
    assert!(response.body.len() > 20 << 20, "{}", response.body.len());
    let text = response.text();
    let numbers: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    let expected: Vec<String> = (1..=rows).map(|number| number.to_string()).collect();
    assert_eq!(numbers, expected);
    assert_eq!(function.environments().len(), 1);
    crate::say(&format!("a result of {} bytes came whole", response.body.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_fails_on_its_way_is_cut() {
    let (function, _folder) = on_a_folder(Options::default().set("SILTDB_RESULT_BUFFER_BYTES", "64KiB")).await;
    let response = function.sql("select value, 1 / (value - 400000) as x from generate_series(1, 500000)").await;
    assert_eq!(response.status, 200);
    assert!(!response.complete, "an error ended as if all was there");
    assert!(!response.text().to_lowercase().contains("lambda"), "the error is among the rows");
    // And the process goes on.
    assert_eq!(function.answer("select 1 as one").await, "one\n1\n");
    assert_eq!(function.environments().len(), 1);
}

const ENDLESS: &str = "select count(*) from generate_series(1, 1000000) a(x) cross join generate_series(1, 1000000) b(y) \
                       where x * y % 7 = 3";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_time_is_told_before_the_platform_ends_it() {
    let (function, _folder) = on_a_folder(Options { timeout: Duration::from_secs(3), ..Options::default() }).await;
    let response = function.sql(ENDLESS).await;
    assert_eq!(response.status, 500, "{}", response.text());
    assert!(response.text().contains("the function's time is over"), "{}", response.text());
    let pid = function.environments()[0].pid;
    assert_eq!(function.answer("select 1 as one").await, "one\n1\n");
    assert_eq!(function.environments()[0].pid, pid, "the process was not ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_now_has_its_status() {
    let (function, _folder) =
        on_a_folder(Options::default().set("SILTDB_QUERY_TIME", "1s").set("SILTDB_LIVE_SEGMENTS", "2")).await;
    let response = function.sql(ENDLESS).await;
    assert_eq!(response.status, 500);
    assert!(response.text().contains("longer than"), "{}", response.text());
    for number in 0..2 {
        assert_eq!(function.write(format!("air x=1 {number}")).await.status, 200);
    }
    let response = function.write("air x=1 3").await;
    assert_eq!(response.status, 429, "{}", response.text());
    assert_eq!(response.header("retry-after"), Some("1"));
    assert!(response.text().contains("nothing was stored"), "{}", response.text());
    let unreachable = Target {
        store: "s3://bucket/prefix".to_owned(),
        environment: [
            ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
    };
    let function = Function::deploy(&unreachable, Options::default()).await;
    let ping = sent(&function, Request::new("GET", "/api/v1/ping", "")).await;
    assert_eq!(ping.status, 200, "who is only greeted needs no store");
    let response = function.write("air x=1 3").await;
    assert_eq!(response.status, 503, "{}", response.text());
}

/// A request that comes from an address, authenticated by AWS or not.
fn event(source: &str, authorizer: Value) -> Value {
    let body = base64::engine::general_purpose::STANDARD.encode("select 1 as one");
    json!({
        "version": "2.0", "rawPath": "/api/v1/sql", "rawQueryString": "", "headers": {"host": "x"},
        "requestContext": {"http": {"method": "POST", "sourceIp": source}, "authorizer": authorizer},
        "body": body, "isBase64Encoded": true,
    })
}

fn with_password(mut event: Value, password: &str) -> Value {
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("root:{password}"));
    event["headers"]["authorization"] = format!("Basic {credentials}").into();
    event
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_in_unknown() {
    let (function, _folder) = on_a_folder(Options::default()).await;
    let status = async |function: &Function, event: Value| -> (u64, String) {
        let answer = function.invoke(&event).await.expect("an answer");
        (answer["statusCode"].as_u64().expect("a status"), answer["body"].as_str().unwrap_or_default().to_owned())
    };
    let iam = json!({"iam": {"accountId": "123456789012", "userArn": "arn:aws:iam::123456789012:user/x"}});
    let (code, text) = status(&function, with_password(event("203.0.113.7", Value::Null), "")).await;
    assert_eq!(code, 401, "{text}");
    assert!(text.contains("SILTDB_ROOT_PASSWORD"), "{text}");
    assert_eq!(status(&function, event("203.0.113.7", iam.clone())).await, (200, "one\n1\n".to_owned()));
    assert_eq!(status(&function, with_password(event("127.0.0.1", Value::Null), "")).await.0, 200);

    let (function, _folder) = on_a_folder(Options::default().set("SILTDB_ROOT_PASSWORD", "hunter2")).await;
    for (password, code) in [("hunter2", 200), ("", 401), ("hunter3", 401)] {
        let event = with_password(event("203.0.113.7", Value::Null), password);
        assert_eq!(status(&function, event).await.0, code, "{password}");
    }
    assert_eq!(status(&function, event("203.0.113.7", Value::Null)).await.0, 401);
    assert_eq!(status(&function, event("203.0.113.7", iam)).await.0, 200);
    assert!(!function.log().contains("hunter2"), "a password is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_without_a_bucket_says_so() {
    let target = Target { store: String::new(), environment: Vec::new() };
    let function = Function::deploy(&target, Options::default()).await;
    let failure = function.invoke(&json!({})).await.expect_err("no store");
    assert!(format!("{failure:?}").contains("SILTDB_STORE is not set"), "{failure:?}");
}
