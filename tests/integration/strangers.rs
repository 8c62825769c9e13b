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
            if held.len() % 2 == 0 {
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
