//! What is wrong, and where: cheap to carry while parsing, a message only at the end.

use std::borrow::Cow;
use std::fmt::Write;

use crate::model::{Code, Error};

use super::scan::{is_line_end, line_end};

/// The most characters of the body that a message repeats.
const QUOTED_CHARACTERS: usize = 40;

/// A complaint about the body at one byte of it.
#[derive(Debug)]
pub(super) struct LineError {
    code: Code,
    at: usize,
    quote: Quote,
    what: Cow<'static, str>,
}

/// What of the body a message repeats, from the place of the fault on.
#[derive(Debug, Clone, Copy)]
enum Quote {
    /// Up to the next comma, space or end of the line; the rest of the line if that is nothing.
    Word,
    /// Up to the end of the line.
    Line,
}

impl LineError {
    /// The word at `at` is wrong.
    #[cold]
    pub(super) fn word(at: usize, what: impl Into<Cow<'static, str>>) -> LineError {
        LineError { code: Code::LineProtocol, at, quote: Quote::Word, what: what.into() }
    }

    /// The line is wrong from `at` on.
    #[cold]
    pub(super) fn line(at: usize, what: impl Into<Cow<'static, str>>) -> LineError {
        LineError { code: Code::LineProtocol, at, quote: Quote::Line, what: what.into() }
    }

    pub(super) fn with_code(self, code: Code) -> LineError {
        LineError { code, ..self }
    }

    /// The error, with line and column.
    pub(super) fn into_error(self, text: &str) -> Error {
        let kind = match self.code {
            Code::TypeConflict => "DataSchemaError",
            Code::TimestampOverflow => "Timestamp overflow",
            _ => "Error parsing message",
        };
        Error::new(self.code, self.message(kind, text))
    }

    /// What kind of error it is, line and column from 1, what is wrong, and the words it is about. Lines are
    /// counted as an editor does (`\n`, `\r`, `\r\n`, those inside strings too), columns in characters.
    pub(super) fn message(&self, kind: &str, text: &str) -> String {
        let (line, column) = place(text, self.at);
        let colon = if kind.is_empty() { "" } else { ": " };
        let mut message = format!("{kind}{colon}line {line}, column {column}: {}: ", self.what);
        let quoted = self.quoted(text);
        if quoted.is_empty() {
            message.push_str("end of the line");
        } else {
            quote(&mut message, quoted);
        }
        message
    }

    fn quoted<'a>(&self, text: &'a str) -> &'a str {
        let rest = text.get(self.at..line_end(text.as_bytes(), self.at)).unwrap_or_default();
        match self.quote {
            Quote::Line => rest,
            Quote::Word => match rest.find([',', ' ']) {
                None | Some(0) => rest,
                Some(end) => &rest[..end],
            },
        }
    }
}

/// Line and column of a byte of the body, both from 1.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let bytes = text.as_bytes();
    let before = &bytes[..at.min(bytes.len())];
    let (mut line, mut start) = (1, 0);
    for (index, byte) in before.iter().enumerate() {
        let return_of_pair = *byte == b'\r' && bytes.get(index + 1) == Some(&b'\n');
        if is_line_end(*byte) && !return_of_pair {
            line += 1;
            start = index + 1;
        }
    }
    let column = text.get(start..before.len()).map_or(before.len() - start, |before| before.chars().count());
    (line, column + 1)
}

/// Text in single quotes, shortened, with control characters made visible.
fn quote(message: &mut String, text: &str) {
    message.push('\'');
    for (index, character) in text.chars().enumerate() {
        if index == QUOTED_CHARACTERS {
            message.push('…');
            break;
        }
        if character.is_control() {
            // Writing to a string does not fail.
            let _ = write!(message, "{}", character.escape_default());
        } else {
            message.push(character);
        }
    }
    message.push('\'');
}
