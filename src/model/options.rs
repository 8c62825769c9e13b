//! What a database is created with.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::time::Precision;

/// Options of a database. Those that mean nothing on object storage are kept and shown only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseOptions {
    pub precision: Precision,
    /// Rows older than this are hidden at once and removed later; `None` keeps them for ever.
    pub ttl: Option<Duration>,
    /// Refuse writes that would create a table or a column.
    #[serde(default)]
    pub strict_write: bool,
    /// Accepted and shown for CnosDB's clients: `shard`.
    #[serde(default = "one")]
    pub shard: u64,
    /// Accepted and shown for CnosDB's clients: `replica`.
    #[serde(default = "one")]
    pub replica: u64,
    /// Accepted and shown for CnosDB's clients: `vnode_duration`.
    #[serde(default = "one_year")]
    pub vnode_duration: Option<Duration>,
    /// Accepted and shown for CnosDB's clients: `max_memcache_size`, bytes.
    #[serde(default = "mebibytes_128")]
    pub max_memcache_size: u64,
    /// Accepted and shown for CnosDB's clients: `memcache_partitions`.
    #[serde(default = "sixteen")]
    pub memcache_partitions: u64,
    /// Accepted and shown for CnosDB's clients: `wal_max_file_size`, bytes.
    #[serde(default = "mebibytes_128")]
    pub wal_max_file_size: u64,
    /// Accepted and shown for CnosDB's clients: `wal_sync`. Writes are always durable.
    #[serde(default)]
    pub wal_sync: bool,
    /// Accepted and shown for CnosDB's clients: `max_cache_readers`.
    #[serde(default = "thirty_two")]
    pub max_cache_readers: u64,
}

fn one() -> u64 {
    1
}
fn sixteen() -> u64 {
    16
}
fn thirty_two() -> u64 {
    32
}
fn mebibytes_128() -> u64 {
    128 << 20
}
fn one_year() -> Option<Duration> {
    Some(Duration::from_secs(31_557_600))
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        DatabaseOptions {
            precision: Precision::Nanosecond,
            ttl: None,
            strict_write: false,
            shard: one(),
            replica: one(),
            vnode_duration: one_year(),
            max_memcache_size: mebibytes_128(),
            memcache_partitions: sixteen(),
            wal_max_file_size: mebibytes_128(),
            wal_sync: false,
            max_cache_readers: thirty_two(),
        }
    }
}
