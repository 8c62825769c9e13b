//! Settings: one table of them all, read once at the start from flags, environment and a file.
//!
//! In: what was said where, and files that hold one secret each. Out: [`Settings`], complete and checked, and for
//! each where it came from.
//! A flag wins over the environment, the environment over the file, the file over the default; an
//! empty variable counts as none. Never: a decision that depends on more than the settings themselves.

mod logging;
mod machine;
mod parts;
mod portion;
mod resolve;
mod size;
mod source;
mod table;

use std::net::IpAddr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::engine::{EngineOptions, FlushTriggers};
use crate::http::HttpOptions;
use crate::model::limits::Limits;

pub use logging::init_logging;
pub use machine::{Machine, Origin};
pub use resolve::{Resolved, resolve};
pub use source::SettingSource;
pub use table::{SETTINGS, Scope, Setting};

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// URL or folder of the store.
    pub store: String,
    /// `address:port` to listen on.
    pub listen: String,
    /// The same for metrics and pings alone; empty for none.
    pub metrics_listen: String,
    pub open_metrics: OpenMetrics,
    /// Where [`Settings::root_password`] was read from; empty if it was not in a file of its own.
    pub root_password_file: String,
    /// The same of the hash.
    pub root_password_hash_file: String,
    pub root_password: Option<SecretString>,
    /// A PHC string; wins over the password.
    pub root_password_hash: Option<SecretString>,
    /// A filter of tracing-subscriber.
    pub log: String,
    pub log_format: LogFormat,
    /// Whether the server flushes, merges, retains and collects by itself.
    pub maintenance: bool,
    /// How long requests under way may take when the server stops.
    pub stop_time: Duration,
    pub limits: Limits,
    pub flush: FlushTriggers,
    pub footer_cache_bytes: u64,
    pub tail_cache_bytes: u64,
    pub grace: Duration,
    pub http: HttpOptions,
}

/// Where `/metrics` asks for no credentials. It names tenants, users and databases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OpenMetrics {
    /// On addresses that only this machine reaches.
    #[default]
    Loopback,
    Always,
    Never,
}

impl OpenMetrics {
    pub const ALL: [OpenMetrics; 3] = [OpenMetrics::Loopback, OpenMetrics::Always, OpenMetrics::Never];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            OpenMetrics::Loopback => "loopback",
            OpenMetrics::Always => "always",
            OpenMetrics::Never => "never",
        }
    }

    /// Whether `/metrics` is open at an address that is listened on.
    pub fn is_open_at(self, address: IpAddr) -> bool {
        match self {
            OpenMetrics::Loopback => address.is_loopback(),
            OpenMetrics::Always => true,
            OpenMetrics::Never => false,
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        let engine = EngineOptions::default();
        Settings {
            store: "./siltdb-data".to_owned(),
            listen: "127.0.0.1:8902".to_owned(),
            metrics_listen: String::new(),
            open_metrics: OpenMetrics::default(),
            root_password_file: String::new(),
            root_password_hash_file: String::new(),
            root_password: None,
            root_password_hash: None,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            maintenance: true,
            stop_time: Duration::from_secs(30),
            limits: engine.limits,
            flush: engine.flush,
            footer_cache_bytes: engine.footer_cache_bytes,
            tail_cache_bytes: engine.tail_cache_bytes,
            grace: engine.grace,
            http: HttpOptions::default(),
        }
    }
}

impl Settings {
    /// Whether root has a password. Without one only this machine may connect.
    pub fn has_root_password(&self) -> bool {
        let is_set =
            |secret: &Option<SecretString>| secret.as_ref().is_some_and(|text| !text.expose_secret().is_empty());
        is_set(&self.root_password) || is_set(&self.root_password_hash)
    }

    /// What the engine is opened with.
    pub fn engine_options(&self) -> EngineOptions {
        EngineOptions {
            limits: self.limits.clone(),
            flush: self.flush.clone(),
            footer_cache_bytes: self.footer_cache_bytes,
            tail_cache_bytes: self.tail_cache_bytes,
            root_password_hash: self.root_password_hash.as_ref().map(|hash| hash.expose_secret().to_owned()),
            root_password: self.root_password.clone().unwrap_or_default(),
            grace: self.grace,
            ..EngineOptions::default()
        }
    }
}
