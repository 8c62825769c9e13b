//! Batches to bytes: the formats a result can be asked in, one file each.
//!
//! In: record batches of one schema, an `Accept` header. Out: bytes, appended to the caller's buffer.
//! Invariants: what [`DocumentEncoder::encode`] and [`DocumentEncoder::finish`] appended, put together, is one whole
//! document of the format; text formats hold nothing back, so a stream of batches is a stream of
//! rows. Never: who asked, a network, anything asynchronous.
//!
//! How values read in text follows CnosDB, where its clients can read that: NULL is an empty field in csv,
//! but `null` in json, where CnosDB leaves the key out; a csv timestamp always has nine digits of a second
//! and a json one as many as it needs.

mod arrow_stream;
mod calendar;
mod column;
mod csv;
mod json;
mod number;
mod parquet;
mod table;
#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::model::{Code, Error, Result};

/// A format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Csv,
    Tsv,
    Json,
    NdJson,
    Table,
    /// The streaming format of Arrow IPC.
    ArrowStream,
    Parquet,
}

impl Format {
    /// All formats, the one preferred where a client does not care first.
    pub const ALL: [Format; 7] =
        [Format::Csv, Format::Json, Format::NdJson, Format::Tsv, Format::Table, Format::ArrowStream, Format::Parquet];

    /// The `Content-Type` of a result in this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv",
            Format::Tsv => "text/tsv",
            Format::Json => "application/json",
            Format::NdJson => "application/nd-json",
            Format::Table => "text/table",
            Format::ArrowStream => "application/vnd.apache.arrow.stream",
            Format::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The format a media type names, in any case; `None` for a wildcard or an unknown name.
    pub fn from_media_type(kind: &str, subtype: &str) -> Option<Format> {
        let (kind, subtype) = (kind.to_ascii_lowercase(), subtype.to_ascii_lowercase());
        match (kind.as_str(), subtype.as_str()) {
            ("application" | "text", "csv") => Some(Format::Csv),
            ("application" | "text", "tsv") | ("text", "tab-separated-values") => Some(Format::Tsv),
            ("application" | "text", "json") => Some(Format::Json),
            ("application" | "text", "nd-json" | "ndjson" | "x-ndjson" | "jsonl") => Some(Format::NdJson),
            ("application" | "text", "table") => Some(Format::Table),
            ("application", "vnd.apache.arrow.stream") => Some(Format::ArrowStream),
            ("application", "vnd.apache.parquet") => Some(Format::Parquet),
            _ => None,
        }
    }

    /// A description of a table or a database as this format shows it: json has its keys sorted by name,
    /// since CnosDB's clients read the values of `DESCRIBE` by their place among sorted keys.
    ///
    /// # Errors
    /// None that a batch of plain columns could cause.
    pub fn description(self, batch: RecordBatch) -> Result<RecordBatch> {
        if !matches!(self, Format::Json | Format::NdJson) {
            return Ok(batch);
        }
        let schema = batch.schema();
        let mut places: Vec<usize> = (0..schema.fields().len()).collect();
        places.sort_by_key(|place| schema.field(*place).name());
        batch.project(&places).map_err(unwritable)
    }

    /// A writer of one document of this format.
    ///
    /// # Errors
    /// [`Code::FetchResult`] when the format cannot hold a type of the schema.
    pub fn encoder(self, schema: SchemaRef) -> Result<Box<dyn DocumentEncoder + Send>> {
        Ok(match self {
            Format::Csv => Box::new(csv::Csv::new(schema, b',')?),
            Format::Tsv => Box::new(csv::Csv::new(schema, b'\t')?),
            Format::Json => Box::new(json::Json::array(schema)?),
            Format::NdJson => Box::new(json::Json::lines(schema)?),
            Format::Table => Box::new(table::TableEncoder::new(schema)),
            Format::ArrowStream => Box::new(arrow_stream::ArrowStream::new(schema)?),
            Format::Parquet => Box::new(parquet::Parquet::new(schema)?),
        })
    }
}

/// Writes one document: any number of batches, then the end.
pub trait DocumentEncoder {
    /// Appends a batch to `out`.
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()>;

    /// Appends what ends the document. Nothing may follow.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()>;

    /// Bytes held back until later, for formats that cannot be written row by row.
    fn held(&self) -> usize {
        0
    }
}

/// A failure to write a result, in the words of the format's writer.
fn unwritable(error: ArrowError) -> Error {
    Error::new(Code::FetchResult, format!("Fetch result: Arrow error: {error}"))
}
