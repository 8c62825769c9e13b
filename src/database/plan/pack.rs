//! Which files' descriptions move out of the manifest into leaves, and back.
//!
//! A manifest describes about 512 files itself, whatever the number of tables; the rest is in leaves of
//! up to 256 ([`Sizes`]). What is packed is what rests longest. A leaf comes back when late
//! points make its files worth merging again, or when a good part of it is past the retention; since it
//! is a list that moves, not data, that is cheap.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Rest, Rules, Sizes, expire::horizon, merge::table_jobs};
use crate::database::{DatabaseState, Leaf, Table};
use crate::model::{DataFile, TableId};

/// A table keeps this many at least.
const LEAST_LISTED: usize = 4;

/// Files to be listed in a new leaf, together with those of a leaf that is not full.
#[derive(Debug, Clone)]
pub struct PackJob {
    pub table: TableId,
    pub files: Vec<Arc<DataFile>>,
    pub joins: Option<Leaf>,
}

/// A leaf whose files are to be worked on.
#[derive(Debug, Clone)]
pub struct UnpackJob {
    pub table: TableId,
    pub leaf: Leaf,
}

/// What to pack: one job a table at most. Half of a table's allowance stays, so that packing is rare.
pub fn pack_jobs(state: &DatabaseState, sizes: Sizes) -> Vec<PackJob> {
    let allowance = (sizes.listed_files / state.tables.len().max(1)).max(LEAST_LISTED);
    let busy = state.tables.values().filter(|table| table.files.len() > allowance);
    busy.filter_map(|table| pack_table(table, table.files.len() - allowance / 2, sizes)).collect()
}

/// Packs at least `excess` files, or as many as a leaf takes: whole partitions, first those whose newest
/// segment is the oldest.
fn pack_table(table: &Table, excess: usize, sizes: Sizes) -> Option<PackJob> {
    let mut partitions: BTreeMap<&str, Vec<&Arc<DataFile>>> = BTreeMap::new();
    for file in &table.files {
        partitions.entry(&file.partition).or_default().push(file);
    }
    let mut partitions: Vec<Vec<&Arc<DataFile>>> = partitions.into_values().collect();
    partitions.sort_by_key(|files| files.iter().map(|file| file.order.last).max());
    // The partition that is being written to stays.
    partitions.pop();
    let mut files: Vec<Arc<DataFile>> = Vec::new();
    for partition in partitions {
        if files.len() >= excess || (!files.is_empty() && files.len() + partition.len() > sizes.leaf_files) {
            break;
        }
        files.extend(partition.into_iter().cloned());
    }
    if files.is_empty() {
        return None;
    }
    let first = files.iter().map(|file| file.min_time).min();
    let fits = |leaf: &&Leaf| leaf.files + files.len() <= sizes.leaf_files;
    // The nearest one before, so that leaves keep to spans of time.
    let joins = table.leaves.iter().filter(fits).rfind(|leaf| Some(leaf.min_time) <= first).cloned();
    Some(PackJob { table: table.id, files, joins })
}

/// What to unpack.
pub fn unpack_jobs(state: &DatabaseState, rules: Rules) -> Vec<UnpackJob> {
    let horizon = horizon(state, rules.now);
    let mut jobs = Vec::new();
    for table in state.tables.values() {
        for leaf in &table.leaves {
            if is_late(table, leaf, rules) || horizon.is_some_and(|horizon| is_a_quarter_past(leaf, horizon)) {
                jobs.push(UnpackJob { table: table.id, leaf: leaf.clone() });
            }
        }
    }
    jobs
}

/// Whether files that came after the leaf, and are at rest, meet it and are worth merging with it.
fn is_late(table: &Table, leaf: &Leaf, rules: Rules) -> bool {
    let meets = |file: &&Arc<DataFile>| file.min_time <= leaf.max_time && leaf.min_time <= file.max_time;
    let late: Vec<&Arc<DataFile>> = table.files.iter().filter(meets).collect();
    let Some(newest) = late.iter().map(|file| file.order.last.clock).max() else { return false };
    let bytes: u64 = late.iter().map(|file| file.size).sum();
    match rules.rest(newest) {
        Rest::Busy => false,
        Rest::Quiet => bytes * 8 >= leaf.bytes,
        Rest::Still => true,
    }
}

fn is_a_quarter_past(leaf: &Leaf, horizon: i64) -> bool {
    let span = i128::from(leaf.max_time) - i128::from(leaf.min_time);
    leaf.max_time >= horizon && (i128::from(horizon) - i128::from(leaf.min_time)) * 4 > span.max(1)
}

/// Whether working on a leaf's files, as read, would change anything: a merge would take one of them, or
/// one is past the retention.
pub fn is_worth_unpacking(state: &DatabaseState, job: &UnpackJob, files: &[Arc<DataFile>], rules: Rules) -> bool {
    let old = |file: &Arc<DataFile>| horizon(state, rules.now).is_some_and(|horizon| file.max_time < horizon);
    if files.iter().any(old) {
        return true;
    }
    let Some((name, table)) = state.table_by_id(job.table) else { return false };
    let mut unpacked = Table::clone(table);
    unpacked.leaves.retain(|leaf| leaf.path != job.leaf.path);
    unpacked.files.extend_from_slice(files);
    let taken = |input: &Arc<DataFile>| files.iter().any(|file| file.path == input.path);
    table_jobs(name, &unpacked, rules).iter().any(|job| job.inputs.iter().any(taken))
}
