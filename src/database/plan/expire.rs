//! What is past the retention of its database.

use crate::database::{DatabaseState, FileList, Table};
use crate::model::TableId;

/// Seconds that files are kept beyond the retention: clocks differ.
const SPARE: i64 = 3_600;

/// Data files (by path) and file lists of a table to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    pub table: TableId,
    pub files: Vec<String>,
    pub leaves: Vec<FileList>,
}

impl Expired {
    /// How many data files are forgotten, those in file lists included.
    pub fn count(&self) -> usize {
        self.files.len() + self.leaves.iter().map(|leaf| leaf.files).sum::<usize>()
    }
}

/// Rows before this time (ticks) may be forgotten: they are older than the retention plus an hour.
/// None if there is no retention. `now` is in nanoseconds since 1970.
pub fn horizon(state: &DatabaseState, now: i64) -> Option<i64> {
    let precision = state.options.precision;
    let seconds = i64::try_from(state.options.ttl?.as_secs()).ok()?.checked_add(SPARE)?;
    Some(precision.from_nanoseconds(now).saturating_sub(seconds.checked_mul(precision.ticks_per_second())?))
}

/// Data files, and file lists of such, that hold nothing younger than the horizon.
pub fn expired_files(state: &DatabaseState, now: i64) -> Vec<Expired> {
    let Some(horizon) = horizon(state, now) else { return Vec::new() };
    let expired = |table: &Table| Expired {
        table: table.id,
        files: table.files.iter().filter(|file| file.max_time < horizon).map(|file| file.path.clone()).collect(),
        leaves: table.leaves.iter().filter(|leaf| leaf.max_time < horizon).cloned().collect(),
    };
    let tables = state.tables.values().map(|table| expired(table));
    tables.filter(|expired| expired.count() > 0).collect()
}
