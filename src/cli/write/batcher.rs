//! Line protocol into batches, cut where a line ends. Pure.
//!
//! A line is a point with all that belongs to it: a string in quotes may hold ends of lines, at which
//! nothing is cut. Places are counted as an editor counts them, those inside strings too.

use bytes::Bytes;
use memchr::{memchr, memchr_iter, memchr2, memchr3};

/// A line that is longer has lost its end, or its closing quote.
const MOST_LINE_BYTES: usize = 32 << 20;

/// How much of a text lies before a place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    pub bytes: u64,
    pub lines: u64,
}

/// Whole lines of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LineBatch {
    pub text: Bytes,
    pub start: Position,
    pub end: Position,
    /// Points in it.
    pub rows: u64,
}

/// How large a batch may become.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    pub lines: usize,
    pub bytes: usize,
}

/// Takes a text in parts and gives it back in batches.
#[derive(Debug)]
pub(super) struct Batcher {
    most: BatchLimits,
    /// What has not been given back.
    buffer: Vec<u8>,
    start: Position,
    /// Bytes of the buffer that are whole lines.
    whole: usize,
    lines: usize,
    rows: u64,
}

/// A line without an end. Where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnterminatedLine(pub Position);

impl Batcher {
    /// A cutter for what follows `start`.
    pub(super) fn new(most: BatchLimits, start: Position) -> Batcher {
        Batcher { most, buffer: Vec::new(), start, whole: 0, lines: 0, rows: 0 }
    }

    /// Takes the next part of the text.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next full batch; `None` when more of the text is needed.
    pub(super) fn next(&mut self) -> Result<Option<LineBatch>, UnterminatedLine> {
        while self.lines < self.most.lines {
            let Some(end) = line_end(&self.buffer, self.whole) else {
                if self.buffer.len() - self.whole > MOST_LINE_BYTES {
                    return Err(UnterminatedLine(self.start.after(&self.buffer[..self.whole])));
                }
                return Ok(None);
            };
            if end > self.most.bytes && self.lines > 0 {
                break;
            }
            self.rows += u64::from(is_point(&self.buffer[self.whole..end]));
            self.whole = end;
            self.lines += 1;
        }
        Ok(Some(self.cut()))
    }

    /// What is left at the end of the text, whose last line needs no end; `None` when nothing is.
    pub(super) fn finish(mut self) -> Option<LineBatch> {
        if self.whole < self.buffer.len() {
            self.rows += u64::from(is_point(&self.buffer[self.whole..]));
            self.whole = self.buffer.len();
        }
        (self.whole > 0).then(|| self.cut())
    }

    fn cut(&mut self) -> LineBatch {
        let rest = self.buffer.split_off(self.whole);
        let text = std::mem::replace(&mut self.buffer, rest);
        let (start, end) = (self.start, self.start.after(&text));
        let rows = std::mem::take(&mut self.rows);
        (self.start, self.whole, self.lines) = (end, 0, 0);
        LineBatch { text: Bytes::from(text), start, end, rows }
    }
}

impl Position {
    /// The place behind a text that begins here.
    pub(super) fn after(self, text: &[u8]) -> Position {
        let returns = memchr_iter(b'\r', text).filter(|at| text.get(at + 1) != Some(&b'\n')).count();
        let lines = memchr_iter(b'\n', text).count() + returns;
        Position { bytes: self.bytes + text.len() as u64, lines: self.lines + lines as u64 }
    }
}

impl LineBatch {
    /// The first half of the lines and the rest; `None` when there is only one line.
    pub(super) fn halves(&self) -> Option<(LineBatch, LineBatch)> {
        let mut ends = Vec::new();
        let mut at = 0;
        while at < self.text.len() {
            at = line_end(&self.text, at).unwrap_or(self.text.len());
            ends.push(at);
        }
        let middle = *ends.get((ends.len() / 2).checked_sub(1)?)?;
        let between = self.start.after(&self.text[..middle]);
        let half = |text: Bytes, start: Position, end: Position| {
            let mut cutter = Batcher::new(BatchLimits { lines: usize::MAX, bytes: usize::MAX }, start);
            cutter.push(&text);
            // The buffer holds all of the text, whose lines are known to end.
            let _ = cutter.next();
            let rows = cutter.finish().map_or(0, |piece| piece.rows);
            LineBatch { text, start, end, rows }
        };
        Some((half(self.text.slice(..middle), self.start, between), half(self.text.slice(middle..), between, self.end)))
    }
}

/// Whether a line is more than white space or a comment.
fn is_point(line: &[u8]) -> bool {
    line.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|first| *first != b'#')
}

/// The place behind the `\n` that ends the line at `at`; `None` when it is not in the text.
fn line_end(text: &[u8], at: usize) -> Option<usize> {
    let end = at + memchr(b'\n', &text[at..])? + 1;
    if memchr(b'"', &text[at..end]).is_none() {
        return Some(end);
    }
    quoted_line_end(text, at)
}

/// The same for a line with quotes in it. Only one that follows the `=` of a field opens a string.
fn quoted_line_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let lone_return = match fields(text, at) {
            Part::Fields(fields) => match strings_end(text, fields)? {
                end if text[end] == b'\n' => return Some(end + 1),
                end => end,
            },
            Part::Ended(end) if *text.get(end)? == b'\n' => return Some(end + 1),
            Part::Ended(end) => end,
        };
        // A carriage return ends a line as well; what follows begins another.
        at = lone_return + 1;
    }
}

/// What follows a table and its tags.
enum Part {
    /// Fields, from here.
    Fields(usize),
    /// The end of the line, or of the text.
    Ended(usize),
}

fn fields(text: &[u8], at: usize) -> Part {
    let blanks = text[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let mut at = at + blanks;
    let comment = text.get(at) == Some(&b'#');
    while let Some(next) = text.get(at) {
        match next {
            b'\n' | b'\r' => return Part::Ended(at),
            b'\\' if matches!(text.get(at + 1), Some(b',' | b' ' | b'=')) => at += 2,
            b' ' if !comment => return Part::Fields(at + 1),
            _ => at += 1,
        }
    }
    Part::Ended(text.len())
}

/// The end of the line that holds the fields at `at`.
fn strings_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += fields_stop(text.get(at..)?)?;
        match text[at] {
            b'\n' | b'\r' => return Some(at),
            b'\\' if matches!(text.get(at + 1)?, b',' | b' ' | b'=') => at += 2,
            b'=' if *text.get(at + 1)? == b'"' => at = string_end(text, at + 2)?,
            _ => at += 1,
        }
    }
}

fn fields_stop(text: &[u8]) -> Option<usize> {
    let first = memchr3(b'=', b'\n', b'\\', text);
    let part = &text[..first.unwrap_or(text.len())];
    memchr(b'\r', part).or(first)
}

/// The place behind the quote that closes the string whose text begins at `at`.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += if matches!(text.get(at + 1)?, b'"' | b'\\') { 2 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The batches of a text that comes in parts of so many bytes.
    fn cut(text: &str, part: usize, most: BatchLimits) -> Vec<LineBatch> {
        let mut cutter = Batcher::new(most, Position::default());
        let mut pieces = Vec::new();
        for bytes in text.as_bytes().chunks(part) {
            cutter.push(bytes);
            while let Some(piece) = cutter.next().unwrap() {
                pieces.push(piece);
            }
        }
        pieces.extend(cutter.finish());
        pieces
    }

    fn texts(pieces: &[LineBatch]) -> Vec<String> {
        pieces.iter().map(|piece| String::from_utf8(piece.text.to_vec()).unwrap()).collect()
    }

    const BY_LINES: BatchLimits = BatchLimits { lines: 1, bytes: 1_000 };

    #[test]
    fn lines_end_outside_of_strings() {
        for line in [
            "a v=1 1\n",
            "a v=\"two\nlines\" 1\n",
            "a,t=x v=1,w=\"\\\"\n;\\\\\",x=\"\n\" 1\n",
            "a\\ b,t=\"q v=\"\n\"\n",
            "a,t=\" v=1\n",
            "# it's \"\n",
            "   # said=\"\n",
            "a v=\"x\r\n\" 1\r\n",
            "a b\"=1,c\\=\"=2\n",
            "\"\n",
            "\n",
        ] {
            let text = format!("{line}{line}b v=1");
            for part in [1, 2, 7, 1_000] {
                assert_eq!(texts(&cut(&text, part, BY_LINES)), [line, line, "b v=1"], "{part}");
            }
        }
    }

    #[test]
    fn batches_are_full_and_not_too_large() {
        let text = "m v=1 1\n".repeat(10);
        assert_eq!(cut(&text, 5, BatchLimits { lines: 4, bytes: 1_000 }).len(), 3);
        let by_bytes = cut(&text, 64, BatchLimits { lines: 100, bytes: 20 });
        assert_eq!(by_bytes.iter().map(|piece| piece.text.len()).collect::<Vec<_>>(), [16; 5]);
        // A line that is larger than a batch is a batch of its own.
        assert_eq!(texts(&cut("aaaa b=1\nc d=1\n", 3, BatchLimits { lines: 9, bytes: 6 })), ["aaaa b=1\n", "c d=1\n"]);
        assert!(cut("", 1, BY_LINES).is_empty());
    }

    #[test]
    fn batches_know_their_place_and_their_points() {
        let text = "# c\n\na v=\"1\n2\" 1\nb v=1\rc v=1\r\nd v=1";
        let pieces = cut(text, 4, BatchLimits { lines: 3, bytes: 1_000 });
        let facts: Vec<_> = pieces.iter().map(|piece| (piece.start.lines, piece.end.lines, piece.rows)).collect();
        // Two points parted by a carriage return alone are counted as one: they are cut as one.
        assert_eq!(facts, [(0, 4, 1), (4, 6, 2)]);
        assert_eq!((pieces[1].start.bytes, pieces[1].end.bytes), (17, text.len() as u64));
    }

    #[test]
    fn halves() {
        let whole = &cut("a v=1\n#\nc v=\"\n\"\nd v=1", 100, BatchLimits { lines: 9, bytes: 100 })[0];
        let (first, second) = whole.halves().unwrap();
        assert_eq!(texts(&[first.clone(), second.clone()]), ["a v=1\n#\n", "c v=\"\n\"\nd v=1"]);
        assert_eq!((first.rows, second.rows, second.start.lines), (1, 2, 2));
        assert_eq!((first.end, second.end), (second.start, whole.end));
        let (third, fourth) = second.halves().unwrap();
        assert_eq!(texts(&[third.clone(), fourth.clone()]), ["c v=\"\n\"\n", "d v=1"]);
        assert!(third.halves().is_none() && fourth.halves().is_none());
    }

    #[test]
    fn a_line_without_an_end_is_no_reason_to_fill_the_memory() {
        let mut cutter = Batcher::new(BY_LINES, Position { bytes: 10, lines: 3 });
        cutter.push(b"a v=1\nb v=\"");
        assert!(cutter.next().unwrap().is_some());
        cutter.push(&vec![b'\n'; MOST_LINE_BYTES + 1]);
        assert_eq!(cutter.next(), Err(UnterminatedLine(Position { bytes: 16, lines: 4 })));
    }

    /// Points in a text, by the parser that servers use; `None` when it is refused.
    fn points(text: &[u8]) -> Option<usize> {
        let limits = crate::model::limits::Limits::default();
        let options = crate::parse::Options {
            write_precision: Default::default(),
            database_precision: Default::default(),
            now: 0,
            limits: &limits,
        };
        let batches = crate::parse::line_protocol(text, &options).ok()?;
        Some(batches.iter().map(|batch| batch.rows()).sum())
    }

    proptest::proptest! {
        /// Where the parser sees the end of a line, and only there, a batch may end.
        #[test]
        fn batches_are_understood_as_the_whole_is(
            parts in proptest::collection::vec("[a\"=\\\\ ,\r]|=\"|\"|\n|a v=1\n|a,b=\" v=\"\n\"\n|c\\\\ d v=1,w=\"\\\\\"\n\"\n|# \"\n", 0..12),
        ) {
            let text = parts.concat();
            if let Some(whole) = points(text.as_bytes()) {
                let pieces = cut(&text, 1_000, BY_LINES);
                let each: Option<Vec<usize>> = pieces.iter().map(|piece| points(&piece.text)).collect();
                proptest::prop_assert_eq!(each.map(|each| each.into_iter().sum()), Some(whole), "{:?}", text);
            }
        }

        #[test]
        fn nothing_is_lost(text in "[ab\"\\\\= ,#\r\n]{0,60}", part in 1_usize..20, lines in 1_usize..4, bytes in 1_usize..30) {
            let pieces = cut(&text, part, BatchLimits { lines, bytes });
            proptest::prop_assert_eq!(texts(&pieces).concat(), text.clone());
            let mut place = Position::default();
            for piece in &pieces {
                proptest::prop_assert_eq!(piece.start, place);
                place = piece.end;
            }
            proptest::prop_assert_eq!(place, Position::default().after(text.as_bytes()));
            // How the text arrives makes no difference.
            proptest::prop_assert_eq!(pieces, cut(&text, 1_000, BatchLimits { lines, bytes }));
        }
    }
}
