//! Writing a data file.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{BoxStream, Peekable},
};
use parquet::{arrow::ArrowWriter, errors::ParquetError};

use arrow::record_batch::RecordBatch;

use super::{
    checksums::PageSummer,
    layout::{Layout, conform, file_schema},
    missing,
    summary::Summary,
};
use crate::{
    model::{Column, ColumnKind, DataFile, Error, OrderRange, Precision, Result, TableId, TableSchema, paths},
    store::{Store, Upload},
};

/// Where a data file goes, and what it is made from.
#[derive(Debug, Clone)]
pub struct DataFileTarget {
    /// The root of the database.
    pub root: String,
    /// For people who browse the store.
    pub table_name: String,
    pub table: TableId,
    /// Folder form of the partition, as [`super::partition_of`] gives it.
    pub partition: String,
    /// The manifest version the job began from.
    pub base: u64,
    /// Random, so that no two jobs' files ever share a name.
    pub unique: String,
    pub order: OrderRange,
}

impl DataFileTarget {
    /// Name of the job's file of a number, from 0 on, below the database's root.
    fn path(&self, number: usize) -> String {
        let suffix = if number == 0 { String::new() } else { format!("-{number}") };
        let unique = format!("{}{suffix}", self.unique);
        paths::data_file(&self.table_name, self.table, &self.partition, self.base, &unique)
    }
}

impl Summary {
    fn describe(self, path: String, target: &DataFileTarget, size: u64, tail: &Tail) -> DataFile {
        DataFile {
            path,
            partition: target.partition.clone(),
            size,
            tail_bytes: tail.bytes,
            tail_crc: Some(tail.crc),
            rows: self.rows,
            min_time: self.min_time,
            max_time: self.max_time,
            order: target.order,
            tags: self.tag_ranges(),
            keys: self.keys(),
            columns: self.columns(),
            sum: self.sum,
        }
    }
}

/// Writes data files from storage batches that are sorted by key and hold no duplicates: a next one
/// begins between two rows once the one before has about `file_bytes` bytes, so that no two share a
/// point. Nothing, and no object, if there are no rows.
///
/// Holds a row group, compressed, and the parts on their way. Columns without any value are left out
/// of a small file; in one of more than 65,536 rows they cost a few bytes a page.
///
/// Errors: the stream's, the store's. Objects may then exist, but nobody knows of them.
pub async fn write_files(
    store: &Store,
    target: &DataFileTarget,
    schema: &TableSchema,
    precision: Precision,
    file_bytes: u64,
    batches: BoxStream<'static, Result<RecordBatch>>,
) -> Result<Vec<DataFile>> {
    write_as(Layout { file_bytes, ..Layout::default() }, store, target, schema, precision, batches).await
}

pub(super) async fn write_as(
    layout: Layout,
    store: &Store,
    target: &DataFileTarget,
    schema: &TableSchema,
    precision: Precision,
    batches: BoxStream<'static, Result<RecordBatch>>,
) -> Result<Vec<DataFile>> {
    let query = schema.query_schema(precision);
    let conformed = {
        let (schema, query) = (schema.clone(), query);
        batches.and_then(move |batch| std::future::ready(conform(&batch, &schema, &query)))
    };
    let filled = conformed.try_filter(|batch| std::future::ready(batch.num_rows() > 0));
    let mut source = filled.boxed().peekable();
    let job = Job { layout, store, target, schema, precision };
    let mut files = Vec::new();
    while let Some(file) = write_next(&job, files.len(), &mut source).await? {
        files.push(file);
    }
    Ok(files)
}

/// What the files of one call share.
struct Job<'a> {
    layout: Layout,
    store: &'a Store,
    target: &'a DataFileTarget,
    schema: &'a TableSchema,
    precision: Precision,
}

type Source = Peekable<BoxStream<'static, Result<RecordBatch>>>;

/// The next file; none when the source has ended.
async fn write_next(job: &Job<'_>, number: usize, source: &mut Source) -> Result<Option<DataFile>> {
    let (layout, schema) = (job.layout, job.schema);
    let mut sample: Vec<RecordBatch> = Vec::new();
    let mut sampled = 0;
    let mut ended = false;
    while sampled < layout.sample_rows && !ended {
        match source.try_next().await? {
            None => ended = true,
            Some(batch) => {
                sampled += batch.num_rows();
                sample.push(batch);
            }
        }
    }
    if sample.is_empty() {
        return Ok(None);
    }
    let empty = |position: usize| ended && sample.iter().all(|batch| all_null(batch, position));
    let kept: Vec<usize> = (0..schema.columns.len())
        .filter(|position| schema.columns[*position].kind == ColumnKind::Time || !empty(*position))
        .collect();
    let path = job.target.path(number);
    let mut file = FileWriter::new(job, &path, kept, &sample)?;
    for batch in sample {
        file.write(&batch).await?;
    }
    while let Some(next) = Pin::new(&mut *source).peek().await {
        let full = file.bytes() >= layout.file_bytes;
        if full && next.as_ref().is_ok_and(|next| file.summary.ends_before(next).unwrap_or(false)) {
            break;
        }
        let Some(batch) = source.try_next().await? else { break };
        file.write(&batch).await?;
    }
    let (summary, size, tail) = file.finish().await?;
    Ok(Some(summary.describe(path, job.target, size, &tail)))
}

fn all_null(batch: &RecordBatch, position: usize) -> bool {
    let column = batch.column(position);
    column.null_count() == column.len()
}

/// A data file under construction: encodes, sends, and sums up.
struct FileWriter {
    path: String,
    store: Store,
    upload: Upload,
    encoder: ArrowWriter<Vec<u8>>,
    pages: PageSummer,
    /// Positions, in the table's schema, of the columns in the file.
    kept: Vec<usize>,
    summary: Summary,
}

impl FileWriter {
    fn new(job: &Job<'_>, path: &str, kept: Vec<usize>, sample: &[RecordBatch]) -> Result<FileWriter> {
        let path = format!("{}{path}", job.target.root);
        let columns: Vec<&Column> = kept.iter().map(|position| &job.schema.columns[*position]).collect();
        let sample = sample.iter().map(|batch| batch.project(&kept)).collect::<Result<Vec<_>, _>>()?;
        let pages = PageSummer::default();
        let options = job.layout.options(&columns, &sample)?.with_page_store_factory(Arc::new(pages.clone()));
        let encoder = ArrowWriter::try_new_with_options(Vec::new(), file_schema(&columns, job.precision), options)
            .map_err(|error| not_encoded(&path, &error))?;
        let upload = job.store.upload(&path)?;
        let (store, summary) = (job.store.clone(), Summary::new(job.schema));
        Ok(FileWriter { path, store, upload, encoder, pages, kept, summary })
    }

    /// Encoded so far.
    fn bytes(&self) -> u64 {
        (self.encoder.bytes_written() + self.encoder.in_progress_size()) as u64
    }

    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.summary.add(batch)?;
        self.encoder.write(&batch.project(&self.kept)?).map_err(|error| not_encoded(&self.path, &error))?;
        self.send().await.map(drop)
    }

    /// Hands over what is encoded, which is nothing before a row group is full.
    async fn send(&mut self) -> Result<Bytes> {
        let encoded = Bytes::from(std::mem::take(self.encoder.inner_mut()));
        if !encoded.is_empty() {
            self.upload.write(encoded.clone()).await?;
        }
        Ok(encoded)
    }

    /// Encodes what is left, and the tail. Returns at which byte that begins.
    fn end(&mut self) -> Result<u64, ParquetError> {
        self.encoder.flush()?;
        let begin = self.encoder.bytes_written() as u64;
        self.encoder.write_all(&self.pages.encode())?;
        self.encoder.append_key_value_metadata(PageSummer::entry(begin));
        let metadata = self.encoder.finish()?;
        self.pages.verify(&metadata).map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(begin)
    }

    /// Completes the object. Returns its size in bytes, too.
    async fn finish(mut self) -> Result<(Summary, u64, Tail)> {
        let begin = self.end().map_err(|error| not_encoded(&self.path, &error))?;
        let last = self.send().await?;
        let written = self.encoder.bytes_written() as u64;
        let size = self.upload.finish().await?;
        if size != written {
            return Err(Error::internal(format!("{size} bytes of {} sent, {written} encoded", self.path)));
        }
        // The end of the object, read back, proves that it is complete.
        let end = &last[last.len().saturating_sub(8)..];
        match self.store.get_range(&self.path, size - end.len() as u64..size).await? {
            None => return Err(missing(&self.path)),
            Some(stored) if stored != end => {
                return Err(Error::corrupt(&self.path, "it was stored otherwise than sent"));
            }
            Some(_) => {}
        }
        let bytes = size - begin;
        // The tail was encoded at once, so that what was sent last holds all of it.
        let tail = usize::try_from(bytes).ok().and_then(|bytes| last.len().checked_sub(bytes)).map(|at| &last[at..]);
        let tail = tail.ok_or_else(|| Error::internal(format!("the tail of {} was sent in parts", self.path)))?;
        Ok((self.summary, size, Tail { bytes, crc: crc32c::crc32c(tail) }))
    }
}

/// What follows a file's data: the pages' checksums, page index and footer.
struct Tail {
    bytes: u64,
    crc: u32,
}

fn not_encoded(path: &str, error: &ParquetError) -> Error {
    Error::internal(format!("cannot encode {path}: {error}"))
}
