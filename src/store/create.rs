//! Create if absent: the one primitive everything rests on, with an outcome that can be believed.

use bytes::Bytes;

use super::raw::{Failure, PutMode};
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

/// What a read-back after a conflict shows.
enum ReadBack {
    Same,
    Other(Bytes),
    Absent,
    Failed(Failure),
}

impl Store {
    /// Creates an object if there is none at its path.
    ///
    /// A store's "it exists" may be our own earlier attempt whose answer was lost, or (409) nobody's:
    /// so the object is read back. Same bytes: created. Other bytes: taken. Absent: created again.
    /// After a time-out, a broken connection or a 5xx the same bytes are sent to the same path again,
    /// with random pauses, until the deadline. Two callers that create the same path with the same
    /// bytes are both told "created": bytes of which only one may win must differ.
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
        let mut in_doubt = false;
        loop {
            let sent = attempts.run(self.send_put(path, bytes.clone(), mode)).await;
            let failure = match sent {
                Ok(()) => return CreateOutcome::Created,
                Err(failure) => failure,
            };
            let failure = match failure {
                Failure::Conflict(why) => match attempts.run(Box::pin(self.read_back(path, &bytes))).await {
                    Ok(ReadBack::Same) => return CreateOutcome::Created,
                    Ok(ReadBack::Other(other)) => return CreateOutcome::Taken(other),
                    Ok(ReadBack::Absent) => Failure::Conflict(format!("{why}, but nothing is there")),
                    Ok(ReadBack::Failed(failure)) | Err(failure) => {
                        in_doubt = true;
                        failure
                    }
                },
                other => other,
            };
            match failure {
                Failure::Unsent(_) => {}
                Failure::Transient(_) | Failure::Conflict(_) | Failure::Short => in_doubt = true,
                Failure::Lost(_) => return self.unknown(path, Code::OutcomeUnknown, &failure),
                Failure::Refused(_) | Failure::Full(_) | Failure::Absent => {
                    return self.unknown(path, code(in_doubt, &failure), &failure);
                }
            }
            if !attempts.pause().await {
                return self.unknown(path, code(in_doubt, &failure), &failure);
            }
        }
    }

    async fn read_back(&self, path: &str, bytes: &Bytes) -> Result<ReadBack, Failure> {
        self.count(Cost::get());
        Ok(match self.raw.get(path, None).await {
            Ok(stored) => {
                self.count(Cost::received(stored.len()));
                if stored == bytes { ReadBack::Same } else { ReadBack::Other(stored) }
            }
            Err(Failure::Absent) => ReadBack::Absent,
            Err(failure) => ReadBack::Failed(failure),
        })
    }

    fn unknown(&self, path: &str, code: Code, failure: &Failure) -> CreateOutcome {
        let what = if code == Code::OutcomeUnknown { "cannot tell whether it was created" } else { "cannot create it" };
        CreateOutcome::Unknown(Error::new(code, format!("object {path} in {}: {what}: {failure}", self.url)))
    }
}

fn code(in_doubt: bool, failure: &Failure) -> Code {
    if in_doubt { Code::OutcomeUnknown } else { failure.code() }
}
