//! DataFusion's failures as ours.

use datafusion::{arrow::error::ArrowError, common::DataFusionError, parquet::errors::ParquetError};
use tokio::task::JoinError;

use crate::model::{Code, Error};

/// Bytes of DataFusion's text that are passed on: some of its messages print whole plans.
const MESSAGE_BYTES: usize = 4_096;

/// An error of ours on its way through DataFusion.
pub fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// What DataFusion writes before the text, and it is but text, of an error that a filter within a scan
/// ran into.
const IN_SCAN: &str = "Error evaluating filter predicate: ";
/// What such an error begins with when it is ours.
const OF_ROW_FILTER: &str = "Arrow: a condition failed on a value: ";

/// Whether a condition failed within the scan of a data file. What it failed on is lost there; applied
/// above the scan, as it is to what is not settled, the same condition says it.
pub fn is_of_row_filter(error: &Error) -> bool {
    error.code == Code::Arrow && error.message.starts_with(OF_ROW_FILTER)
}

/// Whether the pool of queries had too little.
pub fn is_of_memory(error: &DataFusionError) -> bool {
    ours(error).is_none() && matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

/// The failure of planning: what DataFusion calls internal there, a call with wrong arguments for one,
/// is what a statement asks for and cannot have.
pub fn from_planning(error: &DataFusionError) -> Error {
    match (ours(error), error.find_root()) {
        (None, DataFusionError::Internal(message)) => {
            Error::new(Code::Planning, format!("Datafusion: Error during planning: {}", shortened(message)))
        }
        _ => from_datafusion(error),
    }
}

/// The code and text of a failure. One of our own errors comes out as it went in.
pub fn from_datafusion(error: &DataFusionError) -> Error {
    if let Some(ours) = ours(error) {
        return ours;
    }
    if let Some(text) = in_scan(error) {
        return Error::new(Code::Arrow, format!("{OF_ROW_FILTER}{}", shortened(&text)));
    }
    match error.find_root() {
        // Of a file without checksums: what is in it cannot be decoded.
        DataFusionError::ArrowError(arrow, _) if matches!(arrow.as_ref(), ArrowError::ParquetError(_)) => {
            Error::new(Code::Corrupt, format!("a data file is damaged: {arrow}; `siltdb check` tells which"))
        }
        DataFusionError::ArrowError(arrow, _) if matches!(arrow.as_ref(), ArrowError::OffsetOverflowError(_)) => {
            too_many_bytes()
        }
        DataFusionError::ArrowError(arrow, _) => Error::new(Code::Arrow, format!("Arrow: {arrow}")),
        DataFusionError::ResourcesExhausted(message) => {
            let text = format!(
                "Datafusion: the query needs more memory than all queries together may use (setting 'query_memory_bytes'): \
                 ask for less, or raise it: {}",
                shortened(message)
            );
            Error::new(Code::Planning, text)
        }
        DataFusionError::ParquetError(parquet) => {
            Error::new(Code::Corrupt, format!("a data file is damaged: {parquet}; `siltdb check` tells which"))
        }
        DataFusionError::Internal(message) => Error::internal(format!("Datafusion: {message}")),
        DataFusionError::IoError(io) => Error::internal(format!("Datafusion: a temporary file: {io}")),
        DataFusionError::ExecutionJoin(join) => from_join(join),
        root => Error::new(Code::Planning, format!("Datafusion: {}", shortened(&root.strip_backtrace()))),
    }
}

/// The failure of a task. Where texts of a batch become longer than their type can say, Arrow panics.
pub fn from_join(error: &JoinError) -> Error {
    let text = error.to_string();
    if error.is_panic() && text.contains("offset overflow") {
        return too_many_bytes();
    }
    Error::internal(format!("a query's task ended: {text}"))
}

fn too_many_bytes() -> Error {
    let text = "Datafusion: texts or lists of one batch have more than 2 GiB: select fewer of them, or cast texts by \
                arrow_cast(…, 'Utf8View')";
    Error::new(Code::Planning, text)
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MESSAGE_BYTES)]
}

/// Our own error among the causes.
fn ours(error: &DataFusionError) -> Option<Error> {
    among_causes(error, |cause| cause.downcast_ref::<Error>().cloned())
}

/// The text of a filter's error among the causes.
fn in_scan(error: &DataFusionError) -> Option<String> {
    among_causes(error, |cause| match cause.downcast_ref::<ArrowError>() {
        Some(ArrowError::ComputeError(text)) => text.strip_prefix(IN_SCAN).map(str::to_owned),
        // Parquet keeps of an error of Arrow's nothing but its text.
        _ => match cause.downcast_ref::<ParquetError>() {
            Some(ParquetError::ArrowError(text)) => text.split_once(IN_SCAN).map(|(_, text)| text.to_owned()),
            _ => None,
        },
    })
}

fn among_causes<T>(
    error: &DataFusionError,
    wanted: impl Fn(&(dyn std::error::Error + 'static)) -> Option<T>,
) -> Option<T> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    for _ in 0..32 {
        let current = cause?;
        if let Some(found) = wanted(current) {
            return Some(found);
        }
        cause = inner(current);
    }
    None
}

/// What an error holds: the wrappers that do not name it as their source, too.
fn inner<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        return match error {
            DataFusionError::External(inner) => Some(inner.as_ref()),
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => Some(inner.as_ref()),
            DataFusionError::Shared(inner) => Some(inner.as_ref()),
            DataFusionError::ArrowError(inner, _) => Some(inner.as_ref()),
            DataFusionError::ParquetError(inner) => Some(inner.as_ref()),
            DataFusionError::Collection(errors) => errors.first().map(|error| error as _),
            _ => None,
        };
    }
    if let Some(ParquetError::External(inner)) = error.downcast_ref::<ParquetError>() {
        return Some(inner.as_ref());
    }
    if let Some(ArrowError::ExternalError(inner)) = error.downcast_ref::<ArrowError>() {
        return Some(inner.as_ref());
    }
    error.source()
}

/// The error of a query that took longer than it may.
pub(super) fn timed_out(limit: std::time::Duration) -> Error {
    let limit = humantime::format_duration(limit);
    let message = format!("the query took longer than {limit} (setting 'query_time'): ask for less, or raise it");
    Error::new(Code::QueryTimeout, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn our_own_errors_come_out_as_they_went_in() {
        let ours = Error::new(Code::StoreUnavailable, "the store is on fire");
        let parquet = || ParquetError::External(Box::new(ours.clone()));
        for wrapped in [
            external(ours.clone()),
            DataFusionError::ParquetError(Box::new(parquet())),
            DataFusionError::Shared(Arc::new(external(ours.clone()))),
            DataFusionError::Context("reading".to_owned(), Box::new(external(ours.clone()))),
            DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(ours.clone()))), None),
            DataFusionError::External(Box::new(DataFusionError::ParquetError(Box::new(parquet())))),
            DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(parquet()))), None),
        ] {
            assert_eq!(from_datafusion(&wrapped), ours, "{wrapped:?}");
        }
    }

    #[test]
    fn failures_have_codes() {
        let arrow = DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None);
        for (error, code, text) in [
            (arrow, Code::Arrow, "Arrow: Divide by zero error"),
            (DataFusionError::Plan("no".to_owned()), Code::Planning, "Datafusion: Error during planning: no"),
            (DataFusionError::Internal("oh".to_owned()), Code::Internal, "Datafusion: oh"),
        ] {
            assert_eq!(from_datafusion(&error), Error::new(code, text));
        }
        let internal = DataFusionError::Internal("oh".to_owned());
        assert_eq!(from_planning(&internal).code, Code::Planning);
        let filter = || ArrowError::ComputeError(format!("{IN_SCAN}ArrowError(DivideByZero, None)"));
        for parquet in [ParquetError::External(Box::new(filter())), ParquetError::ArrowError(filter().to_string())] {
            let ours = from_datafusion(&DataFusionError::ParquetError(Box::new(parquet)));
            assert!(is_of_row_filter(&ours) && ours.message.ends_with("ArrowError(DivideByZero, None)"), "{ours:?}");
        }
        let damage = DataFusionError::ParquetError(Box::new(ParquetError::General("a bad page".to_owned())));
        assert_eq!(from_datafusion(&damage).code, Code::Corrupt);
        let long = from_datafusion(&DataFusionError::Plan("é".repeat(100_000)));
        assert!(long.message.len() < 5_000);
    }
}
