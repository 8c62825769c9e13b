//! A Parquet file. Rows are held back until a row group is full.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::DocumentEncoder;
use crate::model::{Code, Error, Result};

/// Rows of a row group: small, so that little is held back and an answer starts soon.
const ROW_GROUP_ROWS: usize = 128 << 10;
/// The same in bytes, as estimated after encoding.
const ROW_GROUP_BYTES: usize = 8 << 20;
const CREATED_BY: &str = concat!("siltdb ", env!("CARGO_PKG_VERSION"));

/// Writes a Parquet file.
pub struct Parquet {
    /// Gone once the file is finished.
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl Parquet {
    /// # Errors
    /// [`Code::FetchResult`] when Parquet has no such type as a column's.
    pub fn new(schema: SchemaRef) -> Result<Parquet> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by(CREATED_BY.to_owned())
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(unwritable)?;
        Ok(Parquet { writer: Some(writer) })
    }
}

impl DocumentEncoder for Parquet {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let writer = self.writer.as_mut().ok_or_else(|| Error::internal("a batch after the end of a Parquet file"))?;
        writer.write(batch).map_err(unwritable)?;
        if writer.in_progress_size() > ROW_GROUP_BYTES {
            writer.flush().map_err(unwritable)?;
        }
        // Taking finished bytes away is safe: the writer counts its offsets apart from the buffer.
        out.append(writer.inner_mut());
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            out.append(&mut writer.into_inner().map_err(unwritable)?);
        }
        Ok(())
    }

    fn held(&self) -> usize {
        self.writer.as_ref().map_or(0, ArrowWriter::memory_size)
    }
}

fn unwritable(error: ParquetError) -> Error {
    Error::new(Code::FetchResult, format!("Fetch result: Parquet error: {error}"))
}
