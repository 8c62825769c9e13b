//! Points between the parser and the log: typed columns, not yet tied to a table's ids.

use arrow::array::{ArrayRef, Int64Array};

use super::schema::ColumnKind;

/// One named column of a [`PointBatch`]: a tag as `Dictionary(Int32, Utf8)`, a field in its
/// [`super::FieldType::storage_type`]. Null where the point does not have it.
#[derive(Debug, Clone)]
pub struct PointColumn {
    pub name: String,
    pub kind: ColumnKind,
    pub values: ArrayRef,
}

/// The points of one request for one table, in the order they were written.
#[derive(Debug, Clone)]
pub struct PointBatch {
    pub table: String,
    /// Ticks of the database's precision since 1970, one a point, never null.
    pub time: Int64Array,
    /// Every array is as long as `time`; no name twice; every point has at least one field.
    pub columns: Vec<PointColumn>,
}

impl PointBatch {
    /// Points in it.
    pub fn rows(&self) -> usize {
        self.time.len()
    }
}
