//! Standard output, whose reader may leave at any time, and standard error.
//!
//! What a terminal would obey in texts of others is shown instead: in everything that is said to people, and in
//! results where they go to a terminal. To a file or a pipe a result goes as it is.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use crate::model::visible::{VisibleBytes, visible_lines};
use crate::model::{Error, Result};

/// Whether there is still somebody to print for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Reader {
    Listens,
    /// As `head` does when it has enough: nothing to complain about.
    Left,
}

/// Prints something for people.
pub(super) fn print(text: &str) -> Result<ExitCode> {
    // Whether somebody reads it does not change what the command has done.
    let _ = write(visible_lines(text).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Says on standard error what went wrong.
pub(super) fn complain(text: &str) {
    eprintln!("{}", visible_lines(text));
}

/// Writes a part of a result, at once.
fn write(bytes: &[u8]) -> Result<Reader> {
    let mut out = io::stdout().lock();
    reader_after(out.write_all(bytes).and_then(|()| out.flush()))
}

fn reader_after(written: io::Result<()>) -> Result<Reader> {
    match written {
        Ok(()) => Ok(Reader::Listens),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Left),
        Err(error) => Err(Error::internal(format!("nothing can be printed: {error}"))),
    }
}

/// A result being printed, which ends with the end of a line.
#[derive(Debug)]
pub(super) struct Document {
    last: Option<u8>,
    unseen: bool,
    /// Where it goes to a terminal.
    screen: Option<VisibleBytes>,
}

impl Document {
    pub(super) fn new() -> Document {
        let screen = io::stdout().is_terminal().then(VisibleBytes::default);
        Document { last: None, unseen: false, screen }
    }

    /// One that nobody is to see: what counts is whether there is one.
    pub(super) fn unseen() -> Document {
        Document { last: None, unseen: true, screen: None }
    }

    /// Writes the next bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<Reader> {
        match bytes.last() {
            Some(last) if !self.unseen => self.last = Some(*last),
            _ => return Ok(Reader::Listens),
        }
        match &mut self.screen {
            Some(screen) => write(&screen.next(bytes)),
            None => write(bytes),
        }
    }

    /// Ends the last line.
    pub(super) fn end(self) -> Result<Reader> {
        if self.last.is_some_and(|last| last != b'\n') { write(b"\n") } else { Ok(Reader::Listens) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_leaves_is_no_failure() {
        assert_eq!(reader_after(Err(io::ErrorKind::BrokenPipe.into())), Ok(Reader::Left));
        assert_eq!(reader_after(Ok(())), Ok(Reader::Listens));
        assert!(reader_after(Err(io::ErrorKind::StorageFull.into())).is_err());
    }
}
