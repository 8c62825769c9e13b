//! The commands that care for a store: `siltdb maintain`, `check`, `doctor`.

use std::process::ExitCode;

use clap::ArgMatches;

use super::{open, print};
use crate::config::Settings;
use crate::engine::{Losses, Tasks};
use crate::model::Result;
use crate::model::clock::{Clock, SystemClock};
use crate::model::paths;
use crate::store::{Store, probe::probe};

/// Does one duty, or all, until nothing is left to do.
pub(super) async fn maintain(settings: &Settings, matches: &ArgMatches) -> Result<ExitCode> {
    let duties = match matches.get_one::<String>("duty").map(String::as_str) {
        Some("flush") => Tasks { flush: true, ..Tasks::NONE },
        Some("merge") => Tasks { merge: true, ..Tasks::NONE },
        Some("retain") => Tasks { retain: true, ..Tasks::NONE },
        Some("collect") => Tasks { collect: true, ..Tasks::NONE },
        _ => Tasks::ALL,
    };
    let engine = open(settings).await?;
    let losses = if matches.get_flag("accept-loss") { Losses::Accepted } else { Losses::Refused };
    let report = engine.maintain_with(duties, losses).await?;
    engine.shutdown().await;
    print(&format!("{report}\n"))?;
    Ok(if report.left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads everything and says whether it is sound.
pub(super) async fn check(settings: &Settings) -> Result<ExitCode> {
    let report = open(settings).await?.check().await?;
    print(&format!("{report}\n"))?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tries whether a store keeps what SiltDB rests on.
pub(super) async fn doctor(settings: &Settings) -> Result<ExitCode> {
    let store = Store::open(&settings.store).await?;
    let report = probe(&store, paths::PROBE_PREFIX, SystemClock.random()).await;
    print(&format!("{report}"))?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
