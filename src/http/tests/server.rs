//! The server loop on a socket.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

pub struct Server {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

pub async fn start(app: App) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(crate::http::serve(listener, app, stopped, Duration::from_secs(5)));
    Server { address, stop: Some(stop), task }
}

/// Sends bytes and reads until the server closes.
pub async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut out = Vec::new();
    stream.read_to_end(&mut out).await.unwrap();
    String::from_utf8_lossy(&out).into_owned()
}

#[tokio::test]
async fn a_request_under_way_is_finished_when_the_server_stops() {
    let mut server = start(app().await).await;
    let head = format!("POST /api/v1/write HTTP/1.1\r\nhost: x\r\nauthorization: {ROOT}\r\ncontent-length: 5\r\n\r\n");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // Another connection that idles must not hold the server up.
    let _idle = TcpStream::connect(server.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.stop.take().unwrap().send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(!server.task.is_finished());
    stream.write_all(b"m f=1").await.unwrap();
    let mut out = String::new();
    stream.read_to_string(&mut out).await.unwrap();
    assert!(out.starts_with("HTTP/1.1 200"), "{out}");
    server.task.await.unwrap();
}

#[tokio::test]
async fn bodies_in_chunks_and_no_bodies_are_taken() {
    let server = start(app().await).await;
    let head = format!("POST /api/v1/write HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {ROOT}\r\n");
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n3\r\nm f\r\n2\r\n=1\r\n0\r\n\r\n");
    assert!(talk(server.address, chunked.as_bytes()).await.starts_with("HTTP/1.1 200"));
    let without = format!("{head}\r\n");
    assert!(talk(server.address, without.as_bytes()).await.starts_with("HTTP/1.1 200"));
}

/// A client that sends all before it reads must still see why it was refused.
#[tokio::test]
async fn the_sender_of_a_body_too_large_sees_the_answer() {
    let limits = Limits { write_body_bytes: 1_000, ..Limits::default() };
    let server = start(app_with(limits, HttpOptions::default()).await).await;
    let mut bytes =
        b"POST /api/v1/write HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 30000000\r\n\r\n".to_vec();
    bytes.resize(bytes.len() + 30_000_000, b'#');
    let answer = talk(server.address, &bytes).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("{\"error_code\":\"000000\",\"error_message\":\"the body is larger"));
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let server = start(app().await).await;
    let head =
        format!("GET /api/v1/ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-long: {}\r\n\r\n", "x".repeat(40_000));
    let answer = talk(server.address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("error_message"), "{answer}");
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert!(talk(server.address, head.as_bytes()).await.starts_with("HTTP/1.1 431"));
}

/// Reads the status line of what comes first. A refusal ends the connection: what follows on it could be the
/// body or the next request.
async fn first_line(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = head.replace('\n', "\r\n");
    let expect = "expect: 100-continue\r\ncontent-length: 100\r\n\r\n";
    stream.write_all(format!("{head}\r\nhost: x\r\n{expect}").as_bytes()).await.unwrap();
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.unwrap());
    }
    if !line.starts_with(b"HTTP/1.1 100 ") {
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    }
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

/// A client that asks whether to send its body is told to only when all that its head says is right.
#[tokio::test]
async fn who_waits_to_continue_is_refused_without_its_body() {
    let limits = Limits { write_body_bytes: 200, sql_body_bytes: 99, ..Limits::default() };
    let server = start(app_with(limits, HttpOptions::default()).await).await;
    let authorized = format!("authorization: {ROOT}");
    for (head, status) in [
        ("POST /api/v1/write?db=public HTTP/1.1".to_owned(), 401),
        ("POST /api/v1/write HTTP/1.1\nauthorization: Basic cm9vdDp4".to_owned(), 401),
        ("POST /write?u=root&p= HTTP/1.1".to_owned(), 401),
        (format!("POST /api/v1/sql HTTP/1.1\n{authorized}"), 413),
        (format!("POST /api/v1/write?database=public HTTP/1.1\n{authorized}"), 400),
        (format!("POST /api/v1/write?db=none HTTP/1.1\n{authorized}"), 422),
        (format!("POST /write?db=none HTTP/1.1\n{authorized}"), 404),
        (format!("POST /api/v1/write?tenant=none HTTP/1.1\n{authorized}"), 401),
        (format!("POST /api/v1/write HTTP/1.1\n{authorized}\ncontent-encoding: rot13"), 400),
        (format!("PUT /api/v1/write HTTP/1.1\n{authorized}"), 405),
        (format!("POST /nowhere HTTP/1.1\n{authorized}"), 404),
        (format!("POST /api/v1/write HTTP/1.1\n{authorized}"), 100),
        (format!("POST /write?db=public HTTP/1.1\n{authorized}"), 100),
    ] {
        let line = first_line(server.address, &head).await;
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {line}");
    }
}

#[tokio::test]
async fn a_query_and_a_mode_are_refused_without_the_body() {
    let options = HttpOptions { mode: Mode::ReadOnly, ..HttpOptions::default() };
    let server = start(app_with(Limits::default(), options).await).await;
    for (target, header, status) in [
        ("/api/v1/sql", "accept: image/png", 400),
        ("/api/v1/sql", "accept-encoding: identity;q=0", 400),
        ("/api/v1/sql?stream_trigger_interval=x", "accept: */*", 400),
        ("/api/v1/write", "accept: */*", 403),
        ("/api/v1/sql", "accept: */*", 100),
    ] {
        let head = format!("POST {target} HTTP/1.1\nauthorization: {ROOT}\n{header}");
        let line = first_line(server.address, &head).await;
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{target} {header}: {line}");
    }
}

/// Whoever sends all before it reads sees why it was refused, whatever the reason, and may go on.
#[tokio::test]
async fn the_sender_of_a_refused_body_sees_the_answer() {
    let server = start(app().await).await;
    for (target, status) in [("/api/v1/write?db=public", 401), ("/nowhere", 404)] {
        let mut bytes = format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 30000000\r\n\r\n").into_bytes();
        bytes.resize(bytes.len() + 30_000_000, b'#');
        bytes.extend_from_slice(b"GET /api/v1/ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = talk(server.address, &bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("HTTP/1.1 200 OK"), "{answer}");
    }
}

/// What somebody on the way could read as another request, or as one for another host.
#[tokio::test]
async fn heads_that_could_be_read_in_two_ways_are_refused() {
    let server = start(app().await).await;
    let write = format!("POST /api/v1/write HTTP/1.1\r\nauthorization: {ROOT}\r\n");
    let body = "5\r\nm f=1\r\n0\r\n\r\n";
    for (request, status) in [
        ("GET /api/v1/ping HTTP/1.0\r\n\r\n".to_owned(), 200),
        ("GET /api/v1/ping HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET /api/v1/ping HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n".to_owned(), 400),
        (
            format!("{write}host: x\r\nauthorization: {ROOT}\r\ncontent-length: 5\r\nconnection: close\r\n\r\nm f=1"),
            400,
        ),
        (format!("{write}host: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n{body}"), 400),
        (format!("{write}host: x\r\ntransfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n{body}"), 400),
        (format!("{write}host: x\r\ntransfer-encoding: Chunked\r\nconnection: close\r\n\r\n{body}"), 200),
    ] {
        // Without a "close" of the client's the server has to close, or this would wait for half a minute.
        let answer = tokio::time::timeout(Duration::from_secs(20), talk(server.address, request.as_bytes())).await;
        let answer = answer.unwrap_or_else(|_| panic!("left open: {request}"));
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) || answer.starts_with(&format!("HTTP/1.0 {status}")),
            "{request}\n{answer}"
        );
    }
}
