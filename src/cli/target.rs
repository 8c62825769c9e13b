//! Where statements and points go: a server, or a store without one. Both answer alike.

use std::fmt;

use clap::{Arg, ArgMatches, Command};

use super::local::Local;
use super::outcome::{CommandFailure, Interrupted, Points};
use super::output::Document;
use super::remote::Remote;
use super::{QUIET_LOG, with_settings};
use crate::catalog::{DEFAULT_DATABASE, DEFAULT_TENANT, ROOT_USER};
use crate::config::{Scope, Settings};
use crate::format::Format;
use crate::model::Result;

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
