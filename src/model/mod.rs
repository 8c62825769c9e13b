//! What everything is made of: names, time, schema, points, limits, error codes.
//!
//! In and out: plain values. Invariants: every type here is valid once built. Never: a format, a
//! store, anything asynchronous but the sleep of [`clock`].

pub mod batch;
#[allow(clippy::disallowed_methods, reason = "where they belong")]
pub mod clock;
pub mod error;
pub mod file;
pub mod ids;
pub mod limits;
pub mod mode;
pub mod names;
pub mod options;
pub mod order;
pub mod paths;
pub mod schema;
pub mod sum;
pub mod time;
pub mod visible;

pub use batch::{PointBatch, PointColumn};
pub use error::{Code, Error, RESTORE, Result, Subject};
pub use file::{DataFile, KeyBound, KeyRange, ROW_GROUP_BYTES, TagRange};
pub use ids::{ColumnId, DatabaseId, TableId, TenantId, UserId};
pub use mode::Mode;
pub use options::DatabaseOptions;
pub use order::{OrderKey, OrderRange};
pub use schema::{Column, ColumnKind, FieldType, TableSchema};
pub use sum::Digest;
pub use time::Precision;
