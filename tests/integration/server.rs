//! The real binary as child processes: servers on free ports of 127.0.0.1, and the other commands.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Request, Response, send};

/// `root:` in base64: the user every store begins with, and the empty password.
pub const ROOT: &str = "Basic cm9vdDo=";

/// How long a process may take to start or to stop. Generous: nothing is concluded from speed.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);

/// Settings that keep a server from doing any housekeeping while a test runs.
pub const NO_MAINTENANCE: &[&str] = &["--maintenance", "false"];
/// Settings that make a server flush as often as it can.
pub const EAGER_FLUSH: &[&str] = &["--flush-segments", "2", "--flush-age", "1s"];

/// A store and what a process needs to reach it.
#[derive(Debug, Clone)]
pub struct Target {
    pub store: String,
    pub environment: Vec<(String, String)>,
}

impl Target {
    pub fn folder(path: &Path) -> Target {
        Target { store: path.to_string_lossy().into_owned(), environment: Vec::new() }
    }

    fn command(&self, verb: &str) -> Command {
        self.command_under(&[], verb)
    }

    /// A command that another program starts, whose words these are.
    fn command_under(&self, starter: &[&str], verb: &str) -> Command {
        let mut words = starter.iter().copied().chain([crate::siltdb()]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        // No setting of the person who runs the tests may change their outcome.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SILTDB_")) {
            command.env_remove(name);
        }
        command.args([verb, "--store", &self.store]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, verb: &str, arguments: &[&str]) -> Output {
        self.command(verb).args(arguments).output().expect("the binary runs")
    }

    /// Runs a command that another program starts to its end, which has to come, with something on its standard
    /// input.
    pub fn run_under(&self, starter: &[&str], verb: &str, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command_under(starter, verb);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        // Who refuses to start need not read.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        let began = Instant::now();
        while child.try_wait().expect("a child of ours").is_none() {
            if began.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("siltdb {verb} {arguments:?} on {} did not end", self.store);
            }
            std::thread::sleep(POLL);
        }
        child.wait_with_output().expect("it has ended")
    }

    /// Makes the store, which no command but `serve` does.
    pub async fn make(&self) {
        Server::start(self, NO_MAINTENANCE).await.terminate().await;
    }

    /// Starts a command without waiting for it. What it says is not kept.
    pub fn spawn(&self, verb: &str) -> Child {
        let mut command = self.command(verb);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts")
    }

    /// Settles everything: flush and merge until nothing is left to do.
    pub fn maintain(&self) {
        self.succeed("maintain", &[]);
    }

    /// Settles everything and deletes at once what is not needed any more.
    pub fn collect_at_once(&self) {
        self.succeed("maintain", &["--grace", "0s"]);
    }

    /// Flushes tails into data files and merges none.
    pub fn flush(&self) {
        self.succeed("maintain", &["flush"]);
    }

    /// `siltdb check` finds the store clean.
    pub fn check(&self) {
        self.succeed("check", &[]);
    }

    fn succeed(&self, verb: &str, arguments: &[&str]) {
        let output = self.run(verb, arguments);
        assert!(
            output.status.success(),
            "siltdb {verb} {arguments:?} on {}: {}\n{}{}",
            self.store,
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// A running server. Killed when dropped; its log is printed if the test has failed.
#[derive(Debug)]
pub struct Server {
    pub address: String,
    child: Child,
    log: PathBuf,
    _folder: TempDir,
}

impl Server {
    /// Starts a server and waits until it answers.
    pub async fn start<A: AsRef<str>>(target: &Target, arguments: &[A]) -> Server {
        Server::start_under(&[], target, arguments).await
    }

    /// The same, started by another program.
    pub async fn start_under<A: AsRef<str>>(starter: &[&str], target: &Target, arguments: &[A]) -> Server {
        let folder = TempDir::new().expect("a temporary folder");
        let log = folder.path().join("log");
        let file = File::create(&log).expect("a log file");
        let mut command = target.command_under(starter, "serve");
        command.args(["--listen", "127.0.0.1:0"]).args(arguments.iter().map(AsRef::as_ref));
        command.stdout(file.try_clone().expect("a second handle")).stderr(file);
        let child = command.spawn().expect("the binary starts");
        let mut server = Server { address: String::new(), child, log, _folder: folder };
        server.wait_until_it_answers().await;
        server
    }

    async fn wait_until_it_answers(&mut self) {
        let began = Instant::now();
        let ping = Request::new("GET", "/api/v1/ping", "");
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                panic!("the server ended at its start: {status}\n{}", self.log());
            }
            if let Some(address) = bound_address(&self.log())
                && matches!(send(&address, &ping).await, Ok(response) if response.status == 200)
            {
                self.address = address;
                return;
            }
            assert!(began.elapsed() < PATIENCE, "the server did not start:\n{}", self.log());
            tokio::time::sleep(POLL).await;
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: what a crash, a power cut or the kernel's memory killer does.
    pub fn kill9(&mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
    }

    /// SIGTERM, without waiting.
    pub fn ask_to_stop(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the end of the process.
    pub async fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the server did not stop:\n{}", self.log());
            tokio::time::sleep(POLL).await;
        }
    }

    /// SIGTERM; the server has to end with exit code 0.
    pub async fn terminate(mut self) {
        self.ask_to_stop();
        let status = self.ended().await;
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// The most bytes that the process ever had in memory.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM")
    }

    /// Bytes of the program itself, and of other files, in memory.
    pub fn program_memory(&self) -> u64 {
        self.memory("RssFile")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("a line");
        line.trim().trim_end_matches("kB").trim_end().parse::<u64>().expect("a number") << 10
    }

    /// A number of `/metrics` without labels.
    pub async fn metric(&self, name: &str) -> u64 {
        let page = self.send(&Request::new("GET", "/metrics", "")).await.expect("a page").text();
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{page}"))
    }

    pub async fn send(&self, request: &Request) -> io::Result<Response> {
        send(&self.address, request).await
    }

    /// Writes line protocol; it has to be acknowledged.
    pub async fn write(&self, db: &str, lines: &str) {
        let response = write_to(&self.address, db, lines).await.expect("an answer to a write");
        assert_eq!(response.status, 200, "{}", response.text());
    }

    pub async fn sql(&self, db: &str, text: &str, accept: &str) -> Response {
        sql_on(&self.address, db, text, accept).await.expect("an answer to a query")
    }

    /// The rows of a statement that has to succeed, as JSON objects.
    pub async fn rows(&self, db: &str, text: &str) -> Vec<Value> {
        let response = self.sql(db, text, "application/json").await;
        assert_eq!(response.status, 200, "{text}: {}", response.text());
        assert!(response.complete, "{text}: the answer was cut");
        serde_json::from_slice(&response.body).expect("JSON rows")
    }

    /// The only value of the only row, under the name `n`.
    pub async fn number(&self, db: &str, text: &str) -> i64 {
        let rows = self.rows(db, text).await;
        assert_eq!(rows.len(), 1, "{text}");
        rows[0]["n"].as_i64().unwrap_or_else(|| panic!("{text}: {rows:?}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the server on {} ---\n{}", self.address, self.log());
        }
    }
}

/// Writes line protocol to a server that may be gone.
pub async fn write_to(address: &str, db: &str, lines: &str) -> io::Result<Response> {
    let request = Request::new("POST", &format!("/api/v1/write?db={db}"), lines).header("Authorization", ROOT);
    send(address, &request).await
}

/// Asks a server that may be gone.
pub async fn sql_on(address: &str, db: &str, text: &str, accept: &str) -> io::Result<Response> {
    let request = Request::new("POST", &format!("/api/v1/sql?db={db}"), text)
        .header("Authorization", ROOT)
        .header("Accept", accept);
    send(address, &request).await
}

/// The address in the line that says where the server listens; port 0 is what was asked for.
fn bound_address(log: &str) -> Option<String> {
    log.lines().filter(|line| line.contains("listens on")).find_map(|line| {
        let (_, rest) = line.split_once("127.0.0.1:")?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let port: u16 = digits.parse().ok()?;
        (port != 0).then(|| format!("127.0.0.1:{port}"))
    })
}
