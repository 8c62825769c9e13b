//! Matching the columns of written points with a table's, and what is missing.

use crate::model::{
    Code, Column, ColumnId, ColumnKind, Error, Result, Subject, TableId, TableSchema,
    limits::Limits,
    names::{check_name, unseen_character},
    schema::TIME_COLUMN,
};

use super::{DatabaseState, Table};

/// Columns that a table (perhaps not there yet) needs.
#[derive(Debug, Clone)]
pub struct NewColumns {
    pub table: String,
    pub columns: Vec<(String, ColumnKind)>,
}

/// How written columns relate to the state.
#[derive(Debug)]
pub enum Resolution {
    /// All known: the table, and the id of each column in the order asked.
    Known(TableId, Vec<ColumnId>),
    /// Table or columns have to be created first.
    Missing(NewColumns),
}

fn spell(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Time => "TIME",
        ColumnKind::Tag => "TAG",
        ColumnKind::Field(field_type) => field_type.sql_name(),
    }
}

pub(super) fn conflict(table: &str, column: &str, found: ColumnKind, expected: ColumnKind) -> Error {
    Error::new(
        Code::TypeConflict,
        format!(
            "DataSchemaError: Column '{column}' type error, found {} expected {} (table '{table}')",
            spell(found),
            spell(expected)
        ),
    )
    .about(Subject { table: table.to_owned(), column: Some(column.to_owned()), time: None })
}

/// Looks the columns of one table up. An error when one is there with another kind or type.
pub fn resolve<'a>(
    state: &DatabaseState,
    table: &str,
    columns: impl Iterator<Item = (&'a str, ColumnKind)>,
) -> Result<Resolution> {
    let known = state.tables.get(table);
    let mut ids = Vec::new();
    let mut missing = Vec::new();
    for (name, kind) in columns {
        match known.and_then(|known| known.schema.column(name)) {
            Some(column) if column.kind == kind => ids.push(column.id),
            Some(column) => return Err(conflict(table, name, kind, column.kind)),
            None => missing.push((name.to_owned(), kind)),
        }
    }
    match known {
        Some(known) if missing.is_empty() => Ok(Resolution::Known(known.id, ids)),
        _ => Ok(Resolution::Missing(NewColumns { table: table.to_owned(), columns: missing })),
    }
}

/// Adds what is missing of `wanted` to the table, or makes the table; `None` when all is there.
///
/// New columns come in CnosDB's order: tags by name, then fields by name, after those there are. Their ids,
/// by which rows are sorted, count in the order in which they are wanted: what a line names first is mostly
/// what a query asks for.
pub(super) fn define(
    state: &DatabaseState,
    table_id: TableId,
    wanted: &NewColumns,
    limits: &Limits,
) -> Result<Option<Table>> {
    let existing = state.tables.get(&wanted.table);
    if existing.is_none() {
        let about = || Subject { table: wanted.table.clone(), ..Subject::default() };
        check_name("Table name", &wanted.table).map_err(|error| error.about(about()))?;
        if state.tables.len() >= limits.tables_per_database {
            return Err(Error::new(
                Code::Catalog,
                format!(
                    "the database has {} tables, which is the limit: there is no place for table '{}'",
                    limits.tables_per_database, wanted.table
                ),
            )
            .about(about()));
        }
    }
    let mut table = match existing {
        Some(table) => table.as_ref().clone(),
        None => new_table(table_id),
    };
    let mut missing: Vec<(ColumnId, &str, ColumnKind)> = Vec::new();
    for wish in &wanted.columns {
        match table.schema.column(&wish.0) {
            Some(column) if column.kind == wish.1 => {}
            Some(column) => return Err(conflict(&wanted.table, &wish.0, wish.1, column.kind)),
            None => missing.push((next_id(&mut table), &wish.0, wish.1)),
        }
    }
    if missing.is_empty() && existing.is_some() {
        return Ok(None);
    }
    missing.sort_by_key(|(_, name, kind)| (*kind != ColumnKind::Tag, *name));
    for (id, name, kind) in missing {
        add_column(&mut table, &wanted.table, Column { id, name: name.to_owned(), kind }, limits)?;
    }
    Ok(Some(table))
}

pub(super) fn new_table(id: TableId) -> Table {
    Table {
        id,
        schema: TableSchema::new(),
        next_column: 1,
        files: Vec::new(),
        leaves: Vec::new(),
        settled: Default::default(),
        dropped: Default::default(),
        text: Default::default(),
    }
}

/// An id that no column of the table has had.
pub(super) fn next_id(table: &mut Table) -> ColumnId {
    let id = ColumnId(table.next_column);
    table.next_column += 1;
    id
}

/// Appends one column that is not there yet.
pub(super) fn add_column(table: &mut Table, table_name: &str, column: Column, limits: &Limits) -> Result<()> {
    let name = column.name.as_str();
    let about = || Subject { table: table_name.to_owned(), column: Some(name.to_owned()), time: None };
    check_column_name(table_name, name).map_err(|error| error.about(about()))?;
    if table.schema.columns.len() >= limits.columns_per_table {
        return Err(Error::new(
            Code::Catalog,
            format!(
                "table '{table_name}' has {} columns, which is the limit: there is no place for column '{name}'",
                limits.columns_per_table
            ),
        )
        .about(about()));
    }
    if name == TIME_COLUMN {
        return Err(Error::new(
            Code::ColumnExists,
            format!("Semantic error: column {TIME_COLUMN} already exists in table {table_name}"),
        ));
    }
    table.schema.columns.push(column);
    Ok(())
}

/// Column names may hold any text that can be seen: they never become object names.
fn check_column_name(table: &str, name: &str) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::new(Code::Semantic, format!("Semantic error: column name {name:?} of table '{table}' {why}")))
    };
    if name.is_empty() {
        return refuse("is empty");
    }
    if name.len() > crate::model::names::MAXIMUM_NAME_BYTES {
        return refuse("is longer than 255 bytes");
    }
    unseen_character(name).map_or(Ok(()), refuse)
}
