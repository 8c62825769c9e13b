//! Files and standard input, decompressed, as batches.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::batcher::{BatchLimits, Batcher, LineBatch, Position, UnterminatedLine};

const CHUNK_BYTES: usize = 256 << 10;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The byte order mark in UTF-8.
const MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Something to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    Standard,
    File(PathBuf),
}

impl Input {
    /// What a command line names; `-` is standard input.
    pub(super) fn of(name: &str) -> Input {
        if name == "-" { Input::Standard } else { Input::File(PathBuf::from(name)) }
    }

    /// As a person knows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Input::Standard => "standard input".to_owned(),
            Input::File(path) => path.display().to_string(),
        }
    }

    /// As it is known from wherever a run is started.
    pub(super) fn key(&self) -> String {
        match self {
            Input::Standard => "-".to_owned(),
            Input::File(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string(),
        }
    }

    /// Bytes it has as stored, where that is known.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Input::Standard => None,
            Input::File(path) => path.metadata().ok().filter(std::fs::Metadata::is_file).map(|found| found.len()),
        }
    }

    /// Finds out now, and not after hours, that a file is not there.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn check(&self) -> io::Result<()> {
        match self {
            Input::Standard => Ok(()),
            Input::File(path) => File::open(path).map(drop),
        }
    }

    fn open(&self, stored: &Arc<AtomicU64>) -> io::Result<Box<dyn Read>> {
        let counted = |source: Box<dyn Read>| Counted { source, read: stored.clone() };
        match self {
            Input::Standard => decompressed(counted(Box::new(io::stdin())), None),
            Input::File(path) => decompressed(counted(Box::new(File::open(path)?)), Some(path)),
        }
    }
}

/// Counts what is read.
struct Counted {
    source: Box<dyn Read>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Looks at the first bytes and the name to see how the source is compressed.
fn decompressed(mut source: impl Read + 'static, path: Option<&Path>) -> io::Result<Box<dyn Read>> {
    let mut first = Vec::new();
    source.by_ref().take(ZSTD.len() as u64).read_to_end(&mut first)?;
    let named = |ending: &str| path.is_some_and(|path| path.extension().is_some_and(|found| found == ending));
    let (gzip, zstd) = (first.starts_with(GZIP) || named("gz"), first.starts_with(ZSTD) || named("zst"));
    let whole = io::Cursor::new(first).chain(source);
    Ok(if gzip {
        Box::new(flate2::read::MultiGzDecoder::new(whole))
    } else if zstd {
        Box::new(zstd::stream::read::Decoder::new(whole)?)
    } else {
        Box::new(whole)
    })
}

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Batch {
    pub number: u64,
    pub input: usize,
    pub piece: LineBatch,
    /// Bytes of the input as stored that have been read by now.
    pub stored: u64,
}

/// An input that cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub input: usize,
    /// The line, from 1, when it is about one.
    pub line: Option<u64>,
    pub why: String,
}

/// Reads all inputs in their order, each behind its first `skip` bytes, until they end or nobody takes
/// the batches any more. Blocks.
pub(super) fn read_all(inputs: &[(Input, u64)], most: BatchLimits, batches: &mpsc::Sender<Result<Batch, Unreadable>>) {
    let mut number = 0;
    for (at, (input, skip)) in inputs.iter().enumerate() {
        let mut give = |piece: LineBatch, stored: u64| {
            let sent = batches.blocking_send(Ok(Batch { number, input: at, piece, stored }));
            number += 1;
            sent.is_ok()
        };
        match read(input, *skip, most, &mut give) {
            Ok(true) => {}
            Ok(false) => return,
            Err((line, why)) => {
                // Nobody left to tell is no failure.
                let _ = batches.blocking_send(Err(Unreadable { input: at, line, why }));
                return;
            }
        }
    }
}

/// The line, when it is about one, and what is wrong.
type Complaint = (Option<u64>, String);

fn read(
    input: &Input,
    skip: u64,
    most: BatchLimits,
    give: &mut impl FnMut(LineBatch, u64) -> bool,
) -> Result<bool, Complaint> {
    let unreadable = |error: io::Error| (None, error.to_string());
    let stored = Arc::new(AtomicU64::new(0));
    let mut source = input.open(&stored).map_err(unreadable)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let start = match skip {
        0 => skip_mark(&mut source).map_err(unreadable)?,
        skip => skip_bytes(&mut source, skip, &mut chunk)?,
    };
    let mut cutter = Batcher::new(most, start);
    loop {
        let count = match source.read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        if count == 0 {
            let rest = cutter.finish();
            return Ok(rest.is_none_or(|piece| give(piece, stored.load(Ordering::Relaxed))));
        }
        cutter.push(&chunk[..count]);
        loop {
            match cutter.next() {
                Ok(Some(piece)) => {
                    if !give(piece, stored.load(Ordering::Relaxed)) {
                        return Ok(false);
                    }
                }
                Ok(None) => break,
                Err(UnterminatedLine(place)) => return Err((Some(place.lines + 1), "the line has no end".to_owned())),
            }
        }
    }
}

/// Reads past the mark that some editors put in front of a text.
fn skip_mark(source: &mut Box<dyn Read>) -> io::Result<Position> {
    let mut first = Vec::new();
    source.by_ref().take(MARK.len() as u64).read_to_end(&mut first)?;
    if first == MARK {
        return Ok(Position { bytes: first.len() as u64, lines: 0 });
    }
    let rest = std::mem::replace(source, Box::new(io::empty()));
    *source = Box::new(io::Cursor::new(first).chain(rest));
    Ok(Position::default())
}

/// Reads past what is acknowledged already, and counts its lines.
fn skip_bytes(source: &mut Box<dyn Read>, skip: u64, chunk: &mut [u8]) -> Result<Position, Complaint> {
    let mut place = Position::default();
    let mut last = b'\n';
    // A pair of a return and a newline may be parted by the end of a chunk.
    let mut returned = false;
    let mut only_mark = skip == MARK.len() as u64;
    while place.bytes < skip {
        let wanted = usize::try_from(skip - place.bytes).unwrap_or(usize::MAX).min(chunk.len());
        let count = source.read(&mut chunk[..wanted]).map_err(|error| (None, error.to_string()))?;
        let Some(end) = chunk[..count].last() else {
            let have = place.bytes;
            return Err((None, format!("it has {have} bytes, fewer than the {skip} that were written before")));
        };
        let pair = returned && chunk[0] == b'\n';
        let from = usize::try_from(place.bytes).unwrap_or(usize::MAX);
        only_mark &= MARK.get(from..).is_some_and(|mark| mark.starts_with(&chunk[..count]));
        last = *end;
        returned = last == b'\r';
        place = place.after(&chunk[..count]);
        place.lines -= u64::from(pair);
    }
    if last != b'\n' && !only_mark && source.read(&mut chunk[..1]).map_err(|error| (None, error.to_string()))? > 0 {
        return Err((None, format!("no line begins at byte {skip}: is it another file, or did it change?")));
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const MOST: BatchLimits = BatchLimits { lines: 2, bytes: 1_000 };

    fn texts(bytes: &[u8], name: &str, skip: u64) -> Result<Vec<String>, Complaint> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut texts = Vec::new();
        let mut give = |piece: LineBatch, _| {
            texts.push(format!("{} {}", piece.start.lines, String::from_utf8_lossy(&piece.text)));
            true
        };
        read(&Input::File(path), skip, MOST, &mut give).map(|_| texts)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compression_is_seen_by_its_first_bytes_or_the_name() {
        let text = b"a v=1\nb v=1\nc v=1";
        let expected = Ok(vec!["0 a v=1\nb v=1\n".to_owned(), "2 c v=1".to_owned()]);
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        for (bytes, name) in [
            (text.to_vec(), "plain.lp"),
            (gzip(text), "x.lp.gz"),
            (gzip(text), "unnamed"),
            (zstd.clone(), "x.zst"),
            (zstd, "x"),
            ([gzip(&text[..6]), gzip(&text[6..])].concat(), "members.gz"),
        ] {
            assert_eq!(texts(&bytes, name, 0), expected, "{name}");
        }
        assert!(texts(text, "not.gz", 0).is_err());
        assert!(texts(&gzip(text)[..20], "cut.gz", 0).is_err());
        assert_eq!(texts(b"", "empty", 0), Ok(vec![]));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let marked = "\u{feff}a v=1\nb v=1\nc v=1".as_bytes();
        let expected = Ok(vec!["0 a v=1\nb v=1\n".to_owned(), "2 c v=1".to_owned()]);
        assert_eq!(texts(marked, "x", 0), expected);
        assert_eq!(texts(&gzip(marked), "x.gz", 0), expected);
        // The places are those of the file: a run goes on behind the mark, or at a line.
        assert_eq!(texts(marked, "x", 3), expected);
        assert_eq!(texts(marked, "x", 9), Ok(vec!["1 b v=1\nc v=1".to_owned()]));
        assert!(texts(b"abc v=1", "x", 3).unwrap_err().1.contains("no line begins at byte 3"));
        assert_eq!(texts(&marked[..3], "x", 0), Ok(vec![]));
        // Only one, and only in front.
        let twice = "\u{feff}\u{feff}a v=1\n\u{feff}b v=1";
        assert_eq!(texts(twice.as_bytes(), "x", 0), Ok(vec![format!("0 {}", &twice[3..])]));
    }

    #[test]
    fn a_run_goes_on_at_the_start_of_a_line() {
        let text = b"a v=1\r\nb v=1\nc v=1";
        assert_eq!(texts(text, "x", 7), Ok(vec!["1 b v=1\nc v=1".to_owned()]));
        assert_eq!(texts(&gzip(text), "x", 13), Ok(vec!["2 c v=1".to_owned()]));
        assert_eq!(texts(text, "x", 18), Ok(vec![]));
        assert!(texts(text, "x", 3).unwrap_err().1.contains("no line begins at byte 3"));
        assert!(texts(text, "x", 19).unwrap_err().1.contains("it has 18 bytes"));
    }
}
