//! The binary formats, decoded by the Arrow and Parquet libraries: types and values as the schema has
//! them, whole and streamed, with rows and without.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef, TimeUnit, TimestampMillisecondType, UInt64Type};
use arrow::ipc::reader::StreamReader;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use crate::client::{Request, Response};
use crate::server::{NO_MAINTENANCE, ROOT, Server, Target};

const ARROW: &str = "application/vnd.apache.arrow.stream";
const PARQUET: &str = "application/vnd.apache.parquet";
const ALL: &str = "select * from kinds order by time";

#[tokio::test]
async fn arrow_streams_decode() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = server_with_rows(&folder).await;
    for chunked in [false, true] {
        let response = ask(&server, ALL, ARROW, chunked).await;
        let (schema, batches) = read_arrow(&response);
        check(&schema, &batches);
    }
    let (schema, batches) = read_arrow(&ask(&server, "select * from kinds where i = 77", ARROW, false).await);
    assert_eq!(schema.fields().len(), 7);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    server.terminate().await;
}

#[tokio::test]
async fn parquet_files_decode() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = server_with_rows(&folder).await;
    for chunked in [false, true] {
        let response = ask(&server, ALL, PARQUET, chunked).await;
        let (schema, batches) = read_parquet(&response);
        check(&schema, &batches);
    }
    let (schema, batches) = read_parquet(&ask(&server, "select * from kinds where i = 77", PARQUET, false).await);
    assert_eq!(schema.fields().len(), 7);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    server.terminate().await;
}

async fn server_with_rows(folder: &TempDir) -> Server {
    let server = Server::start(&Target::folder(folder.path()), NO_MAINTENANCE).await;
    let created = server.sql("public", "create database milli with precision 'ms'", "").await;
    assert_eq!(created.status, 200, "{}", created.text());
    let lines = "kinds,tag=a f=1.5,i=-1i,u=18446744073709551615u,b=true,s=\"text\" 1000000\n\
                 kinds,tag= f=-0.0 2000000\n\
                 kinds i=9223372036854775807i 3000000";
    server.write("milli", lines).await;
    server
}

async fn ask(server: &Server, sql: &str, accept: &str, chunked: bool) -> Response {
    let request = Request::new("POST", &format!("/api/v1/sql?db=milli&chunked={chunked}"), sql)
        .header("Authorization", ROOT)
        .header("Accept", accept);
    let response = server.send(&request).await.expect("an answer");
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.complete);
    assert_eq!(response.header("content-type"), Some(accept));
    response
}

fn read_arrow(response: &Response) -> (SchemaRef, Vec<RecordBatch>) {
    let reader = StreamReader::try_new(response.body.as_slice(), None).expect("an Arrow stream");
    let schema = reader.schema();
    (schema, reader.map(|batch| batch.expect("a batch")).collect())
}

fn read_parquet(response: &Response) -> (SchemaRef, Vec<RecordBatch>) {
    let bytes = Bytes::from(response.body.clone());
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("a Parquet file");
    let schema = builder.schema().clone();
    let reader = builder.build().expect("a reader");
    (schema, reader.map(|batch| batch.expect("a batch")).collect())
}

fn check(schema: &SchemaRef, batches: &[RecordBatch]) {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["time", "tag", "b", "f", "i", "s", "u"]);
    let rows = arrow::compute::concat_batches(schema, batches).expect("batches of one schema");
    assert_eq!(rows.num_rows(), 3);
    assert_eq!(rows.column(0).data_type(), &DataType::Timestamp(TimeUnit::Millisecond, None));
    assert_eq!(rows.column(0).as_primitive::<TimestampMillisecondType>().values(), &[1, 2, 3]);
    assert_eq!(strings(&rows, "tag"), [Some("a".to_owned()), Some(String::new()), None]);
    assert_eq!(strings(&rows, "s"), [Some("text".to_owned()), None, None]);
    let booleans: Vec<Option<bool>> = column(&rows, "b").as_boolean().iter().collect();
    assert_eq!(booleans, [Some(true), None, None]);
    let doubles: Vec<Option<f64>> = column(&rows, "f").as_primitive::<Float64Type>().iter().collect();
    assert_eq!(doubles, [Some(1.5), Some(-0.0), None]);
    assert!(doubles[1].is_some_and(f64::is_sign_positive), "-0.0 is kept as 0.0");
    let integers: Vec<Option<i64>> = column(&rows, "i").as_primitive::<Int64Type>().iter().collect();
    assert_eq!(integers, [Some(-1), None, Some(i64::MAX)]);
    let unsigned: Vec<Option<u64>> = column(&rows, "u").as_primitive::<UInt64Type>().iter().collect();
    assert_eq!(unsigned, [Some(u64::MAX), None, None]);
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> &'a dyn Array {
    rows.column_by_name(name).expect("the column").as_ref()
}

/// Strings whichever way they are laid out.
fn strings(rows: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let plain = cast(column(rows, name), &DataType::Utf8).expect("text");
    plain.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}
