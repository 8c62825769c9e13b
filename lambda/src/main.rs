//! SiltDB as an AWS Lambda function: the same router as the server's behind a function URL, and
//! housekeeping by events.
//!
//! | file | does |
//! |---|---|
//! | `settings` | the server's settings from the environment, made to fit the function's memory |
//! | `secrets` | settings that name a parameter or secret of AWS are replaced by what it holds |
//! | `runtime` | the Lambda Runtime API: the next event in, an answer or a stream out |
//! | `event` | which kind of event it is: a request, or an errand of housekeeping |
//! | `door` | requests through the router, with the function's deadline |
//! | `errand` | housekeeping within its time |
//! | `meter` | one line of metrics for each invocation |
//!
//! In: events, one after another. Out: answers. Invariants: nothing is pending when an answer has
//! been given, because the process is frozen then; a result that fails on its way is cut and never
//! ends as if it were whole; the store is asked for nothing that an event does not need. Never:
//! anything of SiltDB's that is not public.

#![allow(clippy::disallowed_methods, reason = "the platform speaks by the environment and the machine's clocks")]

mod deadline;
mod door;
mod errand;
mod event;
mod meter;
mod runtime;
mod secrets;
mod settings;

use std::process::ExitCode;

use siltdb::model::{Error, Result};

use door::Door;
use event::Event;
use meter::Reading;
use runtime::{Answer, Invocation, RuntimeApi};

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
    let door = match open().await {
        Ok(door) => door,
        Err(error) => {
            api.cannot_begin(&error).await?;
            return Err(error);
        }
    };
    loop {
        let invocation = api.next().await?;
        let reading = Reading::begin(door.store());
        let (kind, answer) = handle(&door, &invocation).await;
        api.answer(&invocation, answer).await?;
        reading.end(kind);
    }
}

async fn open() -> Result<Door> {
    let settings = settings::from_environment().await?;
    siltdb::cli::begin_log(&settings)?;
    Door::open(settings).await
}

async fn handle(door: &Door, invocation: &Invocation) -> (&'static str, Answer) {
    match Event::parse(&invocation.event) {
        Ok(Event::Request(request)) => (request.kind(), door.answer(*request, invocation.deadline).await),
        Ok(Event::Malformed(error)) => ("other", door::refuse(error, invocation.deadline)),
        Ok(Event::Errand(errand)) => (errand.kind(), errand::run(door.engine(), errand, invocation.deadline).await),
        Err(error) => ("unknown", Answer::Failed(error)),
    }
}
