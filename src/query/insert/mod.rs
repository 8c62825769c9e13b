//! `INSERT`: rows from literals or a query, taken into the table's columns, written as points.

mod exact;
mod values;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::datatypes::Int64Type;
use datafusion::sql::sqlparser::ast::Query;
use futures::TryStreamExt;

use crate::model::{Code, Column, ColumnKind, Error, PointBatch, PointColumn, Precision, Result, TableSchema};

use super::{literals, output::Output, request::StatementRequest, select, show, statement::Insert};

use exact::{InsertTarget, time_is_null};

pub(super) async fn insert(request: &StatementRequest, insert: Insert) -> Result<Output> {
    let name = request.database_name(&insert.table)?;
    let database = request.engine().database(request.session.tenant, name).await?;
    let snapshot = request.engine().snapshot(&database, &[], &request.meter).await?;
    let Some(table) = snapshot.table(&insert.table.table) else {
        return Err(request.table_not_found(name, &insert.table.table));
    };
    let targets = targets(&table.schema, insert.columns.as_deref())?;
    let mut points = Vec::new();
    let mut first_row = 0;
    let taking =
        Taking { table: &insert.table.table, targets: &targets, precision: table.precision, now: now(request) };
    for columns in source(request, insert.source, &targets, table.precision).await? {
        let batch = taking.point_batch(&columns, first_row)?;
        first_row += batch.rows();
        points.push(batch);
    }
    points.retain(|batch| batch.rows() > 0);
    let receipt = request.engine().write(&database, points, &request.meter).await?;
    show::rows(vec![("rows", Arc::new(UInt64Array::from(vec![receipt.rows as u64])))])
}

/// The server's clock, in nanoseconds since 1970.
fn now(request: &StatementRequest) -> i64 {
    request.engine().now()
}

/// The columns that the source's columns go to, in its order.
fn targets(schema: &TableSchema, listed: Option<&[String]>) -> Result<Vec<Column>> {
    let Some(listed) = listed else { return Ok(schema.columns.clone()) };
    let mut targets: Vec<Column> = Vec::with_capacity(listed.len());
    for name in listed {
        let Some(column) = schema.column(name) else {
            let expected: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
            let expected = expected.join(", ");
            let message = format!("Insert column '{name}' does not exist in target table, expect {expected}");
            return Err(Error::new(Code::InsertColumnUnknown, message));
        };
        if targets.iter().any(|earlier| earlier.id == column.id) {
            let message = format!("Semantic error: column {name} is listed twice");
            return Err(Error::new(Code::Semantic, message));
        }
        targets.push(column.clone());
    }
    Ok(targets)
}

/// The columns to insert, batch by batch: as the table stores them, if they were literals.
async fn source(
    request: &StatementRequest,
    query: Box<Query>,
    targets: &[Column],
    precision: Precision,
) -> Result<Vec<Vec<ArrayRef>>> {
    if let Some(rows) = literals::rows(&query) {
        return Ok(vec![values::columns(request, rows, targets, precision).await?]);
    }
    let limit = request.engine().limits().decoded_body_bytes;
    let Output::Rows { mut batches, .. } = select::query(request, query).await? else { return Ok(Vec::new()) };
    let mut sources = Vec::new();
    let mut bytes = 0;
    while let Some(batch) = batches.try_next().await? {
        bytes += RecordBatch::get_array_memory_size(&batch);
        if bytes > limit {
            let message = format!("INSERT … SELECT may write {limit} bytes at once, which is not enough: split it");
            return Err(Error::new(Code::LimitReached, message));
        }
        sources.push(batch.columns().to_vec());
    }
    Ok(sources)
}

/// How columns become points.
struct Taking<'a> {
    table: &'a str,
    targets: &'a [Column],
    precision: Precision,
    /// The time of rows that bring none, in nanoseconds since 1970.
    now: i64,
}

impl Taking<'_> {
    fn point_batch(&self, columns: &[ArrayRef], first_row: usize) -> Result<PointBatch> {
        if columns.len() != self.targets.len() {
            return Err(not_matching());
        }
        let mut time = None;
        let mut points = Vec::with_capacity(columns.len());
        for (column, values) in self.targets.iter().zip(columns) {
            let values = InsertTarget { column, precision: self.precision, first_row }.take(values)?;
            match column.kind {
                ColumnKind::Time => time = Some(values.as_primitive::<Int64Type>().clone()),
                ColumnKind::Tag | ColumnKind::Field(_) => {
                    points.push(PointColumn { name: column.name.clone(), kind: column.kind, values });
                }
            }
        }
        let rows = columns.first().map_or(0, |values| values.len());
        let clock = || Int64Array::from(vec![self.precision.from_nanoseconds(self.now); rows]);
        let time = time.unwrap_or_else(clock);
        if time.null_count() > 0 {
            return Err(time_is_null());
        }
        let fields: Vec<&ArrayRef> =
            points.iter().filter(|point| point.kind != ColumnKind::Tag).map(|point| &point.values).collect();
        if (0..time.len()).any(|row| fields.iter().all(|values| values.is_null(row))) {
            return Err(Error::new(Code::NoFields, "Fields can't be empty"));
        }
        Ok(PointBatch { table: self.table.to_owned(), time, columns: points })
    }
}

fn not_matching() -> Error {
    Error::new(Code::InsertColumnCount, "Insert columns and Source columns not match")
}
