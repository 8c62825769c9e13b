//! `siltdb ping`: whether a server takes requests. For health checks where there is neither a shell nor
//! curl, as in a container.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use super::print;
use super::remote::Remote;
use super::target::text_of;
use crate::catalog::{DEFAULT_TENANT, ROOT_USER};
use crate::model::{Code, Error, Result};

/// Where a server listens if nobody says otherwise.
const SERVER: &str = "http://127.0.0.1:8902";

pub(super) fn command() -> Command {
    let about = "Ask a server whether it takes requests; fails when it does not";
    let help = format!("The server [default: {SERVER}]");
    Command::new("ping").about(about).arg(Arg::new("server").long("server").value_name("URL").help(help))
}

/// Asks once, without a password.
pub(super) async fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let server = text_of(matches, "server", SERVER);
    let remote = Remote::new(&server, ROOT_USER, DEFAULT_TENANT.to_owned())?;
    match remote.ping().await {
        Ok(version) => print(&format!("{version} healthy\n")),
        Err(failure) => Err(Error::new(Code::Unavailable, format!("{server}: {failure}"))),
    }
}
