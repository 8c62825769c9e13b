//! Where statements and points go: a server, or a store without one. Both answer alike.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use clap::{Arg, ArgMatches, Command};

use super::local::Local;
use super::output::{Document, Reader};
use super::remote::Remote;
use super::{QUIET_LOG, with_settings};
use crate::catalog::{DEFAULT_DATABASE, DEFAULT_TENANT, ROOT_USER};
use crate::config::{Scope, Settings};
use crate::format::Format;
use crate::model::time::WritePrecision;
use crate::model::{Code, Error, Result};

/// Adds the options that say where to: `--server` or the settings of a store, database and tenant.
pub(super) fn options(command: Command) -> Command {
    let server = "A server to talk to over HTTP; without it the store is opened by this process";
    let user = "The user on the server; the password is in SILTDB_PASSWORD, or asked for [default: root]";
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    with_settings(command, Scope::Everywhere)
        .mut_arg("log", |log| log.help(format!("What is logged [env: SILTDB_LOG] [default: {QUIET_LOG}]")))
        .arg(option("server", "URL", server).conflicts_with("store"))
        .arg(option("user", "NAME", user).requires("server"))
        .arg(option("database", "NAME", "The database [default: public]"))
        .arg(option("tenant", "NAME", "The tenant [default: cnosdb]"))
}

/// A text option, or what it is without.
pub(super) fn text_of(matches: &ArgMatches, name: &str, default: &str) -> String {
    matches.get_one::<String>(name).map_or(default, String::as_str).to_owned()
}

/// The database that the options name.
pub(super) fn database_of(matches: &ArgMatches) -> String {
    text_of(matches, "database", DEFAULT_DATABASE)
}

/// Points to write.
#[derive(Debug, Clone)]
pub(super) struct Points {
    pub database: String,
    pub precision: WritePrecision,
    /// Line protocol. Cheap to clone.
    pub text: Bytes,
}

/// Where to.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Server(Remote),
    Store(Local),
}

impl Target {
    /// What the options name.
    ///
    /// # Errors
    /// A URL that makes no sense; a store that cannot be opened.
    pub(super) async fn open(settings: &Settings, matches: &ArgMatches) -> Result<Target> {
        let tenant = text_of(matches, "tenant", DEFAULT_TENANT);
        match matches.get_one::<String>("server") {
            Some(url) => {
                let gzip = matches.try_get_one::<bool>("gzip").ok().flatten().copied().unwrap_or_default();
                let remote = Remote::new(url, &text_of(matches, "user", ROOT_USER), tenant)?;
                Ok(Target::Server(remote.with_gzip(gzip)))
            }
            None => Ok(Target::Store(Local::open(settings, tenant).await?)),
        }
    }

    /// Runs one statement and prints its rows.
    ///
    /// # Errors
    /// [`Interrupted::Left`] when nobody reads the rows any more.
    pub(super) async fn query(
        &self,
        database: &str,
        sql: &str,
        format: Format,
        out: Document,
    ) -> Result<(), Interrupted> {
        match self {
            Target::Server(remote) => remote.query(database, sql, format, out).await,
            Target::Store(local) => local.query(database, sql, format, out).await,
        }
    }

    /// Writes points: all, or none, or (see [`FailureKind::Unknown`]) one does not know.
    pub(super) async fn write(&self, points: Points) -> Result<(), CommandFailure> {
        match self {
            Target::Server(remote) => remote.write(points).await,
            Target::Store(local) => local.write(points).await,
        }
    }

    /// Lets a server say whether it knows the user, before work begins.
    pub(super) async fn check_login(&self, database: &str) -> Result<(), CommandFailure> {
        match self {
            Target::Server(remote) => remote.check_login(database).await,
            Target::Store(_) => Ok(()),
        }
    }

    /// Settles in the background what is written, where no server does.
    pub(super) fn maintain(&mut self, settings: &Settings) {
        if let Target::Store(local) = self
            && settings.maintenance
        {
            local.maintain();
        }
    }

    /// Ends what goes on in this process.
    pub(super) async fn close(self) {
        if let Target::Store(local) = self {
            local.close().await;
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Server(remote) => remote.fmt(formatter),
            Target::Store(local) => local.fmt(formatter),
        }
    }
}

/// What a failure means for the one who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// Something in these points or this statement is wrong.
    Refused,
    /// Wrong whatever the points or the statement are: no such database, no such path.
    Permanent,
    /// User or password are wrong.
    Unauthorized,
    /// Nothing was done; it may go better later.
    Busy,
    /// Whether it was done is not known. Writing points again changes nothing.
    Unknown,
}

/// An answer that is an error, or none at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandFailure {
    pub kind: FailureKind,
    /// CnosDB's six digits; empty when there was no answer.
    pub code: String,
    pub message: String,
    /// How long the server asks to wait.
    pub wait: Option<Duration>,
}

impl CommandFailure {
    pub(super) fn new(kind: FailureKind, code: &str, message: impl Into<String>) -> CommandFailure {
        CommandFailure { kind, code: code.to_owned(), message: message.into(), wait: None }
    }

    /// Whether the same write is worth another try.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self.kind, FailureKind::Busy | FailureKind::Unknown)
    }
}

impl From<Error> for CommandFailure {
    fn from(error: Error) -> CommandFailure {
        let kind = match error.code {
            // About some of the points: without them the others may be taken.
            _ if error.subject.is_some() => FailureKind::Refused,
            Code::LineProtocol | Code::TypeConflict | Code::TimestampOverflow | Code::NoFields => FailureKind::Refused,
            Code::PointExpired | Code::NotUtf8 | Code::LimitReached => FailureKind::Refused,
            Code::AccessDenied => FailureKind::Unauthorized,
            Code::TooManyWrites | Code::TooManyQueries | Code::StoreUnavailable | Code::Unavailable => {
                FailureKind::Busy
            }
            // Somebody may make room.
            Code::StoreFull => FailureKind::Busy,
            Code::OutcomeUnknown | Code::Internal => FailureKind::Unknown,
            _ => FailureKind::Permanent,
        };
        CommandFailure::new(kind, error.code.number(), error.message)
    }
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Six zeros say that CnosDB has no number for it.
        if !self.code.is_empty() && self.code != "000000" {
            write!(formatter, "{} ", self.code)?;
        }
        formatter.write_str(&self.message)
    }
}

/// Why a statement's rows ended early.
#[derive(Debug)]
pub(super) enum Interrupted {
    Failed(CommandFailure),
    /// The reader of standard output has left.
    Left,
    /// Standard output cannot be written.
    Unprintable(Error),
}

impl From<CommandFailure> for Interrupted {
    fn from(failure: CommandFailure) -> Interrupted {
        Interrupted::Failed(failure)
    }
}

/// Goes on as long as somebody reads.
pub(super) fn check_reader(written: Result<Reader>) -> Result<(), Interrupted> {
    match written {
        Ok(Reader::Listens) => Ok(()),
        Ok(Reader::Left) => Err(Interrupted::Left),
        Err(error) => Err(Interrupted::Unprintable(error)),
    }
}
