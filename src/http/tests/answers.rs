//! Answers made from streams of batches that a query could not easily be made to give.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use tokio::sync::Semaphore;

use super::*;
use crate::format::Format;
use crate::http::query_response::{QueryResponse, ResponseLimits};
use crate::store::Meter;

fn batch(values: std::ops::Range<i64>) -> RecordBatch {
    RecordBatch::try_from_iter([("v", Arc::new(Int64Array::from_iter_values(values)) as ArrayRef)]).unwrap()
}

fn answer(batches: Vec<Result<RecordBatch>>, format: Format, chunked: bool) -> QueryResponse {
    let schema = batch(0..0).schema();
    QueryResponse { schema, batches: futures::stream::iter(batches).boxed(), format, coding: Coding::Identity, chunked }
}

const LIMITS: ResponseLimits =
    ResponseLimits { buffer_bytes: 10_000, idle: Duration::from_secs(60), time: Duration::from_secs(30) };

async fn respond(answer: QueryResponse) -> Result<Response> {
    let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
    let share = app().await.inner.queries.share();
    answer.respond(LIMITS, &Arc::new(Meter::new()), permit, share).await
}

fn late_error() -> Vec<Result<RecordBatch>> {
    vec![Ok(batch(0..3)), Err(Error::new(Code::Arrow, "Arrow: late"))]
}

#[tokio::test]
async fn an_error_keeps_its_status_until_the_answer_has_begun() {
    let error = respond(answer(late_error(), Format::Csv, false)).await.unwrap_err();
    assert_eq!(error.code, Code::Arrow);
    let error = respond(answer(vec![Err(Error::new(Code::Arrow, "early"))], Format::Csv, true)).await.unwrap_err();
    assert_eq!(error.message, "early");
}

#[tokio::test]
async fn a_late_error_breaks_a_chunked_answer_off() {
    let response = respond(answer(late_error(), Format::Csv, true)).await.unwrap();
    let mut frames = response.into_body().into_data_stream();
    assert_eq!(frames.next().await.unwrap().unwrap(), "v\n0\n1\n2\n");
    assert!(frames.next().await.unwrap().is_err());
    assert!(frames.next().await.is_none());
}

#[tokio::test]
async fn many_batches_are_one_document_in_one_stream() {
    for chunked in [true, false] {
        for coding in [Coding::Identity, Coding::Gzip, Coding::Compress] {
            let batches: Vec<_> = (0..100).map(|number| Ok(batch(number * 1_000..(number + 1) * 1_000))).collect();
            let answer = QueryResponse { coding, ..answer(batches, Format::Json, chunked) };
            let body = respond(answer).await.unwrap().into_body().collect().await.unwrap().to_bytes();
            let text = crate::http::encoding::decode(coding, &body, 1 << 24).unwrap();
            let rows: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
            assert_eq!((rows.len(), rows[99_999]["v"].as_i64()), (100_000, Some(99_999)));
        }
    }
}

#[tokio::test]
async fn rows_are_sent_as_they_come() {
    let (sender, receiver) = futures::channel::mpsc::unbounded();
    let batches = Box::pin(receiver);
    let answer = QueryResponse { batches, coding: Coding::Gzip, ..answer(Vec::new(), Format::NdJson, true) };
    sender.unbounded_send(Ok(batch(0..1))).unwrap();
    let mut frames = respond(answer).await.unwrap().into_body().into_data_stream();
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    for number in 0..5 {
        std::io::Write::write_all(&mut decoder, &frames.next().await.unwrap().unwrap()).unwrap();
        std::io::Write::flush(&mut decoder).unwrap();
        assert_eq!(decoder.get_ref().iter().filter(|byte| **byte == b'\n').count(), number + 1);
        sender.unbounded_send(Ok(batch(0..1))).unwrap();
    }
}

/// Counts how many of its batches were asked for.
fn counted() -> (Arc<AtomicUsize>, BoxedBatches) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let batches = futures::stream::repeat_with(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(batch(0..1_000))
    });
    (count, batches.boxed())
}

type BoxedBatches = futures::stream::BoxStream<'static, Result<RecordBatch>>;

#[tokio::test]
async fn nothing_is_computed_for_a_client_that_left() {
    let (count, batches) = counted();
    let response = respond(QueryResponse { batches, ..answer(Vec::new(), Format::Csv, true) }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let before = count.load(Ordering::SeqCst);
    assert!(before < 10, "{before} batches were made for a client that reads nothing");
    drop(response);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(count.load(Ordering::SeqCst) <= before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_is_given_up() {
    let (_, batches) = counted();
    let semaphore = Arc::new(Semaphore::new(1));
    let permit = semaphore.clone().acquire_owned().await.unwrap();
    let answer = QueryResponse { batches, ..answer(Vec::new(), Format::Csv, true) };
    let share = app().await.inner.queries.share();
    let _response = answer.respond(LIMITS, &Arc::new(Meter::new()), permit, share).await.unwrap();
    assert_eq!(semaphore.available_permits(), 0);
    tokio::time::sleep(LIMITS.idle * 2).await;
    assert_eq!(semaphore.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_query_that_never_answers_is_given_up() {
    for chunked in [true, false] {
        let batches = futures::stream::pending().boxed();
        let error = respond(QueryResponse { batches, ..answer(Vec::new(), Format::Csv, chunked) }).await.unwrap_err();
        assert_eq!(error.code, Code::QueryTimeout);
    }
}

#[tokio::test]
async fn a_table_holds_only_so_much() {
    let batches: Vec<_> = (0..100).map(|_| Ok(batch(0..1_000))).collect();
    let error = respond(answer(batches, Format::Table, false)).await.unwrap_err();
    assert_eq!(error.code, Code::FetchResult);
}

/// A result that is ready in many pieces, its permit's semaphore, and what tells of its memory.
async fn ready() -> (Response, Arc<Semaphore>, crate::query::HeldMemory) {
    let semaphore = Arc::new(Semaphore::new(1));
    let permit = semaphore.clone().acquire_owned().await.unwrap();
    let share = app().await.inner.queries.share();
    let pool = share.split(0);
    let batches = (0..1_000).map(|_| Ok(batch(0..1_000))).collect();
    let limits = ResponseLimits { buffer_bytes: 32 << 20, ..LIMITS };
    let answer = answer(batches, Format::Csv, false);
    (answer.respond(limits, &Arc::new(Meter::new()), permit, share).await.unwrap(), semaphore, pool)
}

#[tokio::test]
async fn a_ready_result_holds_its_memory_and_its_permit_until_it_is_taken() {
    let (response, semaphore, pool) = ready().await;
    let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    assert!(length > 3 << 20 && pool.reserved() >= length, "{} reserved of {length}", pool.reserved());
    let mut frames = response.into_body().into_data_stream();
    let mut taken = 0;
    while let Some(frame) = frames.next().await {
        assert_eq!(semaphore.available_permits(), 0);
        taken += frame.unwrap().len();
        assert!(pool.reserved() < 2 * (length - taken) + (1 << 20), "{} with {taken} taken", pool.reserved());
    }
    assert_eq!(taken, length);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((semaphore.available_permits(), pool.reserved()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_ready_result_that_nobody_takes_is_given_up() {
    let (response, semaphore, pool) = ready().await;
    tokio::time::sleep(LIMITS.idle * 2).await;
    assert_eq!(semaphore.available_permits(), 1);
    assert!(pool.reserved() < 256 << 10, "{}", pool.reserved());
    drop(response);
    assert_eq!(pool.reserved(), 0);
}
