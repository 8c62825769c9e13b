//! Those without credentials, and one client among others.

use std::net::IpAddr;
use std::time::Duration;

use futures::stream;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::server::{start, talk};
use super::*;

fn from(last: u8, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(ClientAddress(IpAddr::from([10, 0, 0, last])));
    request
}

fn posted(body: impl Into<Body>) -> Request<Body> {
    request("POST", "/api/v1/write", &[("authorization", ROOT)], body)
}

/// A body that says so much at once, and then no more.
fn begun(bytes: usize) -> Body {
    let first = stream::once(async move { Ok::<_, std::io::Error>(Bytes::from(vec![b'#'; bytes])) });
    Body::from_stream(first.chain(stream::pending()))
}

#[tokio::test]
async fn nothing_is_read_of_a_stranger() {
    let app = app().await;
    for target in ["/api/v1/write", "/api/v1/sql", "/write"] {
        let untouched =
            Body::from_stream(stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> {
                panic!("a body was read before the credentials");
            }));
        for authorization in ["Basic cm9vdDp4", "Basic bm9ib2R5Og=="] {
            let refused = call(&app, "POST", target, &[("authorization", authorization)], "").await;
            assert_eq!(refused.status, 401);
        }
        let response = router(app.clone()).oneshot(request("POST", target, &[], untouched)).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(app.inner.logins.counts(), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sent_at_once_pays_for_no_pause() {
    let app = app().await;
    let began = Instant::now();
    let first = stream::once(async { Bytes::from(vec![b'#'; 1 << 20]) });
    let slow = stream::iter(0..20).then(|_| async {
        tokio::time::sleep(Duration::from_secs(29)).await;
        Bytes::from_static(b"#")
    });
    let body = Body::from_stream(first.chain(slow).map(Ok::<_, std::io::Error>));
    let refused = send(&app, posted(body)).await;
    assert_eq!(refused.status, 408, "{}", refused.text());
    assert!(began.elapsed() < Duration::from_secs(150), "{:?}", began.elapsed());
}

#[tokio::test]
async fn one_client_does_not_take_the_memory_of_all() {
    let options = HttpOptions { body_memory_bytes: 1 << 20, ..HttpOptions::default() };
    let app = app_with(Limits::default(), options).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let app = app.clone();
        held.push(tokio::spawn(async move { send(&app, from(1, posted(begun(100 << 10)))).await.status }));
        tokio::task::yield_now().await;
    }
    let large = vec![b'#'; 200 << 10];
    while app.inner.body_memory.held_bytes() < 400 << 10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(send(&app, from(1, posted(large.clone()))).await.status, 429);
    assert_eq!(send(&app, from(2, posted(large))).await.status, 200);
    // And something small always comes through.
    assert_eq!(send(&app, from(1, posted("m f=1"))).await.status, 200);
    held.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A connection whose client asks, and keeps it.
struct Kept(TcpStream);

impl Kept {
    async fn ask(&mut self) -> std::io::Result<String> {
        let head =
            format!("POST /api/v1/sql HTTP/1.1\r\nhost: x\r\nauthorization: {ROOT}\r\ncontent-length: 8\r\n\r\n");
        self.0.write_all(format!("{head}select 1").as_bytes()).await?;
        let mut answer = vec![0; 1_000];
        let read = timeout(Duration::from_secs(60), self.0.read(&mut answer)).await??;
        Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
    }
}

#[tokio::test]
async fn strangers_who_hold_connections_leave_room_for_others() {
    let server =
        start(app_with(Limits::default(), HttpOptions { connections: 16, ..HttpOptions::default() }).await).await;
    let mut kept = Kept(TcpStream::connect(server.address).await.unwrap());
    assert!(kept.ask().await.unwrap().starts_with("HTTP/1.1 200"));
    let mut strangers = Vec::new();
    for number in 0..100 {
        let mut stranger = TcpStream::connect(server.address).await.unwrap();
        // Silent ones, those in the middle of a head, and those who were told to leave.
        let says = [
            "",
            "GET /api/v1/ping HTTP/1.1\r\nx:",
            "POST /api/v1/write HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nm",
        ];
        let _ = stranger.write_all(says[number % 3].as_bytes()).await;
        strangers.push(stranger);
        if number % 10 == 0 {
            assert!(kept.ask().await.unwrap().starts_with("HTTP/1.1 200"), "{number}");
            let fresh = "GET /api/v1/ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            assert!(talk(server.address, fresh.as_bytes()).await.starts_with("HTTP/1.1 200"), "{number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_head_comes_soon_or_not_at_all() {
    let server = start(app().await).await;
    for (says, seconds) in [
        ("", 10..11),
        ("GET / HTTP/1.1\r\nhost: x\r\n", 10..11),
        ("GET /api/v1/ping HTTP/1.1\r\nhost: x\r\n\r\n", 30..31),
    ] {
        let began = Instant::now();
        talk(server.address, says.as_bytes()).await;
        assert!(seconds.contains(&began.elapsed().as_secs()), "{says}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn metrics_are_for_those_who_may_see_names() {
    let closed = app().await;
    let refused = call(&closed, "GET", "/metrics", &[], "").await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Basic realm=\"siltdb\"")));
    assert_eq!(call(&closed, "GET", "/metrics", &[("authorization", "Basic cm9vdDp4")], "").await.status, 401);
    let page = scrape(&closed).await;
    assert!(page.text().contains("siltdb_logins_refused_total{reason=\"denied\"} 1"), "{}", page.text());
    let open = app_with(Limits::default(), HttpOptions { open_metrics: true, ..HttpOptions::default() }).await;
    assert_eq!(call(&open, "GET", "/metrics", &[], "").await.status, 200);
    let alone = crate::http::metrics_page::router(closed.clone());
    for (target, status) in [("/metrics", 200), ("/api/v1/ping", 200), ("/api/v1/sql", 404)] {
        let response = alone.clone().oneshot(request("GET", target, &[], "")).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{target}");
    }
}
