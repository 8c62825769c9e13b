//! The streaming format of Arrow IPC: a schema, then a message a batch.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;

use super::{DocumentEncoder, unwritable};
use crate::model::Result;

/// Writes an Arrow IPC stream. Not compressed: the transport may.
pub struct ArrowStream {
    writer: StreamWriter<Vec<u8>>,
}

impl ArrowStream {
    pub fn new(schema: SchemaRef) -> Result<ArrowStream> {
        Ok(ArrowStream { writer: StreamWriter::try_new(Vec::new(), &schema).map_err(unwritable)? })
    }

    /// Moves to `out` what the writer has made.
    fn drain(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.writer.flush().map_err(unwritable)?;
        out.append(self.writer.get_mut());
        Ok(())
    }
}

impl DocumentEncoder for ArrowStream {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.writer.write(batch).map_err(unwritable)?;
        self.drain(out)
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.writer.finish().map_err(unwritable)?;
        self.drain(out)
    }
}
