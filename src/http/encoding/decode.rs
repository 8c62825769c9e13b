//! Decoding request bodies, within a limit and against bombs.

use std::io::{BufRead, Read};

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::Coding;
use super::compress::decompress;
use crate::model::{Code, Error, Result};

/// Past this size a body must not have grown more than [`RATIO`] times.
const RATIO_FREE_BYTES: usize = 1 << 20;
const RATIO: usize = 200;
/// The window that RFC 9659 allows: 8 MiB. A frame may ask for far more memory than it has bytes.
const ZSTD_WINDOW_LOG: u32 = 23;
const BUFFER_BYTES: usize = 64 << 10;

/// Decodes a whole body of at most `limit` decoded bytes.
///
/// # Errors
/// [`Code::BodyDoesNotDecode`] for broken or cut off data and for bytes after its end;
/// [`Code::BodyTooLarge`] past `limit`, and past 1 MiB when more than 200 times the encoded size.
pub fn decode(coding: Coding, body: &[u8], limit: usize) -> Result<Vec<u8>> {
    let ceiling = limit.min(body.len().saturating_mul(RATIO).max(RATIO_FREE_BYTES));
    let broken = |error: std::io::Error| broken(coding, error);
    let mut rest = body;
    let decoded = match coding {
        Coding::Identity if body.len() > limit => None,
        Coding::Identity => return Ok(body.to_vec()),
        Coding::Gzip => read(MultiGzDecoder::new(&mut rest), ceiling).map_err(broken)?,
        Coding::Deflate if has_zlib_header(body) => read(ZlibDecoder::new(&mut rest), ceiling).map_err(broken)?,
        Coding::Deflate => read(DeflateDecoder::new(&mut rest), ceiling).map_err(broken)?,
        Coding::Brotli => read_brotli(&mut rest, ceiling).map_err(broken)?,
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&mut rest).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(broken)?;
            read(decoder, ceiling).map_err(broken)?
        }
        Coding::Compress => {
            let mut out = Vec::new();
            let within = decompress(body, &mut out, ceiling).map_err(broken)?;
            rest = &[];
            within.then_some(out)
        }
    };
    let Some(decoded) = decoded else { return Err(too_large(limit, ceiling)) };
    if !rest.fill_buf().map_err(broken)?.is_empty() {
        return Err(broken(std::io::Error::other("there are bytes after its end")));
    }
    Ok(decoded)
}

fn broken(coding: Coding, error: std::io::Error) -> Error {
    Error::new(Code::BodyDoesNotDecode, format!("the body is not valid {}: {error}", coding.name()))
}

fn too_large(limit: usize, ceiling: usize) -> Error {
    let why = if ceiling < limit { "grows more than 200 times" } else { "is too large" };
    Error::new(Code::BodyTooLarge, format!("the body {why} when decoded, the limit is {limit} bytes"))
}

/// Reads all, or `None` once there is more than `ceiling`.
fn read(reader: impl Read, ceiling: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    let read = reader.take(ceiling as u64 + 1).read_to_end(&mut out)?;
    Ok((read <= ceiling).then_some(out))
}

/// As [`read`]. Done by hand because the crate's reader accepts windows of a gigabyte and swallows
/// what follows the end.
fn read_brotli(rest: &mut &[u8], ceiling: usize) -> std::io::Result<Option<Vec<u8>>> {
    let memory = StandardAlloc::default();
    let mut state = BrotliState::new_strict(memory, memory, memory);
    let (mut out, mut buffer) = (Vec::new(), vec![0; BUFFER_BYTES]);
    let mut total = 0;
    loop {
        let (mut available, mut consumed, mut room, mut filled) = (rest.len(), 0, buffer.len(), 0);
        let result = BrotliDecompressStream(
            &mut available,
            &mut consumed,
            rest,
            &mut room,
            &mut filled,
            &mut buffer,
            &mut total,
            &mut state,
        );
        rest.consume(consumed);
        out.extend_from_slice(&buffer[..filled]);
        match result {
            _ if out.len() > ceiling => return Ok(None),
            BrotliResult::ResultSuccess => return Ok(Some(out)),
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::NeedsMoreInput => return Err(std::io::Error::other("it is cut off")),
            BrotliResult::ResultFailure => return Err(std::io::Error::other("its bits are not brotli")),
        }
    }
}

/// Whether data begins as zlib does (RFC 1950): method 8 and a header divisible by 31.
fn has_zlib_header(body: &[u8]) -> bool {
    match body {
        [method, flags, ..] => {
            method & 0x0f == 8 && method >> 4 <= 7 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0
        }
        _ => false,
    }
}
