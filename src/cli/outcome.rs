//! What is written, and what a statement or a write comes to.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::output::Reader;
use crate::model::time::WritePrecision;
use crate::model::{Code, Error, Result};

/// Points to write.
#[derive(Debug, Clone)]
pub(super) struct Points {
    pub database: String,
    pub precision: WritePrecision,
    /// Line protocol. Cheap to clone.
    pub text: Bytes,
}

/// What a failure means for the one who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// Something in these points or this statement is wrong.
    Refused,
    /// Wrong whatever the points or the statement are: no such database, no such path.
    Permanent,
    /// User or password are wrong.
    Unauthorized,
    /// Nothing was done; it may go better later.
    Busy,
    /// Whether it was done is not known. Writing points again changes nothing.
    Unknown,
}

/// An answer that is an error, or none at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandFailure {
    pub kind: FailureKind,
    /// CnosDB's six digits; empty when there was no answer.
    pub code: String,
    pub message: String,
    /// How long the server asks to wait.
    pub wait: Option<Duration>,
}

impl CommandFailure {
    pub(super) fn new(kind: FailureKind, code: &str, message: impl Into<String>) -> CommandFailure {
        CommandFailure { kind, code: code.to_owned(), message: message.into(), wait: None }
    }

    /// Whether the same write is worth another try.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self.kind, FailureKind::Busy | FailureKind::Unknown)
    }
}

impl From<Error> for CommandFailure {
    fn from(error: Error) -> CommandFailure {
        let kind = match error.code {
            // About some of the points: without them the others may be taken.
            _ if error.subject.is_some() => FailureKind::Refused,
            Code::LineProtocol | Code::TypeConflict | Code::TimestampOverflow | Code::NoFields => FailureKind::Refused,
            Code::PointExpired | Code::NotUtf8 | Code::LimitReached => FailureKind::Refused,
            Code::AccessDenied => FailureKind::Unauthorized,
            Code::TooManyWrites | Code::TooManyQueries | Code::StoreUnavailable | Code::Unavailable => {
                FailureKind::Busy
            }
            // Somebody may make room.
            Code::StoreFull => FailureKind::Busy,
            Code::OutcomeUnknown | Code::Internal => FailureKind::Unknown,
            _ => FailureKind::Permanent,
        };
        CommandFailure::new(kind, error.code.number(), error.message)
    }
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Six zeros say that CnosDB has no number for it.
        if !self.code.is_empty() && self.code != "000000" {
            write!(formatter, "{} ", self.code)?;
        }
        formatter.write_str(&self.message)
    }
}

/// Why a statement's rows ended early.
#[derive(Debug)]
pub(super) enum Interrupted {
    Failed(CommandFailure),
    /// The reader of standard output has left.
    Left,
    /// Standard output cannot be written.
    Unprintable(Error),
}

impl From<CommandFailure> for Interrupted {
    fn from(failure: CommandFailure) -> Interrupted {
        Interrupted::Failed(failure)
    }
}

/// Goes on as long as somebody reads.
pub(super) fn check_reader(written: Result<Reader>) -> Result<(), Interrupted> {
    match written {
        Ok(Reader::Listens) => Ok(()),
        Ok(Reader::Left) => Err(Interrupted::Left),
        Err(error) => Err(Interrupted::Unprintable(error)),
    }
}
