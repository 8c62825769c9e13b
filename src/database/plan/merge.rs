//! Which data files to merge.
//!
//! While a partition is written to, small neighbours (in the order of their segments) become larger ones
//! by levels: [`LEAST`] files of less than 256 KiB, then of less than 2 MiB, then of less than 16 MiB. A
//! byte is so written at most once a level, three times, after its flush. When the partition is quiet,
//! files that overlap in time and keys are merged until none do, and neighbours are joined up to
//! the size of a file, as far as a merge adds at least an eighth to the largest of its inputs; when it is
//! still, without that condition. So a partition at rest ends as a few large files that do not overlap,
//! and late points cost one more merge of what they overlap, a day later at the latest.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Rest, Rules};
use crate::database::{DatabaseState, Table};
use crate::model::{DataFile, OrderRange, ROW_GROUP_BYTES, TableId};

/// Files of one partition to be merged, oldest first.
#[derive(Debug, Clone)]
pub struct MergeJob {
    pub table: TableId,
    pub name: String,
    pub partition: String,
    pub inputs: Vec<Arc<DataFile>>,
}

impl MergeJob {
    /// Whether all that is to be merged is there.
    pub fn is_possible(&self, state: &DatabaseState) -> bool {
        let Some((_, table)) = state.table_by_id(self.table) else { return false };
        self.inputs.iter().all(|input| table.files.iter().any(|file| file.path == input.path))
    }
}

/// At most this many files are merged at once.
const FAN_IN: usize = 16;

/// What the readers of a merge may hold together, bytes; each holds a row group at most.
const MEMORY_BYTES: u64 = 128 << 20;

/// Files of a level that are worth merging.
const LEAST: usize = 8;

/// Files below each of these sizes, bytes, are a level.
const LEVELS: [u64; 3] = [256 << 10, 2 << 20, 16 << 20];

type Files<'a> = [&'a Arc<DataFile>];

/// The merges worth doing now: at most one a partition.
pub fn merge_jobs(state: &DatabaseState, rules: Rules) -> Vec<MergeJob> {
    state.tables.iter().flat_map(|(name, table)| table_jobs(name, table, rules)).collect()
}

pub(super) fn table_jobs(name: &str, table: &Table, rules: Rules) -> Vec<MergeJob> {
    let mut files: Vec<&Arc<DataFile>> = table.files.iter().collect();
    files.sort_by(|left, right| (&left.partition, left.order.first).cmp(&(&right.partition, right.order.first)));
    let partitions = files.chunk_by(|left, right| left.partition == right.partition);
    let job = |partition: &Files<'_>| {
        let inputs = choose(table, partition, rules)?;
        Some(MergeJob {
            table: table.id,
            name: name.to_owned(),
            partition: partition[0].partition.clone(),
            inputs: inputs.into_iter().cloned().collect(),
        })
    };
    partitions.filter_map(job).collect()
}

/// What to merge of one partition, whose files come in the order of their segments.
fn choose<'a>(table: &Table, partition: &Files<'a>, rules: Rules) -> Option<Vec<&'a Arc<DataFile>>> {
    let newest = partition.iter().map(|file| file.order.last.clock).max()?;
    match rules.rest(newest) {
        Rest::Busy => level(table, partition),
        rest => {
            overlapping(table, partition, rest).or_else(|| neighbours(table, partition, rest, rules.sizes.file_bytes))
        }
    }
}

/// The oldest run of files of a level. Smaller ones among them go with them, but do not count: a large
/// file would otherwise be written again for every few small ones.
fn level<'a>(table: &Table, partition: &Files<'a>) -> Option<Vec<&'a Arc<DataFile>>> {
    let lower = std::iter::once(0).chain(LEVELS);
    lower.zip(LEVELS).find_map(|(lower, upper)| {
        let enough = |run: &Files<'_>| run.iter().filter(|file| file.size >= lower).count() >= LEAST;
        let runs = partition.split(|file| file.size >= upper).filter(|run| enough(run));
        runs.map(|run| &run[..fitting(run)]).find(|run| enough(run) && may_merge(table, run)).map(<[_]>::to_vec)
    })
}

/// Files that overlap in time and keys, in a chain. Of a chain too long for one merge, the window of the
/// fewest bytes.
fn overlapping<'a>(table: &Table, partition: &Files<'a>, rest: Rest) -> Option<Vec<&'a Arc<DataFile>>> {
    chains(partition).into_iter().filter(|chain| chain.len() > 1).find_map(|chain| {
        let runs: Vec<&Files<'a>> = chain.chunk_by(|left, right| left.order == right.order).collect();
        let mut windows: Vec<Vec<&'a Arc<DataFile>>> = Vec::new();
        for start in 0..runs.len() {
            let length = fitting_runs(&runs[start..]);
            windows.push(runs[start..start + length].concat());
        }
        windows.sort_by_key(|window| bytes(window));
        let good = |window: &Vec<_>| overlaps(window) && may_merge(table, window) && pays_off(window, rest);
        windows.into_iter().find(good)
    })
}

/// Whether any two files of a window may share points: otherwise merging them would change nothing.
fn overlaps(window: &Files<'_>) -> bool {
    let later = |position: usize| window[position + 1..].iter();
    (0..window.len()).any(|position| later(position).any(|other| window[position].may_share_points(other)))
}

/// How many runs from the first on one merge takes. A run is what one merge put out: its files do not
/// overlap and are read one after another.
fn fitting_runs(runs: &[&Files<'_>]) -> usize {
    let mut held = 0;
    let fits = |run: &&&Files<'_>| {
        held += run.iter().map(|file| held_by(file)).max().unwrap_or(0);
        held <= MEMORY_BYTES
    };
    runs.iter().take(FAN_IN).take_while(fits).count().max(2).min(runs.len())
}

/// Files next to each other that fit into one.
fn neighbours<'a>(table: &Table, partition: &Files<'a>, rest: Rest, file_bytes: u64) -> Option<Vec<&'a Arc<DataFile>>> {
    // Files may become somewhat larger when they are merged; one that spills over would do so for ever.
    let most = file_bytes / 4 * 3;
    for start in 0..partition.len() {
        let mut end = start + 1;
        let fits = |run: &Files<'_>| fitting(run) == run.len() && bytes(run) <= most;
        while end < partition.len() && fits(&partition[start..=end]) {
            end += 1;
        }
        for end in (start + 2..=end).rev() {
            let run = &partition[start..end];
            if may_merge(table, run) && pays_off(run, rest) {
                return Some(run.to_vec());
            }
        }
    }
    None
}

/// Whether a merge writes little again beside what it was begun for.
fn pays_off(run: &Files<'_>, rest: Rest) -> bool {
    let largest = run.iter().map(|file| file.size).max().unwrap_or(0);
    rest == Rest::Still || (bytes(run) - largest) * 8 >= largest
}

fn bytes(run: &Files<'_>) -> u64 {
    run.iter().map(|file| file.size).sum()
}

/// Bytes that the reader of a file holds at most.
fn held_by(file: &DataFile) -> u64 {
    file.size.min(ROW_GROUP_BYTES as u64)
}

/// How many files from the first on one merge takes: two at least, if there are.
fn fitting(run: &Files<'_>) -> usize {
    let mut held = 0;
    let fits = |file: &&&Arc<DataFile>| {
        held += held_by(file);
        held <= MEMORY_BYTES
    };
    run.iter().take(FAN_IN).take_while(fits).count().max(2).min(run.len())
}

/// The files in chains of such that may share points, each in the order of their segments.
fn chains<'a>(partition: &Files<'a>) -> Vec<Vec<&'a Arc<DataFile>>> {
    let mut left: Vec<&'a Arc<DataFile>> = partition.to_vec();
    let mut chains = Vec::new();
    while let Some(seed) = left.pop() {
        let mut chain = vec![seed];
        let mut reached = VecDeque::from([seed]);
        while let Some(file) = reached.pop_front() {
            let (met, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|other| file.may_share_points(other));
            left = others;
            chain.extend_from_slice(&met);
            reached.extend(met);
        }
        chain.sort_by_key(|file| file.order.first);
        chains.push(chain);
    }
    chains.reverse();
    chains
}

/// Whether merging keeps "the newest wins": no live file outside the run lies between its segments at
/// the same times and keys.
fn may_merge(table: &Table, run: &Files<'_>) -> bool {
    let Some(order) = run.iter().map(|file| file.order).reduce(OrderRange::union) else { return false };
    let stands_between = |file: &&Arc<DataFile>| {
        file.order.overlaps(order) && !run.iter().any(|member| member.path == file.path) && meets_hull(file, run)
    };
    let first = run.iter().map(|file| file.min_time).min().unwrap_or(i64::MIN);
    let last = run.iter().map(|file| file.max_time).max().unwrap_or(i64::MAX);
    let in_leaf = table.leaves.iter().any(|leaf| leaf.may_overlap(order, first, last));
    !in_leaf && !table.files.iter().any(|file| stands_between(&file))
}

/// Whether a file may share points with what the run is merged into, which spans all its times and keys.
fn meets_hull(file: &DataFile, run: &Files<'_>) -> bool {
    let first = run.iter().map(|member| member.min_time).min().unwrap_or(i64::MIN);
    let last = run.iter().map(|member| member.max_time).max().unwrap_or(i64::MAX);
    if file.max_time < first || last < file.min_time {
        return false;
    }
    let Some(keys) = &file.keys else { return true };
    let hull: Option<Vec<_>> = run.iter().map(|member| member.keys.as_ref()).collect();
    let Some(hull) = hull else { return true };
    let before = hull.iter().all(|member| member.last < keys.first);
    let after = hull.iter().all(|member| keys.last < member.first);
    !before && !after
}
