//! The one error type: a code of a closed list and a message. Which HTTP status a code becomes is
//! decided in `http/` alone.

use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every failure SiltDB can report. Where CnosDB has a number for it, [`Code::number`] is that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    // 01: queries
    Planning,
    Arrow,
    Semantic,
    InsufficientPrivilege,
    NotImplemented,
    SqlSyntax,
    MultipleStatements,
    TooManyQueries,
    QueryCanceled,
    AccessDenied,
    ColumnNotFound,
    TimeIsNull,
    ColumnExists,
    NoField,
    InsertColumnUnknown,
    InsertColumnCount,
    DatabaseNotFoundInQuery,
    DropForbidden,
    // 02: storage
    TypeConflict,
    // 03: catalog
    Catalog,
    DatabaseNotFound,
    DatabaseExists,
    TableNotFound,
    TableExists,
    LimitReached,
    PointExpired,
    // 04: wire
    LineProtocol,
    InvalidHeader,
    MalformedAuthorization,
    FetchResult,
    BodyDoesNotDecode,
    NotUtf8,
    // 05: writes
    TimestampOverflow,
    TooManyWrites,
    NoFields,
    // without a number of CnosDB's
    BadRequest,
    MissingAuthorization,
    NotFound,
    MethodNotAllowed,
    ModeForbids,
    /// Not for whoever asks, or not for whom it is asked: a page of another site in somebody's browser.
    Forbidden,
    BodyTooLarge,
    HeadersTooLarge,
    QueryTimeout,
    OutcomeUnknown,
    Corrupt,
    Internal,
    StoreUnavailable,
    /// The store has no room. Nothing was stored; the same works when somebody has made room.
    StoreFull,
    /// The store does not let this process do it, and would not the next time. Nothing was stored.
    StoreRefused,
    /// There is no store where one was looked for.
    NoStore,
    Unavailable,
}

impl Code {
    /// The six digits that go into `error_code`; `000000` where CnosDB has no number.
    pub fn number(self) -> &'static str {
        match self {
            Code::Planning => "010001",
            Code::Arrow => "010002",
            Code::Semantic => "010003",
            Code::InsufficientPrivilege => "010004",
            Code::NotImplemented => "010005",
            Code::SqlSyntax => "010009",
            Code::TooManyQueries => "010012",
            Code::MultipleStatements => "010013",
            Code::QueryCanceled => "010014",
            Code::AccessDenied => "010016",
            Code::ColumnNotFound => "010021",
            Code::TimeIsNull => "010023",
            Code::ColumnExists => "010028",
            Code::NoField => "010032",
            Code::InsertColumnUnknown => "010044",
            Code::InsertColumnCount => "010045",
            Code::DatabaseNotFoundInQuery => "010062",
            Code::DropForbidden => "010065",
            Code::TypeConflict => "020004",
            Code::Catalog => "030000",
            Code::DatabaseNotFound => "030017",
            Code::DatabaseExists => "030018",
            Code::TableNotFound => "030019",
            Code::TableExists => "030020",
            Code::LimitReached => "030024",
            Code::PointExpired => "030034",
            Code::LineProtocol => "040004",
            Code::InvalidHeader => "040005",
            Code::MalformedAuthorization => "040006",
            Code::FetchResult => "040007",
            Code::BodyDoesNotDecode => "040013",
            Code::NotUtf8 => "040015",
            Code::TimestampOverflow => "050014",
            Code::TooManyWrites => "050033",
            Code::NoFields => "050034",
            Code::BadRequest
            | Code::MissingAuthorization
            | Code::NotFound
            | Code::MethodNotAllowed
            | Code::ModeForbids
            | Code::Forbidden
            | Code::BodyTooLarge
            | Code::HeadersTooLarge
            | Code::QueryTimeout
            | Code::OutcomeUnknown
            | Code::Corrupt
            | Code::Internal
            | Code::StoreUnavailable
            | Code::StoreFull
            | Code::StoreRefused
            | Code::NoStore
            | Code::Unavailable => "000000",
        }
    }

    /// Whether the store has said no, and will until a person changes something.
    pub fn is_refusal(self) -> bool {
        matches!(self, Code::StoreFull | Code::StoreRefused)
    }
}

/// What to do about an object that is damaged or lost.
pub const RESTORE: &str = "restore it from a backup or an earlier version of it; `siltdb check` finds all damage";

/// A failure: what kind, and a message for the person who has to act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub message: String,
    /// The points it is about, for who knows where they were written.
    pub subject: Option<Box<Subject>>,
}

/// Some points of a request: those of a table, with a column of this name, at this time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub table: String,
    pub column: Option<String>,
    /// Ticks of the database's precision since 1970.
    pub time: Option<i64>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), subject: None }
    }

    /// The same failure, about some points.
    pub fn about(self, subject: Subject) -> Self {
        Error { subject: Some(Box::new(subject)), ..self }
    }

    /// A fault of ours: something that the code holds to be impossible.
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(Code::Internal, message)
    }

    /// An object whose bytes are not what was written. `key` names it for the operator.
    pub fn corrupt(key: &str, what: impl fmt::Display) -> Self {
        Error::new(Code::Corrupt, format!("object {key} is damaged: {what}; {RESTORE}"))
    }

    /// The same failure; damage with the name of the table whose rows were asked for.
    pub fn of_table(self, name: &str) -> Self {
        if self.code == Code::Corrupt { self.at(format_args!("table '{name}'")) } else { self }
    }

    /// The same failure, with a place it was met at in front.
    pub fn at(self, place: impl fmt::Display) -> Self {
        Error { message: format!("{place}: {}", self.message), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Error::new(Code::Arrow, format!("Arrow: {error}"))
    }
}
