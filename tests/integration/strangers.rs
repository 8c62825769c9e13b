//! Clients without credentials that hold what they can of a server: others do not notice.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Request, send};
use crate::server::{NO_MAINTENANCE, Server, Target};

/// How long a request may take beside those who only hold connections. Without the limits it is never, or 19 seconds.
const SOON: Duration = Duration::from_secs(10);

/// Holds connections, opens those again that were closed, and says nothing on most.
async fn hold(address: String, connections: usize) {
    let mut held: Vec<TcpStream> = Vec::new();
    loop {
        while held.len() < connections {
            let Ok(mut stream) = TcpStream::connect(&address).await else { break };
            if held.len().is_multiple_of(2) {
                let _ =
                    stream.write_all(b"POST /api/v1/write HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nm").await;
            }
            held.push(stream);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut answer = [0; 4_096];
        held.retain(|stream| {
            loop {
                match stream.try_read(&mut answer) {
                    Ok(0) => break false,
                    Ok(_) => {}
                    Err(error) => break error.kind() == std::io::ErrorKind::WouldBlock,
                }
            }
        });
    }
}

/// The shell limits the server's open files as the words say, and the server takes as many connections as fit.
async fn others_are_served_beside(connections: usize, limit: &str) {
    let store = TempDir::new().expect("a temporary folder");
    let shell = format!("{limit}; exec \"$@\"");
    let server =
        Server::start_under(&["bash", "-c", &shell, "siltdb"], &Target::folder(store.path()), NO_MAINTENANCE).await;
    server.write("public", "m f=0 0").await;
    let strangers = tokio::spawn(hold(server.address.clone(), connections));
    tokio::time::sleep(Duration::from_secs(1)).await;
    for number in 1..=20 {
        let began = Instant::now();
        server.write("public", &format!("m f={number} {number}")).await;
        let fresh = send(&server.address, &Request::new("GET", "/api/v1/ping", "")).await.expect("an answer");
        assert_eq!(fresh.status, 200);
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }
    assert_eq!(server.number("public", "SELECT count(*) AS n FROM m").await, 21);
    assert!(!server.log().contains("could not be accepted"), "{}", server.log());
    strangers.abort();
    server.terminate().await;
}

/// The limit of a shell is raised, as far as it may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_low_limit_of_open_files_is_raised() {
    others_are_served_beside(600, "ulimit -Sn 300").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_leave_the_store_its_files() {
    others_are_served_beside(600, "ulimit -n 400").await;
}

/// The address after these words in a line of the log.
async fn said(server: &Server, words: &str) -> String {
    for _ in 0..1_000 {
        if let Some((_, rest)) = server.log().split_once(words) {
            return rest.chars().take_while(|next| !next.is_whitespace() && *next != '/').collect();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {words}:\n{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_have_a_listener_of_their_own() {
    let store = TempDir::new().expect("a temporary folder");
    let arguments = ["--metrics-listen", "127.0.0.1:0", "--open-metrics", "never"];
    let server = Server::start(&Target::folder(store.path()), &arguments).await;
    let metrics = said(&server, "metrics on http://").await;
    for (address, target, status) in [
        (&server.address, "/metrics", 401),
        (&metrics, "/metrics", 200),
        (&metrics, "/api/v1/ping", 200),
        (&metrics, "/api/v1/sql", 404),
    ] {
        let answer = send(address, &Request::new("GET", target, "")).await.expect("an answer");
        assert_eq!(answer.status, status, "{address} {target}: {}", answer.text());
    }
    server.terminate().await;
}

/// A guesser leaves a trail, and nothing in the log that he wrote himself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_login_is_told() {
    let store = TempDir::new().expect("a temporary folder");
    let server = Server::start(&Target::folder(store.path()), NO_MAINTENANCE).await;
    // "evil\n2026 ERROR forged\u{1b}[2J:guess"
    let request = Request::new("POST", "/api/v1/sql", "select 1")
        .header("Authorization", "Basic ZXZpbAoyMDI2IEVSUk9SIGZvcmdlZBtbMko6Z3Vlc3M=");
    assert_eq!(server.send(&request).await.expect("an answer").status, 401);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("a login was refused")).expect("a line of the log");
    assert!(line.contains("127.0.0.1") && line.contains(r"evil\n2026 ERROR forged"), "{line}");
    assert!(
        !log.lines().any(|line| line.starts_with("2026 ERROR")) && !log.contains("[2J:") && !log.contains("guess"),
        "{log}"
    );
    server.terminate().await;
}
