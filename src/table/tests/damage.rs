//! Flipped bits in a data file.

use super::*;

/// What a reader of all columns gets of a file whose bytes are these.
async fn read_bytes(bytes: &[u8], file: &DataFile) -> Result<RecordBatch> {
    let store = Store::memory();
    let path = format!("{ROOT}{}", file.path);
    assert_eq!(store.create(&path, Bytes::copy_from_slice(bytes)).await, CreateOutcome::Created);
    read(&store, file, &odd_table(), MILLISECOND).await
}

/// A file of several row groups, pages and types, its rows, and its bytes.
async fn whole() -> (DataFile, RecordBatch, Vec<u8>) {
    let (store, batch) = (Store::memory(), odd_rows(250));
    let file = written(SMALL, &store, &odd_table(), &batch).await;
    let bytes = store.get(&format!("{ROOT}{}", file.path)).await.unwrap().unwrap();
    (file, batch, bytes.to_vec())
}

/// With another name for the checksums, a file is as those that were written before there were any.
fn without_checksums(file: &DataFile, bytes: &[u8]) -> (DataFile, Vec<u8>) {
    let mut bytes = bytes.to_vec();
    let name = b"siltdb.page_crc32c";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    bytes[at..at + name.len()].make_ascii_uppercase();
    (DataFile { tail_crc: None, ..file.clone() }, bytes)
}

#[tokio::test]
async fn each_flipped_bit_is_noticed() {
    let (file, batch, bytes) = whole().await;
    for at in (0..bytes.len()).step_by(13) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        match read_bytes(&damaged, &file).await {
            // No reader of a footer looks at the first four bytes.
            Ok(rows) => assert!(at < 4 && rows == batch, "byte {at} of {}: damage unseen", bytes.len()),
            Err(error) => {
                assert!(error.code == Code::Corrupt && !is_missing(&error), "byte {at}: {error}");
                assert!(error.message.contains(&file.path) && error.message.contains("restore it"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn what_notices_them_is_the_checksums() {
    let (file, batch, bytes) = whole().await;
    let (file, bytes) = without_checksums(&file, &bytes);
    assert_eq!(read_bytes(&bytes, &file).await.unwrap(), batch, "older files are read");
    let mut wrong = 0;
    for at in (4..bytes.len()).step_by(61) {
        let (mut damaged, file) = (bytes.clone(), file.clone());
        damaged[at] ^= 1 << (at % 8);
        // A decoder may panic on what it finds: hence the task.
        let rows = tokio::spawn(async move { read_bytes(&damaged, &file).await }).await;
        wrong += usize::from(matches!(rows, Ok(Ok(rows)) if rows != batch));
    }
    assert!(wrong > 0, "no flipped bit gave a wrong answer");
}

#[tokio::test]
async fn a_file_that_has_checksums_cannot_hide_them() {
    let (file, batch, bytes) = whole().await;
    let (unmarked, hidden) = without_checksums(&file, &bytes);
    assert!(read_bytes(&hidden, &file).await.unwrap_err().message.contains("checksum in the manifest"));
    let tail = &hidden[hidden.len() - usize::try_from(file.tail_bytes).unwrap()..];
    let forged = DataFile { tail_crc: Some(crc32c::crc32c(tail)), ..file.clone() };
    assert!(read_bytes(&hidden, &forged).await.unwrap_err().message.contains("no entry siltdb.page_crc32c"));
    // What a program that does not know the tail's checksum has left out of the manifest.
    assert_eq!(read_bytes(&bytes, &unmarked).await.unwrap(), batch);
    let mut damaged = bytes;
    damaged[1_000] ^= 4;
    let error = read_bytes(&damaged, &unmarked).await.unwrap_err();
    assert!(error.message.contains("does not match its checksum"), "{error}");
}

#[tokio::test]
async fn errors_name_table_day_file_and_column() {
    let (store, batch) = (Store::memory(), odd_rows(250));
    let file = Arc::new(written(SMALL, &store, &odd_table(), &batch).await);
    let path = format!("{ROOT}{}", file.path);
    let (start, length) = metadata(&store, &file).await.row_group(1).column(3).byte_range();
    let mut damaged = store.get(&path).await.unwrap().unwrap().to_vec();
    damaged[usize::try_from(start + length - 1).unwrap()] ^= 1;
    store.overwrite(&path, Bytes::from(damaged)).await.unwrap();
    let reader = ObjectReader::new(&store, &Footers::new(1 << 20), ROOT, &file).of_table("weather".into());
    let batches = ParquetRecordBatchStreamBuilder::new(reader).await.unwrap().build().unwrap();
    let error = super::super::unreadable("", batches.try_collect::<Vec<_>>().await.unwrap_err());
    for part in ["table 'weather'", "day=2026-11-24", path.as_str(), "column 'dotted.name'", "siltdb check"] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn ranges_that_cut_pages_are_refused() {
    let (store, batch) = (Store::memory(), odd_rows(250));
    let file = Arc::new(written(SMALL, &store, &odd_table(), &batch).await);
    let mut reader = ObjectReader::new(&store, &Footers::new(1 << 20), ROOT, &file);
    let (start, length) = metadata(&store, &file).await.row_group(0).column(0).byte_range();
    let mut get = async |range| parquet::arrow::async_reader::AsyncFileReader::get_bytes(&mut reader, range).await;
    assert!(get(start..start + length).await.is_ok());
    for range in [start + 1..start + length, start..start + length - 1, 0..start + length, start..file.size] {
        assert!(get(range.clone()).await.is_err(), "{range:?}");
    }
}
