//! The edits that change which data files there are.

use std::sync::Arc;

use super::{DatabaseState, EditRefusal, Expired, FlushedTable, Packed, Table, edit::EditResult};
use crate::model::paths::SegmentName;
use crate::model::{DataFile, Digest, Error, TableId};

pub(super) fn flush(
    state: &DatabaseState,
    floor: u64,
    consumed: &[SegmentName],
    base: u64,
    tables: &[FlushedTable],
) -> EditResult {
    if state.floor != floor || state.gc_fence > base {
        return Err(EditRefusal::Superseded);
    }
    let Some(rest) = state.frozen.as_ref().and_then(|frozen| frozen.strip_prefix(consumed)) else {
        return Err(EditRefusal::Superseded);
    };
    let mut next = state.clone();
    for flushed in tables {
        let produced = flushed.files.iter().fold(flushed.dropped, |sum, file| sum.plus(file.sum));
        if produced != flushed.consumed {
            return Err(lost_points("flush", flushed.table, flushed.consumed, produced));
        }
        change_table(&mut next, flushed.table, |table| {
            table.files.extend(flushed.files.iter().cloned().map(Arc::new));
            table.settled = table.settled.plus(flushed.consumed);
            table.dropped = table.dropped.plus(flushed.dropped);
        })?;
    }
    if rest.is_empty() {
        next.floor = state.epoch;
        next.frozen = None;
    } else {
        next.frozen = Some(rest.to_vec());
    }
    Ok(next)
}

pub(super) fn merge(
    state: &DatabaseState,
    table: TableId,
    inputs: &[String],
    outputs: &[DataFile],
    dropped: Digest,
    base: u64,
) -> EditResult {
    if state.gc_fence > base {
        return Err(EditRefusal::Superseded);
    }
    let Some((_, current)) = state.table_by_id(table) else { return Err(EditRefusal::Superseded) };
    let (gone, kept) = take(current, inputs)?;
    let consumed = sum_of(&gone);
    let produced = outputs.iter().fold(dropped, |sum, file| sum.plus(file.sum));
    if consumed != produced {
        return Err(lost_points("merge", table, consumed, produced));
    }
    // What lies between the inputs in a file list was not there when the job was planned.
    let meets_leaf =
        |file: &DataFile| current.leaves.iter().any(|leaf| leaf.may_overlap(file.order, file.min_time, file.max_time));
    // What lies between them in the manifest came of another merge, whose claim is as good.
    let meets_file =
        |file: &DataFile| kept.iter().any(|other| other.order.overlaps(file.order) && other.may_share_points(file));
    if outputs.iter().any(|file| meets_leaf(file) || meets_file(file)) {
        return Err(EditRefusal::Superseded);
    }
    let mut next = state.clone();
    change_table(&mut next, table, |table| {
        table.files = kept;
        table.files.extend(outputs.iter().cloned().map(Arc::new));
        table.dropped = table.dropped.plus(dropped);
    })?;
    Ok(next)
}

/// Tables that changed too much meanwhile keep their files where they are; the others are packed.
pub(super) fn pack(state: &DatabaseState, tables: &[Packed], base: u64) -> EditResult {
    if state.gc_fence > base {
        return Err(EditRefusal::Superseded);
    }
    let mut next = state.clone();
    let mut packed = 0;
    for job in tables {
        let Some((_, current)) = state.table_by_id(job.table) else { continue };
        let Ok((moved, kept)) = take(current, &job.files) else { continue };
        let replaced = match &job.replaces {
            None => None,
            Some(path) => match current.leaves.iter().find(|leaf| leaf.path == *path) {
                None => continue,
                found => found,
            },
        };
        let before = replaced.map_or(Digest::default(), |leaf| leaf.sum).plus(sum_of(&moved));
        let count = replaced.map_or(0, |leaf| leaf.files) + moved.len();
        if before != job.leaf.sum || count != job.leaf.files {
            return Err(lost_points("pack", job.table, before, job.leaf.sum));
        }
        change_table(&mut next, job.table, |table| {
            table.files = kept;
            table.leaves.retain(|leaf| Some(&leaf.path) != job.replaces.as_ref());
            table.leaves.push(job.leaf.clone());
            table.leaves.sort_by_key(|leaf| (leaf.min_time, leaf.max_time));
        })?;
        packed += 1;
    }
    if packed == 0 { Err(EditRefusal::Superseded) } else { Ok(next) }
}

pub(super) fn unpack(state: &DatabaseState, table: TableId, leaf: &str, files: &[Arc<DataFile>]) -> EditResult {
    let mut next = state.clone();
    let mut found = None;
    change_table(&mut next, table, |table| {
        let position = table.leaves.iter().position(|known| known.path == leaf);
        found = position.map(|position| table.leaves.remove(position));
        table.files.extend_from_slice(files);
    })?;
    let Some(found) = found else { return Err(EditRefusal::Superseded) };
    let sum = sum_of(files);
    if sum != found.sum || files.len() != found.files {
        return Err(lost_points("unpack", table, found.sum, sum));
    }
    Ok(next)
}

pub(super) fn expire(state: &DatabaseState, tables: &[Expired]) -> EditResult {
    let mut next = state.clone();
    let mut removed = 0;
    for expired in tables {
        // A table that is gone has nothing left to expire.
        let _ = change_table(&mut next, expired.table, |table| {
            let (gone, kept): (Vec<_>, Vec<_>) =
                table.files.drain(..).partition(|file| expired.files.contains(&file.path));
            let (old, young): (Vec<_>, Vec<_>) = table.leaves.drain(..).partition(|leaf| expired.leaves.contains(leaf));
            removed += gone.len() + old.len();
            table.files = kept;
            table.leaves = young;
            table.dropped = old.iter().fold(table.dropped.plus(sum_of(&gone)), |sum, leaf| sum.plus(leaf.sum));
        });
    }
    if removed == 0 { Err(EditRefusal::Nothing) } else { Ok(next) }
}

type Files = Vec<Arc<DataFile>>;

/// The named files of a table, and the others.
fn take(table: &Table, names: &[String]) -> Result<(Files, Files), EditRefusal> {
    let (named, others): (Files, Files) = table.files.iter().cloned().partition(|file| names.contains(&file.path));
    if named.len() == names.len() { Ok((named, others)) } else { Err(EditRefusal::Superseded) }
}

fn sum_of(files: &[Arc<DataFile>]) -> Digest {
    files.iter().fold(Digest::default(), |sum, file| sum.plus(file.sum))
}

fn lost_points(what: &str, table: TableId, consumed: Digest, produced: Digest) -> EditRefusal {
    EditRefusal::Invalid(Error::internal(format!(
        "a {what} of table {table} would not conserve its points: {consumed:?} went in, {produced:?} came out"
    )))
}

fn change_table(state: &mut DatabaseState, id: TableId, change: impl FnOnce(&mut Table)) -> Result<(), EditRefusal> {
    let table = state.tables.values_mut().find(|table| table.id == id).ok_or(EditRefusal::Superseded)?;
    // A new one, not the old one changed: the old one's text would no longer be true.
    let mut changed = Table::clone(table);
    change(&mut changed);
    *table = Arc::new(changed);
    Ok(())
}
