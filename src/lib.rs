#![doc = include_str!("README.md")]

pub mod catalog;
pub mod database;
pub mod format;
pub mod ledger;
pub mod merge;
pub mod metrics;
pub mod model;
pub mod parse;
pub mod store;
pub mod wal;
