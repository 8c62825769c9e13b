//! SiltDB as an AWS Lambda function: the same router as the server's behind a function URL, and
//! housekeeping by events.
//!
//! | file | does |
//! |---|---|
//! | `settings` | the server's settings from the environment, made to fit the function's memory |
//! | `secrets` | settings that name a parameter or secret of AWS are replaced by what it holds |
//! | `runtime` | the Lambda Runtime API: the next event in, an answer or a stream out |
//! | `event` | which kind of event it is: a request, or a maintenance job |
//! | `handler` | requests through the router, with the function's deadline |
//! | `maintenance` | housekeeping within its time |
//! | `emf` | one line of metrics for each invocation |
//!
//! In: events, one after another. Out: answers. Invariants: nothing is pending when an answer has
//! been given, because the process is frozen then; a result that fails on its way is cut and never
//! ends as if it were whole; the store is asked for nothing that an event does not need. Never:
//! anything of SiltDB's that is not public.

#![allow(clippy::disallowed_methods, reason = "the platform speaks by the environment and the machine's clocks")]

mod deadline;
mod emf;
mod event;
mod handler;
mod maintenance;
mod runtime;
mod secrets;
mod settings;

use std::process::ExitCode;

use siltdb::model::{Error, Result};

use emf::InvocationMetrics;
use event::Event;
use handler::Handler;
use runtime::{Invocation, Reply, RuntimeApi};

fn main() -> ExitCode {
    // As many threads as a function has processors, mostly. Queries have their own.
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = match threads {
        Ok(threads) => threads.block_on(run()),
        Err(error) => Err(Error::internal(format!("no threads could be started: {error}"))),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bootstrap: {}", siltdb::model::visible::visible(&error.message));
            ExitCode::FAILURE
        }
    }
}

/// Opens, and takes events until the platform ends the process.
async fn run() -> Result<()> {
    let api = RuntimeApi::from_environment()?;
    let handler = match open().await {
        Ok(handler) => handler,
        Err(error) => {
            api.init_error(&error).await?;
            return Err(error);
        }
    };
    loop {
        let invocation = api.next().await?;
        let reading = InvocationMetrics::begin(handler.store());
        let (kind, answer) = handle(&handler, &invocation).await;
        api.answer(&invocation, answer).await?;
        reading.end(kind);
    }
}

async fn open() -> Result<Handler> {
    let settings = settings::from_environment().await?;
    siltdb::config::init_logging(&settings)?;
    Handler::open(settings).await
}

async fn handle(handler: &Handler, invocation: &Invocation) -> (&'static str, Reply) {
    match Event::parse(&invocation.event) {
        Ok(Event::Request(request)) => (request.kind(), handler.answer(*request, invocation.deadline).await),
        Ok(Event::Malformed(error)) => ("other", handler::refuse(error, invocation.deadline)),
        Ok(Event::Maintenance(job)) => (job.kind(), maintenance::run(handler.engine(), job, invocation.deadline).await),
        Err(error) => ("unknown", Reply::Failed(error)),
    }
}
