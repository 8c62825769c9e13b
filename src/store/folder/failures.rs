//! What an error of the file system means for a request.

use std::io::{self, ErrorKind};

use super::super::backend::BackendError;

/// `ELOOP`, for which the standard library has no stable name.
const TOO_MANY_LINKS: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

/// For a write that has not made anything visible yet. A directory or temporary file that has gone can be
/// made again; a file that stands where a directory has to be stays there.
pub(super) fn write_failure(action: &str, error: &io::Error) -> BackendError {
    match failure(action, error) {
        BackendError::Absent if error.kind() != ErrorKind::NotFound => refused(action, error),
        BackendError::Absent | BackendError::Transient(_) => BackendError::Unsent(message(action, error)),
        other => other,
    }
}

pub(super) fn failure(action: &str, error: &io::Error) -> BackendError {
    if is_absent(error) {
        return BackendError::Absent;
    }
    if error.raw_os_error() == Some(TOO_MANY_LINKS) {
        return refused(action, error);
    }
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => BackendError::Full(message(action, error)),
        // No right, no such thing here: the same again fails again.
        ErrorKind::ReadOnlyFilesystem
        | ErrorKind::PermissionDenied
        | ErrorKind::Unsupported
        | ErrorKind::InvalidFilename
        | ErrorKind::FileTooLarge => refused(action, error),
        _ => BackendError::Transient(message(action, error)),
    }
}

fn refused(action: &str, error: &io::Error) -> BackendError {
    BackendError::Refused(message(action, error))
}

fn message(action: &str, error: &io::Error) -> String {
    format!("cannot {action}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_permanent_is_told_apart_from_what_may_heal() {
        // By their numbers on Linux, which differ elsewhere.
        if !cfg!(target_os = "linux") {
            return;
        }
        let (eio, eintr, enoent) = (5, 4, 2);
        let (eperm, eacces, erofs, enametoolong, eloop) = (1, 13, 30, 36, 40);
        let (enotdir, eisdir, enospc, edquot) = (20, 21, 28, 122);
        let of = |number| io::Error::from_raw_os_error(number);
        for number in [eperm, eacces, erofs, enametoolong, eloop, enotdir, eisdir] {
            assert!(matches!(write_failure("write", &of(number)), BackendError::Refused(_)), "{number}");
        }
        for number in [enospc, edquot] {
            assert!(matches!(write_failure("write", &of(number)), BackendError::Full(_)), "{number}");
        }
        for number in [eio, eintr, enoent] {
            assert!(matches!(write_failure("write", &of(number)), BackendError::Unsent(_)), "{number}");
        }
        for number in [enoent, enotdir, eisdir] {
            assert_eq!(failure("read", &of(number)), BackendError::Absent, "{number}");
        }
        assert!(matches!(failure("read", &of(eacces)), BackendError::Refused(_)));
        assert!(matches!(failure("read", &of(eio)), BackendError::Transient(_)));
    }
}
