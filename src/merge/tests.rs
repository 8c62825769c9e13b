use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
        StringArray, TimestampMillisecondArray, UInt32Array, UInt64Array,
    },
    compute::{cast, take_record_batch},
    datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampMillisecondType, UInt64Type},
};
use futures::{StreamExt, TryStreamExt, executor::block_on, stream};
use proptest::prelude::*;

use super::{KeyColumns, merge, sort_points, sum};
use crate::model::{Code, ColumnId, Digest, Error, Result};

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Double(u64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    Text(String),
}

type PointKey = (Option<String>, Option<String>, i64);
type Fields = [Option<Value>; 5];
type Point = (PointKey, Fields);
type Expected = BTreeMap<PointKey, Fields>;

const KEYS: [usize; 2] = [2, 5];
const IDS: [u32; 8] = [0, 4, 1, 3, 5, 2, 7, 6];

fn key() -> KeyColumns {
    KeyColumns { tags: KEYS.to_vec(), time: 0 }
}

fn ids() -> Vec<ColumnId> {
    IDS.iter().map(|id| ColumnId(*id)).collect()
}

fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn batch_of(points: &[Point], tag_type: &DataType, text_type: &DataType) -> RecordBatch {
    let tag = |pick: fn(&PointKey) -> &Option<String>| -> ArrayRef {
        let values: StringArray = points.iter().map(|(key, _)| pick(key).as_deref()).collect();
        cast(&values, tag_type).unwrap()
    };
    macro_rules! field {
        ($array:ty, $at:expr, $variant:ident, $convert:expr) => {
            Arc::new(
                points
                    .iter()
                    .map(|(_, fields)| match &fields[$at] {
                        Some(Value::$variant(value)) => Some($convert(value.clone())),
                        _ => None,
                    })
                    .collect::<$array>(),
            ) as ArrayRef
        };
    }
    let text = field!(StringArray, 4, Text, |value| value);
    let time = TimestampMillisecondArray::from_iter_values(points.iter().map(|(key, _)| key.2));
    RecordBatch::try_from_iter_with_nullable([
        ("time", Arc::new(time) as ArrayRef, false),
        ("double", field!(Float64Array, 0, Double, f64::from_bits), true),
        ("host", tag(|key| &key.0), true),
        ("integer", field!(Int64Array, 1, Integer, |value| value), true),
        ("unsigned", field!(UInt64Array, 2, Unsigned, |value| value), true),
        ("region", tag(|key| &key.1), true),
        ("flag", field!(BooleanArray, 3, Boolean, |value| value), true),
        ("text", cast(&text, text_type).unwrap(), true),
    ])
    .unwrap()
}

fn points_of(batch: &RecordBatch) -> Vec<Point> {
    let column = |at: usize| batch.column(at);
    let texts = |at: usize| cast(column(at), &DataType::Utf8).unwrap();
    let (host, region, text) = (texts(2), texts(5), texts(7));
    let string =
        |array: &ArrayRef, row: usize| array.is_valid(row).then(|| array.as_string::<i32>().value(row).to_owned());
    (0..batch.num_rows())
        .map(|row| {
            let valid = |at: usize| column(at).is_valid(row);
            let time = column(0).as_primitive::<TimestampMillisecondType>().value(row);
            let fields = [
                valid(1).then(|| Value::Double(column(1).as_primitive::<Float64Type>().value(row).to_bits())),
                valid(3).then(|| Value::Integer(column(3).as_primitive::<Int64Type>().value(row))),
                valid(4).then(|| Value::Unsigned(column(4).as_primitive::<UInt64Type>().value(row))),
                valid(6).then(|| Value::Boolean(column(6).as_boolean().value(row))),
                string(&text, row).map(Value::Text),
            ];
            ((string(&host, row), string(&region, row), time), fields)
        })
        .collect()
}

/// What a table holds after the points were written in order.
fn written(points: &[Point]) -> Expected {
    let mut table = Expected::new();
    for (key, fields) in points {
        let row = table.entry(key.clone()).or_default();
        for (old, new) in row.iter_mut().zip(fields) {
            if new.is_some() {
                old.clone_from(new);
            }
        }
    }
    table
}

fn sum_of(batch: &RecordBatch) -> Digest {
    sum(batch, &key(), &ids()).unwrap()
}

fn sum_of_all(batches: &[RecordBatch]) -> Digest {
    batches.iter().map(sum_of).fold(Digest::default(), Digest::plus)
}

fn tag() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        Just(Some(String::new())),
        "[a-c]{1,2}".prop_map(Some),
        Just(Some("a value of more than twelve bytes".to_owned())),
        Just(Some("é\u{0}z".to_owned())),
    ]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![10 => -3i64..6, 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
}

fn point() -> impl Strategy<Value = Point> {
    let double = proptest::option::of(prop_oneof![any::<f64>(), Just(-0.0), Just(f64::NAN)]);
    let fields = (
        double,
        proptest::option::of(any::<i64>()),
        proptest::option::of(any::<u64>()),
        proptest::option::of(any::<bool>()),
        proptest::option::of("[x-z]{0,3}|a string that is not short"),
    )
        .prop_map(|(double, integer, unsigned, flag, text)| {
            [
                double.map(|value| Value::Double(value.to_bits())),
                integer.map(Value::Integer),
                unsigned.map(Value::Unsigned),
                flag.map(Value::Boolean),
                text.map(Value::Text),
            ]
        });
    ((tag(), tag(), time()), fields)
}

fn tag_type() -> impl Strategy<Value = DataType> {
    prop_oneof![Just(dictionary()), Just(DataType::Utf8), Just(DataType::Utf8View)]
}

fn cut(batch: &RecordBatch, sizes: &[usize]) -> Vec<RecordBatch> {
    let mut slices = Vec::new();
    let mut start = 0;
    for size in sizes.iter().cycle() {
        if start >= batch.num_rows() {
            return slices;
        }
        let size = (*size).min(batch.num_rows() - start);
        slices.push(batch.slice(start, size));
        start += size;
    }
    vec![batch.clone()]
}

fn merged(sources: Vec<Vec<RecordBatch>>, batch_rows: usize) -> Result<(Vec<RecordBatch>, Digest)> {
    let schema =
        sources[0].first().map_or_else(|| batch_of(&[], &dictionary(), &DataType::Utf8), Clone::clone).schema();
    let sources = sources.into_iter().map(|batches| stream::iter(batches.into_iter().map(Ok)).boxed()).collect();
    let dropped = Arc::new(Mutex::new(Digest::default()));
    let batches = block_on(merge(sources, schema, key(), ids(), batch_rows, Some(dropped.clone())).try_collect())?;
    let dropped = *dropped.lock().unwrap();
    Ok((batches, dropped))
}

fn all_points(batches: &[RecordBatch]) -> Vec<Point> {
    batches.iter().flat_map(points_of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn sorting_keeps_the_newest_of_each_field(
        points in proptest::collection::vec(point(), 0..60), tags in tag_type(), texts in tag_type()
    ) {
        let batch = batch_of(&points, &tags, &texts);
        let (sorted, dropped) = sort_points(&batch, &key(), &ids()).unwrap();
        prop_assert_eq!(points_of(&sorted), written(&points).into_iter().collect::<Vec<Point>>());
        prop_assert_eq!(sum_of(&batch), sum_of(&sorted).plus(dropped));
        prop_assert_eq!(sorted.schema(), batch.schema());
        let (again, nothing) = sort_points(&sorted, &key(), &ids()).unwrap();
        prop_assert_eq!(again, sorted);
        prop_assert_eq!(nothing, Digest::default());
    }

    #[test]
    fn merging_equals_writing_in_order(
        sources in proptest::collection::vec(proptest::collection::vec(point(), 0..40), 1..6),
        sizes in proptest::collection::vec(1usize..9, 1..5),
        batch_rows in 1usize..40,
        tags in tag_type(),
        texts in tag_type(),
    ) {
        let schema = batch_of(&[], &tags, &texts);
        let sorted: Vec<Vec<RecordBatch>> = sources
            .iter()
            .map(|points| sort_points(&batch_of(points, &tags, &texts), &key(), &ids()).unwrap().0)
            .map(|batch| if batch.num_rows() == 0 { vec![schema.clone()] } else { cut(&batch, &sizes) })
            .collect();
        let (batches, dropped) = merged(sorted.clone(), batch_rows).unwrap();
        let expected: Vec<Point> = written(&sources.concat()).into_iter().collect();
        prop_assert_eq!(all_points(&batches), expected);
        let before = sorted.iter().map(|source| sum_of_all(source)).fold(Digest::default(), Digest::plus);
        prop_assert_eq!(before, sum_of_all(&batches).plus(dropped));
    }

    #[test]
    fn merging_is_associative(
        sources in proptest::collection::vec(proptest::collection::vec(point(), 0..30), 3..4),
        batch_rows in 1usize..20,
    ) {
        let schema = batch_of(&[], &dictionary(), &DataType::Utf8);
        let mut sorted: Vec<Vec<RecordBatch>> = sources
            .iter()
            .map(|points| sort_points(&batch_of(points, &dictionary(), &DataType::Utf8), &key(), &ids()).unwrap().0)
            .map(|batch| vec![schema.clone(), batch])
            .collect();
        let (whole, dropped) = merged(sorted.clone(), batch_rows).unwrap();
        let last = sorted.pop().unwrap();
        let first = sorted.remove(0);
        let left = merged(vec![first.clone(), sorted[0].clone()], batch_rows).unwrap();
        let right = merged(vec![sorted[0].clone(), last.clone()], batch_rows).unwrap();
        for (inner, sides) in [(left.1, [left.0, last]), (right.1, [first, right.0])] {
            let sides = sides.into_iter().map(|side| [vec![schema.clone()], side].concat()).collect();
            let (batches, outer) = merged(sides, batch_rows).unwrap();
            prop_assert_eq!(all_points(&batches), all_points(&whole));
            prop_assert_eq!(inner.plus(outer), dropped);
        }
    }

    #[test]
    fn a_sum_does_not_see_order_encoding_or_empty_columns(
        points in proptest::collection::vec(point(), 1..40), tags in tag_type(), texts in tag_type(),
        shuffle in proptest::collection::vec(any::<u32>(), 40)
    ) {
        let plain = batch_of(&points, &DataType::Utf8, &DataType::Utf8);
        let expected = sum_of(&plain);
        let mut order: Vec<u32> = (0..points.len() as u32).collect();
        order.sort_by_key(|row| shuffle[*row as usize]);
        let other = take_record_batch(&batch_of(&points, &tags, &texts), &UInt32Array::from(order)).unwrap();
        prop_assert_eq!(sum_of(&other), expected);
        prop_assert_eq!(sum_of_all(&cut(&other, &[3, 1])), expected);

        let nothing: ArrayRef = Arc::new(StringArray::new_null(points.len()));
        let mut columns: Vec<(String, ArrayRef)> = vec![("new tag".to_owned(), nothing.clone())];
        columns.extend((0..8).rev().map(|at| (at.to_string(), plain.column(at).clone())));
        columns.push(("new field".to_owned(), nothing));
        let wider = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
        let ids: Vec<ColumnId> = [9].into_iter().chain(IDS.into_iter().rev()).chain([10]).map(ColumnId).collect();
        let key = KeyColumns { tags: vec![6, 3, 0], time: 8 };
        prop_assert_eq!(sum(&wider.unwrap(), &key, &ids).unwrap(), expected);
    }
}

fn at(host: &str, time: i64, integer: Option<i64>) -> Point {
    ((Some(host.to_owned()), None, time), [None, integer.map(Value::Integer), None, None, None])
}

fn simple(points: &[Point]) -> RecordBatch {
    batch_of(points, &DataType::Utf8View, &DataType::Utf8View)
}

#[test]
fn the_formula_of_sums_is_frozen() {
    let points = [(
        (Some("web-1".to_owned()), None, 1_700_000_000_000),
        [
            Some(Value::Double(1.5f64.to_bits())),
            Some(Value::Integer(-7)),
            Some(Value::Unsigned(u64::MAX)),
            Some(Value::Boolean(true)),
            Some(Value::Text("hello".to_owned())),
        ],
    )];
    let sum = sum_of(&simple(&points));
    assert_eq!(sum, Digest { rows: 1, cells: 6, hash: FROZEN });
}

/// Computed by another program from the formula in `sum.rs`; a change would make every stored manifest fail its check.
const FROZEN: u64 = 4_641_831_778_894_716_442;

#[test]
fn any_change_changes_the_sum() {
    let sum = |points: &[Point]| sum_of(&simple(points));
    let point = at("a", 1, Some(1));
    let base = sum(std::slice::from_ref(&point));
    assert_ne!(base, sum(&[at("b", 1, Some(1))]));
    assert_ne!(base, sum(&[at("a", 2, Some(1))]));
    assert_ne!(base, sum(&[at("a", 1, Some(2))]));
    let mut moved = point.clone();
    moved.1.swap(1, 2);
    moved.1[2] = Some(Value::Unsigned(1));
    assert_ne!(base, sum(&[moved]));
    let mut other_tag = point;
    other_tag.0.1 = other_tag.0.0.take();
    assert_ne!(base, sum(&[other_tag]));
    assert_ne!(sum(&[at("a", 1, Some(1)), at("a", 2, Some(2))]), sum(&[at("a", 1, Some(2)), at("a", 2, Some(1))]));
}

#[test]
fn dictionaries_may_repeat_values_hold_nulls_and_be_large() {
    let mut values: Vec<Option<String>> = vec![Some("b".into()), Some("a".into()), Some("b".into()), None];
    values.extend((0..500).map(|number| Some(format!("unused {number}"))));
    let values: StringArray = values.into_iter().collect();
    for size in [4, 504] {
        let keys = Int32Array::from(vec![Some(2), Some(0), Some(1), Some(3), None, Some(1)]);
        let tag = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values.slice(0, size))).unwrap();
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("time", Arc::new(TimestampMillisecondArray::from(vec![1, 1, 1, 1, 1, 0])) as ArrayRef, false),
            ("tag", Arc::new(tag) as ArrayRef, true),
            ("field", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5, 6])) as ArrayRef, true),
        ])
        .unwrap();
        let (key, ids) = (KeyColumns { tags: vec![1], time: 0 }, [ColumnId(0), ColumnId(1), ColumnId(2)]);
        let (sorted, dropped) = sort_points(&batch, &key, &ids).unwrap();
        assert_eq!(sorted.column(2).as_primitive::<Int64Type>().values(), &[5, 6, 3, 2]);
        let tags = cast(sorted.column(1), &DataType::Utf8).unwrap();
        assert_eq!(tags.as_string::<i32>().iter().collect::<Vec<_>>(), [None, Some("a"), Some("a"), Some("b")]);
        assert_eq!(sum(&batch, &key, &ids).unwrap(), sum(&sorted, &key, &ids).unwrap().plus(dropped));
        assert_eq!((dropped.rows, dropped.cells), (2, 4));
    }
}

#[test]
fn keys_too_wide_for_one_number_are_sorted_too() {
    let rows = 3_000i64;
    let tags = 9usize;
    let time = |row: i64| if row % 2 == 0 { i64::MIN + row } else { i64::MAX - row };
    let mut columns: Vec<(String, ArrayRef)> =
        vec![("time".into(), Arc::new(TimestampMillisecondArray::from_iter_values((0..rows).map(time))))];
    for tag in 0..tags as i64 {
        let values = (0..rows).map(|row| format!("{}", (row * 7_919 + tag) % 1_009));
        columns.push((format!("tag {tag}"), Arc::new(StringArray::from_iter_values(values))));
    }
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let key = KeyColumns { tags: (1..=tags).collect(), time: 0 };
    let ids: Vec<ColumnId> = (0..=tags as u32).map(ColumnId).collect();
    let (sorted, _) = sort_points(&batch, &key, &ids).unwrap();
    let row_key = |batch: &RecordBatch, row: usize| {
        let tags: Vec<String> =
            key.tags.iter().map(|tag| batch.column(*tag).as_string::<i32>().value(row).to_owned()).collect();
        (tags, batch.column(0).as_primitive::<TimestampMillisecondType>().value(row))
    };
    let mut expected: Vec<_> = (0..batch.num_rows()).map(|row| row_key(&batch, row)).collect();
    expected.sort();
    assert_eq!((0..sorted.num_rows()).map(|row| row_key(&sorted, row)).collect::<Vec<_>>(), expected);
}

#[test]
fn what_does_not_overlap_passes_without_copies() {
    let first: Vec<Point> = (0..1_000).map(|time| at("a", time, Some(time))).collect();
    let second: Vec<Point> = (0..1_000).map(|time| at("b", time, Some(time))).collect();
    let (first, second) = (simple(&first), simple(&second));
    let (batches, dropped) = merged(vec![vec![second.clone()], vec![first.clone()]], 1_000).unwrap();
    assert_eq!(batches, [first.clone(), second.clone()]);
    assert_eq!(dropped, Digest::default());
    let address = |batch: &RecordBatch| batch.column(3).to_data().buffers()[0].as_ptr();
    assert_eq!(batches.iter().map(address).collect::<Vec<_>>(), [address(&first), address(&second)]);
}

#[test]
fn batches_stay_near_the_size_asked_for() {
    let source = |offset: i64| -> Vec<RecordBatch> {
        (0..100)
            .map(|batch| {
                simple(&(0..10).map(|row| at("a", (batch * 10 + row) * 3 + offset, Some(1))).collect::<Vec<_>>())
            })
            .collect()
    };
    let (batches, _) = merged(vec![source(0), source(1), source(2)], 256).unwrap();
    assert!(batches.iter().rev().skip(1).all(|batch| (256..=320).contains(&batch.num_rows())));
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3_000);
}

#[test]
fn an_unsorted_source_is_refused() {
    let good = simple(&[at("a", 1, None), at("a", 2, None)]);
    let falling = simple(&[at("a", 2, None), at("a", 1, None)]);
    let doubled = simple(&[at("a", 1, None), at("a", 1, None)]);
    for bad in [vec![falling], vec![doubled], vec![good.clone(), good.clone()]] {
        let error = merged(vec![vec![good.clone()], bad], 10).unwrap_err();
        assert_eq!(error.code, Code::Internal);
    }
}

#[test]
fn a_failing_source_fails_the_merge() {
    let good = simple(&[at("a", 1, None), at("a", 2, None)]);
    let failing = stream::iter([Ok(good.clone()), Err(Error::new(Code::StoreUnavailable, "gone"))]).boxed();
    let sources = vec![stream::iter([Ok(good.clone())]).boxed(), failing];
    let results: Vec<Result<RecordBatch>> = block_on(merge(sources, good.schema(), key(), ids(), 1, None).collect());
    assert_eq!(results.last().unwrap().as_ref().unwrap_err().message, "gone");
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
}

#[test]
fn a_merge_of_nothing_is_empty() {
    let schema = simple(&[]).schema();
    let batches: Vec<RecordBatch> = block_on(merge(vec![], schema, key(), ids(), 10, None).try_collect()).unwrap();
    assert!(batches.is_empty());
}
