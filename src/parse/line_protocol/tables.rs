//! The tables of a body while they grow, and the series met so far.

use crate::model::{Code, ColumnKind, PointBatch, Result, limits::Limits, schema::TIME_COLUMN};

use super::{
    columns::{AppendOutcome, ColumnBuilder, FieldValue},
    fault::LineError,
    hash::KeyMap,
    scan::{KEY_END, begins_with, byte_at, name_end, unescape_key, unescape_table},
};

/// The most cells without a value that a body may give rise to. Arrow columns are dense, so many
/// columns that few rows have would otherwise cost memory out of proportion to the body.
const MAXIMUM_ABSENT_CELLS: usize = 32 << 20;

/// One table: complete rows, and the row that is being read.
#[derive(Debug)]
pub(super) struct TableBuilder<'a> {
    name: String,
    /// Where it is first written.
    at: usize,
    times: Vec<i64>,
    columns: Vec<ColumnBuilder<'a>>,
    by_key: KeyMap<'a, usize>,
    /// The first column of the line before: the guess for the first key of the next.
    first: usize,
}

impl<'a> TableBuilder<'a> {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The time of the last complete row.
    pub(super) fn last_time(&self) -> Option<i64> {
        self.times.last().copied()
    }

    /// The row that is being read.
    pub(super) fn row(&self) -> usize {
        self.times.len()
    }

    /// The guess for the key after that of column `previous`, or for the first key.
    #[inline]
    pub(super) fn guess(&self, previous: Option<usize>) -> usize {
        previous.map_or(self.first, |previous| self.columns[previous].next)
    }

    /// The column of the key at `at` if it is the guessed one, and where its value begins.
    #[inline]
    pub(super) fn guessed(&self, bytes: &[u8], at: usize, guess: usize) -> Option<usize> {
        let key = self.columns.get(guess)?.key;
        begins_with(bytes.get(at..)?, key).then_some(at + key.len())
    }

    /// Remembers which column followed which.
    #[inline]
    pub(super) fn follow(&mut self, previous: Option<usize>, column: usize) {
        match previous {
            Some(previous) => self.columns[previous].next = column,
            None => self.first = column,
        }
    }

    #[inline]
    pub(super) fn column(&mut self, column: usize) -> &mut ColumnBuilder<'a> {
        &mut self.columns[column]
    }
}

/// The tables of a body in order of first appearance.
#[derive(Debug)]
pub(super) struct Tables<'a> {
    text: &'a str,
    limits: &'a Limits,
    tables: Vec<TableBuilder<'a>>,
    by_name: KeyMap<'a, usize>,
    /// Cells of complete rows without a value, in all tables.
    absent_cells: usize,
}

impl<'a> Tables<'a> {
    pub(super) fn new(text: &'a str, limits: &'a Limits) -> Self {
        Tables { text, limits, tables: Vec::new(), by_name: KeyMap::default(), absent_cells: 0 }
    }

    #[inline]
    pub(super) fn get(&mut self, table: usize) -> &mut TableBuilder<'a> {
        &mut self.tables[table]
    }

    /// The table whose name is written at `at..end`.
    pub(super) fn named(&mut self, at: usize, end: usize) -> Result<usize, LineError> {
        let raw = &self.text[at..end];
        if let Some(table) = self.by_name.get(raw.as_bytes()) {
            return Ok(*table);
        }
        let table = self.tables.len();
        let limit = self.limits.tables_per_database;
        if table >= limit {
            return Err(LineError::word(at, format!("the body has more than {limit} tables")));
        }
        self.by_name.insert(raw.as_bytes(), table);
        self.tables.push(TableBuilder {
            name: unescape_table(raw).into_owned(),
            at,
            times: Vec::new(),
            columns: Vec::new(),
            by_key: KeyMap::default(),
            first: 0,
        });
        Ok(table)
    }

    /// The column whose key is written at `at` and ends at the `=` at `end`; a new one gets `kind`.
    pub(super) fn keyed(&mut self, table: usize, at: usize, end: usize, kind: ColumnKind) -> Result<usize, LineError> {
        let owner = &mut self.tables[table];
        let raw = &self.text[at..end];
        if let Some(column) = owner.by_key.get(raw.as_bytes()) {
            return Ok(*column);
        }
        let name = unescape_key(raw);
        if name == TIME_COLUMN {
            return Err(LineError::word(at, "the name 'time' is reserved for the time of a point"));
        }
        let limit = self.limits.columns_per_table;
        if owner.columns.len() + 1 >= limit {
            let what = format!("table '{}' has more than {limit} columns, time included, in this body", owner.name);
            return Err(LineError::word(at, what));
        }
        let column = owner.columns.len();
        owner.by_key.insert(raw.as_bytes(), column);
        let key = &self.text.as_bytes()[at..=end];
        owner.columns.push(ColumnBuilder::new(key, at, name.into_owned(), kind));
        let rows = owner.times.len();
        self.count_absent(table, at, rows)?;
        Ok(column)
    }

    /// Where the key at `at` ends, which must be at a `=`; `what` names it in complaints.
    pub(super) fn key_end(&self, at: usize, what: &str) -> Result<usize, LineError> {
        let bytes = self.text.as_bytes();
        let end = name_end(bytes, at, KEY_END);
        match byte_at(bytes, end) {
            b'=' if end > at => Ok(end),
            b'=' => Err(LineError::line(at, format!("the key of a {what} is empty"))),
            _ if end > at => Err(LineError::line(at, format!("a {what} has no '=' and value"))),
            _ => Err(LineError::line(at, format!("a {what} is missing"))),
        }
    }

    /// Gives the row its value of a field. `at` is where its key begins.
    #[inline]
    pub(super) fn set_field(
        &mut self,
        table: usize,
        column: usize,
        value: FieldValue<'a>,
        at: usize,
    ) -> Result<(), LineError> {
        let owner = &mut self.tables[table];
        let row = owner.times.len();
        match owner.columns[column].set_field(row, value) {
            AppendOutcome::Taken | AppendOutcome::Repeated => Ok(()),
            AppendOutcome::Conflict => Err(self.conflict(table, column, value.kind(), at)),
        }
    }

    /// Gives the row its value of a tag and says which one it is. `at` is where its key begins.
    #[inline]
    pub(super) fn set_tag(&mut self, table: usize, column: usize, raw: &'a str, at: usize) -> Result<i32, LineError> {
        let owner = &mut self.tables[table];
        let row = owner.times.len();
        let Some(key) = owner.columns[column].tag_key(raw) else {
            return Err(self.conflict(table, column, ColumnKind::Tag, at));
        };
        // The first of equals stays, and so does a value whose column turned out to be no tag.
        owner.columns[column].set_tag(row, key);
        Ok(key)
    }

    /// Completes the row with its time. `cells` is how many values the line gave it.
    #[inline]
    pub(super) fn complete(&mut self, table: usize, time: i64, cells: usize, at: usize) -> Result<(), LineError> {
        let owner = &mut self.tables[table];
        owner.times.push(time);
        let absent = owner.columns.len().saturating_sub(cells);
        self.count_absent(table, at, absent)
    }

    #[inline]
    fn count_absent(&mut self, table: usize, at: usize, cells: usize) -> Result<(), LineError> {
        self.absent_cells += cells;
        if self.absent_cells > MAXIMUM_ABSENT_CELLS { Err(self.too_sparse(table, at)) } else { Ok(()) }
    }

    #[cold]
    fn too_sparse(&self, table: usize, at: usize) -> LineError {
        let owner = &self.tables[table];
        let what = format!(
            "too many points lack too many columns (table '{}' has {} columns here): send them in smaller bodies",
            owner.name,
            owner.columns.len()
        );
        LineError::line(at, what)
    }

    #[cold]
    fn conflict(&self, table: usize, column: usize, found: ColumnKind, at: usize) -> LineError {
        let owner = &self.tables[table];
        let column = &owner.columns[column];
        let what = format!(
            "Column '{}' type error, found {} expected {} (table '{}', earlier in this body)",
            column.name(),
            type_name(found),
            type_name(column.kind()),
            owner.name
        );
        LineError::word(at, what).with_code(Code::TypeConflict)
    }

    /// Where a table, or a column of it, is first written.
    pub(super) fn place(&self, table: &str, column: Option<&str>) -> Option<usize> {
        // Names that are escaped in several ways are several tables here, and one afterwards.
        let tables = self.tables.iter().filter(|known| known.name == table);
        let place = |known: &TableBuilder<'_>| match column {
            None => Some(known.at),
            Some(name) => known.columns.iter().find(|known| known.name() == name).map(|known| known.at),
        };
        tables.filter_map(place).min()
    }

    /// The points of each table.
    pub(super) fn finish(self) -> Result<Vec<PointBatch>> {
        let mut batches = Vec::with_capacity(self.tables.len());
        for table in self.tables {
            let rows = table.times.len();
            let columns = table.columns.into_iter().map(|column| column.finish(rows)).collect::<Result<_>>()?;
            batches.push(PointBatch { table: table.name, time: table.times.into(), columns });
        }
        Ok(batches)
    }
}

fn type_name(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Field(field_type) => field_type.sql_name(),
        ColumnKind::Tag | ColumnKind::Time => kind.name(),
    }
}
