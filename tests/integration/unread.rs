//! The memory of a server is what its settings say, whatever clients ask for and however they read it.
//!
//! What is measured is the most that the process ever had for itself (VmHWM less the program's own pages),
//! against its total and a quarter of that.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::server::{NO_MAINTENANCE, ROOT, Server, Target, sql_on, write_to};

const MIB: u64 = 1 << 20;
/// Memory of the servers here.
const TOTAL: u64 = 320 * MIB;
/// As many as queries that may run at once.
const CLIENTS: usize = 32;

async fn server(folder: &TempDir, arguments: &[&str]) -> Server {
    let target = Target::folder(folder.path());
    let total = (TOTAL / MIB).to_string() + "MiB";
    let mut all = vec!["--memory-bytes", total.as_str(), "--query-memory-bytes", "128MiB"];
    all.extend(NO_MAINTENANCE);
    all.extend(arguments);
    let server = Server::start(&target, &all).await;
    server.write("public", "m v=1 1").await;
    assert_eq!(server.number("public", "SELECT count(*) AS n FROM m").await, 1);
    server
}

/// A client with a small window that asks and then reads nothing.
async fn ask_and_wait(address: &str, sql: &str, accept: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let mut stream = socket.connect(address.parse().expect("an address")).await.expect("a connection");
    let head = format!(
        "POST /api/v1/sql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {ROOT}\r\nAccept: {accept}\r\nContent-Length: {}\r\n\r\n",
        sql.len()
    );
    stream.write_all(head.as_bytes()).await.expect("the head is taken");
    stream.write_all(sql.as_bytes()).await.expect("the statement is taken");
    stream
}

/// Writes go on while clients do what they do, and the memory stays where it has to.
async fn holds(server: &Server, base: u64) {
    for number in 0..20 {
        let written = write_to(&server.address, "public", &format!("m v={number} {number}")).await;
        assert_eq!(written.expect("an answer to a write").status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let most = server.peak_memory() - base;
    assert!(most <= TOTAL / 4 * 5, "{} MiB of {}", most / MIB, TOTAL / MIB);
}

/// Waits until the server has given back what it took, and answers again.
async fn recovers(server: &Server) {
    let began = Instant::now();
    loop {
        let answer = sql_on(&server.address, "public", "SELECT count(*) AS n FROM m", "text/csv").await;
        let reserved = server.metric("siltdb_query_memory_bytes").await;
        if answer.expect("an answer").status == 200 && reserved < 4 * MIB {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{reserved} bytes are still reserved");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// As many clients as there can be ask and do not read; the memory holds, writes go on, and all of it comes back.
async fn nobody_reads(sql: &str, accept: &str) {
    let folder = TempDir::new().expect("a temporary folder");
    let server = server(&folder, &["--result-idle-time", "3s"]).await;
    let base = server.program_memory();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(ask_and_wait(&server.address, sql, accept).await);
    }
    holds(&server, base).await;
    recovers(&server).await;
    holds(&server, base).await;
    // All were answered or given up.
    for mut client in clients {
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(60), client.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "a client of {sql} is still waited for after {} bytes", answer.len());
    }
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_nobody_reads() {
    nobody_reads("SELECT value, repeat('a', 3000) FROM generate_series(1, 1000000)", "text/csv").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_results_that_nobody_reads() {
    nobody_reads("SELECT repeat('a', 1000000) x FROM generate_series(1, 4)", "text/csv").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_json_that_nobody_reads() {
    let columns = (0..4).map(|number| format!("repeat('\"', 1000000 + cast(value as bigint)) c{number}"));
    let columns: Vec<String> = columns.collect();
    let sql = format!("SELECT {} FROM generate_series(1, 3)", columns.join(", "));
    nobody_reads(&sql, "application/json").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_who_does_not_read() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = server(&folder, &[]).await;
    let mut clients = Vec::new();
    for sql in [
        "SELECT value, repeat('a', 3000) FROM generate_series(1, 1000000)",
        "SELECT repeat('a', 8000000) x FROM generate_series(1, 1)",
    ] {
        let mut client = ask_and_wait(&server.address, sql, "text/csv").await;
        // The answer has begun.
        client.read_u8().await.expect("a byte of the answer");
        clients.push(client);
    }
    let began = Instant::now();
    server.terminate().await;
    // Of the thirty seconds that requests have.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
