//! Rows on their way into a segment and out of one.
//!
//! Columns are named by their ids in decimal, so that a segment outlives renames; a tag's field
//! carries the metadata `kind` = `tag`.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::{cast, concat_batches, kernels::aggregate, take_record_batch};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};

use crate::merge::{self, KeyColumns};
use crate::model::paths::SegmentName;
use crate::model::{ColumnId, ColumnKind, Digest, Error, Precision, Result, TableId};

const KIND: &str = "kind";
const TAG: &str = "tag";

/// Rows for one table: time as column `0`, tags as `Dictionary(Int32, Utf8)`, strings as `Utf8`.
#[derive(Debug, Clone)]
pub struct TableRows {
    pub table: TableId,
    pub batch: RecordBatch,
}

/// One table's part of a segment.
#[derive(Debug, Clone)]
pub struct SegmentTable {
    pub table: TableId,
    pub min_time: i64,
    pub max_time: i64,
    pub sum: Digest,
    /// Sorted, without duplicates, in the types of [`TableRows`]: a tag's values are there once, which
    /// is a third of what they take as queries want them.
    pub batch: RecordBatch,
    series: OnceLock<SeriesRuns>,
}

/// Where the series of a batch begin: rows are sorted, so each is one run.
#[derive(Debug, Clone)]
pub struct SeriesRuns {
    /// The rows of each, in order, without gaps.
    pub runs: Vec<Range<usize>>,
    /// The tags of each, under the ids of their columns: one row a series.
    pub tags: RecordBatch,
}

impl SegmentTable {
    /// The series of its rows, found once when a query first asks for some of them.
    pub fn series(&self) -> Result<&SeriesRuns> {
        if let Some(series) = self.series.get() {
            return Ok(series);
        }
        let key = key_of(self.batch.schema_ref())?;
        let tags = self.batch.project(&key.tags)?;
        let runs = runs_of(&tags, self.batch.num_rows())?;
        let starts = UInt32Array::from_iter_values(runs.iter().filter_map(|run| u32::try_from(run.start).ok()));
        let tags = if key.tags.is_empty() { tags.slice(0, 1) } else { take_record_batch(&tags, &starts)? };
        Ok(self.series.get_or_init(|| SeriesRuns { runs, tags }))
    }
}

/// The runs of rows with the same tags.
fn runs_of(tags: &RecordBatch, rows: usize) -> Result<Vec<Range<usize>>> {
    let mut begins = vec![false; rows];
    if let Some(first) = begins.first_mut() {
        *first = true;
    }
    for column in tags.columns() {
        let column = column.as_dictionary_opt::<Int32Type>();
        let column = column.ok_or_else(|| Error::internal("a tag of a segment is not a dictionary"))?;
        let texts = column.values().as_string::<i32>();
        // Numbers are compared; only where they differ may the text be the same all the same.
        let text = |row: usize| column.key(row).filter(|key| texts.is_valid(*key)).map(|key| texts.value(key));
        let keys = column.keys();
        let same_key = |row: usize| keys.value(row - 1) == keys.value(row) && keys.null_count() == 0;
        for (row, begins) in begins.iter_mut().enumerate().skip(1) {
            *begins = *begins || (!same_key(row) && text(row - 1) != text(row));
        }
    }
    let starts = (0..rows).filter(|row| begins[*row]);
    let ends = (1..rows).filter(|row| begins[*row]).chain(std::iter::once(rows));
    Ok(starts.zip(ends).map(|(start, end)| start..end).collect())
}

/// A decoded segment.
#[derive(Debug, Clone, Default)]
pub struct Segment {
    pub tables: Vec<SegmentTable>,
    /// Bytes of the object.
    pub size: u64,
}

impl Segment {
    pub fn table(&self, id: TableId) -> Option<&SegmentTable> {
        self.tables.iter().find(|part| part.table == id)
    }

    /// The bits of the tables in it, for its name.
    pub fn table_bits(tables: impl Iterator<Item = TableId>) -> u32 {
        tables.fold(0, |bits, table| bits | SegmentName::table_bit(table))
    }

    /// Bytes of memory that its rows hold.
    pub fn memory_size(&self) -> usize {
        self.tables.iter().map(|part| part.batch.get_array_memory_size()).sum()
    }
}

/// The arrow field of a column in a segment.
pub fn field_for(id: ColumnId, kind: ColumnKind, precision: Precision) -> Field {
    match kind {
        ColumnKind::Time => Field::new(id.to_string(), DataType::Timestamp(precision.time_unit(), None), false),
        ColumnKind::Tag => {
            let data_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            Field::new(id.to_string(), data_type, true)
                .with_metadata(HashMap::from([(KIND.to_owned(), TAG.to_owned())]))
        }
        ColumnKind::Field(field_type) => Field::new(id.to_string(), field_type.storage_type(), true),
    }
}

/// The ids of a batch's columns.
pub fn column_ids(schema: &Schema) -> Result<Vec<ColumnId>> {
    let parse = |field: &Arc<Field>| {
        let id = field.name().parse().map(ColumnId);
        id.map_err(|_| Error::internal(format!("column {:?} of a segment has no id for a name", field.name())))
    };
    schema.fields().iter().map(parse).collect()
}

/// Where the key columns of a batch are: tags by ascending id, then time.
pub fn key_of(schema: &Schema) -> Result<KeyColumns> {
    let ids = column_ids(schema)?;
    let is_tag = |position: &usize| schema.field(*position).metadata().get(KIND).is_some_and(|kind| kind == TAG);
    let mut tags: Vec<usize> = (0..ids.len()).filter(is_tag).collect();
    tags.sort_unstable_by_key(|position| ids[*position]);
    let time = ids.iter().position(|id| *id == ColumnId::TIME);
    let time = time.ok_or_else(|| Error::internal("a segment's rows have no time"))?;
    Ok(KeyColumns { tags, time })
}

/// Makes one segment's rows of many requests', later requests winning field by field.
pub fn build(requests: &[Vec<TableRows>]) -> Result<Segment> {
    let mut by_table: BTreeMap<TableId, Vec<&RecordBatch>> = BTreeMap::new();
    for rows in requests.iter().flatten().filter(|rows| rows.batch.num_rows() > 0) {
        by_table.entry(rows.table).or_default().push(&rows.batch);
    }
    let mut tables = Vec::with_capacity(by_table.len());
    for (table, batches) in by_table {
        let joined = join(&batches)?;
        let key = key_of(joined.schema_ref())?;
        let ids = column_ids(joined.schema_ref())?;
        let (batch, _) = merge::sort_points(&joined, &key, &ids)?;
        let sum = merge::sum(&batch, &key, &ids)?;
        tables.push(describe(table, batch, sum)?);
    }
    Ok(Segment { tables, size: 0 })
}

/// One batch of many with differing columns, in their order.
fn join(batches: &[&RecordBatch]) -> Result<RecordBatch> {
    let [first, rest @ ..] = batches else { return Err(Error::internal("a segment needs rows")) };
    if rest.is_empty() {
        return Ok((*first).clone());
    }
    let mut fields: BTreeMap<u32, Arc<Field>> = BTreeMap::new();
    for batch in batches {
        for (field, id) in batch.schema_ref().fields().iter().zip(column_ids(batch.schema_ref())?) {
            fields.entry(id.0).or_insert_with(|| field.clone());
        }
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields.into_values().collect::<Vec<_>>()));
    let aligned = batches.iter().map(|batch| align(batch, &schema)).collect::<Result<Vec<_>>>()?;
    Ok(concat_batches(&schema, &aligned)?)
}

/// The batch with exactly the columns of `schema`; those it lacks are null.
fn align(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => column.clone(),
        None => new_null_array(field.data_type(), batch.num_rows()),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns.collect(), &options)?)
}

/// A table's part with what queries ask of it.
pub(super) fn describe(table: TableId, batch: RecordBatch, sum: Digest) -> Result<SegmentTable> {
    let key = key_of(batch.schema_ref())?;
    let (min_time, max_time) = time_range(&batch, key.time)?;
    Ok(SegmentTable { table, min_time, max_time, sum, batch, series: OnceLock::new() })
}

fn time_range(batch: &RecordBatch, time: usize) -> Result<(i64, i64)> {
    let ticks = ticks(batch, time)?;
    match (aggregate::min(&ticks), aggregate::max(&ticks)) {
        (Some(min), Some(max)) => Ok((min, max)),
        _ => Err(Error::internal("a segment's table has no rows")),
    }
}

/// A time column as plain ticks.
fn ticks(batch: &RecordBatch, time: usize) -> Result<arrow::array::Int64Array> {
    let column = batch.column(time);
    if !matches!(
        column.data_type(),
        DataType::Timestamp(TimeUnit::Nanosecond | TimeUnit::Microsecond | TimeUnit::Millisecond, None)
    ) {
        return Err(Error::internal(format!("time is {} instead of a timestamp", column.data_type())));
    }
    Ok(cast(column, &DataType::Int64)?.as_primitive::<arrow::datatypes::Int64Type>().clone())
}
