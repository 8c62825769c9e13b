//! DataFusion's failures as ours.

use datafusion::{arrow::error::ArrowError, common::DataFusionError, parquet::errors::ParquetError};

use crate::model::{Code, Error};

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
        DataFusionError::ArrowError(arrow, _) => Error::new(Code::Arrow, format!("Arrow: {arrow}")),
        DataFusionError::ResourcesExhausted(message) => {
            let text = format!("Datafusion: the query needs more memory than all queries together may use: {message}");
            Error::new(Code::Planning, text)
        }
        DataFusionError::ParquetError(parquet) => Error::new(Code::Corrupt, format!("reading a data file: {parquet}")),
        DataFusionError::Internal(message) => Error::internal(format!("Datafusion: {message}")),
        DataFusionError::IoError(io) => Error::internal(format!("Datafusion: a temporary file: {io}")),
        DataFusionError::ExecutionJoin(join) => Error::internal(format!("Datafusion: a query's task ended: {join}")),
        root => Error::new(Code::Planning, format!("Datafusion: {}", first_paragraph(&root.strip_backtrace()))),
    }
}

fn first_paragraph(text: &str) -> &str {
    text.split("\n\nbacktrace:").next().unwrap_or(text)
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
