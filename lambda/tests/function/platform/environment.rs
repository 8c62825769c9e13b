//! One process, and the Runtime API that it sees.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path as Segments, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::Options;
use crate::server::Target;

/// What a stream may hold.
const STREAM_BYTES: usize = 200 << 20;
const PRELUDE_END: [u8; 8] = [0; 8];
/// Messages of an answer that wait for its reader.
const QUEUE: usize = 4;

/// A piece of an answer.
#[derive(Debug)]
pub enum Message {
    /// All of it, from a function that does not stream.
    Value(Bytes),
    /// Status, headers and cookies of a streamed one.
    Prelude(Value),
    Data(Bytes),
    End,
    Failed(String),
}

struct Work {
    id: String,
    event: String,
    deadline: Duration,
}

/// A process.
pub struct Environment {
    pub pid: u32,
    child: Mutex<Child>,
    work: mpsc::UnboundedSender<Work>,
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<Work>>,
    current: Mutex<Option<(String, mpsc::Sender<Message>)>>,
    busy: AtomicBool,
    dead: AtomicBool,
    invocations: AtomicU64,
}

/// The answer to one event, as it comes.
pub struct Answers {
    environment: Arc<Environment>,
    messages: mpsc::Receiver<Message>,
    deadline: tokio::time::Instant,
    ended: bool,
}

impl Environment {
    /// Starts a process, for one event that is to be given to it.
    pub async fn start(target: &Target, options: &Options, log: &Path) -> Arc<Environment> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let log = File::create(log).expect("a log");
        let mut command = Command::new(crate::bootstrap());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SILTDB_") || name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command
            .env("SILTDB_STORE", &target.store)
            .envs(target.environment.iter().map(|(name, value)| (name, value)))
            .envs(options.environment.iter().map(|(name, value)| (name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "siltdb")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", options.memory.to_string())
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        let child = command.spawn().expect("bootstrap runs");
        let (work, waiting) = mpsc::unbounded_channel();
        let environment = Arc::new(Environment {
            pid: child.id(),
            child: Mutex::new(child),
            work,
            waiting: tokio::sync::Mutex::new(waiting),
            current: Mutex::default(),
            busy: AtomicBool::new(true),
            dead: AtomicBool::new(false),
            invocations: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .with_state(environment.clone());
        tokio::spawn(async move { axum::serve(listener.tap_io(|io| drop(io.set_nodelay(true))), router).await });
        tokio::spawn(watch(Arc::downgrade(&environment)));
        environment
    }

    /// Takes it for an event, if it is free.
    pub fn take(&self) -> bool {
        !self.is_dead() && self.busy.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::SeqCst)
    }

    /// Gives it an event.
    pub fn give(self: &Arc<Self>, event: String, time: Duration) -> Answers {
        let (answers, messages) = mpsc::channel(QUEUE);
        let number = self.invocations.fetch_add(1, Ordering::SeqCst);
        let id = format!("{}-{number}", self.pid);
        *self.current.lock().expect("no panic") = Some((id.clone(), answers));
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + time;
        let work = Work { id, event, deadline };
        assert!(self.work.send(work).is_ok(), "the queue of a process is open");
        if self.is_dead() {
            self.fail("the process has ended");
        }
        Answers { environment: self.clone(), messages, deadline: tokio::time::Instant::now() + time, ended: false }
    }

    pub fn signal(&self, name: &str) {
        // The process may be gone already.
        let _ = Command::new("kill").args([&format!("-{name}"), &self.pid.to_string()]).stderr(Stdio::null()).status();
    }

    /// SIGKILL.
    pub fn kill(&self) {
        let mut child = self.child.lock().expect("no panic");
        let _ = child.kill();
        let _ = child.wait();
        drop(child);
        self.dead.store(true, Ordering::SeqCst);
        self.fail("the process was killed");
    }

    fn fail(&self, why: &str) {
        if let Some((_, answers)) = self.current.lock().expect("no panic").take() {
            // Nothing was sent before it, so there is room; who has gone needs no word.
            let _ = answers.try_send(Message::Failed(why.to_owned()));
        }
    }

    /// Where the answer to an event goes; `None` when it is awaited no more.
    fn answers_of(&self, id: &str) -> Option<mpsc::Sender<Message>> {
        let mut current = self.current.lock().expect("no panic");
        current.take_if(|(awaited, _)| awaited == id).map(|(_, answers)| answers)
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        if let Ok(child) = self.child.get_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Answers {
    /// The next piece. Past the deadline the process is killed.
    pub async fn next(&mut self) -> Option<Message> {
        if self.ended {
            return None;
        }
        let message = match timeout_at(self.deadline, self.messages.recv()).await {
            Ok(message) => message.unwrap_or_else(|| Message::Failed("the process gave no answer".to_owned())),
            Err(_) => {
                self.environment.kill();
                Message::Failed("timed out".to_owned())
            }
        };
        self.ended = !matches!(message, Message::Prelude(_) | Message::Data(_));
        Some(message)
    }
}

/// Notices the end of a process.
async fn watch(environment: std::sync::Weak<Environment>) {
    loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let Some(environment) = environment.upgrade() else { return };
        let ended = environment.child.lock().expect("no panic").try_wait();
        if let Ok(Some(status)) = ended {
            environment.dead.store(true, Ordering::SeqCst);
            environment.fail(&format!("the process ended: {status}"));
            return;
        }
    }
}

/// The process asks for its next event. While there is none it is frozen.
async fn next(State(environment): State<Arc<Environment>>) -> Response {
    let mut waiting = environment.waiting.lock().await;
    let work = match waiting.try_recv() {
        Ok(work) => work,
        Err(_) => {
            environment.signal("STOP");
            environment.busy.store(false, Ordering::SeqCst);
            let Some(work) = waiting.recv().await else { return StatusCode::GONE.into_response() };
            environment.signal("CONT");
            work
        }
    };
    let headers = [
        ("lambda-runtime-aws-request-id", work.id),
        ("lambda-runtime-deadline-ms", work.deadline.as_millis().to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:siltdb".to_owned()),
    ];
    (headers, work.event).into_response()
}

async fn response(
    State(environment): State<Arc<Environment>>,
    Segments(id): Segments<String>,
    request: Request,
) -> StatusCode {
    let Some(answers) = environment.answers_of(&id) else { return StatusCode::GONE };
    let mode = request.headers().get("lambda-runtime-function-response-mode");
    if mode.is_none_or(|mode| mode != "streaming") {
        let message = match request.into_body().collect().await {
            Ok(body) => Message::Value(body.to_bytes()),
            Err(error) => Message::Failed(error.to_string()),
        };
        let _ = answers.send(message).await;
        return StatusCode::ACCEPTED;
    }
    let last = match stream(request.into_body(), &answers).await {
        Ok(()) => Message::End,
        Err(why) => Message::Failed(why),
    };
    let _ = answers.send(last).await;
    StatusCode::ACCEPTED
}

/// Passes a streamed answer on.
async fn stream(mut body: Body, answers: &mpsc::Sender<Message>) -> Result<(), String> {
    let mut head = Some(BytesMut::new());
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                match trailers.get("lambda-runtime-function-error-type") {
                    Some(kind) => return Err(format!("failed: {kind:?}")),
                    None => continue,
                }
            }
        };
        bytes += data.len();
        if bytes > STREAM_BYTES {
            return Err(format!("a stream of more than {STREAM_BYTES} bytes"));
        }
        let Some(mut begun) = head.take() else {
            let _ = answers.send(Message::Data(data)).await;
            continue;
        };
        begun.extend_from_slice(&data);
        let Some(at) = begun.windows(PRELUDE_END.len()).position(|window| window == PRELUDE_END) else {
            head = Some(begun);
            continue;
        };
        let prelude = serde_json::from_slice(&begun[..at]).map_err(|error| format!("the prelude: {error}"))?;
        let _ = answers.send(Message::Prelude(prelude)).await;
        let rest = begun.freeze().slice(at + PRELUDE_END.len()..);
        if !rest.is_empty() {
            let _ = answers.send(Message::Data(rest)).await;
        }
    }
    if head.is_none() { Ok(()) } else { Err("an answer without a prelude".to_owned()) }
}

async fn error(
    State(environment): State<Arc<Environment>>,
    Segments(id): Segments<String>,
    body: String,
) -> StatusCode {
    let Some(answers) = environment.answers_of(&id) else { return StatusCode::GONE };
    let _ = answers.send(Message::Failed(body)).await;
    StatusCode::ACCEPTED
}

async fn init_error(State(environment): State<Arc<Environment>>, body: String) -> StatusCode {
    environment.fail(&body);
    StatusCode::ACCEPTED
}
