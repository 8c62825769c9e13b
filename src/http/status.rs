//! The one table from failures to statuses.

use axum::http::StatusCode;

use crate::model::Code;

/// The status of a failure.
///
/// 400 says that the request makes no sense, 422 that it was understood and failed. 429 and 503
/// promise that nothing was stored.
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidHeader | Code::MalformedAuthorization | Code::BodyDoesNotDecode | Code::BadRequest => {
            StatusCode::BAD_REQUEST
        }
        Code::MissingAuthorization | Code::AccessDenied => StatusCode::UNAUTHORIZED,
        Code::ModeForbids | Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::TooManyQueries | Code::TooManyWrites | Code::LimitReached => StatusCode::TOO_MANY_REQUESTS,
        Code::QueryTimeout | Code::OutcomeUnknown | Code::Corrupt | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::StoreUnavailable | Code::StoreFull | Code::StoreRefused | Code::NoStore | Code::Unavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::Planning
        | Code::Arrow
        | Code::Semantic
        | Code::InsufficientPrivilege
        | Code::NotImplemented
        | Code::SqlSyntax
        | Code::MultipleStatements
        | Code::QueryCanceled
        | Code::ColumnNotFound
        | Code::TimeIsNull
        | Code::ColumnExists
        | Code::NoField
        | Code::InsertColumnUnknown
        | Code::InsertColumnCount
        | Code::DatabaseNotFoundInQuery
        | Code::DropForbidden
        | Code::TypeConflict
        | Code::Catalog
        | Code::DatabaseNotFound
        | Code::DatabaseExists
        | Code::TableNotFound
        | Code::TableExists
        | Code::PointExpired
        | Code::LineProtocol
        | Code::FetchResult
        | Code::NotUtf8
        | Code::TimestampOverflow
        | Code::NoFields => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
