//! Bytes into points: the text protocols that clients write in.
//!
//! In: a request's whole body, decompressed, and what the server decides for it (unit of the
//! timestamps, clock, limits). Out: one [`crate::model::PointBatch`] of typed arrow columns for each
//! table, or one error that says where the body is wrong.
//!
//! Invariants: a body is taken whole or not at all; every complaint names line and column; no
//! input panics; memory is bounded by a small multiple of the body and of the limits; the same
//! body and options give the same points.
//!
//! Never: HTTP, a catalog (whether a table exists, or has another type for a column), a clock.

mod line_protocol;
#[cfg(test)]
mod tests;

use crate::model::{Precision, limits::Limits, time::WritePrecision};

pub use line_protocol::{line_protocol, located};

/// What the server decides for a body.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The unit of the timestamps in the body.
    pub write_precision: WritePrecision,
    /// The unit of the points' times.
    pub database_precision: Precision,
    /// The time of points without a timestamp, nanoseconds since 1970.
    pub now: i64,
    /// Here count `line_bytes`, `tags_per_line`, `fields_per_line`, `columns_per_table` and
    /// `tables_per_database`.
    pub limits: &'a Limits,
}
