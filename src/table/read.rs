//! Reading data files.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use bytes::Bytes;
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use parquet::{
    arrow::{
        ParquetRecordBatchStreamBuilder, ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
        async_reader::AsyncFileReader,
        parquet_to_arrow_schema,
    },
    errors::ParquetError,
    file::metadata::ParquetMetaData,
};

use super::{Footers, checksums::chunk_range, footers::DataFileFooter, missing, unreadable};
use crate::{
    model::{Code, ColumnId, DataFile, Error, Precision, Result, TableSchema},
    store::Store,
};

/// Rows of a batch that is read.
const BATCH_ROWS: usize = 8_192;

/// Reads a whole data file as storage batches of `schema`, strings as views. Columns are told apart
/// by their ids; those the file does not have are null.
///
/// Errors: the store's; [`Code::Corrupt`](crate::model::Code::Corrupt) if the object is not there
/// ([`super::is_missing`]) or does not hold what it should.
pub fn read_file(
    store: &Store,
    footers: &Footers,
    root: &str,
    file: &DataFile,
    schema: &TableSchema,
    precision: Precision,
) -> BoxStream<'static, Result<RecordBatch>> {
    let reader = ObjectReader::new(store, footers, root, &Arc::new(file.clone()));
    let query = schema.query_schema(precision);
    let ids: Vec<ColumnId> = schema.columns.iter().map(|column| column.id).collect();
    stream::once(async move { open(reader, query, ids).await }).try_flatten().boxed()
}

async fn open(
    mut reader: ObjectReader,
    query: SchemaRef,
    ids: Vec<ColumnId>,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let path = reader.path.clone();
    let failed = move |error| unreadable(&path, error);
    let metadata = reader.metadata().await?;
    let options = ArrowReaderOptions::new().with_schema(view_schema(&metadata).map_err(&failed)?);
    let positions = file_positions(&metadata);
    let sources: Vec<Option<usize>> =
        ids.iter().map(|id| positions.iter().position(|in_file| *in_file == Some(*id))).collect();
    let mut roots: Vec<usize> = sources.iter().flatten().copied().collect();
    roots.sort_unstable();
    let mask = ProjectionMask::roots(metadata.file_metadata().schema_descr(), roots.iter().copied());
    let sources: Vec<Option<usize>> =
        sources.iter().map(|source| source.and_then(|source| roots.binary_search(&source).ok())).collect();
    let metadata = ArrowReaderMetadata::try_new(metadata, options).map_err(&failed)?;
    let path = reader.path.clone();
    let batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(&failed)?;
    Ok(batches.map(move |batch| arrange(&path, &batch.map_err(&failed)?, &query, &sources)).boxed())
}

/// The file's columns in the table's order, nulls where it has none.
fn arrange(path: &str, batch: &RecordBatch, query: &SchemaRef, sources: &[Option<usize>]) -> Result<RecordBatch> {
    let column = |(source, field): (&Option<usize>, &Arc<Field>)| -> ArrayRef {
        match source {
            Some(source) => batch.column(*source).clone(),
            None => new_null_array(field.data_type(), batch.num_rows()),
        }
    };
    let columns = sources.iter().zip(query.fields()).map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(query.clone(), columns, &options).map_err(|error| Error::corrupt(path, error))
}

/// The ids of the file's columns.
fn file_positions(metadata: &ParquetMetaData) -> Vec<Option<ColumnId>> {
    let root = metadata.file_metadata().schema_descr().root_schema();
    let id = |field: &parquet::schema::types::TypePtr| {
        let info = field.get_basic_info();
        info.has_id().then(|| u32::try_from(info.id()).ok()).flatten().map(ColumnId)
    };
    root.get_fields().iter().map(id).collect()
}

/// The file's Arrow schema, with strings as views: the fastest form to read them in.
fn view_schema(metadata: &ParquetMetaData) -> Result<SchemaRef, ParquetError> {
    let schema = parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None)?;
    let view = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        _ => field.clone(),
    };
    Ok(Arc::new(Schema::new(schema.fields().iter().map(view).collect::<Vec<_>>())))
}

/// A data file as Parquet's reader wants it: footers come from the cache, ranges from the store.
#[derive(Clone)]
pub struct ObjectReader {
    store: Store,
    footers: Footers,
    root: Arc<str>,
    path: Arc<str>,
    file: Arc<DataFile>,
    /// What to call the table in errors.
    table: Option<Arc<str>>,
    /// Once it was loaded.
    footer: Option<DataFileFooter>,
    /// Columns to fetch together, by name.
    columns: Option<Arc<[String]>>,
    fetched: Option<RowGroup>,
}

/// The column chunks of a row group that were fetched together.
#[derive(Clone)]
struct RowGroup {
    number: usize,
    chunks: Vec<(Range<u64>, Bytes)>,
}

impl ObjectReader {
    pub fn new(store: &Store, footers: &Footers, root: &str, file: &Arc<DataFile>) -> ObjectReader {
        ObjectReader {
            store: store.clone(),
            footers: footers.clone(),
            root: root.into(),
            path: format!("{root}{}", file.path).into(),
            file: file.clone(),
            table: None,
            footer: None,
            columns: None,
            fetched: None,
        }
    }

    /// Tells what to call the table in errors.
    pub fn of_table(mut self, name: Arc<str>) -> ObjectReader {
        self.table = Some(name);
        self
    }

    /// Tells which columns will be needed: with the first request into a row group all their chunks
    /// are fetched at once. That saves the round trips of a filter whose columns are read one by one,
    /// and costs the pages that the filter would have spared.
    pub fn with_columns(mut self, names: Arc<[String]>) -> ObjectReader {
        self.columns = Some(names);
        self
    }

    /// The file's footer and page index, from the cache.
    pub async fn metadata(&mut self) -> Result<Arc<ParquetMetaData>> {
        self.footer().await.map(|footer| footer.metadata)
    }

    async fn footer(&mut self) -> Result<DataFileFooter> {
        if let Some(footer) = &self.footer {
            return Ok(footer.clone());
        }
        let footer = self.footers.load_all(&self.store, &self.root, &self.file).await?;
        self.footer = Some(footer.clone());
        Ok(footer)
    }

    async fn read(&mut self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if let Some(names) = self.columns.clone() {
            self.fetch_row_group(ranges, &names).await?;
        }
        let mut found: Vec<Option<Bytes>> = ranges.iter().map(|range| self.in_memory(range)).collect();
        let absent: Vec<Range<u64>> =
            ranges.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(range, _)| range.clone()).collect();
        if !absent.is_empty() {
            let mut fetched = self.fetch(&absent).await?.into_iter();
            for missing in found.iter_mut().filter(|found| found.is_none()) {
                *missing = fetched.next();
            }
        }
        let complete: Option<Vec<Bytes>> = found.into_iter().collect();
        complete.ok_or_else(|| Error::internal(format!("the store gave fewer ranges of {} than asked", self.path)))
    }

    /// Fetches the hinted columns of the row group that the ranges begin in, unless it was.
    async fn fetch_row_group(&mut self, ranges: &[Range<u64>], names: &[String]) -> Result<()> {
        let Some(first) = ranges.iter().find(|range| self.in_memory(range).is_none()) else { return Ok(()) };
        let metadata = self.metadata().await?;
        let holds = |range: &Range<u64>| range.start <= first.start && first.end <= range.end;
        let groups = metadata.row_groups();
        let number = groups.iter().position(|group| group.columns().iter().map(chunk_range).any(|chunk| holds(&chunk)));
        let Some(number) = number.filter(|number| self.fetched.as_ref().is_none_or(|group| group.number != *number))
        else {
            return Ok(());
        };
        let wanted: Vec<Range<u64>> = groups[number]
            .columns()
            .iter()
            .filter(|chunk| chunk.column_path().parts().first().is_some_and(|name| names.contains(name)))
            .map(chunk_range)
            .collect();
        let bytes = self.fetch(&wanted).await?;
        self.fetched = Some(RowGroup { number, chunks: wanted.into_iter().zip(bytes).collect() });
        Ok(())
    }

    fn in_memory(&self, range: &Range<u64>) -> Option<Bytes> {
        let chunks = &self.fetched.as_ref()?.chunks;
        let (chunk, bytes) = chunks.iter().find(|(chunk, _)| chunk.start <= range.start && range.end <= chunk.end)?;
        let start = usize::try_from(range.start - chunk.start).ok()?;
        let end = usize::try_from(range.end - chunk.start).ok()?;
        Some(bytes.slice(start..end))
    }

    /// Ranges from the store, their pages verified.
    async fn fetch(&mut self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let footer = self.footer().await?;
        let fetched = self.store.get_ranges(&self.path, ranges).await?;
        let fetched = fetched.ok_or_else(|| missing(&self.path))?;
        if let Some(checksums) = &footer.checksums {
            for (range, bytes) in ranges.iter().zip(&fetched) {
                let verified = checksums.verify(range, bytes);
                verified.map_err(|page| self.not_verified(&footer.metadata, range, page))?;
            }
        }
        Ok(fetched)
    }

    /// The error for a page that is damaged, or for a range that does not hold whole pages.
    fn not_verified(&self, metadata: &ParquetMetaData, range: &Range<u64>, page: Option<u64>) -> Error {
        let Some(page) = page else {
            return Error::internal(format!("bytes {range:?} of {} are no pages", self.path));
        };
        let mut chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
        let chunk = chunks.find(|chunk| chunk_range(chunk).contains(&page));
        let column = chunk.map_or_else(String::new, |chunk| chunk.column_path().string());
        let what = format!("the page of column '{column}' at byte {page} does not match its checksum");
        Error::corrupt(&self.path, what)
    }

    /// An error of ours on its way through Parquet's reader.
    fn external(&self, error: Error) -> ParquetError {
        let error = match &self.table {
            Some(table) if error.code == Code::Corrupt => error.at(&self.file.partition).of_table(table),
            _ => error,
        };
        ParquetError::External(Box::new(error))
    }
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            let bytes = self.read(std::slice::from_ref(&range)).await.map_err(|error| self.external(error))?;
            bytes.into_iter().next().ok_or_else(|| ParquetError::EOF(format!("no bytes of {range:?}")))
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move { self.read(&ranges).await.map_err(|error| self.external(error)) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move { self.metadata().await.map_err(|error| self.external(error)) }.boxed()
    }
}
