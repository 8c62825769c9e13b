//! How a data file is laid out: its schema, encodings, row groups and pages. The figures behind each
//! choice are of 10 million rows of ten tags and ten fields.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{
        DataType, Field, Float64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType,
    },
};
use parquet::{
    arrow::{PARQUET_FIELD_ID_META_KEY, arrow_writer::ArrowWriterOptions},
    basic::{Compression, Encoding, ZstdLevel},
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};

use crate::model::{Column, ColumnKind, Error, FieldType, Precision, ROW_GROUP_BYTES, Result, TableSchema};

/// What a file says in its footer of its zeros, and what it says: they are all 0.0, none is -0.0. Older
/// files do not say so, and may hold both.
const ZERO: &str = "siltdb.zero";
const POSITIVE: &str = "positive";

/// Whether a file whose Arrow schema has this metadata says that it holds no -0.0.
pub fn has_one_zero(metadata: &HashMap<String, String>) -> bool {
    metadata.get(ZERO).is_some_and(|zero| zero == POSITIVE)
}

/// Values of a column that are looked at to choose its encoding.
const SAMPLED_VALUES: usize = 16_384;

/// The sizes that tests make small.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Rows of a row group: fewer cost a request each, in every query.
    pub row_group_rows: usize,
    /// Bytes of a row group at most, encoded.
    pub row_group_bytes: usize,
    /// Rows of a page, the smallest unit a query reads and skips.
    pub page_rows: usize,
    /// Rows that are looked at before the first is written.
    pub sample_rows: usize,
    /// Bytes of a file after which the next one begins.
    pub file_bytes: u64,
}

impl Default for Layout {
    fn default() -> Self {
        Layout {
            row_group_rows: 1 << 20,
            row_group_bytes: ROW_GROUP_BYTES,
            page_rows: 8_192,
            sample_rows: 65_536,
            file_bytes: u64::MAX,
        }
    }
}

impl Layout {
    /// How to write columns that begin with `sample`. Neither an Arrow schema nor sorting columns go
    /// into the footer: with them DataFusion 55 may group rows wrongly, and without them it is faster.
    pub(super) fn options(&self, columns: &[&Column], sample: &[RecordBatch]) -> Result<ArrowWriterOptions> {
        let level = ZstdLevel::try_new(1).map_err(|error| Error::internal(format!("zstd: {error}")))?;
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("siltdb version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(self.row_group_rows))
            .set_max_row_group_bytes(Some(self.row_group_bytes))
            .set_data_page_row_count_limit(self.page_rows)
            .set_data_page_size_limit(1 << 20)
            .set_write_batch_size(self.page_rows.min(1_024))
            .set_key_value_metadata(Some(vec![KeyValue::new(ZERO.to_owned(), POSITIVE.to_owned())]))
            .set_statistics_enabled(EnabledStatistics::Page);
        for (position, column) in columns.iter().enumerate() {
            let path = ColumnPath::from(column.name.as_str());
            let (dictionary, encoding) = match column.kind {
                // Half the bytes of a dictionary, no slower.
                ColumnKind::Time | ColumnKind::Field(FieldType::BigInt | FieldType::BigIntUnsigned) => {
                    (false, Some(Encoding::DELTA_BINARY_PACKED))
                }
                // Where values repeat, a dictionary makes scans a third faster for a third more bytes;
                // where they do not, it is several times slower to look into.
                ColumnKind::Field(FieldType::Double) => (repeats(sample, position), Some(Encoding::BYTE_STREAM_SPLIT)),
                ColumnKind::Field(FieldType::Boolean) => (false, None),
                ColumnKind::Tag | ColumnKind::Field(FieldType::String) => (true, None),
            };
            properties = properties.set_column_dictionary_enabled(path.clone(), dictionary);
            if let Some(encoding) = encoding {
                properties = properties.set_column_encoding(path.clone(), encoding);
            }
            if column.kind == ColumnKind::Field(FieldType::String) {
                // Texts are rarely compared, and their bounds would weigh down the page index.
                properties = properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
            }
        }
        Ok(ArrowWriterOptions::new()
            .with_properties(properties.build())
            .with_schema_root("siltdb".to_owned())
            .with_skip_arrow_metadata(true))
    }
}

/// Whether fewer than a third of a column's first values are distinct. True without any value.
fn repeats(sample: &[RecordBatch], position: usize) -> bool {
    let mut distinct: HashSet<u64> = HashSet::new();
    let mut seen = 0;
    for batch in sample {
        let values = batch.column(position).as_primitive::<Float64Type>();
        for value in values.iter().flatten() {
            if seen == SAMPLED_VALUES {
                break;
            }
            seen += 1;
            distinct.insert(value.to_bits());
        }
    }
    distinct.len() * 3 < seen || seen == 0
}

/// The Arrow schema of a file with these columns, ids included.
pub(super) fn file_schema(columns: &[&Column], precision: Precision) -> SchemaRef {
    let field = |column: &&Column| {
        let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), column.id.to_string())]);
        let nullable = column.kind != ColumnKind::Time;
        Field::new(&column.name, column.kind.query_type(precision), nullable).with_metadata(id)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<Field>>()))
}

/// A storage batch with all strings as views, under exactly the table's schema.
pub(super) fn conform(batch: &RecordBatch, schema: &TableSchema, query: &SchemaRef) -> Result<RecordBatch> {
    let refuse = |why: String| Error::internal(format!("not a storage batch: {why}"));
    if batch.num_columns() != schema.columns.len() {
        return Err(refuse(format!("{} columns instead of {}", batch.num_columns(), schema.columns.len())));
    }
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.columns.len());
    for (column, field) in batch.columns().iter().zip(query.fields()) {
        let strings = matches!(column.data_type(), DataType::Utf8 | DataType::Dictionary(..));
        if strings && field.data_type() == &DataType::Utf8View {
            columns.push(cast(column, &DataType::Utf8View)?);
        } else {
            columns.push(column.clone());
        }
    }
    RecordBatch::try_new(query.clone(), columns).map_err(|error| refuse(error.to_string()))
}

/// The ticks of a batch's time column, which stands at position `time`.
pub fn ticks(batch: &RecordBatch, time: usize) -> Result<&[i64]> {
    let column = batch.columns().get(time).filter(|column| column.null_count() == 0);
    let ticks = match column.map(|column| (column, column.data_type())) {
        Some((column, DataType::Timestamp(TimeUnit::Nanosecond, _))) => {
            column.as_primitive::<TimestampNanosecondType>().values()
        }
        Some((column, DataType::Timestamp(TimeUnit::Microsecond, _))) => {
            column.as_primitive::<TimestampMicrosecondType>().values()
        }
        Some((column, DataType::Timestamp(TimeUnit::Millisecond, _))) => {
            column.as_primitive::<TimestampMillisecondType>().values()
        }
        _ => return Err(Error::internal(format!("column {time} of a batch is not a time column without nulls"))),
    };
    Ok(ticks)
}
