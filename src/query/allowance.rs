//! What one statement may still use while it computes without giving way: its time, and memory of the
//! pool for what its functions make.
//!
//! It travels with the session's options, which DataFusion hands to every call of a function, while it
//! plans and while it runs.

use std::any::Any;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use datafusion::{
    common::{
        Result,
        config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions},
        exec_err,
    },
    execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
};
use tokio::time::Instant;

use super::errors::{external, timed_out};

/// Bytes of all constants that the functions of one statement make while it is planned. A plan holds
/// several copies of each.
pub(super) const FOLDED_BYTES: usize = 64 << 20;

/// The allowance of one statement.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    deadline: Instant,
    /// How long the statement may take, for the error.
    limit: Duration,
    abandoned: AtomicBool,
    pool: Arc<dyn MemoryPool>,
    /// While the statement is planned: what its folded calls made, which lives as long as the plan.
    folded: Mutex<Folded>,
}

#[derive(Debug)]
struct Folded {
    planning: bool,
    reservation: MemoryReservation,
    /// Whether a constant took too long already: DataFusion would try it again and again.
    tried: bool,
    /// Why the statement cannot be planned: DataFusion keeps an error of a folded call to itself.
    refused: Option<String>,
}

impl Allowance {
    pub(super) fn new(deadline: Instant, limit: Duration, pool: Arc<dyn MemoryPool>) -> Allowance {
        let reservation = MemoryConsumer::new("constants").register(&pool);
        let folded = Mutex::new(Folded { planning: true, reservation, tried: false, refused: None });
        let shared = Shared { deadline, limit, abandoned: AtomicBool::new(false), pool, folded };
        Allowance { shared: Arc::new(shared) }
    }

    /// That of the statement for which a function is called.
    pub(super) fn of(options: &ConfigOptions) -> Option<&Allowance> {
        options.extensions.get::<Allowance>()
    }

    /// Errors: the statement's time is over, or nobody waits for its answer any more.
    pub(super) fn check_time(&self) -> Result<()> {
        if Instant::now() >= self.shared.deadline {
            return Err(external(timed_out(self.shared.limit)));
        }
        if self.shared.abandoned.load(Ordering::Relaxed) {
            return exec_err!("the query was given up by who asked for it");
        }
        Ok(())
    }

    /// Memory of the pool, given back when the reservation is dropped.
    ///
    /// Errors: the pool has no more.
    pub(super) fn reserve(&self, bytes: usize) -> Result<MemoryReservation> {
        let reservation = MemoryConsumer::new("values of functions").register(&self.shared.pool);
        reservation.try_grow(bytes)?;
        Ok(reservation)
    }

    /// Counts a constant that a call made. Without effect once the statement is planned.
    ///
    /// Errors: the constants of this statement are too large.
    pub(super) fn fold(&self, function: &str, bytes: usize) -> Result<()> {
        let mut folded = self.folded();
        if !folded.planning {
            return Ok(());
        }
        let total = folded.reservation.size().saturating_add(bytes);
        if total > FOLDED_BYTES {
            let refused = format!(
                "the constants of this statement, one of them made by {function}, have {total} bytes, the limit is \
                 {FOLDED_BYTES}"
            );
            return exec_err!("{}", folded.refused.get_or_insert(refused));
        }
        let grown = folded.reservation.try_grow(bytes);
        if let Err(error) = &grown {
            folded.refused.get_or_insert_with(|| error.strip_backtrace());
        }
        grown
    }

    /// Whether to try what may take long: while the statement is planned, only until it did.
    pub(super) fn may_try(&self) -> bool {
        let folded = self.folded();
        !(folded.planning && folded.tried)
    }

    /// What was tried took too long.
    pub(super) fn tried_in_vain(&self) {
        self.folded().tried = true;
    }

    /// From here on the statement runs.
    ///
    /// Errors: its constants were refused.
    pub(super) fn planned(&self) -> Result<()> {
        self.folded().planning = false;
        self.check_constants()
    }

    /// Errors: planning need not go on.
    pub(super) fn check_planning(&self) -> Result<()> {
        self.check_time()?;
        self.check_constants()
    }

    fn check_constants(&self) -> Result<()> {
        match &self.folded().refused {
            Some(refused) => exec_err!("{refused}"),
            None => Ok(()),
        }
    }

    fn folded(&self) -> std::sync::MutexGuard<'_, Folded> {
        self.shared.folded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the statement up when it is dropped.
    pub(super) fn abandon_on_drop(&self) -> AbandonOnDrop {
        AbandonOnDrop(self.clone())
    }
}

/// Held by who waits for the answer.
#[derive(Debug)]
pub(super) struct AbandonOnDrop(Allowance);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.shared.abandoned.store(true, Ordering::Relaxed);
    }
}

impl ConfigExtension for Allowance {
    const PREFIX: &'static str = "allowance";
}

impl ExtensionOptions for Allowance {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _: &str) -> Result<()> {
        exec_err!("there is no setting {key}")
    }

    /// None: it decides no answer, and expressions that differ in nothing else are equal.
    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}
