//! The pure transition: newest state + edit → next state.

use std::sync::Arc;

use super::{DatabaseState, Edit, FlushedTable, Refusal, Table, define, invariants};
use crate::model::{Code, ColumnKind, DataFile, Error, Sum, TableId, limits::Limits, names::check_name};
use crate::store::paths::SegmentName;

type Outcome = Result<DatabaseState, Refusal>;

/// The state that manifest `version` holds after `edit`. `version` is one more than that of
/// `state`.
pub fn apply(state: &DatabaseState, version: u64, edit: &Edit, limits: &Limits) -> Outcome {
    if state.dropped {
        return Err(Refusal::Superseded);
    }
    let next = match edit {
        Edit::Seal => seal(state, version),
        Edit::Freeze { floor, epoch, segments } => freeze(state, *floor, *epoch, segments),
        Edit::Flush { floor, consumed, base, tables } => flush(state, *floor, consumed, *base, tables),
        Edit::Merge { table, inputs, output, dropped, base } => {
            merge(state, *table, inputs, output.as_deref(), *dropped, *base)
        }
        Edit::Define(wanted) => define_tables(state, wanted, limits),
        Edit::CreateTable { name, columns } => create_table(state, name, columns, limits),
        Edit::DropTable { name } => drop_table(state, version, name),
        Edit::DropDatabase => Ok(DatabaseState { dropped: true, epoch: version, ..state.clone() }),
        Edit::Expire { table, files } => expire(state, *table, files),
        Edit::Collect => Ok(DatabaseState { gc_fence: version - 1, ..state.clone() }),
    }?;
    let broken = invariants::transition_violations(state, &next, version);
    if broken.is_empty() {
        Ok(next)
    } else {
        Err(Refusal::Invalid(Error::internal(format!(
            "a {} would break the database: {}",
            edit.kind(),
            broken.join("; ")
        ))))
    }
}

fn seal(state: &DatabaseState, version: u64) -> Outcome {
    if state.is_sealed() {
        return Err(Refusal::Nothing);
    }
    Ok(DatabaseState { epoch: version, ..state.clone() })
}

fn freeze(state: &DatabaseState, floor: u64, epoch: u64, segments: &[SegmentName]) -> Outcome {
    if state.frozen.is_some() || state.floor != floor || state.epoch != epoch || !state.is_sealed() {
        return Err(Refusal::Superseded);
    }
    Ok(DatabaseState { frozen: Some(segments.to_vec()), ..state.clone() })
}

fn flush(state: &DatabaseState, floor: u64, consumed: &[SegmentName], base: u64, tables: &[FlushedTable]) -> Outcome {
    if state.floor != floor || state.gc_fence > base {
        return Err(Refusal::Superseded);
    }
    let Some(rest) = state.frozen.as_ref().and_then(|frozen| frozen.strip_prefix(consumed)) else {
        return Err(Refusal::Superseded);
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

fn merge(
    state: &DatabaseState,
    table: TableId,
    inputs: &[String],
    output: Option<&DataFile>,
    dropped: Sum,
    base: u64,
) -> Outcome {
    if state.gc_fence > base {
        return Err(Refusal::Superseded);
    }
    let Some((_, current)) = state.table_by_id(table) else { return Err(Refusal::Superseded) };
    let (gone, kept): (Vec<&Arc<DataFile>>, Vec<&Arc<DataFile>>) =
        current.files.iter().partition(|file| inputs.contains(&file.path));
    if gone.len() != inputs.len() {
        return Err(Refusal::Superseded);
    }
    let consumed = gone.iter().fold(Sum::default(), |sum, file| sum.plus(file.sum));
    let produced = output.map_or(dropped, |file| dropped.plus(file.sum));
    if consumed != produced {
        return Err(lost_points("merge", table, consumed, produced));
    }
    let mut files: Vec<Arc<DataFile>> = kept.into_iter().cloned().collect();
    files.extend(output.cloned().map(Arc::new));
    let mut next = state.clone();
    change_table(&mut next, table, |table| {
        table.files = files;
        table.dropped = table.dropped.plus(dropped);
    })?;
    Ok(next)
}

fn lost_points(what: &str, table: TableId, consumed: Sum, produced: Sum) -> Refusal {
    Refusal::Invalid(Error::internal(format!(
        "a {what} of table {table} would not conserve its points: {consumed:?} went in, {produced:?} came out"
    )))
}

fn change_table(state: &mut DatabaseState, id: TableId, change: impl FnOnce(&mut Table)) -> Result<(), Refusal> {
    let table = state.tables.values_mut().find(|table| table.id == id).ok_or(Refusal::Superseded)?;
    change(Arc::make_mut(table));
    Ok(())
}

fn define_tables(state: &DatabaseState, wanted: &[define::NewColumns], limits: &Limits) -> Outcome {
    let mut next = state.clone();
    let mut changed = false;
    for wish in wanted {
        let defined = define::define(&next, TableId(next.next_table), wish, limits).map_err(Refusal::Invalid)?;
        let Some(table) = defined else { continue };
        next.next_table = next.next_table.max(table.id.0 + 1);
        next.tables.insert(wish.table.clone(), Arc::new(table));
        changed = true;
    }
    if changed { Ok(next) } else { Err(Refusal::Nothing) }
}

fn create_table(state: &DatabaseState, name: &str, columns: &[(String, ColumnKind)], limits: &Limits) -> Outcome {
    let invalid = |code, message: String| Err(Refusal::Invalid(Error::new(code, message)));
    if state.tables.contains_key(name) {
        return invalid(Code::TableExists, format!("Table {name} already exists."));
    }
    check_name("Table name", name).map_err(Refusal::Invalid)?;
    if state.tables.len() >= limits.tables_per_database {
        return invalid(
            Code::Catalog,
            format!("the database has {} tables, which is the limit", limits.tables_per_database),
        );
    }
    if !columns.iter().any(|(_, kind)| matches!(kind, ColumnKind::Field(_))) {
        return invalid(Code::NoField, "Semantic error: There must be at least one field column.".to_owned());
    }
    let mut table = define::new_table(TableId(state.next_table));
    let (tags, fields): (Vec<_>, Vec<_>) = columns.iter().partition(|(_, kind)| *kind == ColumnKind::Tag);
    for (column, kind) in tags.into_iter().chain(fields) {
        if table.schema.column(column).is_some() {
            return invalid(
                Code::ColumnExists,
                format!("Semantic error: column {column} already exists in table {name}"),
            );
        }
        define::add_column(&mut table, name, column, *kind, limits).map_err(Refusal::Invalid)?;
    }
    let mut next = state.clone();
    next.next_table += 1;
    next.tables.insert(name.to_owned(), Arc::new(table));
    Ok(next)
}

fn drop_table(state: &DatabaseState, version: u64, name: &str) -> Outcome {
    if !state.tables.contains_key(name) {
        return Err(Refusal::Nothing);
    }
    if state.frozen.is_some() {
        return Err(Refusal::FlushFirst);
    }
    let mut next = state.clone();
    next.tables.remove(name);
    next.epoch = version;
    Ok(next)
}

fn expire(state: &DatabaseState, table: TableId, files: &[String]) -> Outcome {
    let mut next = state.clone();
    let mut removed = 0;
    change_table(&mut next, table, |table| {
        let (gone, kept): (Vec<_>, Vec<_>) = table.files.drain(..).partition(|file| files.contains(&file.path));
        removed = gone.len();
        table.files = kept;
        table.dropped = gone.iter().fold(table.dropped, |sum, file| sum.plus(file.sum));
    })?;
    if removed == 0 { Err(Refusal::Nothing) } else { Ok(next) }
}
