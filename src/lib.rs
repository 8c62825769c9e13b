#![doc = include_str!("README.md")]

pub mod catalog;
pub mod cli;
pub mod config;
pub mod database;
pub mod engine;
pub mod format;
pub mod http;
pub mod ledger;
pub mod merge;
pub mod metrics;
pub mod model;
pub mod parse;
pub mod query;
pub mod store;
pub mod table;
pub mod wal;
