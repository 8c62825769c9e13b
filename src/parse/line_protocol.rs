//! Line protocol, the language of InfluxDB 1.8's reference, straight into typed columns.
//!
//! `table[,tag=value]… field=value[,field=value]… [timestamp]`
//!
//! Where readers of the language differ, this one decides:
//!
//! * A line ends at `\n`, `\r` or `\r\n`, in a name too, escaped or not; only in a string in double
//!   quotes do these stand for themselves. Spaces and tabs before a line, several between its
//!   sections, and after it do not count. Blank lines and lines that begin with `#` are skipped.
//! * A backslash escapes `,` and space in names and tag values, `=` also in keys and tag values, `"`
//!   and `\` in strings. Before anything else it stands for itself: `C:\temp` needs no care. In names
//!   `\\` is two backslashes, and `\\,` is a backslash and an escaped comma.
//! * An unescaped `=` in a tag's value is an error, one in a table's name is not.
//! * A byte order mark (U+FEFF) in front of the first line is none of its text.
//! * `t=` is a tag with the empty value, which is another series than one without the tag.
//! * Floats may be written `1`, `1.5`, `.5`, `1.`, `1e3`, with either sign. NaN, infinities and
//!   numbers beyond the largest double are errors.
//! * If a key is repeated within a line, the first one counts.
//! * No column can be named `time`, and none can be a tag here and a field there, or of two types.

mod columns;
mod fault;
mod hash;
mod locate;
mod number;
mod scan;
mod series;
mod tables;

use crate::model::names::BYTE_ORDER_MARK;
use crate::model::{Code, ColumnKind, Error, PointBatch, Result};

use super::Options;
pub use locate::located;

use columns::FieldValue;
use fault::{LineError, place};
use number::{Number, digits, ends_value, number};
use scan::{KEY_END, TABLE_END, byte_at, is_line_end, line_end, name_end, series_end, skip_blanks, string_end};
use series::SeriesCache;
use tables::Tables;

/// The points of a body: one batch a table, in order of first appearance; rows in the order of the
/// lines, columns in order of first appearance.
///
/// Errors: `NotUtf8`; `LineProtocol`; `TypeConflict` between two uses of a column in the body;
/// `TimestampOverflow`; `BodyTooLarge` from 2 GiB on. All say line and column (lines as an editor
/// counts them, columns in characters, both from 1), and none of the body is taken.
pub fn line_protocol(body: &[u8], options: &Options<'_>) -> Result<Vec<PointBatch>> {
    if i32::try_from(body.len()).is_err() {
        return Err(Error::new(Code::BodyTooLarge, "a body of line protocol has to be smaller than 2 GiB"));
    }
    let text = decode(body)?;
    let mut parser = Parser::new(text, options);
    match parser.lines() {
        Ok(()) => parser.tables.finish(),
        Err(fault) => Err(fault.into_error(text)),
    }
}

/// The text, without the mark that some editors put in front of it (U+FEFF, the "byte order mark").
fn decode(body: &[u8]) -> Result<&str> {
    let mut mark = [0; 4];
    let body = body.strip_prefix(BYTE_ORDER_MARK.encode_utf8(&mut mark).as_bytes()).unwrap_or(body);
    std::str::from_utf8(body).map_err(|error| {
        let (valid, rest) = body.split_at(error.valid_up_to());
        let text = std::str::from_utf8(valid).unwrap_or_default();
        let (line, column) = place(text, text.len());
        let byte = rest.first().copied().unwrap_or_default();
        let message =
            format!("Error parsing message: line {line}, column {column}: the body is not UTF-8: byte 0x{byte:02x}");
        Error::new(Code::NotUtf8, message)
    })
}

/// A walk through the body. Positions are bytes from its start.
struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    options: &'a Options<'a>,
    tables: Tables<'a>,
    series: SeriesCache<'a>,
    /// Column and dictionary key of each tag of the line at hand.
    tags: Vec<(usize, i32)>,
    /// The time of points without a timestamp, in the database's precision.
    now: i64,
}

/// What is known of a line once its table and tags are read.
#[derive(Clone, Copy)]
struct Head {
    table: usize,
    /// The column of the last tag.
    last: Option<usize>,
    tags: usize,
    /// The byte after table and tags.
    end: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, options: &'a Options<'a>) -> Self {
        Parser {
            text,
            bytes: text.as_bytes(),
            options,
            tables: Tables::new(text, options.limits),
            series: SeriesCache::default(),
            tags: Vec::new(),
            now: options.database_precision.from_nanoseconds(options.now),
        }
    }

    fn lines(&mut self) -> Result<(), LineError> {
        let mut at = 0;
        while let Some(start) = self.next_line(at) {
            (_, at) = self.line(start)?;
        }
        Ok(())
    }

    /// Where the next line with a point begins, past blanks and comments.
    #[inline]
    fn next_line(&self, mut at: usize) -> Option<usize> {
        loop {
            at = match self.bytes.get(at)? {
                b' ' | b'\t' | b'\n' | b'\r' => at + 1,
                b'#' => line_end(self.bytes, at),
                _ => return Some(at),
            };
        }
    }

    /// Reads the line at `start` and returns its table and where it ends.
    fn line(&mut self, start: usize) -> Result<(usize, usize), LineError> {
        let head = self.head(start)?;
        let (fields, at) = self.fields(head)?;
        let (time, end) = self.time(skip_blanks(self.bytes, at))?;
        if end - start > self.options.limits.line_bytes {
            let limit = self.options.limits.line_bytes;
            return Err(LineError::line(start, format!("the line is longer than {limit} bytes")));
        }
        self.tables.complete(head.table, time, head.tags + fields, start)?;
        Ok((head.table, end))
    }

    /// Table and tags: by their text, if they were met before in just this form.
    #[inline]
    fn head(&mut self, start: usize) -> Result<Head, LineError> {
        if !self.series.pays() {
            return self.new_head(start);
        }
        // In a malformed line this reaches beyond the line; no such text was ever inserted.
        let raw = &self.bytes[start..series_end(self.bytes, start).unwrap_or(start)];
        let Some(series) = self.series.get(raw) else {
            let head = self.new_head(start)?;
            self.series.insert(&self.bytes[start..head.end], head.table, &self.tags);
            return Ok(head);
        };
        let tags = self.series.tags(series);
        let table = self.tables.get(series.table);
        let row = table.row();
        for (column, key) in tags {
            table.column(*column).set_tag(row, *key);
        }
        let last = tags.last().map(|(column, _)| *column);
        Ok(Head { table: series.table, last, tags: tags.len(), end: start + raw.len() })
    }

    fn new_head(&mut self, start: usize) -> Result<Head, LineError> {
        let mut at = name_end(self.bytes, start, TABLE_END);
        if at == start {
            return Err(LineError::line(start, "the name of the table is empty"));
        }
        let table = self.tables.named(start, at)?;
        let mut last = None;
        self.tags.clear();
        while byte_at(self.bytes, at) == b',' {
            (last, at) = self.tag(table, last, at + 1)?;
        }
        if byte_at(self.bytes, at) != b' ' {
            return Err(LineError::line(at, "the fields are missing"));
        }
        Ok(Head { table, last, tags: self.tags.len(), end: at })
    }

    /// Reads the tag at `at`; returns its column and where its value ends.
    #[inline]
    fn tag(&mut self, table: usize, previous: Option<usize>, at: usize) -> Result<(Option<usize>, usize), LineError> {
        let guess = self.tables.get(table).guess(previous);
        let (column, value) = match self.tables.get(table).guessed(self.bytes, at, guess) {
            Some(value) => (guess, value),
            None => {
                let end = self.tables.key_end(at, "tag")?;
                let column = self.tables.keyed(table, at, end, ColumnKind::Tag)?;
                self.tables.get(table).follow(previous, column);
                (column, end + 1)
            }
        };
        let limit = self.options.limits.tags_per_line;
        if self.tags.len() >= limit {
            return Err(LineError::word(at, format!("the line has more than {limit} tags")));
        }
        let end = name_end(self.bytes, value, KEY_END);
        if byte_at(self.bytes, end) == b'=' {
            return Err(LineError::word(value, "a '=' in the value of a tag has to be written '\\='"));
        }
        let key = self.tables.set_tag(table, column, &self.text[value..end], at)?;
        self.tags.push((column, key));
        Ok((Some(column), end))
    }

    /// Reads the fields; returns how many, and where they end.
    #[inline]
    fn fields(&mut self, head: Head) -> Result<(usize, usize), LineError> {
        let mut at = skip_blanks(self.bytes, head.end);
        if is_line_end(byte_at(self.bytes, at)) {
            return Err(LineError::line(at, "the fields are missing"));
        }
        let limit = self.options.limits.fields_per_line;
        let (mut previous, mut count) = (head.last, 0);
        loop {
            if count == limit {
                return Err(LineError::word(at, format!("the line has more than {limit} fields")));
            }
            let guess = self.tables.get(head.table).guess(previous);
            let guessed = self.tables.get(head.table).guessed(self.bytes, at, guess);
            let (column, value, end) = match guessed {
                Some(start) => {
                    let (value, end) = self.value(start)?;
                    (guess, value, end)
                }
                None => self.other_field(head.table, previous, at)?,
            };
            self.tables.set_field(head.table, column, value, at)?;
            previous = Some(column);
            count += 1;
            if byte_at(self.bytes, end) != b',' {
                return Ok((count, end));
            }
            at = end + 1;
        }
    }

    /// The column, value and end of a field that is not the one expected.
    #[cold]
    fn other_field(
        &mut self,
        table: usize,
        previous: Option<usize>,
        at: usize,
    ) -> Result<(usize, FieldValue<'a>, usize), LineError> {
        let key_end = self.tables.key_end(at, "field")?;
        let (value, end) = self.value(key_end + 1)?;
        let column = self.tables.keyed(table, at, key_end, value.kind())?;
        self.tables.get(table).follow(previous, column);
        Ok((column, value, end))
    }

    /// The value of a field, and where it ends.
    #[inline]
    fn value(&self, at: usize) -> Result<(FieldValue<'a>, usize), LineError> {
        let byte = byte_at(self.bytes, at);
        match byte {
            b'"' => self.string(at),
            b't' | b'T' | b'f' | b'F' => self.boolean(at),
            b',' | b' ' | b'\n' | b'\r' => Err(LineError::line(at, "the value of a field is missing")),
            _ => {
                let (number, end) = number(self.text, at)?;
                let value = match number {
                    Number::Double(value) => FieldValue::Double(value),
                    Number::BigInt(value) => FieldValue::BigInt(value),
                    Number::BigIntUnsigned(value) => FieldValue::BigIntUnsigned(value),
                };
                Ok((value, end))
            }
        }
    }

    #[inline]
    fn string(&self, at: usize) -> Result<(FieldValue<'a>, usize), LineError> {
        let Some(quote) = string_end(self.bytes, at + 1) else {
            return Err(LineError::line(at, "a string has no closing '\"'"));
        };
        if !ends_value(self.bytes, quote + 1) {
            return Err(LineError::line(
                quote + 1,
                "a string has to be followed by ',', a space or the end of the line",
            ));
        }
        Ok((FieldValue::String(&self.text[at + 1..quote]), quote + 1))
    }

    #[inline]
    fn boolean(&self, at: usize) -> Result<(FieldValue<'a>, usize), LineError> {
        let rest = &self.bytes[at..];
        let letters = rest.iter().take(6).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let value = match &rest[..letters] {
            b"t" | b"T" | b"true" | b"True" | b"TRUE" => Some(true),
            b"f" | b"F" | b"false" | b"False" | b"FALSE" => Some(false),
            _ => None,
        };
        match value {
            Some(value) if ends_value(self.bytes, at + letters) => Ok((FieldValue::Boolean(value), at + letters)),
            _ => Err(LineError::word(at, "not a boolean (t, T, true, True, TRUE, f, F, false, False, FALSE)")),
        }
    }

    /// The time of the point in the database's precision, and the end of the line.
    #[inline]
    fn time(&self, at: usize) -> Result<(i64, usize), LineError> {
        let negative = match byte_at(self.bytes, at) {
            b'\n' | b'\r' => return Ok((self.now, at)),
            byte => byte == b'-',
        };
        let first = at + usize::from(negative);
        let (value, end) = digits(self.bytes, first, 0);
        if end == first || !matches!(byte_at(self.bytes, end), b' ' | b'\t' | b'\n' | b'\r') {
            return Err(LineError::line(at, "a timestamp is a whole number"));
        }
        let line_end = skip_blanks(self.bytes, end);
        if !is_line_end(byte_at(self.bytes, line_end)) {
            return Err(LineError::line(line_end, "nothing may follow the timestamp"));
        }
        let ticks = match end - first {
            0..=18 if negative => -value.cast_signed(),
            0..=18 => value.cast_signed(),
            _ => self.text[at..end].parse().map_err(|_| {
                LineError::word(at, "the timestamp does not fit in 64 bits").with_code(Code::TimestampOverflow)
            })?,
        };
        let converted = self.options.write_precision.convert(ticks, self.options.database_precision);
        let time = converted.ok_or_else(|| {
            LineError::word(at, "the timestamp does not fit in the precision of the database")
                .with_code(Code::TimestampOverflow)
        })?;
        Ok((time, line_end))
    }
}
