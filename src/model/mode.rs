//! What a process lets its clients do.

use super::{Code, Error, Result};

/// What clients may do. Housekeeping is no client's and goes on in every mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    ReadWrite,
    /// Queries, and nothing that changes data or definitions.
    ReadOnly,
    /// Writes and definitions, and nothing that shows what is stored.
    WriteOnly,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::ReadWrite, Mode::ReadOnly, Mode::WriteOnly];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Mode::ReadWrite => "read-write",
            Mode::ReadOnly => "read-only",
            Mode::WriteOnly => "write-only",
        }
    }

    /// # Errors
    /// [`Code::ModeForbids`] where nothing may be changed.
    pub fn check_writing(self) -> Result<()> {
        match self {
            Mode::ReadOnly => Err(self.forbids("nothing was stored or changed")),
            Mode::ReadWrite | Mode::WriteOnly => Ok(()),
        }
    }

    /// # Errors
    /// [`Code::ModeForbids`] where nothing may be read.
    pub fn check_reading(self) -> Result<()> {
        match self {
            Mode::WriteOnly => Err(self.forbids("it does not show what is stored")),
            Mode::ReadWrite | Mode::ReadOnly => Ok(()),
        }
    }

    fn forbids(self, what: &str) -> Error {
        Error::new(Code::ModeForbids, format!("this server is {} (setting 'mode'): {what}", self.name()))
    }
}
