//! Encoding answers, one stream an answer, flushed whenever rows should be seen.

use std::io::{Result, Write};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::Coding;
use super::compress::Compressor;

/// Fast settings: answers are made once and read once, often on the same machine.
const DEFLATE_LEVEL: u32 = 4;
const BROTLI_QUALITY: u32 = 4;
const BROTLI_WINDOW_BITS: u32 = 20;
const BROTLI_BUFFER_BYTES: usize = 16 << 10;
const ZSTD_LEVEL: i32 = 3;

/// Writes one encoded stream. Output appears in the caller's buffer as the codec makes it.
pub struct ContentEncoder(Codec);

enum Codec {
    Identity,
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Compress(Box<Compressor>),
}

impl ContentEncoder {
    /// A new stream of a coding.
    ///
    /// # Errors
    /// When the codec cannot get its memory.
    pub fn new(coding: Coding) -> Result<ContentEncoder> {
        let level = Compression::new(DEFLATE_LEVEL);
        Ok(ContentEncoder(match coding {
            Coding::Identity => Codec::Identity,
            Coding::Gzip => Codec::Gzip(GzEncoder::new(Vec::new(), level)),
            Coding::Deflate => Codec::Deflate(ZlibEncoder::new(Vec::new(), level)),
            Coding::Brotli => Codec::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER_BYTES,
                BROTLI_QUALITY,
                BROTLI_WINDOW_BITS,
            ))),
            Coding::Zstd => Codec::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
            Coding::Compress => Codec::Compress(Box::default()),
        }))
    }

    /// Encodes `data`; what comes out at once is appended to `out`.
    pub fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match &mut self.0 {
            Codec::Identity => out.extend_from_slice(data),
            Codec::Gzip(writer) => {
                writer.write_all(data)?;
                out.append(writer.get_mut());
            }
            Codec::Deflate(writer) => {
                writer.write_all(data)?;
                out.append(writer.get_mut());
            }
            Codec::Brotli(writer) => {
                writer.write_all(data)?;
                out.append(writer.get_mut());
            }
            Codec::Zstd(writer) => {
                writer.write_all(data)?;
                out.append(writer.get_mut());
            }
            Codec::Compress(writer) => writer.write(data, out),
        }
        Ok(())
    }

    /// Appends to `out` whatever is needed to decode all that was written so far.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<()> {
        match &mut self.0 {
            Codec::Identity => {}
            Codec::Gzip(writer) => {
                writer.flush()?;
                out.append(writer.get_mut());
            }
            Codec::Deflate(writer) => {
                writer.flush()?;
                out.append(writer.get_mut());
            }
            Codec::Brotli(writer) => {
                writer.flush()?;
                out.append(writer.get_mut());
            }
            Codec::Zstd(writer) => {
                writer.flush()?;
                out.append(writer.get_mut());
            }
            Codec::Compress(writer) => writer.flush(out),
        }
        Ok(())
    }

    /// Ends the stream.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<()> {
        match self.0 {
            Codec::Identity => {}
            Codec::Gzip(writer) => out.append(&mut writer.finish()?),
            Codec::Deflate(writer) => out.append(&mut writer.finish()?),
            Codec::Brotli(writer) => out.append(&mut writer.into_inner()),
            Codec::Zstd(writer) => out.append(&mut writer.finish()?),
            Codec::Compress(writer) => writer.finish(out),
        }
        Ok(())
    }
}
