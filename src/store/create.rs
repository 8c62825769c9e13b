//! Create if absent: the one primitive everything rests on, with an outcome that can be believed.

use bytes::Bytes;

use super::backend::{BackendError, PutMode};
use super::retry::Attempts;
use super::{Cost, Store, check_path};
use crate::model::{Code, Error};

/// What became of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum CreateOutcome {
    /// The object is there with these bytes, and is durable.
    Created,
    /// The object is there with other bytes, which are these.
    Taken(Bytes),
    /// It could not be found out. With [`Code::OutcomeUnknown`] the object may exist, or come to exist
    /// at any later time; with any other code (the store refused or was never reached, or the
    /// path is none) it was not stored by this call and will not be.
    Unknown(Error),
}

/// What became of one attempt at a create.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Attempt {
    /// The object is there with these bytes, and is durable.
    Created,
    /// The object is there with other bytes, which are these.
    Taken(Bytes),
    /// As [`CreateOutcome::Unknown`]. `again`: another attempt may fare better.
    Failed { error: Error, again: bool },
}

/// What one request has come to.
enum Sent {
    Created,
    Taken(Bytes),
    Failed {
        why: BackendError,
        /// The bytes may have been stored, or may be later.
        in_doubt: bool,
        again: bool,
    },
}

/// What a read-back after a conflict shows.
enum ReadBack {
    Same,
    Other(Bytes),
    Absent,
    Failed(BackendError),
}

impl Store {
    /// Creates an object if there is none at its path.
    ///
    /// A store's "it exists" may be our own earlier attempt whose answer was lost, or (409) nobody's:
    /// so the object is read back. Same bytes: created. Other bytes: taken. Absent: created again.
    /// After a time-out, a broken connection or a 5xx the same bytes are sent to the same path again,
    /// with random pauses, until the deadline. Two callers that create the same path with the same
    /// bytes are both told "created": bytes of which only one may win must differ.
    ///
    /// Not for a path that somebody may delete and that means something again afterwards: a process that
    /// is suspended between two attempts brings the object back. For these there is
    /// [`Store::create_once`].
    pub async fn create(&self, path: &str, bytes: Bytes) -> CreateOutcome {
        let outcome = self.create_as(PutMode::Create, path, bytes).await;
        self.refusals.note(&outcome);
        outcome
    }

    /// Creates an object beside others that the caller has seen. On a folder whose directory has gone, they
    /// have gone with it: then it is refused, where [`Store::create`] would make the directory anew.
    pub async fn create_beside(&self, path: &str, bytes: Bytes) -> CreateOutcome {
        let outcome = self.create_as(PutMode::CreateBeside, path, bytes).await;
        self.refusals.note(&outcome);
        outcome
    }

    async fn create_as(&self, mode: PutMode, path: &str, bytes: Bytes) -> CreateOutcome {
        if let Err(error) = check_path(path) {
            return CreateOutcome::Unknown(error);
        }
        let mut attempts = self.attempts(self.deadline_for(bytes.len() as u64));
        // Whether any attempt so far can have stored the bytes, or can do so later.
        let mut was_in_doubt = false;
        loop {
            let failure = match self.send_create(mode, path, &bytes, &attempts).await {
                Sent::Created => return CreateOutcome::Created,
                Sent::Taken(other) => return CreateOutcome::Taken(other),
                Sent::Failed { why, in_doubt, again } => {
                    was_in_doubt |= in_doubt;
                    if !again {
                        return CreateOutcome::Unknown(self.not_created(path, was_in_doubt, &why));
                    }
                    why
                }
            };
            if !attempts.pause().await {
                return CreateOutcome::Unknown(self.not_created(path, was_in_doubt, &failure));
            }
        }
    }

    /// As [`Store::create`], but these bytes are sent once: whoever tries again sends others, by which the
    /// attempts can be told apart, and looks first what has become of the earlier ones.
    pub async fn create_once(&self, path: &str, bytes: Bytes) -> Attempt {
        self.attempt_create(PutMode::Create, path, bytes).await
    }

    /// As [`Store::create_beside`], and once.
    pub async fn create_once_beside(&self, path: &str, bytes: Bytes) -> Attempt {
        self.attempt_create(PutMode::CreateBeside, path, bytes).await
    }

    async fn attempt_create(&self, mode: PutMode, path: &str, bytes: Bytes) -> Attempt {
        if let Err(error) = check_path(path) {
            return Attempt::Failed { error, again: false };
        }
        let attempts = self.attempts(self.deadline_for(bytes.len() as u64));
        match self.send_create(mode, path, &bytes, &attempts).await {
            Sent::Created => {
                self.refusals.note_success();
                Attempt::Created
            }
            Sent::Taken(other) => {
                self.refusals.note_success();
                Attempt::Taken(other)
            }
            Sent::Failed { why, in_doubt, again } => {
                let error = self.not_created(path, in_doubt, &why);
                self.refusals.note_error(&error);
                Attempt::Failed { error, again }
            }
        }
    }

    /// Sends a create, and reads back what is said to exist.
    async fn send_create(&self, mode: PutMode, path: &str, bytes: &Bytes, attempts: &Attempts) -> Sent {
        let failure = match attempts.run(self.send_put(path, bytes.clone(), mode)).await {
            Ok(()) => return Sent::Created,
            Err(BackendError::Conflict(why)) => match attempts.run(Box::pin(self.read_back(path, bytes))).await {
                Ok(ReadBack::Same) => return Sent::Created,
                Ok(ReadBack::Other(other)) => return Sent::Taken(other),
                Ok(ReadBack::Absent) => BackendError::Conflict(format!("{why}, but nothing is there")),
                Ok(ReadBack::Failed(failure)) | Err(failure) => {
                    let again = !matches!(
                        failure,
                        BackendError::Lost(_) | BackendError::Refused(_) | BackendError::Full(_) | BackendError::Absent
                    );
                    return Sent::Failed { why: failure, in_doubt: true, again };
                }
            },
            Err(failure) => failure,
        };
        let (in_doubt, again) = match failure {
            BackendError::Unsent(_) => (false, true),
            BackendError::Transient(_) | BackendError::Conflict(_) | BackendError::Short => (true, true),
            BackendError::Lost(_) => (true, false),
            BackendError::Refused(_) | BackendError::Full(_) | BackendError::Absent => (false, false),
        };
        Sent::Failed { why: failure, in_doubt, again }
    }

    async fn read_back(&self, path: &str, bytes: &Bytes) -> Result<ReadBack, BackendError> {
        self.count(Cost::get());
        Ok(match self.raw.get(path, None).await {
            Ok(stored) => {
                self.count(Cost::received(stored.len()));
                if stored == bytes { ReadBack::Same } else { ReadBack::Other(stored) }
            }
            Err(BackendError::Absent) => ReadBack::Absent,
            Err(failure) => ReadBack::Failed(failure),
        })
    }

    fn not_created(&self, path: &str, in_doubt: bool, failure: &BackendError) -> Error {
        let (code, what) = match in_doubt {
            true => (Code::OutcomeUnknown, "cannot tell whether it was created"),
            false => (failure.code(), "cannot create it"),
        };
        Error::new(code, format!("object {path} in {}: {what}: {failure}", self.url))
    }
}
