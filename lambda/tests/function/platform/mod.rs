//! AWS Lambda, as far as a function sees it: processes with a Runtime API each, one invocation at a
//! time, frozen in between, killed at their deadline; a function URL in front; limits of sizes.
//!
//! | as on AWS | |
//! |---|---|
//! | an event | 6 MiB at most |
//! | an answer that is not streamed | 6 MiB and 100 bytes at most |
//! | a process that is busy | gets no other event; another process is started, up to the concurrency |
//! | a process between two events | is stopped (SIGSTOP) |
//!
//! Not here: authentication, shares of a processor, memory, bandwidth.

mod environment;
mod event;
mod front;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Request, Response, send};
use crate::server::{ROOT, Target};

pub use environment::Environment;
pub use event::{created, queued, schedule};

use environment::{Answers, Message};

/// What one event may hold.
pub const EVENT_BYTES: usize = 6 << 20;
/// What an answer that is not streamed may hold.
const ANSWER_BYTES: usize = EVENT_BYTES + 100;

/// How a function is set up.
#[derive(Debug, Clone)]
pub struct Options {
    pub environment: Vec<(String, String)>,
    pub timeout: Duration,
    pub concurrency: usize,
    pub memory: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { environment: Vec::new(), timeout: Duration::from_secs(60), concurrency: 100, memory: 512 }
    }
}

impl Options {
    pub fn set(mut self, name: &str, value: &str) -> Options {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A deployed function.
pub struct Function {
    /// Where its URL is served.
    pub address: String,
    inner: Arc<Inner>,
}

struct Inner {
    target: Target,
    options: Options,
    environments: Mutex<Vec<Arc<Environment>>>,
    started: AtomicUsize,
    folder: TempDir,
}

/// Why an invocation has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    TooLarge,
    Throttled,
    /// The function's doing: an error, its end, its time.
    Function(String),
}

impl Function {
    /// A function on a store. No process is started before it is needed.
    pub async fn deploy(target: &Target, options: Options) -> Function {
        let folder = TempDir::new().expect("a temporary folder");
        let inner = Arc::new(Inner {
            target: target.clone(),
            options,
            environments: Mutex::default(),
            started: AtomicUsize::new(0),
            folder,
        });
        let address: SocketAddr = front::serve(inner.clone()).await;
        Function { address: address.to_string(), inner }
    }

    /// Invokes it with any event, and gives its answer.
    pub async fn invoke(&self, event: &Value) -> Result<Value, Failure> {
        self.inner.invoke(event.to_string()).await
    }

    pub fn environments(&self) -> Vec<Arc<Environment>> {
        self.inner.environments.lock().expect("no panic").clone()
    }

    /// Ends every process, as the platform does with those that nobody needs any more.
    pub fn forget(&self) {
        for environment in self.environments() {
            environment.kill();
        }
        self.inner.environments.lock().expect("no panic").clear();
    }

    /// What all its processes have printed.
    pub fn log(&self) -> String {
        let text = |number| std::fs::read_to_string(self.inner.log(number)).unwrap_or_default();
        (0..self.inner.started.load(Ordering::SeqCst)).map(text).collect()
    }

    /// The lines of metrics that its processes have printed.
    pub fn metrics(&self) -> Vec<Value> {
        let lines = self.log();
        let parsed = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed.filter(|line| line.get("_aws").is_some()).collect()
    }

    /// Waits until no process has anything to do any more: a client has its answer a moment earlier, and
    /// its next request would start another process.
    pub async fn idle(&self) {
        while self.environments().iter().any(|environment| environment.is_busy() && !environment.is_dead()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub async fn write(&self, lines: impl Into<Vec<u8>>) -> Response {
        let response = write_to(&self.address, lines).await.expect("an answer to a write");
        self.idle().await;
        response
    }

    pub async fn sql(&self, text: &str) -> Response {
        let request = Request::new("POST", "/api/v1/sql?db=public", text)
            .header("Authorization", ROOT)
            .header("Accept", "text/csv");
        let response = send(&self.address, &request).await.expect("an answer to a query");
        self.idle().await;
        response
    }

    /// The text of a query that has to succeed.
    pub async fn answer(&self, text: &str) -> String {
        let response = self.sql(text).await;
        assert_eq!(response.status, 200, "{text}: {}\n{}", response.text(), self.log());
        assert!(response.complete, "{text}: the answer was cut");
        response.text()
    }
}

/// Writes to a function that others write to as well.
pub async fn write_to(address: &str, lines: impl Into<Vec<u8>>) -> std::io::Result<Response> {
    let request = Request::new("POST", "/api/v1/write?db=public", lines).header("Authorization", ROOT);
    send(address, &request).await
}

impl Drop for Function {
    fn drop(&mut self) {
        self.forget();
        if std::thread::panicking() {
            eprintln!("--- log of the function ---\n{}", self.log());
        }
    }
}

impl Inner {
    fn log(&self, number: usize) -> std::path::PathBuf {
        Path::new(self.folder.path()).join(format!("{number}.log"))
    }

    /// A process that is free, or a new one.
    async fn environment(self: &Arc<Self>) -> Result<Arc<Environment>, Failure> {
        let number = {
            let mut environments = self.environments.lock().expect("no panic");
            environments.retain(|environment| !environment.is_dead());
            if let Some(free) = environments.iter().find(|environment| environment.take()) {
                return Ok(free.clone());
            }
            if environments.len() >= self.options.concurrency {
                return Err(Failure::Throttled);
            }
            self.started.fetch_add(1, Ordering::SeqCst)
        };
        let environment = Environment::start(&self.target, &self.options, &self.log(number)).await;
        self.environments.lock().expect("no panic").push(environment.clone());
        Ok(environment)
    }

    /// Gives an event to a process. The answers have to be read to their end.
    async fn begin(self: &Arc<Self>, event: String) -> Result<Answers, Failure> {
        if event.len() > EVENT_BYTES {
            return Err(Failure::TooLarge);
        }
        Ok(self.environment().await?.give(event, self.options.timeout))
    }

    async fn invoke(self: &Arc<Self>, event: String) -> Result<Value, Failure> {
        let mut answers = self.begin(event).await?;
        match answers.next().await {
            Some(Message::Value(bytes)) if bytes.len() > ANSWER_BYTES => {
                Err(Failure::Function(format!("an answer of {} bytes", bytes.len())))
            }
            Some(Message::Value(bytes)) => {
                serde_json::from_slice(&bytes).map_err(|error| Failure::Function(error.to_string()))
            }
            Some(Message::Prelude(prelude)) => gather(prelude, answers).await,
            Some(Message::Failed(why)) => Err(Failure::Function(why)),
            other => Err(Failure::Function(format!("no answer but {other:?}"))),
        }
    }
}

/// A streamed answer as somebody sees it who does not take streams.
async fn gather(mut answer: Value, mut answers: Answers) -> Result<Value, Failure> {
    let mut body = Vec::new();
    loop {
        match answers.next().await {
            Some(Message::Data(data)) => body.extend_from_slice(&data),
            Some(Message::End) => break,
            other => return Err(Failure::Function(format!("{other:?}"))),
        }
    }
    answer["body"] = String::from_utf8_lossy(&body).into_owned().into();
    Ok(answer)
}
