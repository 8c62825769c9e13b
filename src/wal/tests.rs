use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, DictionaryArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{Int32Type, Schema};
use arrow::record_batch::RecordBatch;

use super::*;
use crate::model::paths::SegmentName;
use crate::model::{ColumnId, ColumnKind, FieldType, OrderKey, Precision, TableId};
use crate::store::{CreateOutcome, Store};

const PRECISION: Precision = Precision::Nanosecond;

fn rows(table: u64, times: &[i64], hosts: &[Option<&str>], fields: Vec<(u32, ColumnKind, ArrayRef)>) -> TableRows {
    let mut schema = vec![
        field_for(ColumnId::TIME, ColumnKind::Time, PRECISION),
        field_for(ColumnId(1), ColumnKind::Tag, PRECISION),
    ];
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampNanosecondArray::from(times.to_vec())),
        Arc::new(hosts.iter().copied().collect::<DictionaryArray<Int32Type>>()),
    ];
    for (id, kind, values) in fields {
        schema.push(field_for(ColumnId(id), kind, PRECISION));
        columns.push(values);
    }
    TableRows { table: TableId(table), batch: RecordBatch::try_new(Arc::new(Schema::new(schema)), columns).unwrap() }
}

fn doubles(id: u32, values: Vec<Option<f64>>) -> (u32, ColumnKind, ArrayRef) {
    (id, ColumnKind::Field(FieldType::Double), Arc::new(Float64Array::from(values)))
}

fn texts(id: u32, values: Vec<Option<&str>>) -> (u32, ColumnKind, ArrayRef) {
    (id, ColumnKind::Field(FieldType::String), Arc::new(StringArray::from(values)))
}

fn two_requests() -> Vec<Vec<TableRows>> {
    vec![
        vec![
            rows(7, &[20, 10], &[Some("b"), Some("a")], vec![doubles(2, vec![Some(1.0), Some(2.0)])]),
            rows(9, &[5], &[None], vec![texts(2, vec![Some("only")])]),
        ],
        vec![rows(
            7,
            &[20, 30],
            &[Some("b"), Some("")],
            vec![texts(3, vec![Some("late"), None]), doubles(2, vec![None, Some(4.0)])],
        )],
    ]
}

fn tags<'a>(batch: &'a RecordBatch, name: &str) -> Vec<Option<&'a str>> {
    let column = batch.column_by_name(name).unwrap().as_dictionary::<arrow::datatypes::Int32Type>();
    column.downcast_dict::<arrow::array::StringArray>().unwrap().into_iter().collect()
}

#[test]
fn requests_become_one_sorted_segment_with_the_later_field_winning() {
    let segment = build(&two_requests()).unwrap();
    assert_eq!(segment.tables.len(), 2);
    let part = segment.table(TableId(7)).unwrap();
    assert_eq!((part.min_time, part.max_time, part.batch.num_rows()), (10, 30, 3));
    assert_eq!(tags(&part.batch, "1"), [Some(""), Some("a"), Some("b")]);
    let values = part.batch.column_by_name("2").unwrap();
    let values: Vec<_> = values.as_primitive::<arrow::datatypes::Float64Type>().iter().collect();
    assert_eq!(values, [Some(4.0), Some(2.0), Some(1.0)]);
    let texts: Vec<_> = part.batch.column_by_name("3").unwrap().as_string::<i32>().iter().collect();
    assert_eq!(texts, [None, None, Some("late")]);
    assert_eq!(part.sum.rows, 3);
}

#[test]
fn a_segment_reads_back_as_it_was_built() {
    let segment = build(&two_requests()).unwrap();
    let bytes = encode(&segment.tables).unwrap();
    let back = decode("k", &bytes).unwrap();
    assert_eq!(back.size, bytes.len() as u64);
    for (before, after) in segment.tables.iter().zip(&back.tables) {
        assert_eq!((before.table, before.sum, before.min_time), (after.table, after.sum, after.min_time));
        assert_eq!(before.batch, after.batch);
        let key = key_of(after.batch.schema_ref()).unwrap();
        assert_eq!(key, key_of(before.batch.schema_ref()).unwrap());
        let ids = column_ids(after.batch.schema_ref()).unwrap();
        assert_eq!(crate::merge::sum(&after.batch, &key, &ids).unwrap(), after.sum);
    }
}

#[test]
fn every_damaged_byte_is_noticed() {
    let segment = build(&two_requests()).unwrap();
    let bytes = encode(&segment.tables).unwrap();
    for position in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[position] ^= 0x10;
        let error = decode("log/x", &damaged).expect_err("a flipped bit went unnoticed");
        assert!(error.message.contains("log/x"), "{error}");
    }
    for length in 0..bytes.len() {
        assert!(decode("log/x", &bytes[..length]).is_err(), "cut to {length} bytes");
    }
}

#[tokio::test]
async fn the_cache_fetches_once_and_tells_absence() {
    let store = Store::memory();
    let name = SegmentName { order: OrderKey { epoch: 1, clock: 2, writer: 3 }, tables: 1, place: None };
    let cache = SegmentCache::new(1 << 20);
    assert!(cache.get(&store, "t/1/d/2/", name).await.unwrap().is_none());
    let segment = build(&two_requests()).unwrap();
    let bytes = encode(&segment.tables).unwrap();
    assert!(matches!(store.create(&name.path("t/1/d/2/"), bytes).await, CreateOutcome::Created));
    let before = store.totals().snapshot().gets;
    let (one, two) = tokio::join!(cache.get(&store, "t/1/d/2/", name), cache.get(&store, "t/1/d/2/", name));
    assert_eq!(one.unwrap().unwrap().tables.len(), 2);
    assert_eq!(two.unwrap().unwrap().tables.len(), 2);
    assert_eq!(store.totals().snapshot().gets - before, 1);
}

#[test]
fn integers_keep_their_type() {
    let values: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX]));
    let rows = rows(1, &[1, 2], &[None, None], vec![(4, ColumnKind::Field(FieldType::BigInt), values)]);
    let segment = build(&[vec![rows]]).unwrap();
    let back = decode("k", &encode(&segment.tables).unwrap()).unwrap();
    let column = back.tables[0].batch.column_by_name("4").unwrap();
    assert_eq!(column.as_primitive::<arrow::datatypes::Int64Type>().values(), &[i64::MIN, i64::MAX]);
}

#[test]
fn the_series_of_a_segment_are_its_runs_of_equal_tags() {
    let hosts = [Some("b"), Some("a"), Some("b"), None, Some("b")];
    let written = rows(1, &[1, 1, 2, 5, 9], &hosts, vec![doubles(2, vec![Some(1.0); 5])]);
    let segment = build(&[vec![written]]).unwrap();
    let series = segment.tables[0].series().unwrap();
    assert_eq!(series.runs, [0..1, 1..2, 2..5]);
    assert_eq!(tags(&series.tags, "1"), [None, Some("a"), Some("b")]);
}
