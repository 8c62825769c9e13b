//! The real binary as child processes. None outlives the benchmark.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::process::{Child, Command};

use crate::client::{CSV, Connection};
use crate::machine::{self, CpuMeter};
use crate::report::{Result, since};

/// How long a process may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(5);

/// Settings of a server that never settles anything and never refuses a write for it.
pub const ALL_TAIL: &[&str] = &[
    "--maintenance=false",
    "--live-segments=100000000",
    "--live-segment-bytes=1TiB",
    "--tail-cache-bytes=8GiB",
    "--query-time=10m",
];

/// What to run, and with what more.
#[derive(Debug, Clone)]
pub struct Binary {
    pub path: PathBuf,
    pub server_arguments: Vec<String>,
}

impl Binary {
    fn command(&self, verb: &str, store: &Path) -> Command {
        let mut command = Command::new(&self.path);
        // No setting of the person who measures may change the figures unseen.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SILTDB_")) {
            command.env_remove(name);
        }
        command.arg(verb).arg("--store").arg(store).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs `siltdb maintain` with more arguments to its end.
    pub async fn maintain(&self, store: &Path, arguments: &[&str]) -> Result<Spent> {
        let cpu = machine::children_cpu_seconds()?;
        let begun = Instant::now();
        let mut command = self.command("maintain", store);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("{} does not start: {error}", self.path.display()))?;
        let process = child.id();
        let ending = child.wait_with_output();
        tokio::pin!(ending);
        let mut peak_bytes = 0;
        let output = loop {
            tokio::select! {
                output = &mut ending => break output?,
                () = tokio::time::sleep(POLL) => {
                    let memory = process.and_then(|process| machine::memory(process).ok());
                    peak_bytes = peak_bytes.max(memory.map_or(0, |(peak, _)| peak));
                }
            }
        };
        let wall = since(begun);
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("siltdb maintain {arguments:?}: {}: {said}", output.status).into());
        }
        Ok(Spent { cpu: machine::children_cpu_seconds()? - cpu, wall, peak_bytes })
    }
}

/// What a process took from its start to its end.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    pub cpu: f64,
    pub wall: f64,
    pub peak_bytes: u64,
}

/// What a server has asked of its object store.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    pub puts: u64,
    pub gets: u64,
    pub lists: u64,
    pub deletes: u64,
    pub segments: u64,
}

impl Counters {
    pub fn requests(&self) -> u64 {
        self.puts + self.gets + self.lists + self.deletes
    }

    pub fn minus(&self, before: &Counters) -> Counters {
        Counters {
            puts: self.puts - before.puts,
            gets: self.gets - before.gets,
            lists: self.lists - before.lists,
            deletes: self.deletes - before.deletes,
            segments: self.segments - before.segments,
        }
    }
}

/// A running server; killed when dropped.
pub struct Server {
    pub address: String,
    child: Child,
    process: u32,
    log: PathBuf,
    meter: Option<CpuMeter>,
}

impl Server {
    /// Starts a server and waits until it answers. Its log goes beside the store.
    pub async fn start(binary: &Binary, store: &Path, arguments: &[&str]) -> Result<Server> {
        let log = store.with_extension("log");
        let file = File::create(&log)?;
        let mut command = binary.command("serve", store);
        // What the person who measures says about a setting wins; saying it twice is an error.
        let name = |argument: &str| argument.split('=').next().unwrap_or_default().to_owned();
        let said: Vec<String> = binary.server_arguments.iter().map(|argument| name(argument)).collect();
        let arguments = arguments.iter().filter(|argument| !said.contains(&name(argument)));
        command.args(["--listen", "127.0.0.1:0"]).args(arguments).args(&binary.server_arguments);
        command.stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().map_err(|error| format!("{} does not start: {error}", binary.path.display()))?;
        let process = child.id().ok_or("the server ended at its start")?;
        let mut server = Server { address: String::new(), child, process, log, meter: None };
        server.wait_until_it_answers().await?;
        Ok(server)
    }

    async fn wait_until_it_answers(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the server ended at its start: {status}\n{}", self.last_words()).into());
            }
            if let Some(address) = bound_address(&std::fs::read_to_string(&self.log)?) {
                self.address = address;
                let mut connection = self.connect().await?;
                connection.send("GET", "/api/v1/ping", CSV, Bytes::new()).await?.good("ping")?;
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(format!("the server did not start within {PATIENCE:?}:\n{}", self.last_words()).into())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(&self.address).await
    }

    /// CPU-seconds so far, to 10 ms, of all threads there ever were.
    pub fn cpu_seconds(&self) -> Result<f64> {
        machine::cpu_seconds(self.process)
    }

    /// CPU-seconds so far, to the nanosecond; see [`CpuMeter`].
    pub fn exact_cpu_seconds(&mut self) -> Result<f64> {
        if let Some(meter) = &mut self.meter {
            return meter.look();
        }
        self.meter.insert(CpuMeter::new(self.process)?).look()
    }

    /// The most memory it has held, and what it holds now, bytes.
    pub fn memory(&self) -> Result<(u64, u64)> {
        machine::memory(self.process)
    }

    pub async fn counters(&self) -> Result<Counters> {
        let answer = self.connect().await?.send("GET", "/metrics", CSV, Bytes::new()).await?;
        let page = String::from_utf8_lossy(&answer.good("/metrics")?).into_owned();
        let value = |name: &str, label: &str| {
            let mut lines = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
            let number = lines.next().and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            number.map(|number| number as u64).ok_or_else(|| format!("/metrics has no {name} {label}"))
        };
        let operation = |name: &str| value("siltdb_store_requests_total", &format!("operation=\"{name}\""));
        Ok(Counters {
            puts: operation("put")?,
            gets: operation("get")?,
            lists: operation("list")?,
            deletes: operation("delete")?,
            segments: value("siltdb_segments_written_total", "")?,
        })
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        let asked = Command::new("kill").args(["-TERM", &self.process.to_string()]).status().await?;
        if !asked.success() {
            return Err(format!("the server could not be asked to stop:\n{}", self.last_words()).into());
        }
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(|status| status.success()) => Ok(()),
            Ok(status) => Err(format!("the server did not end well: {status:?}\n{}", self.last_words()).into()),
            Err(_) => Err(format!("the server did not stop within {PATIENCE:?}:\n{}", self.last_words()).into()),
        }
    }
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
