//! Batches becoming the bytes of an answer, within the memory of queries.

use arrow::array::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::encoding::{self, Coding};
use crate::format::DocumentEncoder;
use crate::model::{Code, Error, Result};
use crate::query::HeldMemory;

/// Rows of more bytes are not written before there is memory for what they become.
const LARGE_BYTES: usize = 4 << 20;

/// Batches becoming bytes.
pub struct RowEncoder {
    batches: BoxStream<'static, Result<RecordBatch>>,
    writer: Box<dyn DocumentEncoder + Send>,
    coding: Coding,
    /// Gone once the stream has ended.
    coder: Option<encoding::ContentEncoder>,
    /// What was made and not taken.
    out: Vec<u8>,
    /// What waits to be coded.
    text: Vec<u8>,
    /// Of both, and of what the format holds back.
    share: HeldMemory,
    flush: bool,
    /// Most bytes that the format may hold back.
    most_held: usize,
    /// Bytes before the coding.
    pub written: usize,
}

impl RowEncoder {
    pub fn new(
        batches: BoxStream<'static, Result<RecordBatch>>,
        writer: Box<dyn DocumentEncoder + Send>,
        coding: Coding,
        flush: bool,
        most_held: usize,
        share: HeldMemory,
    ) -> Result<RowEncoder> {
        Ok(RowEncoder {
            writer,
            coding,
            coder: Some(encoding::ContentEncoder::new(coding).map_err(unencodable)?),
            batches,
            out: Vec::new(),
            text: Vec::new(),
            share,
            flush,
            most_held,
            written: 0,
        })
    }

    pub fn is_finished(&self) -> bool {
        self.coder.is_none()
    }

    /// Whether queries hold so much memory that this one had better send what it has.
    pub fn is_crowded(&self) -> bool {
        self.share.is_crowded()
    }

    /// Bytes that can be taken.
    pub fn made(&self) -> usize {
        self.out.len()
    }

    /// The bytes that were made, and their share of the memory.
    pub fn take(&mut self) -> (Vec<u8>, HeldMemory) {
        let out = std::mem::take(&mut self.out);
        let share = self.share.split(out.capacity());
        (out, share)
    }

    /// A share of nothing, by which to know when the query is told to end.
    pub fn share(&self) -> HeldMemory {
        self.share.split(0)
    }

    /// Makes bytes of the next batch, or of the end. Dropping it in between loses nothing that
    /// matters: the stream is then given up.
    pub async fn next(&mut self) -> Result<()> {
        let batch = self.batches.next().await.transpose()?;
        let Some(coder) = &mut self.coder else { return Ok(()) };
        let rows = self.share.bytes_of_latest();
        if batch.is_some() && rows > LARGE_BYTES {
            self.share.resize(self.share.bytes() + rows)?;
        }
        let plain = self.coding == Coding::Identity;
        self.text.clear();
        // Without a coding the text is what is sent.
        let text = if plain { &mut self.out } else { &mut self.text };
        let begun = text.len();
        match &batch {
            Some(batch) => self.writer.encode(batch, text)?,
            None => self.writer.finish(text)?,
        }
        let made = text.len() - begun;
        self.written += made;
        if self.writer.held() > self.most_held {
            let most = self.most_held;
            let message = format!(
                "Fetch result: the result has more than the {most} bytes that can be held for this format; ask for csv or json"
            );
            return Err(Error::new(Code::FetchResult, message));
        }
        if !plain {
            coder.write(&self.text, &mut self.out).map_err(unencodable)?;
        }
        match batch {
            Some(_) if self.flush && made > 0 => coder.flush(&mut self.out).map_err(unencodable)?,
            Some(_) => {}
            None => self.coder.take().map_or(Ok(()), |coder| coder.finish(&mut self.out)).map_err(unencodable)?,
        }
        self.share.resize(self.out.capacity() + self.text.capacity() + self.writer.held())
    }
}

fn unencodable(error: std::io::Error) -> Error {
    Error::internal(format!("the result could not be encoded: {error}"))
}
