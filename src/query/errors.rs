//! DataFusion's failures as ours.

use datafusion::{arrow::error::ArrowError, common::DataFusionError, parquet::errors::ParquetError};

use crate::model::{Code, Error};

/// Bytes of DataFusion's text that are passed on: some of its messages print whole plans.
const MESSAGE_BYTES: usize = 4_096;

/// An error of ours on its way through DataFusion.
pub fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The code and text of a failure. One of our own errors comes out as it went in.
pub fn from_datafusion(error: &DataFusionError) -> Error {
    if let Some(ours) = ours(error) {
        return ours;
    }
    match error.find_root() {
        // Of a file without checksums: what is in it cannot be decoded.
        DataFusionError::ArrowError(arrow, _) if matches!(arrow.as_ref(), ArrowError::ParquetError(_)) => {
            Error::new(Code::Corrupt, format!("a data file is damaged: {arrow}; `siltdb check` tells which"))
        }
        DataFusionError::ArrowError(arrow, _) => Error::new(Code::Arrow, format!("Arrow: {arrow}")),
        DataFusionError::ResourcesExhausted(message) => {
            let text = format!("Datafusion: the query needs more memory than all queries together may use: {message}");
            Error::new(Code::Planning, text)
        }
        DataFusionError::ParquetError(parquet) => {
            Error::new(Code::Corrupt, format!("a data file is damaged: {parquet}; `siltdb check` tells which"))
        }
        DataFusionError::Internal(message) => Error::internal(format!("Datafusion: {message}")),
        DataFusionError::IoError(io) => Error::internal(format!("Datafusion: a temporary file: {io}")),
        DataFusionError::ExecutionJoin(join) => Error::internal(format!("Datafusion: a query's task ended: {join}")),
        root => {
            let text = root.strip_backtrace();
            let short = &text[..text.floor_char_boundary(MESSAGE_BYTES)];
            Error::new(Code::Planning, format!("Datafusion: {short}"))
        }
    }
}

/// Our own error among the causes.
fn ours(error: &DataFusionError) -> Option<Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    for _ in 0..32 {
        let current = cause?;
        if let Some(ours) = current.downcast_ref::<Error>() {
            return Some(ours.clone());
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
        let long = from_datafusion(&DataFusionError::Plan("é".repeat(100_000)));
        assert!(long.message.len() < 5_000);
    }
}
