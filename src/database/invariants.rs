//! What must hold of one state, and of one step. Checked on every commit and by `siltdb check`.

use super::{DatabaseState, Table};
use crate::model::{DataFile, Sum};

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
    let live = table.files.iter().fold(Sum::default(), |sum, file| sum.plus(file.sum));
    if live.plus(table.dropped) != table.settled {
        found.push(format!(
            "table '{name}': its files hold {live:?} and {:?} were dropped, but {:?} were settled",
            table.dropped, table.settled
        ));
    }
    overlaps(table.files.iter().map(AsRef::as_ref).collect(), |left, right| {
        found.push(format!(
            "table '{name}': {} and {} overlap in time and in segments: points may count twice",
            left.path, right.path
        ));
    });
    let mut ids: Vec<u32> = table.schema.columns.iter().map(|column| column.id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != table.schema.columns.len() || ids.last().is_some_and(|last| *last >= table.next_column) {
        found.push(format!("table '{name}': its column ids are not unique"));
    }
}

/// Calls `report` for each pair of files that overlap both in time and in segments. Sorted by
/// segments first: disjoint neighbours end the inner walk at once, which is the rule.
fn overlaps(mut files: Vec<&DataFile>, mut report: impl FnMut(&DataFile, &DataFile)) {
    files.sort_unstable_by_key(|file| (file.order.first, file.order.last));
    for (position, left) in files.iter().enumerate() {
        for right in files[position + 1..].iter().take_while(|right| right.order.first <= left.order.last) {
            if left.min_time <= right.max_time && right.min_time <= left.max_time {
                report(left, right);
            }
        }
    }
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
