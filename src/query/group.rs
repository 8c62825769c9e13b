//! Which files and tail parts have to be merged: those that overlap in time and, files among
//! themselves, in keys. What overlaps nothing is read as it is.
//!
//! Files alone decide where the time line is cut. A tail part that crosses a cut is taken apart
//! there, so that one late point does not tie a day's file to a week of others. And where files and tail
//! parts meet for a short time only, as those do that follow each other, they are merged within these
//! times and read as they are outside of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::take_record_batch,
};

use crate::{
    model::{DataFile, Error, KeyBound, OrderKey, Result},
    table, wal,
};

/// A span of time, ticks, both ends included.
pub(super) type Times = (i64, i64);

/// Times are merged apart from the rest if they are at most the fourth part of all.
const MERGED_SHARE: i128 = 4;

/// More windows than these cost more than they spare.
const MOST_WINDOWS: usize = 32;

/// One input of a merge.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A file, perhaps within some times only, both ends included.
    File(Arc<DataFile>, Option<Times>),
    /// Rows as they are logged.
    Tail { order: OrderKey, batch: RecordBatch },
}

impl Source {
    /// Inputs of one merge that share a time have disjoint ranges of order, so the start decides.
    fn order(&self) -> OrderKey {
        match self {
            Source::File(file, _) => file.order.first,
            Source::Tail { order, .. } => *order,
        }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self, Source::File(..))
    }

    pub(super) fn rows(&self) -> u64 {
        match self {
            Source::File(file, _) => file.rows,
            Source::Tail { batch, .. } => batch.num_rows() as u64,
        }
    }
}

/// A table's inputs, apart.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Files that overlap nothing.
    pub files: Vec<Arc<DataFile>>,
    /// Files to be read but for the rows of some times, which are merged.
    pub partial: Vec<(Arc<DataFile>, Vec<Times>)>,
    /// Tail batches that overlap nothing, as they are logged.
    pub tails: Vec<RecordBatch>,
    /// What has to be merged; in each, the oldest first.
    pub overlapping: Vec<Vec<Source>>,
}

/// Rows of a tail part, as they are logged, and times that span them.
pub(super) struct Piece {
    pub order: OrderKey,
    pub min: i64,
    pub max: i64,
    pub batch: RecordBatch,
}

/// Files that overlap, in a chain.
struct Cluster {
    min: i64,
    max: i64,
    files: Vec<Arc<DataFile>>,
}

/// Sorts a table's inputs.
pub(super) fn group(files: Vec<Arc<DataFile>>, tail: Vec<Piece>) -> Result<Groups> {
    let clusters = clusters(files);
    // Segments of the time line: 2k lies before cluster k, 2k + 1 is cluster k.
    let mut segments: BTreeMap<usize, Vec<Piece>> = BTreeMap::new();
    for piece in tail {
        cut(piece, &clusters, &mut segments)?;
    }
    let mut groups = Groups::default();
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

impl Groups {
    /// Merges what meets within each window, and leaves the rest of the files alone.
    fn merge_within(&mut self, windows: &[Times], files: &[Arc<DataFile>], mut pieces: Vec<Piece>) {
        for window in windows {
            let meets = |file: &&Arc<DataFile>| file.min_time <= window.1 && window.0 <= file.max_time;
            let met = files.iter().filter(meets).map(|file| Source::File(file.clone(), Some(*window)));
            let mut sources: Vec<Source> = met.collect();
            let (inside, outside): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|piece| piece.min <= window.1);
            pieces = outside;
            sources.extend(inside.into_iter().map(|piece| Source::Tail { order: piece.order, batch: piece.batch }));
            sources.sort_by_key(Source::order);
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

    fn overlap(&mut self, files: Vec<Arc<DataFile>>, pieces: Vec<Piece>) {
        let mut sources: Vec<Source> = files.into_iter().map(|file| Source::File(file, None)).collect();
        sources.extend(pieces.into_iter().map(|piece| Source::Tail { order: piece.order, batch: piece.batch }));
        sources.sort_by_key(Source::order);
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
    fn sweep(&mut self, mut pieces: Vec<Piece>) {
        pieces.sort_by_key(|piece| piece.min);
        let mut open: Vec<Piece> = Vec::new();
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

    fn close(&mut self, pieces: Vec<Piece>) {
        match <[_; 1]>::try_from(pieces) {
            Ok([piece]) => self.tails.push(piece.batch),
            Err(pieces) if pieces.is_empty() => {}
            Err(pieces) => self.overlap(Vec::new(), pieces),
        }
    }
}

/// The times at which more than one of the inputs of a cluster may have rows: apart, in order.
fn windows(cluster: &Cluster, pieces: &[Piece]) -> Vec<Times> {
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
fn is_brief(windows: &[Times], cluster: &Cluster) -> bool {
    let length = |(min, max): Times| i128::from(max) - i128::from(min) + 1;
    let merged: i128 = windows.iter().map(|window| length(*window)).sum();
    merged * MERGED_SHARE <= length((cluster.min, cluster.max)) && windows.len() <= MOST_WINDOWS
}

fn first_key(file: &Arc<DataFile>) -> Option<&KeyBound> {
    file.keys.as_ref().map(|keys| &keys.first)
}

fn clusters(mut files: Vec<Arc<DataFile>>) -> Vec<Cluster> {
    files.sort_by_key(|file| file.min_time);
    let mut clusters: Vec<Cluster> = Vec::new();
    for file in files {
        match clusters.last_mut() {
            Some(last) if file.min_time <= last.max => {
                last.max = last.max.max(file.max_time);
                last.files.push(file);
            }
            _ => clusters.push(Cluster { min: file.min_time, max: file.max_time, files: vec![file] }),
        }
    }
    clusters
}

/// Where on the time line a moment lies.
fn segment(time: i64, clusters: &[Cluster]) -> usize {
    let after = clusters.partition_point(|cluster| cluster.max < time);
    let inside = clusters.get(after).is_some_and(|cluster| cluster.min <= time);
    2 * after + usize::from(inside)
}

fn cut(piece: Piece, clusters: &[Cluster], segments: &mut BTreeMap<usize, Vec<Piece>>) -> Result<()> {
    let (first, last) = (segment(piece.min, clusters), segment(piece.max, clusters));
    if first == last {
        segments.entry(first).or_default().push(piece);
        return Ok(());
    }
    let Piece { order, batch, .. } = piece;
    let time = wal::key_of(batch.schema_ref())?.time;
    let ticks = table::ticks(&batch, time)?;
    let mut rows: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for (row, tick) in ticks.iter().enumerate() {
        let row = u32::try_from(row).map_err(|_| Error::internal("a tail batch has more than 2^32 rows"))?;
        rows.entry(segment(*tick, clusters)).or_default().push(row);
    }
    for (number, rows) in rows {
        let times = rows.iter().filter_map(|row| ticks.get(*row as usize));
        let (min, max) = times.fold((i64::MAX, i64::MIN), |(min, max), time| (min.min(*time), max.max(*time)));
        let batch = take_record_batch(&batch, &UInt32Array::from(rows))?;
        segments.entry(number).or_default().push(Piece { order, min, max, batch });
    }
    Ok(())
}
