#![doc = include_str!("README.md")]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests measure, and wait"))]

pub mod catalog;
#[allow(clippy::disallowed_methods, reason = "the door to the environment; it shows people how long things take")]
pub mod cli;
pub mod config;
pub mod database;
pub mod engine;
pub mod format;
#[allow(clippy::disallowed_methods, reason = "clients and their deadlines, which no simulation owns")]
pub mod http;
pub mod ledger;
pub mod merge;
pub mod metrics;
pub mod model;
pub mod parse;
#[allow(clippy::disallowed_methods, reason = "deadlines, and how long work takes on a real processor")]
pub mod query;
pub mod store;
pub mod table;
pub mod wal;
