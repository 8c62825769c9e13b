//! What must hold of one state, and of one step. Checked on every commit and by `siltdb check`.

use super::{DatabaseState, Table};
use crate::model::{DataFile, Digest};

/// What is wrong with a state by itself (I5, I7, I12, I16), in plain words; empty when all is well.
pub fn violations(state: &DatabaseState, version: u64) -> Vec<String> {
    let mut found = Vec::new();
    if !(state.floor <= state.epoch && state.epoch <= version && state.gc_fence < version) {
        found.push(format!(
            "floor {} <= epoch {} <= version {version} > fence {} does not hold",
            state.floor, state.epoch, state.gc_fence
        ));
    }
    if state.frozen.is_some() && !state.is_sealed() {
        found.push("a segment list is frozen although nothing is sealed".to_owned());
    }
    for (name, table) in &state.tables {
        table_violations(name, table, &mut found);
    }
    found
}

fn table_violations(name: &str, table: &Table, found: &mut Vec<String>) {
    let live = table.files.iter().fold(Digest::default(), |sum, file| sum.plus(file.sum));
    let live = table.leaves.iter().fold(live, |sum, leaf| sum.plus(leaf.sum));
    if live.plus(table.dropped) != table.settled {
        found.push(format!(
            "table '{name}': its files hold {live:?} and {:?} were dropped, but {:?} were settled",
            table.dropped, table.settled
        ));
    }
    found.extend(file_violations(name, table.files.iter().map(AsRef::as_ref).collect()));
    let mut ids: Vec<u32> = table.schema.columns.iter().map(|column| column.id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != table.schema.columns.len() || ids.last().is_some_and(|last| *last >= table.next_column) {
        found.push(format!("table '{name}': its column ids are not unique"));
    }
}

/// I5 of some live files of a table: no two may count a point twice. Of files in file lists it held when
/// they were packed, and whatever comes later is of newer segments or keeps away from the file list; only a
/// check reads them to look again.
///
/// Sorted by segments first: disjoint neighbours end the inner walk at once, which is the rule.
pub fn file_violations(name: &str, mut files: Vec<&DataFile>) -> Vec<String> {
    let mut found = Vec::new();
    files.sort_unstable_by_key(|file| (file.order.first, file.order.last));
    for (position, left) in files.iter().enumerate() {
        let rivals = files[position + 1..].iter().take_while(|right| right.order.first <= left.order.last);
        for right in rivals.filter(|right| left.may_share_points(right)) {
            found.push(format!(
                "table '{name}': {} and {} overlap in time, in keys and in segments: points may count twice",
                left.path, right.path
            ));
        }
    }
    found
}

/// What a step from `before` to `after` breaks: the state's own invariants and I12's monotony.
pub(super) fn transition_violations(before: &DatabaseState, after: &DatabaseState, version: u64) -> Vec<String> {
    let mut found = Vec::new();
    if after.epoch < before.epoch || after.floor < before.floor || after.gc_fence < before.gc_fence {
        found.push("epoch, floor or fence would go back".to_owned());
    }
    if after.next_table < before.next_table {
        found.push("table ids would be used again".to_owned());
    }
    // Untouched tables are the same objects; their invariants held before.
    for (name, table) in &after.tables {
        let untouched = before.tables.get(name).is_some_and(|known| std::sync::Arc::ptr_eq(known, table));
        if !untouched {
            table_violations(name, table, &mut found);
        }
    }
    let shell = DatabaseState { tables: Default::default(), ..after.clone() };
    found.extend(violations(&shell, version));
    found
}
