//! What maintenance should do next: pure functions of the manifest.

use std::sync::Arc;

use super::{DatabaseState, Table};
use crate::model::{DataFile, OrderRange, TableId};

/// Files of one partition to be merged into one, oldest first.
#[derive(Debug, Clone)]
pub struct MergeJob {
    pub table: TableId,
    pub name: String,
    pub partition: String,
    pub inputs: Vec<Arc<DataFile>>,
}

/// At most this many files are merged at once.
pub const FAN_IN: usize = 16;

/// Files above this size, bytes, are left alone.
pub const SETTLED_BYTES: u64 = 256 << 20;

/// The merges worth doing: runs of at least `least` neighbours (in segment order) of one partition.
pub fn merge_jobs(state: &DatabaseState, least: usize) -> Vec<MergeJob> {
    let mut jobs = Vec::new();
    for (name, table) in &state.tables {
        let mut files: Vec<&Arc<DataFile>> = table.files.iter().filter(|file| file.size < SETTLED_BYTES).collect();
        files.sort_by(|left, right| (&left.partition, left.order.first).cmp(&(&right.partition, right.order.first)));
        for partition in files.chunk_by(|left, right| left.partition == right.partition) {
            let Some(inputs) = first_run(table, partition, least.max(2)) else { continue };
            jobs.push(MergeJob {
                table: table.id,
                name: name.clone(),
                partition: partition[0].partition.clone(),
                inputs,
            });
        }
    }
    jobs
}

/// The longest run from the oldest file on, up to the fan-in, that no other file stands between.
fn first_run(table: &Table, partition: &[&Arc<DataFile>], least: usize) -> Option<Vec<Arc<DataFile>>> {
    for start in 0..partition.len() {
        let mut run = vec![partition[start].clone()];
        for next in partition[start + 1..].iter().take(FAN_IN - 1) {
            run.push((*next).clone());
            if !is_neighbourly(table, &run) {
                run.pop();
                break;
            }
        }
        if run.len() >= least {
            return Some(run);
        }
    }
    None
}

/// Whether no live file outside the run overlaps it both in time and in segment order: then
/// merging keeps "the newest wins".
fn is_neighbourly(table: &Table, run: &[Arc<DataFile>]) -> bool {
    let order = run.iter().map(|file| file.order).reduce(OrderRange::union);
    let min_time = run.iter().map(|file| file.min_time).min();
    let max_time = run.iter().map(|file| file.max_time).max();
    let (Some(order), Some(min_time), Some(max_time)) = (order, min_time, max_time) else { return true };
    !table.files.iter().any(|file| {
        file.order.overlaps(order)
            && file.min_time <= max_time
            && min_time <= file.max_time
            && !run.iter().any(|member| member.path == file.path)
    })
}

/// Data files that hold nothing younger than the database's retention plus an hour.
/// `now` is in nanoseconds since 1970.
pub fn expired_files(state: &DatabaseState, now: i64) -> Vec<(TableId, Vec<String>)> {
    const HOUR: i64 = 3_600;
    let Some(ttl) = state.options.ttl else { return Vec::new() };
    let precision = state.options.precision;
    let ticks = i64::try_from(ttl.as_secs())
        .ok()
        .and_then(|seconds| seconds.checked_add(HOUR))
        .and_then(|seconds| seconds.checked_mul(precision.ticks_per_second()));
    let Some(ticks) = ticks else { return Vec::new() };
    let horizon = precision.from_nanoseconds(now).saturating_sub(ticks);
    let expired = |table: &Table| {
        table.files.iter().filter(|file| file.max_time < horizon).map(|file| file.path.clone()).collect::<Vec<_>>()
    };
    state.tables.values().map(|table| (table.id, expired(table))).filter(|(_, files)| !files.is_empty()).collect()
}
