use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::*;

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn write(format: Format, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut encoder = format.encoder(batches[0].schema())?;
    let mut out = Vec::new();
    for batch in batches {
        encoder.encode(batch, &mut out)?;
    }
    encoder.finish(&mut out)?;
    Ok(out)
}

fn text(format: Format, batch: &RecordBatch) -> String {
    String::from_utf8(write(format, std::slice::from_ref(batch)).unwrap()).unwrap()
}

fn one(format: Format, array: impl Array + 'static) -> String {
    text(format, &batch(vec![("v", Arc::new(array))]))
}

fn weather() -> RecordBatch {
    batch(vec![
        ("time", Arc::new(TimestampNanosecondArray::from(vec![1_666_143_600_000_000_000, 1_666_143_600_500_000_001]))),
        ("station", Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("Xiao,Mai\"Dao"), None]))),
        ("temperature", Arc::new(Float64Array::from(vec![Some(65.0), Some(f64::NAN)]))),
        ("count", Arc::new(Int64Array::from(vec![Some(i64::MIN), None]))),
        ("note", Arc::new(StringViewArray::from(vec![Some("two\nlines"), Some("")]))),
        ("ok", Arc::new(BooleanArray::from(vec![true, false]))),
    ])
}

#[test]
fn csv_as_cnosdb_writes_it() {
    assert_eq!(
        text(Format::Csv, &weather()),
        "time,station,temperature,count,note,ok\n\
         2022-10-19T01:40:00.000000000,\"Xiao,Mai\"\"Dao\",65.0,-9223372036854775808,\"two\nlines\",true\n\
         2022-10-19T01:40:00.500000001,,NaN,,,false\n"
    );
    assert!(text(Format::Tsv, &weather()).starts_with("time\tstation\ttemperature"));
    assert!(text(Format::Tsv, &weather()).contains("\t\"Xiao,Mai\"\"Dao\"\t"));
}

#[test]
fn json_has_every_key_in_schema_order() {
    let rows = "{\"time\":\"2022-10-19T01:40:00\",\"station\":\"Xiao,Mai\\\"Dao\",\"temperature\":65.0,\
                \"count\":-9223372036854775808,\"note\":\"two\\nlines\",\"ok\":true}";
    let second = "{\"time\":\"2022-10-19T01:40:00.500000001\",\"station\":null,\"temperature\":null,\
                  \"count\":null,\"note\":\"\",\"ok\":false}";
    assert_eq!(text(Format::Json, &weather()), format!("[{rows},{second}]"));
    assert_eq!(text(Format::NdJson, &weather()), format!("{rows}\n{second}\n"));
}

#[test]
fn several_batches_are_one_document() {
    let batches = [weather(), weather().slice(0, 0), weather().slice(1, 1)];
    let csv = String::from_utf8(write(Format::Csv, &batches).unwrap()).unwrap();
    assert_eq!(csv.matches("time,station").count(), 1);
    let json = write(Format::Json, &batches).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&json).unwrap();
    assert_eq!(rows.len(), 3);
    let table = String::from_utf8(write(Format::Table, &batches).unwrap()).unwrap();
    assert_eq!(table.matches("station").count(), 1);
}

#[test]
fn descriptions_have_sorted_keys_in_json_alone() {
    let column = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let described = batch(vec![("name", column("n")), ("type", column("t")), ("codec", column("c"))]);
    let shown = |format: Format| text(format, &format.description(described.clone()).unwrap());
    assert_eq!(shown(Format::Csv), "name,type,codec\nn,t,c\n");
    assert_eq!(shown(Format::Json), "[{\"codec\":\"c\",\"name\":\"n\",\"type\":\"t\"}]");
    assert_eq!(shown(Format::NdJson), "{\"codec\":\"c\",\"name\":\"n\",\"type\":\"t\"}\n");
}

#[test]
fn no_rows() {
    let empty = weather().slice(0, 0);
    assert_eq!(text(Format::Csv, &empty), "time,station,temperature,count,note,ok\n");
    assert_eq!(text(Format::Json, &empty), "[]");
    assert_eq!(text(Format::NdJson, &empty), "");
    let mut encoder = Format::Csv.encoder(empty.schema()).unwrap();
    let mut out = Vec::new();
    encoder.finish(&mut out).unwrap();
    assert_eq!(out, b"time,station,temperature,count,note,ok\n");
    let mut table = Format::Table.encoder(batch(vec![("a", Arc::new(Int64Array::from(vec![1])))]).schema()).unwrap();
    out.clear();
    table.finish(&mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "+---+\n| a |\n+---+\n+---+");
}

#[test]
fn a_row_of_one_empty_field_is_quoted() {
    assert_eq!(one(Format::Csv, StringArray::from(vec![Some("a"), None, Some("")])), "v\na\n\"\"\n\"\"\n");
    assert_eq!(one(Format::Json, StringArray::from(vec![Some("a"), None])), "[{\"v\":\"a\"},{\"v\":null}]");
}

#[test]
fn numbers() {
    let doubles = vec![1.0, 65.5, 1e300, 1e-7, -0.0, f64::INFINITY, f64::NEG_INFINITY];
    assert_eq!(one(Format::Csv, Float64Array::from(doubles.clone())), "v\n1.0\n65.5\n1e300\n1e-7\n-0.0\ninf\n-inf\n");
    assert_eq!(
        one(Format::Json, Float64Array::from(doubles)),
        "[{\"v\":1.0},{\"v\":65.5},{\"v\":1e300},{\"v\":1e-7},{\"v\":-0.0},{\"v\":null},{\"v\":null}]"
    );
    assert_eq!(one(Format::Csv, Float32Array::from(vec![0.1, f32::NAN])), "v\n0.1\nNaN\n");
    assert_eq!(one(Format::Json, UInt64Array::from(vec![u64::MAX])), "[{\"v\":18446744073709551615}]");
    assert_eq!(one(Format::Csv, Int8Array::from(vec![-128])), "v\n-128\n");
    assert_eq!(one(Format::Csv, NullArray::new(1)), "v\n\"\"\n");
    let decimals = Decimal128Array::from(vec![12_345]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(one(Format::Csv, decimals.clone()), "v\n123.45\n");
    assert_eq!(one(Format::Json, decimals), "[{\"v\":123.45}]");
}

#[test]
fn moments() {
    let milliseconds = TimestampMillisecondArray::from(vec![0, -1, 1_500]);
    assert_eq!(
        one(Format::Csv, milliseconds.clone()),
        "v\n1970-01-01T00:00:00.000000000\n1969-12-31T23:59:59.999000000\n1970-01-01T00:00:01.500000000\n"
    );
    assert_eq!(
        one(Format::Json, milliseconds.clone()),
        "[{\"v\":\"1970-01-01T00:00:00\"},{\"v\":\"1969-12-31T23:59:59.999\"},{\"v\":\"1970-01-01T00:00:01.500\"}]"
    );
    let utc = milliseconds.clone().with_timezone("UTC");
    assert!(one(Format::Csv, utc.clone()).contains("1970-01-01T00:00:01.500000000+00:00"));
    assert!(one(Format::Json, utc).contains("1970-01-01T00:00:01.500Z"));
    let east = milliseconds.with_timezone("+02:00");
    assert!(one(Format::Csv, east.clone()).contains("1970-01-01T02:00:01.500000000+02:00"));
    assert!(one(Format::Json, east).contains("1970-01-01T02:00:01.500+02:00"));
    let far = TimestampSecondArray::from(vec![253_402_300_800, -62_167_219_201]);
    assert_eq!(one(Format::Json, far), "[{\"v\":\"+10000-01-01T00:00:00\"},{\"v\":\"-0001-12-31T23:59:59\"}]");
    assert!(one(Format::Csv, TimestampNanosecondArray::from(vec![i64::MIN])).contains("1677-09-21T00:12:43.145224192"));
    assert_eq!(one(Format::Csv, Date32Array::from(vec![19_371])), "v\n2023-01-14\n");
    assert_eq!(one(Format::Json, Date64Array::from(vec![19_371 * 86_400_000])), "[{\"v\":\"2023-01-14\"}]");
    assert_eq!(one(Format::Csv, Time64NanosecondArray::from(vec![3_723_000_000_000])), "v\n01:02:03\n");
    assert_eq!(one(Format::Csv, DurationSecondArray::from(vec![3_600])), "v\nPT3600S\n");
}

/// Every day from the year 1 to 3000 follows the one before it.
#[test]
fn the_calendar_has_no_gaps() {
    let mut expected = (1, 1, 1);
    let leap = |year: i32| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    for day in -719_162..376_200 {
        let mut out = Vec::new();
        calendar::push_date(&mut out, day);
        let (year, month, date) = expected;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{year:04}-{month:02}-{date:02}"));
        let long = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1];
        expected = match (month, date) {
            (12, 31) => (year + 1, 1, 1),
            (_, date) if date == long => (year, month + 1, 1),
            _ => (year, month, date + 1),
        };
    }
}

#[test]
fn intervals() {
    let array = IntervalMonthDayNanoArray::from(vec![
        IntervalMonthDayNano::new(0, 3, 22 * 3_600_000_000_000),
        IntervalMonthDayNano::new(14, 0, -1_500_000_000),
    ]);
    let first = "0 years 0 mons 3 days 22 hours 0 mins 0.000000000 secs";
    assert_eq!(
        one(Format::Csv, array.clone()),
        format!("v\n{first}\n0 years 14 mons 0 days 0 hours 0 mins -1.500000000 secs\n")
    );
    assert!(one(Format::Table, array.clone()).contains(first));
    let refused = write(Format::Json, &[batch(vec![("v", Arc::new(array))])]).unwrap_err();
    assert_eq!(refused.code, Code::FetchResult);
    assert!(one(Format::Csv, IntervalYearMonthArray::from(vec![14])).contains("1 years 2 mons 0 days"));
}

fn nested() -> RecordBatch {
    let items = Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)]);
    let field = Arc::new(Field::new("item", DataType::Float64, true));
    let list = ListArray::new(field, OffsetBuffer::from_lengths([3, 0]), Arc::new(items), None);
    let object = StructArray::from(vec![
        (
            Arc::new(Field::new("start", DataType::Int64, true)),
            Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef,
        ),
        (Arc::new(Field::new("end", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef),
    ]);
    batch(vec![("list", Arc::new(list)), ("object", Arc::new(object))])
}

#[test]
fn types_with_parts() {
    let expected = "[{\"list\":[1.0,null,null],\"object\":{\"start\":1,\"end\":\"x\"}},\
                    {\"list\":[],\"object\":{\"start\":null,\"end\":\"y\"}}]";
    assert_eq!(text(Format::Json, &nested()), expected);
    let sliced = nested().slice(1, 1);
    assert_eq!(text(Format::Json, &sliced), "[{\"list\":[],\"object\":{\"start\":null,\"end\":\"y\"}}]");
    let large = DataType::LargeList(Arc::new(Field::new("item", DataType::Float64, true)));
    let large = cast(nested().column(0), &large).unwrap();
    assert_eq!(text(Format::NdJson, &batch(vec![("v", large)])), "{\"v\":[1.0,null,null]}\n{\"v\":[]}\n");
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    map.keys().append_value("a");
    map.values().append_value(1);
    map.append(true).unwrap();
    assert_eq!(one(Format::Json, map.finish()), "[{\"v\":{\"a\":1}}]");
    let refused = write(Format::Csv, &[nested()]).unwrap_err();
    assert_eq!(refused.code, Code::FetchResult);
    assert!(refused.message.starts_with("Fetch result: Csv error: Nested type "), "{}", refused.message);
    assert!(refused.message.ends_with(" is not supported in CSV"));
    assert!(text(Format::Table, &nested()).contains("| [1.0, , NaN] | {start: 1, end: x} |"));
}

#[test]
fn bytes_are_shown_only_in_tables() {
    let bytes = batch(vec![("v", Arc::new(BinaryArray::from(vec![b"\x01\xff".as_slice()])))]);
    assert_eq!(write(Format::Csv, std::slice::from_ref(&bytes)).unwrap_err().code, Code::FetchResult);
    assert_eq!(write(Format::Json, std::slice::from_ref(&bytes)).unwrap_err().code, Code::FetchResult);
    assert!(text(Format::Table, &bytes).contains("01ff"));
}

#[test]
fn coded_values_that_are_not_text() {
    let numbers = DictionaryArray::new(Int8Array::from(vec![1, 0, 1]), Arc::new(Int64Array::from(vec![10, 20])));
    assert_eq!(one(Format::Csv, numbers), "v\n20\n10\n20\n");
    let none = DictionaryArray::<Int32Type>::from_iter(vec![None::<&str>, None]);
    assert_eq!(one(Format::Json, none), "[{\"v\":null},{\"v\":null}]");
    let many: StringArray = (0..100).map(|number| Some(format!("t{number}"))).collect();
    let sparse = DictionaryArray::new(UInt16Array::from(vec![99]), Arc::new(many));
    assert_eq!(one(Format::Csv, sparse), "v\nt99\n");
    let runs: RunArray<Int32Type> = ["a", "a", "b"].into_iter().collect();
    assert_eq!(one(Format::Csv, runs), "v\na\na\nb\n");
}

#[test]
fn arrow_and_parquet_read_back() {
    let batches = [weather(), weather().slice(1, 1)];
    let bytes = write(Format::ArrowStream, &batches).unwrap();
    let reader = arrow::ipc::reader::StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 3);
    let bytes = bytes::Bytes::from(write(Format::Parquet, &batches).unwrap());
    let reader = ::parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes, 1_024).unwrap();
    let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 3);
}

#[test]
fn parquet_is_written_a_row_group_at_a_time() {
    let numbers = batch(vec![("v", Arc::new(Int64Array::from_iter_values(0..200_000)))]);
    let mut encoder = Format::Parquet.encoder(numbers.schema()).unwrap();
    let mut out = Vec::new();
    encoder.encode(&numbers, &mut out).unwrap();
    assert!(out.len() > 1_000 && encoder.held() > 0);
    encoder.finish(&mut out).unwrap();
    let reader =
        ::parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes::Bytes::from(out), 1_024).unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 200_000);
}
