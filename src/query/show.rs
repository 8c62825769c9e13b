//! `SHOW` and `DESCRIBE`.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, StringArray, UInt64Array},
    datatypes::{DataType, Field, Schema, TimeUnit},
};

use crate::model::{Column, ColumnKind, DatabaseOptions, Precision, Result, time::render_ttl};

use super::{output::Output, request::StatementRequest, statement::TableName};

pub(super) async fn databases(request: &StatementRequest) -> Result<Output> {
    let names = request.engine().database_names(request.session.tenant).await?;
    rows(vec![("database_name", text(names))])
}

pub(super) async fn tables(request: &StatementRequest, database: Option<String>) -> Result<Output> {
    let name = database.as_deref().unwrap_or(&request.session.database);
    let database = request.database(name).await?;
    let snapshot = request.engine().snapshot(&database, &[], &request.meter).await?;
    rows(vec![("table_name", text(snapshot.table_names()))])
}

pub(super) async fn describe_database(request: &StatementRequest, name: &str) -> Result<Output> {
    let database = request.database(name).await?;
    let snapshot = request.engine().snapshot(&database, &[], &request.meter).await?;
    rows(option_columns(snapshot.options()))
}

fn option_columns(options: &DatabaseOptions) -> Vec<(&'static str, ArrayRef)> {
    let number = |value: u64| Arc::new(UInt64Array::from(vec![value])) as ArrayRef;
    let flag = |value: bool| Arc::new(BooleanArray::from(vec![value])) as ArrayRef;
    vec![
        ("ttl", text([render_ttl(options.ttl)])),
        ("shard", number(options.shard)),
        ("vnode_duration", text([render_ttl(options.vnode_duration)])),
        ("replica", number(options.replica)),
        ("precision", text([options.precision.name()])),
        ("max_memcache_size", text([render_bytes(options.max_memcache_size)])),
        ("memcache_partitions", number(options.memcache_partitions)),
        ("wal_max_file_size", text([render_bytes(options.wal_max_file_size)])),
        ("wal_sync", flag(options.wal_sync)),
        ("strict_write", flag(options.strict_write)),
        ("max_cache_readers", number(options.max_cache_readers)),
    ]
}

pub(super) async fn describe_table(request: &StatementRequest, table: &TableName) -> Result<Output> {
    let name = request.database_name(table)?;
    let database = request.database(name).await?;
    let snapshot = request.engine().snapshot(&database, &[], &request.meter).await?;
    let Some(found) = snapshot.table(&table.table) else {
        return Err(request.table_not_found(name, &table.table));
    };
    let columns = &found.schema.columns;
    rows(vec![
        ("column_name", text(columns.iter().map(|column| column.name.clone()))),
        ("data_type", text(columns.iter().map(|column| data_type(column, found.precision)))),
        ("column_type", text(columns.iter().map(|column| column.kind.name()))),
        ("compression_codec", text(columns.iter().map(|_| "DEFAULT"))),
    ])
}

fn data_type(column: &Column, precision: Precision) -> &'static str {
    match column.kind {
        ColumnKind::Time => match precision.time_unit() {
            TimeUnit::Millisecond => "TIMESTAMP(MILLISECOND)",
            TimeUnit::Microsecond => "TIMESTAMP(MICROSECOND)",
            _ => "TIMESTAMP(NANOSECOND)",
        },
        ColumnKind::Tag => "STRING",
        ColumnKind::Field(field_type) => field_type.sql_name(),
    }
}

/// Bytes in the largest binary unit that leaves at least one: `128 MiB`, `286.102294921875 MiB`.
fn render_bytes(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{} {unit}", bytes as f64 / size as f64),
        None => format!("{bytes} B"),
    }
}

fn text<T: Into<String>>(values: impl IntoIterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values.into_iter().map(Into::into)))
}

/// One batch of columns without nulls.
pub(super) fn rows(columns: Vec<(&str, ArrayRef)>) -> Result<Output> {
    let field = |(name, values): &(&str, ArrayRef)| Field::new(*name, DataType::clone(values.data_type()), false);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let arrays = columns.into_iter().map(|(_, values)| values).collect();
    Ok(Output::Description(RecordBatch::try_new(Arc::new(schema), arrays)?))
}

#[cfg(test)]
mod tests {
    use super::render_bytes;

    #[test]
    fn bytes_are_rendered_in_binary_units() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1_000, "1000 B"),
            (1_024, "1 KiB"),
            (128 << 20, "128 MiB"),
            (300_000_000, "286.102294921875 MiB"),
            (1 << 30, "1 GiB"),
        ] {
            assert_eq!(render_bytes(bytes), expected);
        }
    }
}
