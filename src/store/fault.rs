//! Faults on demand: what networks and stores do to requests, for tests and simulation.
//!
//! The hook stands between the room's retries and the store, so each attempt meets it.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::backend::{Backend, BackendError, Glance, Page, PutMode};
use crate::model::clock::{Clock, ManualClock};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    Create,
    Overwrite,
    Get,
    List,
    Delete,
    BeginUpload,
    PutPart,
    CompleteUpload,
    AbortUpload,
}

/// What is to happen to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    Proceed,
    /// Proceeds after a while.
    Delay(Duration),
    /// Never sent: the caller sees 503.
    FailBefore,
    /// Sent and applied; the answer is lost and the caller sees a broken connection.
    FailAfter,
    /// Not applied; the caller sees 409, which the client reports as "exists".
    Conflict,
    /// Not applied; the caller sees 403.
    Refuse,
    /// Not applied; the caller sees a full disk.
    Full,
    /// Never sent and never answered.
    Hang,
    /// The caller sees a time-out; the request is applied later, whatever happens to the key meanwhile.
    LandLater(Landing),
    /// The body of a read ends after so many bytes.
    Cut(usize),
    /// A bit of the body of a read is turned over: bit `n` modulo its length.
    Flip(usize),
}

/// When a request that was reported as timed out is applied.
#[derive(Debug, Clone)]
pub enum Landing {
    After(Duration),
    /// When told, by [`Notify::notify_one`].
    When(Arc<Notify>),
}

/// Decides about each request. Called from many tasks at once, and must not block.
pub trait Faults: Send + Sync + fmt::Debug {
    /// Before a request is sent. A listing's path is its prefix.
    fn before(&self, operation: RequestKind, path: &str) -> Fault;

    /// After a request was carried out: only [`Fault::Delay`] and [`Fault::FailAfter`] have a meaning
    /// here. Not called where the fault before left nothing to carry out.
    fn after(&self, operation: RequestKind, path: &str) -> Fault {
        let _ = (operation, path);
        Fault::Proceed
    }
}

/// One request in so many fails, in a way drawn from a seed. Bodies are left whole.
#[derive(Debug)]
pub struct RandomFaults {
    /// Of 2^32.
    threshold: u64,
    random: ManualClock,
}

impl RandomFaults {
    /// `rate` is the share of requests that meet a fault, 0 to 1.
    pub fn new(rate: f64, seed: u64) -> Self {
        let threshold = (rate.clamp(0.0, 1.0) * (1u64 << 32) as f64) as u64;
        RandomFaults { threshold, random: ManualClock::new(0, seed) }
    }
}

impl Faults for RandomFaults {
    fn before(&self, operation: RequestKind, _path: &str) -> Fault {
        let random = self.random.random();
        if random >> 32 >= self.threshold {
            return Fault::Proceed;
        }
        let milliseconds = Duration::from_millis((random >> 8) % 2000);
        let writes = !matches!(operation, RequestKind::Get | RequestKind::List);
        match random % 8 {
            0 | 1 => Fault::Delay(milliseconds),
            2 if operation == RequestKind::Create => Fault::Conflict,
            3 | 4 if writes => Fault::FailAfter,
            5 if writes => Fault::LandLater(Landing::After(milliseconds * 30)),
            6 if writes => Fault::Hang,
            _ => Fault::FailBefore,
        }
    }
}

/// Faults in a given order: a request meets the first step that is for it, which is then used up.
#[derive(Debug)]
pub struct ScriptedFaults {
    steps: Mutex<VecDeque<ScriptedFault>>,
}

/// One fault of a script.
#[derive(Debug, Clone)]
pub struct ScriptedFault {
    pub operation: RequestKind,
    /// Text that the path must contain.
    pub path: String,
    pub fault: Fault,
}

impl ScriptedFaults {
    pub fn new(steps: impl IntoIterator<Item = ScriptedFault>) -> Self {
        ScriptedFaults { steps: Mutex::new(steps.into_iter().collect()) }
    }

    /// Faults for an operation on any path, in this order.
    pub fn on(operation: RequestKind, faults: impl IntoIterator<Item = Fault>) -> Self {
        let step = |fault| ScriptedFault { operation, path: String::new(), fault };
        ScriptedFaults::new(faults.into_iter().map(step))
    }

    /// Steps that no request has met yet.
    pub fn remaining(&self) -> usize {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Faults for ScriptedFaults {
    fn before(&self, operation: RequestKind, path: &str) -> Fault {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = steps.iter().position(|step| step.operation == operation && path.contains(&step.path));
        mine.and_then(|index| steps.remove(index)).map_or(Fault::Proceed, |step| step.fault)
    }
}

/// A store whose requests meet faults.
#[derive(Debug)]
pub(super) struct Faulty {
    inner: Arc<dyn Backend>,
    faults: Arc<dyn Faults>,
}

impl Faulty {
    pub(super) fn new(inner: Arc<dyn Backend>, faults: Arc<dyn Faults>) -> Self {
        Faulty { inner, faults }
    }

    /// Carries out `work` as the hook decides. `body` alters the body of a read.
    async fn meet<T: Send + 'static>(
        &self,
        operation: RequestKind,
        path: &str,
        work: impl Future<Output = Result<T, BackendError>> + Send + 'static,
        body: impl FnOnce(T, &Fault) -> T + Send,
    ) -> Result<T, BackendError> {
        let fault = self.faults.before(operation, path);
        let result = match &fault {
            Fault::Proceed | Fault::Cut(_) | Fault::Flip(_) => work.await,
            Fault::Delay(time) => {
                sleep(*time).await;
                work.await
            }
            Fault::FailBefore => return Err(BackendError::Transient("503 injected before sending".into())),
            Fault::FailAfter => {
                let _ = work.await;
                return Err(BackendError::Transient("connection reset injected after applying".into()));
            }
            Fault::Conflict => return Err(BackendError::Conflict("409 injected".into())),
            Fault::Full => return Err(BackendError::Full("no space left, injected".into())),
            Fault::Refuse => return Err(BackendError::Refused("403 injected".into())),
            Fault::Hang => std::future::pending().await,
            Fault::LandLater(landing) => {
                let landing = landing.clone();
                tokio::spawn(async move {
                    match landing {
                        Landing::After(time) => sleep(time).await,
                        Landing::When(told) => told.notified().await,
                    }
                    let _ = work.await;
                });
                return Err(BackendError::Transient("time-out injected".into()));
            }
        };
        match self.faults.after(operation, path) {
            Fault::FailAfter => return Err(BackendError::Transient("connection reset injected after applying".into())),
            Fault::Delay(time) => sleep(time).await,
            _ => {}
        }
        result.map(|value| body(value, &fault))
    }
}

/// Leaves an answer as it is.
fn whole<T>(value: T, _fault: &Fault) -> T {
    value
}

fn damage(bytes: Bytes, fault: &Fault) -> Bytes {
    match fault {
        Fault::Cut(length) => bytes.slice(..bytes.len().min(*length)),
        Fault::Flip(bit) if !bytes.is_empty() => {
            let mut damaged = bytes.to_vec();
            let bit = bit % (damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
            damaged.into()
        }
        _ => bytes,
    }
}

#[async_trait]
impl Backend for Faulty {
    async fn put(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<(), BackendError> {
        let operation = match mode {
            PutMode::Create | PutMode::CreateBeside => RequestKind::Create,
            PutMode::Overwrite => RequestKind::Overwrite,
        };
        let (inner, target) = (Arc::clone(&self.inner), path.to_owned());
        self.meet(operation, path, async move { inner.put(&target, bytes, mode).await }, whole).await
    }

    async fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Bytes, BackendError> {
        let (inner, target) = (Arc::clone(&self.inner), path.to_owned());
        self.meet(RequestKind::Get, path, async move { inner.get(&target, range).await }, damage).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, page: Option<&str>) -> Result<Page, BackendError> {
        let (inner, target) = (Arc::clone(&self.inner), prefix.to_owned());
        let (after, page) = (after.map(str::to_owned), page.map(str::to_owned));
        let work = async move { inner.list(&target, after.as_deref(), page.as_deref()).await };
        self.meet(RequestKind::List, prefix, work, whole).await
    }

    async fn glance(&self) -> Result<Glance, BackendError> {
        let inner = Arc::clone(&self.inner);
        self.meet(RequestKind::List, "", async move { inner.glance().await }, whole).await
    }

    async fn delete(&self, path: &str) -> Result<(), BackendError> {
        let (inner, target) = (Arc::clone(&self.inner), path.to_owned());
        self.meet(RequestKind::Delete, path, async move { inner.delete(&target).await }, whole).await
    }

    async fn begin_upload(&self, path: &str) -> Result<String, BackendError> {
        let (inner, target) = (Arc::clone(&self.inner), path.to_owned());
        self.meet(RequestKind::BeginUpload, path, async move { inner.begin_upload(&target).await }, whole).await
    }

    async fn put_part(&self, path: &str, upload: &str, index: usize, bytes: Bytes) -> Result<String, BackendError> {
        let (inner, target, upload) = (Arc::clone(&self.inner), path.to_owned(), upload.to_owned());
        let work = async move { inner.put_part(&target, &upload, index, bytes).await };
        self.meet(RequestKind::PutPart, path, work, whole).await
    }

    async fn complete_upload(&self, path: &str, upload: &str, parts: Vec<String>) -> Result<(), BackendError> {
        let (inner, target, upload) = (Arc::clone(&self.inner), path.to_owned(), upload.to_owned());
        let work = async move { inner.complete_upload(&target, &upload, parts).await };
        self.meet(RequestKind::CompleteUpload, path, work, whole).await
    }

    async fn abort_upload(&self, path: &str, upload: &str) -> Result<(), BackendError> {
        let (inner, target, upload) = (Arc::clone(&self.inner), path.to_owned(), upload.to_owned());
        let work = async move { inner.abort_upload(&target, &upload).await };
        self.meet(RequestKind::AbortUpload, path, work, whole).await
    }

    fn coalesce_gap(&self) -> u64 {
        self.inner.coalesce_gap()
    }
}
