//! Which files and tail parts have to be merged: those that overlap in time and, files among
//! themselves, in keys. What overlaps nothing is read as it is.
//!
//! Files alone decide where the time line is cut. A tail part that crosses a cut is taken apart
//! there, so that one late point does not tie a day's file to a week of others. And where files and tail
//! parts meet for a short time only, as those do that follow each other, they are merged within these
//! times and read as they are outside of them.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use crate::model::{DataFile, Error, KeyBound, OrderKey, Result};

use super::tail::TailSelection;

/// A span of time, ticks, both ends included.
pub(super) type Times = (i64, i64);

/// Times are merged apart from the rest if they are at most the fourth part of all.
const MERGED_SHARE: i128 = 4;

/// More windows than these cost more than they spare.
const MOST_WINDOWS: usize = 32;

/// One input of a merge.
#[derive(Debug, Clone)]
pub(super) enum MergeInput {
    /// A file, perhaps within some times only, both ends included.
    File(Arc<DataFile>, Option<Times>),
    Tail(TailSelection),
}

impl MergeInput {
    /// Inputs of one merge that share a time have disjoint ranges of order, so the start decides.
    fn order(&self) -> OrderKey {
        match self {
            MergeInput::File(file, _) => file.order.first,
            MergeInput::Tail(rows) => rows.part.order,
        }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self, MergeInput::File(..))
    }

    pub(super) fn rows(&self) -> u64 {
        match self {
            MergeInput::File(file, _) => file.rows,
            MergeInput::Tail(rows) => rows.count() as u64,
        }
    }
}

/// A table's inputs, apart.
#[derive(Debug, Default)]
pub(super) struct ScanGroups {
    /// Files that overlap nothing.
    pub files: Vec<Arc<DataFile>>,
    /// Files to be read but for the rows of some times, which are merged.
    pub partial: Vec<(Arc<DataFile>, Vec<Times>)>,
    /// Rows of the tail that overlap nothing.
    pub tails: Vec<TailSelection>,
    /// What has to be merged; in each, the oldest first.
    pub overlapping: Vec<Vec<MergeInput>>,
}

/// Rows of a tail part, and times that span them.
struct TailSlice {
    min: i64,
    max: i64,
    rows: TailSelection,
}

/// Files that overlap, in a chain.
struct FileCluster {
    min: i64,
    max: i64,
    files: Vec<Arc<DataFile>>,
}

/// Sorts a table's inputs.
pub(super) fn group(files: Vec<Arc<DataFile>>, tail: Vec<TailSelection>) -> Result<ScanGroups> {
    let clusters = clusters(files);
    // Segments of the time line: 2k lies before cluster k, 2k + 1 is cluster k.
    let mut segments: BTreeMap<usize, Vec<TailSlice>> = BTreeMap::new();
    for rows in tail {
        cut(rows, &clusters, &mut segments)?;
    }
    let mut groups = ScanGroups::default();
    for (number, cluster) in clusters.into_iter().enumerate() {
        let pieces = segments.remove(&(2 * number + 1)).unwrap_or_default();
        let windows = windows(&cluster, &pieces);
        if pieces.is_empty() && windows.is_empty() {
            groups.files.extend(cluster.files);
        } else if is_brief(&windows, &cluster) {
            groups.merge_within(&windows, &cluster.files, pieces);
        } else if pieces.is_empty() {
            groups.split_by_keys(cluster.files);
        } else {
            groups.overlap(cluster.files, pieces);
        }
    }
    for pieces in segments.into_values() {
        groups.sweep(pieces);
    }
    Ok(groups)
}

impl ScanGroups {
    /// Merges what meets within each window, and leaves the rest of the files alone.
    fn merge_within(&mut self, windows: &[Times], files: &[Arc<DataFile>], mut pieces: Vec<TailSlice>) {
        for window in windows {
            let meets = |file: &&Arc<DataFile>| file.min_time <= window.1 && window.0 <= file.max_time;
            let met = files.iter().filter(meets).map(|file| MergeInput::File(file.clone(), Some(*window)));
            let mut sources: Vec<MergeInput> = met.collect();
            let (inside, outside): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|piece| piece.min <= window.1);
            pieces = outside;
            sources.extend(inside.into_iter().map(|piece| MergeInput::Tail(piece.rows)));
            sources.sort_by_key(MergeInput::order);
            self.overlapping.push(sources);
        }
        for file in files {
            let meets = |window: &&Times| file.min_time <= window.1 && window.0 <= file.max_time;
            let without: Vec<Times> = windows.iter().filter(meets).copied().collect();
            if without.is_empty() {
                self.files.push(file.clone());
            } else if without.iter().all(|window| window.0 > file.min_time || file.max_time > window.1) {
                self.partial.push((file.clone(), without));
            }
        }
    }

    fn overlap(&mut self, files: Vec<Arc<DataFile>>, pieces: Vec<TailSlice>) {
        let mut sources: Vec<MergeInput> = files.into_iter().map(|file| MergeInput::File(file, None)).collect();
        sources.extend(pieces.into_iter().map(|piece| MergeInput::Tail(piece.rows)));
        sources.sort_by_key(MergeInput::order);
        self.overlapping.push(sources);
    }

    /// Files of a cluster, apart where they do not meet in keys. Of files whose keys are not known every
    /// one may meet every other.
    fn split_by_keys(&mut self, mut files: Vec<Arc<DataFile>>) {
        if files.len() > 1 && files.iter().all(|file| file.keys.is_some()) {
            files.sort_by(|left, right| first_key(left).cmp(&first_key(right)));
        } else if files.len() > 1 {
            return self.overlap(files, Vec::new());
        }
        let mut open: Vec<Arc<DataFile>> = Vec::new();
        let mut end: Option<KeyBound> = None;
        for file in files {
            let keys = file.keys.as_ref();
            if keys.is_some_and(|keys| end.as_ref().is_some_and(|end| *end < keys.first)) {
                self.close_files(std::mem::take(&mut open));
                end = None;
            }
            end = end.max(keys.map(|keys| keys.last.clone()));
            open.push(file);
        }
        self.close_files(open);
    }

    fn close_files(&mut self, files: Vec<Arc<DataFile>>) {
        match <[_; 1]>::try_from(files) {
            Ok([file]) => self.files.push(file),
            Err(files) if files.is_empty() => {}
            Err(files) => self.overlap(files, Vec::new()),
        }
    }

    /// Pieces that meet no file, apart where they do not meet each other.
    fn sweep(&mut self, mut pieces: Vec<TailSlice>) {
        pieces.sort_by_key(|piece| piece.min);
        let mut open: Vec<TailSlice> = Vec::new();
        let mut end = i64::MIN;
        for piece in pieces {
            if !open.is_empty() && piece.min > end {
                self.close(std::mem::take(&mut open));
                end = piece.max;
            }
            end = end.max(piece.max);
            open.push(piece);
        }
        self.close(open);
    }

    fn close(&mut self, pieces: Vec<TailSlice>) {
        match <[_; 1]>::try_from(pieces) {
            Ok([piece]) => self.tails.push(piece.rows),
            Err(pieces) if pieces.is_empty() => {}
            Err(pieces) => self.overlap(Vec::new(), pieces),
        }
    }
}

/// The times at which more than one of the inputs of a cluster may have rows: apart, in order.
fn windows(cluster: &FileCluster, pieces: &[TailSlice]) -> Vec<Times> {
    let mut found: Vec<Times> = pieces.iter().map(|piece| (piece.min, piece.max)).collect();
    // Files come by their first time.
    let mut end: Option<i64> = None;
    for file in &cluster.files {
        if let Some(end) = end.filter(|end| file.min_time <= *end) {
            found.push((file.min_time, end.min(file.max_time)));
        }
        end = end.max(Some(file.max_time));
    }
    found.sort_unstable();
    let mut windows: Vec<Times> = Vec::new();
    for (min, max) in found {
        match windows.last_mut() {
            Some(last) if min <= last.1 => last.1 = last.1.max(max),
            _ => windows.push((min, max)),
        }
    }
    windows
}

/// Whether so few times are to be merged that reading files twice, in part, is less work than merging
/// all of them.
fn is_brief(windows: &[Times], cluster: &FileCluster) -> bool {
    let length = |(min, max): Times| i128::from(max) - i128::from(min) + 1;
    let merged: i128 = windows.iter().map(|window| length(*window)).sum();
    merged * MERGED_SHARE <= length((cluster.min, cluster.max)) && windows.len() <= MOST_WINDOWS
}

fn first_key(file: &Arc<DataFile>) -> Option<&KeyBound> {
    file.keys.as_ref().map(|keys| &keys.first)
}

fn clusters(mut files: Vec<Arc<DataFile>>) -> Vec<FileCluster> {
    files.sort_by_key(|file| file.min_time);
    let mut clusters: Vec<FileCluster> = Vec::new();
    for file in files {
        match clusters.last_mut() {
            Some(last) if file.min_time <= last.max => {
                last.max = last.max.max(file.max_time);
                last.files.push(file);
            }
            _ => clusters.push(FileCluster { min: file.min_time, max: file.max_time, files: vec![file] }),
        }
    }
    clusters
}

/// Where on the time line a moment lies.
fn segment(time: i64, clusters: &[FileCluster]) -> usize {
    let after = clusters.partition_point(|cluster| cluster.max < time);
    let inside = clusters.get(after).is_some_and(|cluster| cluster.min <= time);
    2 * after + usize::from(inside)
}

fn cut(rows: TailSelection, clusters: &[FileCluster], segments: &mut BTreeMap<usize, Vec<TailSlice>>) -> Result<()> {
    let (min, max) = (rows.part.rows().min_time, rows.part.rows().max_time);
    let (first, last) = (segment(min, clusters), segment(max, clusters));
    if first == last {
        segments.entry(first).or_default().push(TailSlice { min, max, rows });
        return Ok(());
    }
    let times = rows.times()?;
    let mut places: BTreeMap<usize, (i64, i64, Vec<Range<usize>>)> = BTreeMap::new();
    for row in rows.positions() {
        let Some(time) = times.get(row).copied() else {
            return Err(Error::internal("a row of the tail has no time"));
        };
        let (min, max, runs) = places.entry(segment(time, clusters)).or_insert((time, time, Vec::new()));
        (*min, *max) = ((*min).min(time), (*max).max(time));
        match runs.last_mut() {
            Some(run) if run.end == row => run.end += 1,
            _ => runs.push(row..row + 1),
        }
    }
    for (number, (min, max, runs)) in places {
        let rows = TailSelection::some(rows.part.clone(), runs);
        segments.entry(number).or_default().push(TailSlice { min, max, rows });
    }
    Ok(())
}
