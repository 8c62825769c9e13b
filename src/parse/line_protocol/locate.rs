//! Where in a body the points stand that something else than the parser complains about.
//!
//! Only a write that failed gets here: the body is read once more, so that one that succeeds carries no
//! places along.

use crate::model::{Error, Subject};

use super::{Options, Parser, decode, fault::LineError};

/// The error with the line and column where what it is about stands first. As it is when it is about no
/// points, or none of this body.
pub fn located(error: Error, body: &[u8], options: &Options<'_>) -> Error {
    let Some(subject) = error.subject.as_deref() else { return error };
    let Ok(text) = decode(body) else { return error };
    let Some(at) = Parser::new(text, options).find(subject) else { return error };
    let message = LineError::word(at, behind_the_kind(&error.message)).message(kind(&error.message), text);
    Error { message, ..error }
}

impl Parser<'_> {
    /// The first byte of the column, point or table that a subject names.
    fn find(&mut self, subject: &Subject) -> Option<usize> {
        let mut at = 0;
        while let Some(start) = self.next_line(at) {
            let (table, end) = self.line(start).ok()?;
            let table = self.tables.get(table);
            if subject.time.is_some() && table.last_time() == subject.time && table.name() == subject.table {
                return Some(start);
            }
            at = end;
        }
        match subject.time {
            Some(_) => None,
            None => self.tables.place(&subject.table, subject.column.as_deref()),
        }
    }
}

/// The words that say what kind of error it is, up to the last colon before any name.
fn kind(message: &str) -> &str {
    let names = message.find(['\'', '"']).unwrap_or(message.len());
    message[..names].rfind(": ").map_or("", |end| &message[..end])
}

fn behind_the_kind(message: &str) -> String {
    let what = match kind(message) {
        "" => message,
        kind => &message[kind.len() + 2..],
    };
    what.trim_end_matches('.').to_owned()
}
