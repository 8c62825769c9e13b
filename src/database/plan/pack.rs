//! Which files' descriptions move out of the manifest into file lists, and back.
//!
//! A manifest describes about 512 files itself, whatever the number of tables; the rest is in file lists of
//! up to 256 ([`super::Sizes`]). What is packed is what rests longest. A file list comes back when late
//! points make its files worth merging again, or when a good part of it is past the retention; since it
//! is a list that moves, not data, that is cheap.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Rest, Rules,
    expire::horizon,
    merge::{MergeJob, table_jobs},
};
use crate::database::{DatabaseState, FileList, Table};
use crate::model::{DataFile, TableId};

/// A table keeps this many at least.
const LEAST_LISTED: usize = 4;

/// Files to be listed in a new file list, together with those of a file list that is not full.
#[derive(Debug, Clone)]
pub struct PackJob {
    pub table: TableId,
    pub files: Vec<Arc<DataFile>>,
    pub joins: Option<FileList>,
}

/// File lists whose files are to be worked on, together.
#[derive(Debug, Clone)]
pub struct UnpackJob {
    pub table: TableId,
    pub leaves: Vec<FileList>,
}

/// File lists that meet are taken back together, if they are at most so many full ones.
const LEAVES_TOGETHER: usize = 4;

/// What to pack: one job a table at most. Half of a table's allowance stays, so that packing is rare.
pub fn pack_jobs(state: &DatabaseState, rules: Rules) -> Vec<PackJob> {
    let allowance = (rules.sizes.listed_files / state.tables.len().max(1)).max(LEAST_LISTED);
    let busy = state.tables.iter().filter(|(_, table)| table.files.len() > allowance);
    busy.filter_map(|(name, table)| pack_table(name, table, allowance, rules)).collect()
}

/// Packs files of partitions that follow each other in time, so that a file list keeps to a span of its own.
/// Nothing while merges are pending, and nothing that meets a file list: that is late, and to be merged with
/// what the file list lists before it can be packed. Unless there is far too much.
fn pack_table(name: &str, table: &Table, allowance: usize, rules: Rules) -> Option<PackJob> {
    let patient = table.files.len() <= 4 * allowance;
    if patient && !table_jobs(name, table, rules).is_empty() {
        return None;
    }
    let mut partitions: BTreeMap<&str, Vec<&Arc<DataFile>>> = BTreeMap::new();
    for file in &table.files {
        partitions.entry(&file.partition).or_default().push(file);
    }
    let mut partitions: Vec<Group<'_>> = partitions.into_values().map(Group::new).collect();
    // The partition that is being written to stays.
    partitions.sort_by_key(|partition| partition.files.iter().map(|file| file.order.last).max());
    partitions.pop();
    partitions.retain(|partition| !patient || !table.leaves.iter().any(|leaf| partition.meets(leaf)));
    partitions.sort_by_key(|partition| (partition.min_time, partition.max_time));
    let most = (table.files.len() - allowance / 2).min(rules.sizes.leaf_files);
    let group = groups(partitions, table, most, patient).into_iter().max_by_key(|group| group.files.len())?;
    // A file list beside it that is not full, if the two together meet no other.
    let fits = |leaf: &&FileList| {
        let both = group.grown(leaf.min_time, leaf.max_time);
        leaf.files + group.files.len() <= rules.sizes.leaf_files
            && !table.leaves.iter().any(|other| other.path != leaf.path && both.meets(other))
    };
    let joins = table.leaves.iter().find(fits).cloned();
    Some(PackJob { table: table.id, files: group.files.into_iter().cloned().collect(), joins })
}

/// Files, and the times they span.
#[derive(Clone)]
struct Group<'a> {
    files: Vec<&'a Arc<DataFile>>,
    min_time: i64,
    max_time: i64,
}

impl<'a> Group<'a> {
    fn new(files: Vec<&'a Arc<DataFile>>) -> Self {
        let min_time = files.iter().map(|file| file.min_time).min().unwrap_or(i64::MAX);
        let max_time = files.iter().map(|file| file.max_time).max().unwrap_or(i64::MIN);
        Group { files, min_time, max_time }
    }

    fn meets(&self, leaf: &FileList) -> bool {
        self.min_time <= leaf.max_time && leaf.min_time <= self.max_time
    }

    /// The same files, with more times.
    fn grown(&self, min_time: i64, max_time: i64) -> Group<'a> {
        Group {
            files: self.files.clone(),
            min_time: self.min_time.min(min_time),
            max_time: self.max_time.max(max_time),
        }
    }
}

/// Neighbouring partitions together, as long as no file list lies between them and they are few enough.
fn groups<'a>(partitions: Vec<Group<'a>>, table: &Table, most: usize, patient: bool) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for partition in partitions {
        if let Some(last) = groups.last_mut()
            && last.files.len() + partition.files.len() <= most
        {
            let mut grown = last.grown(partition.min_time, partition.max_time);
            if !patient || !table.leaves.iter().any(|leaf| grown.meets(leaf)) {
                grown.files.extend(partition.files);
                *last = grown;
                continue;
            }
        }
        groups.push(partition);
    }
    groups
}

/// What to unpack.
pub fn unpack_jobs(state: &DatabaseState, rules: Rules) -> Vec<UnpackJob> {
    let horizon = horizon(state, rules.now);
    let is_due = |table: &Table, leaves: &[FileList]| match leaves {
        [leaf] => is_late(table, leaf, rules) || horizon.is_some_and(|horizon| is_a_quarter_past(leaf, horizon)),
        several => {
            let newest = several.iter().map(|leaf| leaf.order.last.clock).max().unwrap_or(0);
            let files: usize = several.iter().map(|leaf| leaf.files).sum();
            rules.rest(newest) == Rest::Still && files <= LEAVES_TOGETHER * rules.sizes.leaf_files
        }
    };
    let mut jobs = Vec::new();
    for table in state.tables.values() {
        let due = clusters(&table.leaves).into_iter().filter(|leaves| is_due(table, leaves));
        jobs.extend(due.map(|leaves| UnpackJob { table: table.id, leaves }));
    }
    jobs
}

/// The leaves in chains of such that meet in time.
fn clusters(leaves: &[FileList]) -> Vec<Vec<FileList>> {
    let mut leaves = leaves.to_vec();
    leaves.sort_by_key(|leaf| leaf.min_time);
    let mut clusters: Vec<(i64, Vec<FileList>)> = Vec::new();
    for leaf in leaves {
        match clusters.last_mut() {
            Some((end, cluster)) if leaf.min_time <= *end => {
                *end = leaf.max_time.max(*end);
                cluster.push(leaf);
            }
            _ => clusters.push((leaf.max_time, vec![leaf])),
        }
    }
    clusters.into_iter().map(|(_, cluster)| cluster).collect()
}

/// Whether files that came after the file list, and are at rest, meet it and are worth merging with it.
fn is_late(table: &Table, leaf: &FileList, rules: Rules) -> bool {
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

fn is_a_quarter_past(leaf: &FileList, horizon: i64) -> bool {
    let span = i128::from(leaf.max_time) - i128::from(leaf.min_time);
    leaf.max_time >= horizon && (i128::from(horizon) - i128::from(leaf.min_time)) * 4 > span.max(1)
}

/// Whether working on the files of a job's file lists, as read, would change anything: a merge would take one
/// of them or is only held up by the file lists, or one is past the retention.
pub fn is_worth_unpacking(state: &DatabaseState, job: &UnpackJob, files: &[Arc<DataFile>], rules: Rules) -> bool {
    let old = |file: &Arc<DataFile>| horizon(state, rules.now).is_some_and(|horizon| file.max_time < horizon);
    if files.iter().any(old) {
        return true;
    }
    let Some((name, table)) = state.table_by_id(job.table) else { return false };
    let mut unpacked = Table::clone(table);
    unpacked.leaves.retain(|leaf| !job.leaves.contains(leaf));
    unpacked.files.extend_from_slice(files);
    let inputs = |job: &MergeJob| job.inputs.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    let possible: Vec<_> = table_jobs(name, table, rules).iter().map(inputs).collect();
    table_jobs(name, &unpacked, rules).iter().any(|job| !possible.contains(&inputs(job)))
}
