use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, StringViewArray,
        UInt64Array, new_null_array,
    },
    compute::{cast, concat_batches},
    datatypes::DataType,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::join_all, stream, stream::BoxStream};
use parquet::{
    arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask},
    basic::Encoding,
    file::metadata::ParquetMetaData,
};

use super::{
    DataFileTarget, Footers, ObjectReader, is_missing, layout::Layout, read_file, write::write_as, write_files,
};
use crate::{
    merge::{self, KeyColumns},
    model::{
        Code, Column, ColumnId, ColumnKind, DataFile, Digest, Error, FieldType, OrderKey, OrderRange, Precision,
        Result, TableId, TableSchema,
    },
    store::{CreateOutcome, Store},
};

mod damage;

const ROOT: &str = "t/1/d/2/";
const MILLISECOND: Precision = Precision::Millisecond;
/// Into one file, however large.
const ALL: u64 = u64::MAX;

const SMALL: Layout =
    Layout { row_group_rows: 100, row_group_bytes: usize::MAX, page_rows: 16, sample_rows: 50, file_bytes: u64::MAX };

fn schema(columns: &[(u32, &str, ColumnKind)]) -> TableSchema {
    let mut schema = TableSchema::new();
    schema.columns.extend(columns.iter().map(|(id, name, kind)| Column {
        id: ColumnId(*id),
        name: (*name).to_owned(),
        kind: *kind,
    }));
    schema
}

fn field(field_type: FieldType) -> ColumnKind {
    ColumnKind::Field(field_type)
}

/// A table with a column of each type under names that ask for trouble; ids not in column order.
fn odd_table() -> TableSchema {
    schema(&[
        (7, "a field", field(FieldType::Double)),
        (2, "host \"name\".é", ColumnKind::Tag),
        (3, "dotted.name", field(FieldType::BigInt)),
        (4, "'quoted'", field(FieldType::BigIntUnsigned)),
        (5, "FLAG", field(FieldType::Boolean)),
        (6, "flag", field(FieldType::String)),
        (1, "region, 区", ColumnKind::Tag),
        (8, "Time", field(FieldType::Double)),
        (9, "never", field(FieldType::String)),
        (10, "never a tag", ColumnKind::Tag),
    ])
}

fn target() -> DataFileTarget {
    DataFileTarget {
        root: ROOT.to_owned(),
        table_name: "Weather, of \"today\"".to_owned(),
        table: TableId(3),
        partition: "day=2026-11-24".to_owned(),
        base: 12,
        unique: "01UNIQUE".to_owned(),
        order: OrderRange::of(OrderKey { epoch: 4, clock: 5, writer: 6 }),
    }
}

fn time(precision: Precision, ticks: impl IntoIterator<Item = i64>) -> ArrayRef {
    let ticks: ArrayRef = Arc::new(Int64Array::from_iter_values(ticks));
    cast(&ticks, &ColumnKind::Time.query_type(precision)).unwrap()
}

/// Rows of [`odd_table`], sorted by (region, host, time).
fn odd_rows(rows: usize) -> RecordBatch {
    let series = |row: usize| row * 7 / rows.max(1);
    let region =
        (0..rows).map(|row| [None, Some(""), Some("eu"), Some("eu"), Some("us"), Some("us"), Some("us")][series(row)]);
    let host = (0..rows).map(|row| {
        ["ü", "", "a host of more than twelve bytes", "web", "", "a", "b"]
            .get(series(row))
            .filter(|host| !host.is_empty())
    });
    let sparse = |row: usize, every: usize| !row.is_multiple_of(every);
    let columns: Vec<ArrayRef> = vec![
        time(MILLISECOND, (0..rows as i64).map(|row| row * 1_000 - 5_000)),
        Arc::new((0..rows).map(|row| sparse(row, 3).then(|| (row as f64).sqrt().sin())).collect::<Float64Array>()),
        Arc::new(host.collect::<StringViewArray>()),
        Arc::new(
            (0..rows as i64)
                .map(|row| (row % 4 > 0).then(|| i64::MIN.wrapping_add(row * row * 977)))
                .collect::<Int64Array>(),
        ),
        Arc::new((0..rows as u64).map(|row| (row % 5 > 0).then(|| u64::MAX - row)).collect::<UInt64Array>()),
        Arc::new((0..rows).map(|row| sparse(row, 2).then_some(row % 3 == 0)).collect::<BooleanArray>()),
        Arc::new((0..rows).map(|row| sparse(row, 6).then(|| "é\u{0}".repeat(row % 9))).collect::<StringViewArray>()),
        Arc::new(region.collect::<StringViewArray>()),
        Arc::new((0..rows).map(|row| Some((row % 5) as f64)).collect::<Float64Array>()),
        new_null_array(&DataType::Utf8View, rows),
        new_null_array(&DataType::Utf8View, rows),
    ];
    RecordBatch::try_new(odd_table().query_schema(MILLISECOND), columns).unwrap()
}

fn cut(batch: &RecordBatch, rows: usize) -> BoxStream<'static, Result<RecordBatch>> {
    let starts: Vec<usize> = (0..batch.num_rows()).step_by(rows).collect();
    let slices: Vec<RecordBatch> =
        starts.into_iter().map(|start| batch.slice(start, rows.min(batch.num_rows() - start))).collect();
    stream::iter(slices.into_iter().map(Ok)).boxed()
}

async fn written(layout: Layout, store: &Store, schema: &TableSchema, batch: &RecordBatch) -> DataFile {
    let files = write_as(layout, store, &target(), schema, MILLISECOND, cut(batch, 33)).await.unwrap();
    assert_eq!(files.len(), 1);
    files.into_iter().next().unwrap()
}

async fn read(store: &Store, file: &DataFile, schema: &TableSchema, precision: Precision) -> Result<RecordBatch> {
    let footers = Footers::new(1 << 20);
    let batches: Vec<RecordBatch> = read_file(store, &footers, ROOT, file, schema, precision).try_collect().await?;
    Ok(concat_batches(&schema.query_schema(precision), &batches).unwrap())
}

fn sum_of(batch: &RecordBatch, schema: &TableSchema) -> Digest {
    let ids: Vec<ColumnId> = schema.columns.iter().map(|column| column.id).collect();
    merge::sum(batch, &KeyColumns::of(schema), &ids).unwrap()
}

async fn metadata(store: &Store, file: &DataFile) -> Arc<ParquetMetaData> {
    Footers::new(1 << 20).load(store, ROOT, file).await.unwrap()
}

#[tokio::test]
async fn what_is_written_is_read() {
    let schema = odd_table();
    for (layout, rows) in [(SMALL, 777), (SMALL, 1), (SMALL, 49), (Layout::default(), 777), (SMALL, 100)] {
        let store = Store::memory();
        let batch = odd_rows(rows);
        let file = written(layout, &store, &schema, &batch).await;
        assert_eq!(read(&store, &file, &schema, MILLISECOND).await.unwrap(), batch);
        let object = store.get(&format!("{ROOT}{}", file.path)).await.unwrap().unwrap();
        assert_eq!(file.size, object.len() as u64);
        assert_eq!(metadata(&store, &file).await.num_row_groups(), rows.div_ceil(layout.row_group_rows));
    }
}

#[tokio::test]
async fn a_file_is_described_truly() {
    let (store, schema, batch) = (Store::memory(), odd_table(), odd_rows(700));
    let file = written(SMALL, &store, &schema, &batch).await;
    assert_eq!(file.path, "data/weather__of__today_~3/day=2026-11-24/00000000000000000012-01UNIQUE.parquet");
    assert_eq!((file.partition.as_str(), file.order), ("day=2026-11-24", target().order));
    assert_eq!((file.rows, file.min_time, file.max_time), (700, -5_000, 694_000));
    assert_eq!(file.columns.iter().map(|id| id.0).collect::<Vec<_>>(), [0, 7, 2, 3, 4, 5, 6, 1, 8]);
    assert_eq!(file.sum, sum_of(&batch, &schema));
    let ranges: Vec<_> =
        file.tags.iter().map(|tag| (tag.id.0, tag.min.as_deref(), tag.max.as_deref(), tag.nulls)).collect();
    assert_eq!(ranges, [(1, Some(""), Some("us"), 100), (2, Some("a"), Some("ü"), 200)]);
}

#[tokio::test]
async fn footers_hold_what_readers_should_see() {
    let (store, schema, batch) = (Store::memory(), odd_table(), odd_rows(700));
    let file = written(SMALL, &store, &schema, &batch).await;
    let metadata = metadata(&store, &file).await;
    let about = metadata.file_metadata();
    let entries: Vec<&str> = about.key_value_metadata().into_iter().flatten().map(|entry| entry.key.as_str()).collect();
    assert!(entries.iter().all(|key| key.starts_with("siltdb.")), "no Arrow schema");
    assert!(entries.contains(&"siltdb.zero"));
    assert!(about.created_by().unwrap().starts_with("siltdb version "));
    assert!(metadata.row_groups().iter().all(|group| group.sorting_columns().is_none()));
    let fields = about.schema_descr().root_schema().get_fields();
    let ids: Vec<(String, i32)> =
        fields.iter().map(|field| (field.name().to_owned(), field.get_basic_info().id())).collect();
    let expected: Vec<(String, i32)> =
        schema.columns.iter().map(|column| (column.name.clone(), column.id.0 as i32)).collect();
    assert_eq!(ids, expected);
    let encodings = |position: usize| metadata.row_group(0).column(position).encodings().collect::<HashSet<_>>();
    let dictionary = |position: usize| metadata.row_group(0).column(position).dictionary_page_offset().is_some();
    assert!(encodings(0).contains(&Encoding::DELTA_BINARY_PACKED) && !dictionary(0), "time");
    assert!(encodings(1).contains(&Encoding::BYTE_STREAM_SPLIT) && !dictionary(1), "distinct floats");
    assert!(dictionary(2) && dictionary(7), "tags");
    assert!(encodings(3).contains(&Encoding::DELTA_BINARY_PACKED) && !dictionary(3), "integers");
    assert!(encodings(4).contains(&Encoding::DELTA_BINARY_PACKED) && !dictionary(4), "unsigned integers");
    assert!(dictionary(8), "floats that repeat");
    let pages = metadata.offset_index().unwrap()[0][0].page_locations().len();
    assert_eq!(pages, 7, "100 rows in pages of 16");
    let indexed = |position: usize| metadata.row_group(0).column(position).column_index_offset().is_some();
    assert!([0, 1, 2, 3, 4, 5, 7, 8].into_iter().all(indexed));
    assert!(!indexed(6), "texts have no page bounds");
}

#[tokio::test]
async fn one_request_reads_footer_and_page_index() {
    let (store, schema) = (Store::memory(), odd_table());
    let file = written(SMALL, &store, &schema, &odd_rows(700)).await;
    let footers = Footers::new(1 << 20);
    let before = store.totals().snapshot();
    let loaded = join_all((0..8).map(|_| footers.load(&store, ROOT, &file))).await;
    assert!(loaded.iter().all(|loaded| loaded.as_ref().unwrap().column_index().is_some()));
    let cost = store.totals().snapshot() - before;
    assert_eq!((cost.gets, cost.bytes_read), (1, file.tail_bytes));
    let statistics = footers.statistics();
    assert_eq!((statistics.hits, statistics.misses), (7, 1));

    let loaded = loaded[0].as_ref().unwrap();
    let column_index = loaded.row_group(0).column(0).column_index_offset().unwrap() as u64;
    let pages: usize = loaded.offset_index().unwrap().iter().flatten().map(|index| index.page_locations().len()).sum();
    let dictionaries = loaded.row_groups().iter().flat_map(|group| group.columns());
    let dictionaries = dictionaries.filter(|chunk| chunk.dictionary_page_offset().is_some()).count();
    let checksums = 4 * (pages + dictionaries) as u64;
    assert_eq!(file.size - file.tail_bytes, column_index - checksums, "the tail begins with the pages' checksums");
}

#[tokio::test]
async fn times_reach_from_end_to_end() {
    let schema = schema(&[(1, "value", field(FieldType::Double))]);
    for precision in [Precision::Nanosecond, Precision::Microsecond, Precision::Millisecond] {
        let store = Store::memory();
        let ticks = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
        let values: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, f64::NAN, f64::INFINITY, 0.0, 1e-300, 1.0, 2.0]));
        let batch = RecordBatch::try_new(schema.query_schema(precision), vec![time(precision, ticks), values]).unwrap();
        let files = write_files(&store, &target(), &schema, precision, ALL, cut(&batch, 2)).await.unwrap();
        let file = files.into_iter().next().unwrap();
        assert_eq!((file.min_time, file.max_time), (i64::MIN, i64::MAX));
        let back = read(&store, &file, &schema, precision).await.unwrap();
        assert_eq!(back.column(0), batch.column(0));
        assert_eq!(file.sum, sum_of(&back, &schema), "every bit of the floats, too");
    }
}

#[tokio::test]
async fn strings_may_come_as_dictionaries_or_plain() {
    let schema = odd_table();
    let batch = odd_rows(300);
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    for form in [dictionary, DataType::Utf8] {
        let store = Store::memory();
        let columns = batch.columns().iter().zip(batch.schema_ref().fields()).map(|(column, of)| {
            let column =
                if of.data_type() == &DataType::Utf8View { cast(column, &form).unwrap() } else { column.clone() };
            (of.name().clone(), column, of.is_nullable())
        });
        let file = written(SMALL, &store, &schema, &RecordBatch::try_from_iter_with_nullable(columns).unwrap()).await;
        assert_eq!(read(&store, &file, &schema, MILLISECOND).await.unwrap(), batch);
        assert_eq!(file.sum, sum_of(&batch, &schema));
    }
}

#[tokio::test]
async fn columns_without_values_are_left_out_of_small_files() {
    let (store, schema) = (Store::memory(), odd_table());
    let columns = async |store: &Store, file: &DataFile| metadata(store, file).await.row_group(0).num_columns();
    let file = written(Layout::default(), &store, &schema, &odd_rows(300)).await;
    assert_eq!(columns(&store, &file).await, 9);
    let store = Store::memory();
    let file = written(SMALL, &store, &schema, &odd_rows(300)).await;
    assert_eq!(columns(&store, &file).await, 11);
    assert_eq!(file.columns.len(), 9);
}

#[tokio::test]
async fn columns_are_told_apart_by_id() {
    let store = Store::memory();
    let old = schema(&[(1, "host", ColumnKind::Tag), (2, "value", field(FieldType::Double))]);
    let columns: Vec<ArrayRef> = vec![
        time(MILLISECOND, [1, 2]),
        Arc::new(StringViewArray::from(vec!["a", "b"])),
        Arc::new(Float64Array::from(vec![1.0, 2.0])),
    ];
    let batch = RecordBatch::try_new(old.query_schema(MILLISECOND), columns).unwrap();
    let file = written(SMALL, &store, &old, &batch).await;
    let new =
        schema(&[(5, "value", field(FieldType::String)), (1, "host", ColumnKind::Tag), (6, "zone", ColumnKind::Tag)]);
    let read = read(&store, &file, &new, MILLISECOND).await.unwrap();
    assert_eq!(read.column(0), batch.column(0));
    assert_eq!(read.column(2), batch.column(1));
    assert_eq!((read.column(1).null_count(), read.column(3).null_count()), (2, 2));
}

#[tokio::test]
async fn nothing_is_written_for_no_rows_or_half_a_stream() {
    let (store, schema) = (Store::memory(), odd_table());
    let empty = stream::iter([Ok(odd_rows(0))]).boxed();
    let files = write_files(&store, &target(), &schema, MILLISECOND, ALL, empty).await.unwrap();
    assert_eq!(files, []);
    for before in [0, 10, 300] {
        let failing =
            cut(&odd_rows(before), 33).chain(stream::iter([Err(Error::new(Code::Unavailable, "stop"))])).boxed();
        let error = write_as(SMALL, &store, &target(), &schema, MILLISECOND, failing).await.unwrap_err();
        assert_eq!(error.message, "stop");
    }
    assert_eq!(store.list("", None).await.unwrap(), []);
}

#[tokio::test]
async fn other_batches_than_the_table_s_are_refused() {
    let (store, schema) = (Store::memory(), odd_table());
    let batch = odd_rows(10).project(&[0, 1, 2]).unwrap();
    let error = write_files(&store, &target(), &schema, MILLISECOND, ALL, cut(&batch, 5)).await.unwrap_err();
    assert_eq!(error.code, Code::Internal);
    let batch = odd_rows(10);
    let other = Precision::Nanosecond;
    let error = write_files(&store, &target(), &schema, other, ALL, cut(&batch, 5)).await.unwrap_err();
    assert_eq!(error.code, Code::Internal);
}

#[tokio::test]
async fn a_missing_file_is_not_a_damaged_one() {
    let (store, schema) = (Store::memory(), odd_table());
    let file = written(SMALL, &store, &schema, &odd_rows(300)).await;
    let path = format!("{ROOT}{}", file.path);
    let object = store.get(&path).await.unwrap().unwrap();
    let footers = Footers::new(1 << 20);
    let fails = async |footers: &Footers| {
        let batches = read_file(&store, footers, ROOT, &file, &schema, MILLISECOND);
        batches.try_collect::<Vec<RecordBatch>>().await.unwrap_err()
    };

    store.delete(&path).await.unwrap();
    let error = fails(&footers).await;
    assert!(is_missing(&error) && error.message.contains(&path), "{error}");

    for damaged in [vec![0u8; object.len()], object[..object.len() - 100].to_vec()] {
        let _ = store.create(&path, Bytes::from(damaged)).await;
        let error = fails(&footers).await;
        assert!(error.code == Code::Corrupt && !is_missing(&error), "{error}");
        assert!(error.message.contains(&path), "{error}");
        store.delete(&path).await.unwrap();
    }

    assert_eq!(store.create(&path, object).await, CreateOutcome::Created);
    assert!(footers.load(&store, ROOT, &file).await.is_ok(), "a failure is not kept");
    store.delete(&path).await.unwrap();
    assert!(is_missing(&fails(&footers).await), "also when only the footer is known");
}

#[tokio::test]
async fn hinted_columns_come_with_one_request_a_row_group() {
    let (store, schema, batch) = (Store::memory(), odd_table(), odd_rows(250));
    let file = Arc::new(written(SMALL, &store, &schema, &batch).await);
    let footers = Footers::new(1 << 20);
    let names = ["host \"name\".é", "dotted.name", "time"];
    let read = async |hint: bool| {
        let mut reader = ObjectReader::new(&store, &footers, ROOT, &file);
        if hint {
            reader = reader.with_columns(names.map(str::to_owned).into());
        }
        // One batch a page and column after column, as a filter reads.
        let metadata = reader.metadata().await.unwrap();
        let mut columns = Vec::new();
        let before = store.totals().snapshot();
        let builder = ParquetRecordBatchStreamBuilder::new(reader.clone()).await.unwrap();
        let mask = ProjectionMask::roots(metadata.file_metadata().schema_descr(), [0, 2, 3]);
        let batches: Vec<RecordBatch> = builder.with_projection(mask).build().unwrap().try_collect().await.unwrap();
        let whole = store.totals().snapshot() - before;
        let before = store.totals().snapshot();
        for column in [3, 0, 2, 3] {
            let (start, length) = metadata.row_group(1).column(column).byte_range();
            columns.push(
                parquet::arrow::async_reader::AsyncFileReader::get_bytes(&mut reader, start..start + length)
                    .await
                    .unwrap(),
            );
        }
        assert_eq!(columns[0], columns[3]);
        (batches, columns, whole.gets, (store.totals().snapshot() - before).gets)
    };
    let (plain, plain_chunks, _, requests) = read(false).await;
    assert_eq!(requests, 4);
    let (hinted, hinted_chunks, whole, requests) = read(true).await;
    assert_eq!((whole, requests), (3, 1), "three row groups; then one of them again");
    assert_eq!(plain, hinted);
    assert_eq!(plain_chunks, hinted_chunks);
    let host: StringArray = cast(batch.column(2), &DataType::Utf8).unwrap().to_data().into();
    let read: Vec<ArrayRef> = hinted.iter().map(|batch| cast(batch.column(1), &DataType::Utf8).unwrap()).collect();
    let read = arrow::compute::concat(&read.iter().map(|array| array.as_ref()).collect::<Vec<_>>()).unwrap();
    assert_eq!(read.as_ref(), &host as &dyn Array);
}

#[tokio::test]
async fn a_large_result_becomes_files_that_share_no_key() {
    let (store, schema) = (Store::memory(), odd_table());
    let batch = odd_rows(700);
    let layout = Layout { file_bytes: 2_000, ..SMALL };
    let files = write_as(layout, &store, &target(), &schema, MILLISECOND, cut(&batch, 33)).await.unwrap();
    assert!(files.len() > 2, "{}", files.len());
    let mut batches = Vec::new();
    for file in &files {
        batches.push(read(&store, file, &schema, MILLISECOND).await.unwrap());
    }
    assert_eq!(concat_batches(&batch.schema(), &batches).unwrap(), batch);
    for pair in files.windows(2) {
        let (before, after) = (pair[0].keys.as_ref().unwrap(), pair[1].keys.as_ref().unwrap());
        assert!(before.last < after.first && before.first <= before.last, "{before:?} {after:?}");
        assert!(!pair[0].may_share_points(&pair[1]));
        assert_ne!(pair[0].path, pair[1].path);
    }
}

#[tokio::test]
async fn a_file_does_not_end_where_its_bounds_could_not_tell() {
    let (store, schema) =
        (Store::memory(), schema(&[(1, "host", ColumnKind::Tag), (2, "v", field(FieldType::Double))]));
    // The bounds of such values are shortened: those of neighbours are equal.
    let hosts: ArrayRef =
        Arc::new((0..400).map(|row| Some(format!("{}{row:04}", "x".repeat(70)))).collect::<StringViewArray>());
    let values: ArrayRef = Arc::new(Float64Array::from_iter_values((0..400).map(f64::from)));
    let columns = vec![time(MILLISECOND, 0..400), hosts, values];
    let batch = RecordBatch::try_new(schema.query_schema(MILLISECOND), columns).unwrap();
    let layout = Layout { file_bytes: 100, ..SMALL };
    let files = write_as(layout, &store, &target(), &schema, MILLISECOND, cut(&batch, 33)).await.unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(read(&store, &files[0], &schema, MILLISECOND).await.unwrap(), batch);
}
