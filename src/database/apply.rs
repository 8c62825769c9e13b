//! The pure transition: newest state + edit → next state.

use std::sync::Arc;

use super::edit::EditResult;
use super::{DatabaseState, Edit, EditRefusal, files, invariants, schema_changes};
use crate::model::paths::SegmentName;
use crate::model::{Code, Column, ColumnKind, Error, TableId, limits::Limits, names::check_name};

/// The state that manifest `version` holds after `edit`. `version` is one more than that of
/// `state`.
pub fn apply(state: &DatabaseState, version: u64, edit: &Edit, limits: &Limits) -> EditResult {
    if state.dropped {
        return Err(EditRefusal::Superseded);
    }
    let next = match edit {
        Edit::Seal => seal(state, version),
        Edit::Freeze { floor, epoch, segments } => freeze(state, *floor, *epoch, segments),
        Edit::Flush { floor, consumed, base, tables } => files::flush(state, *floor, consumed, *base, tables),
        Edit::Merge { table, inputs, outputs, dropped, base } => {
            files::merge(state, *table, inputs, outputs, *dropped, *base)
        }
        Edit::Pack { tables, base } => files::pack(state, tables, *base),
        Edit::Unpack { table, leaf, files } => files::unpack(state, *table, leaf, files),
        Edit::Define(wanted) => define_tables(state, wanted, limits),
        Edit::CreateTable { name, columns } => create_table(state, name, columns, limits),
        Edit::DropTable { name } => drop_table(state, version, name),
        Edit::DropDatabase => Ok(DatabaseState { dropped: true, epoch: version, ..state.clone() }),
        Edit::Expire { tables } => files::expire(state, tables),
        Edit::Collect => Ok(DatabaseState { gc_fence: version - 1, ..state.clone() }),
    }?;
    let broken = invariants::transition_violations(state, &next, version);
    if broken.is_empty() {
        Ok(next)
    } else {
        Err(EditRefusal::Invalid(Error::internal(format!(
            "a {} would break the database: {}",
            edit.kind(),
            broken.join("; ")
        ))))
    }
}

fn seal(state: &DatabaseState, version: u64) -> EditResult {
    if state.is_sealed() {
        return Err(EditRefusal::Nothing);
    }
    Ok(DatabaseState { epoch: version, ..state.clone() })
}

fn freeze(state: &DatabaseState, floor: u64, epoch: u64, segments: &[SegmentName]) -> EditResult {
    if state.frozen.is_some() || state.floor != floor || state.epoch != epoch || !state.is_sealed() {
        return Err(EditRefusal::Superseded);
    }
    Ok(DatabaseState { frozen: Some(segments.to_vec()), ..state.clone() })
}

fn define_tables(state: &DatabaseState, wanted: &[schema_changes::NewColumns], limits: &Limits) -> EditResult {
    let mut next = state.clone();
    let mut changed = false;
    for wish in wanted {
        let defined =
            schema_changes::define(&next, TableId(next.next_table), wish, limits).map_err(EditRefusal::Invalid)?;
        let Some(table) = defined else { continue };
        next.next_table = next.next_table.max(table.id.0 + 1);
        next.tables.insert(wish.table.clone(), Arc::new(table));
        changed = true;
    }
    if changed { Ok(next) } else { Err(EditRefusal::Nothing) }
}

fn create_table(state: &DatabaseState, name: &str, columns: &[(String, ColumnKind)], limits: &Limits) -> EditResult {
    let invalid = |code, message: String| Err(EditRefusal::Invalid(Error::new(code, message)));
    if state.tables.contains_key(name) {
        return invalid(Code::TableExists, format!("Table {name} already exists."));
    }
    check_name("Table name", name).map_err(EditRefusal::Invalid)?;
    if state.tables.len() >= limits.tables_per_database {
        return invalid(
            Code::Catalog,
            format!("the database has {} tables, which is the limit", limits.tables_per_database),
        );
    }
    if !columns.iter().any(|(_, kind)| matches!(kind, ColumnKind::Field(_))) {
        return invalid(Code::NoField, "Semantic error: There must be at least one field column.".to_owned());
    }
    let mut table = schema_changes::new_table(TableId(state.next_table));
    let (tags, fields): (Vec<_>, Vec<_>) = columns.iter().partition(|(_, kind)| *kind == ColumnKind::Tag);
    for (column, kind) in tags.into_iter().chain(fields) {
        if table.schema.column(column).is_some() {
            return invalid(
                Code::ColumnExists,
                format!("Semantic error: column {column} already exists in table {name}"),
            );
        }
        let column = Column { id: schema_changes::next_id(&mut table), name: column.clone(), kind: *kind };
        schema_changes::add_column(&mut table, name, column, limits).map_err(EditRefusal::Invalid)?;
    }
    let mut next = state.clone();
    next.next_table += 1;
    next.tables.insert(name.to_owned(), Arc::new(table));
    Ok(next)
}

fn drop_table(state: &DatabaseState, version: u64, name: &str) -> EditResult {
    if !state.tables.contains_key(name) {
        return Err(EditRefusal::Nothing);
    }
    if state.frozen.is_some() {
        return Err(EditRefusal::FlushFirst);
    }
    let mut next = state.clone();
    next.tables.remove(name);
    next.epoch = version;
    Ok(next)
}
