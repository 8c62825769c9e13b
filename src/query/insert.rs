//! `INSERT`: rows from literals or a query, cast to the table's columns, written as points.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array, new_null_array},
    compute::{CastOptions, cast_with_options, concat},
    datatypes::{DataType, Int64Type},
};
use datafusion::{
    common::{ScalarValue, utils::normalize_float_zero},
    sql::sqlparser::ast::Query,
};
use futures::TryStreamExt;

use crate::model::{
    Code, Column, ColumnKind, Error, PointBatch, PointColumn, Precision, Result, TableSchema, schema::TIME_COLUMN,
};

use super::{Output, Request, errors::from_datafusion, literals, run, show, statement::Insert};

pub(super) async fn insert(request: &Request, insert: Insert) -> Result<Output> {
    let name = request.database_name(&insert.table)?;
    let database = request.engine().database(request.session.tenant, name).await?;
    let snapshot = request.engine().snapshot(&database, &[], &request.meter).await?;
    let Some(table) = snapshot.table(&insert.table.table) else {
        return Err(request.table_not_found(name, &insert.table.table));
    };
    let targets = targets(&table.schema, insert.columns.as_deref())?;
    let sources = source(request, insert.source).await?;
    let mut points = Vec::new();
    for columns in sources {
        points.push(point_batch(&insert.table.table, &targets, &columns, table.precision)?);
    }
    points.retain(|batch| batch.rows() > 0);
    let receipt = request.engine().write(&database, points, &request.meter).await?;
    show::rows(vec![("rows", Arc::new(UInt64Array::from(vec![receipt.rows as u64])))])
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
    if !targets.iter().any(|column| column.kind == ColumnKind::Time) {
        return Err(time_is_null());
    }
    Ok(targets)
}

fn time_is_null() -> Error {
    Error::new(Code::TimeIsNull, format!("Column {TIME_COLUMN} cannot be null."))
}

/// The columns to insert, batch by batch.
async fn source(request: &Request, query: Box<Query>) -> Result<Vec<Vec<ArrayRef>>> {
    if let Some(rows) = literals::rows(&query) {
        return Ok(vec![columns_of(&rows)?]);
    }
    let limit = request.engine().limits().decoded_body_bytes;
    let Output::Rows { mut batches, .. } = run::query(request, query).await? else { return Ok(Vec::new()) };
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

/// Rows of literals as columns. Where a column's literals differ in type, they become text or
/// numbers one by one when they are cast; here each column keeps its runs of one type apart.
fn columns_of(rows: &[Vec<ScalarValue>]) -> Result<Vec<ArrayRef>> {
    let width = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != width) {
        let message = "Datafusion: Error during planning: Inconsistent data length across values list";
        return Err(Error::new(Code::Planning, message));
    }
    (0..width).map(|column| column_of(rows.iter().map(|row| &row[column]))).collect()
}

fn column_of<'a>(values: impl Iterator<Item = &'a ScalarValue> + Clone) -> Result<ArrayRef> {
    let mut types = values.clone().map(ScalarValue::data_type).filter(|data_type| *data_type != DataType::Null);
    let Some(first) = types.next() else { return Ok(new_null_array(&DataType::Null, values.count())) };
    let same = types.all(|data_type| data_type == first);
    let array = if same {
        let typed_null = ScalarValue::try_from(&first).map_err(|error| from_datafusion(&error))?;
        let typed = |value: &ScalarValue| if value.is_null() { typed_null.clone() } else { value.clone() };
        ScalarValue::iter_to_array(values.map(typed))
    } else {
        // As text, which casts to every type that any of them casts to.
        let text = |value: &ScalarValue| match value {
            ScalarValue::Null => ScalarValue::Utf8(None),
            ScalarValue::Utf8(text) => ScalarValue::Utf8(text.clone()),
            other => ScalarValue::Utf8(Some(other.to_string())),
        };
        ScalarValue::iter_to_array(values.map(text))
    };
    array.map_err(|error| from_datafusion(&error))
}

fn point_batch(table: &str, targets: &[Column], columns: &[ArrayRef], precision: Precision) -> Result<PointBatch> {
    if columns.len() != targets.len() {
        let message = "Insert columns and Source columns not match";
        return Err(Error::new(Code::InsertColumnCount, message));
    }
    let mut time = None;
    let mut points = Vec::with_capacity(columns.len());
    for (column, values) in targets.iter().zip(columns) {
        match column.kind {
            ColumnKind::Time => time = Some(ticks(values, precision)?),
            ColumnKind::Tag => {
                let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
                let values = cast(&cast(values, &DataType::Utf8)?, &dictionary)?;
                points.push(PointColumn { name: column.name.clone(), kind: column.kind, values });
            }
            ColumnKind::Field(field_type) => {
                let values = normalize_float_zero(&cast(values, &field_type.storage_type())?);
                points.push(PointColumn { name: column.name.clone(), kind: column.kind, values });
            }
        }
    }
    let time = time.ok_or_else(time_is_null)?;
    if time.null_count() > 0 {
        return Err(time_is_null());
    }
    let fields: Vec<&ArrayRef> =
        points.iter().filter(|point| point.kind != ColumnKind::Tag).map(|point| &point.values).collect();
    if (0..time.len()).any(|row| fields.iter().all(|values| values.is_null(row))) {
        return Err(Error::new(Code::NoFields, "Fields can't be empty"));
    }
    Ok(PointBatch { table: table.to_owned(), time, columns: points })
}

fn cast(values: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(values, target, &options)?)
}

/// The time column: whole numbers are ticks, anything else is a moment.
fn ticks(values: &ArrayRef, precision: Precision) -> Result<Int64Array> {
    let timestamp = DataType::Timestamp(precision.time_unit(), None);
    let ticks = match values.data_type() {
        DataType::Null => return Err(time_is_null()),
        data_type if data_type.is_integer() => cast(values, &DataType::Int64)?,
        // Without the zone first: a moment, not what a clock on some wall shows.
        DataType::Timestamp(_, Some(_)) => {
            let utc = cast(values, &DataType::Timestamp(precision.time_unit(), Some("+00:00".into())))?;
            cast(&utc, &DataType::Int64)?
        }
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => text_ticks(values, &timestamp)?,
        _ => cast(&cast(values, &timestamp)?, &DataType::Int64)?,
    };
    Ok(ticks.as_primitive::<Int64Type>().clone())
}

/// Texts are moments; where numbers and texts were mixed, those that are whole numbers are ticks.
fn text_ticks(values: &ArrayRef, timestamp: &DataType) -> Result<ArrayRef> {
    let texts = cast(values, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    let is_number = |row: usize| texts.is_valid(row) && texts.value(row).parse::<i64>().is_ok();
    if !(0..texts.len()).any(is_number) {
        return cast(&cast(values, timestamp)?, &DataType::Int64);
    }
    let parts: Vec<ArrayRef> = (0..texts.len())
        .map(|row| {
            let one: ArrayRef = Arc::new(texts.slice(row, 1));
            if is_number(row) { cast(&one, &DataType::Int64) } else { cast(&cast(&one, timestamp)?, &DataType::Int64) }
        })
        .collect::<Result<_>>()?;
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    Ok(concat(&parts)?)
}
