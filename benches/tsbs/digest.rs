//! Whether two engines gave the same answer.

use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use arrow::ipc::reader::StreamReader;

use crate::report::Result;
use crate::workload::{NANOSECONDS, START_SECONDS};

/// What is compared of an answer: independent of the order of rows and columns.
#[derive(Debug, Clone, Copy, Default)]
pub struct Digest {
    pub rows: usize,
    columns: usize,
    /// Of all numbers, and of all times in seconds since the data begins.
    sum: f64,
    /// Of hashes of all texts.
    texts: u64,
}

impl Digest {
    pub fn of(batches: &[RecordBatch]) -> Result<Digest> {
        let mut digest = Digest::default();
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            digest.rows += batch.num_rows();
            digest.columns = batch.num_columns();
            for column in batch.columns() {
                digest.add(column)?;
            }
        }
        Ok(digest)
    }

    /// Of an Arrow IPC stream.
    pub fn of_stream(stream: impl std::io::Read) -> Result<Digest> {
        let batches: std::result::Result<Vec<_>, _> = StreamReader::try_new(stream, None)?.collect();
        Digest::of(&batches?)
    }

    /// Of a file with an Arrow IPC stream.
    pub fn of_file(path: &Path) -> Result<Digest> {
        let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Digest::of_stream(std::io::BufReader::new(file))
    }

    fn add(&mut self, column: &dyn Array) -> Result<()> {
        match column.data_type() {
            DataType::Timestamp(..) => {
                let nanoseconds = cast(column, &DataType::Timestamp(TimeUnit::Nanosecond, None))?;
                let ticks = cast(&nanoseconds, &DataType::Int64)?;
                let seconds = |ticks: i64| ticks as f64 / NANOSECONDS as f64 - START_SECONDS as f64;
                self.sum += ticks.as_primitive::<Int64Type>().iter().flatten().map(seconds).sum::<f64>();
            }
            data_type if data_type.is_numeric() => {
                let numbers = cast(column, &DataType::Float64)?;
                self.sum += numbers.as_primitive::<Float64Type>().iter().flatten().sum::<f64>();
            }
            _ => {
                let texts = cast(column, &DataType::Utf8)?;
                let hashes = texts.as_string::<i32>().iter().flatten().map(hash);
                self.texts = hashes.fold(self.texts, u64::wrapping_add);
            }
        }
        Ok(())
    }

    /// Sums of floating point numbers may differ by the order of their parts.
    pub fn agrees(&self, other: &Digest) -> bool {
        let near = (self.sum - other.sum).abs() <= 1e-9 * self.sum.abs().max(1.0);
        near && (self.rows, self.columns, self.texts) == (other.rows, other.columns, other.texts)
    }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
