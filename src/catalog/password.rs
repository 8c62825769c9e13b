//! Passwords: argon2id (RFC 9106) with OWASP's 12 MiB, 3 passes, 1 lane, as PHC strings; at most
//! two hashes at once, so that logins cannot exhaust memory; verified credentials are remembered
//! for five minutes under a keyed digest.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit, Mac};
use moka::sync::Cache;
use sha2::Sha256;
use tokio::sync::Semaphore;

use crate::model::{Code, Error, Result, clock::SharedClock};

/// Hashes under way at once: 24 MiB.
const CONCURRENT_HASHES: usize = 2;
/// Callers that may wait for one of them.
const WAITING_HASHES: usize = 32;
const REMEMBERED: Duration = Duration::from_secs(300);
const REMEMBERED_ENTRIES: u64 = 10_000;

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(12_288, 3, 1, Some(32))
        .map_err(|error| Error::internal(format!("argon2's parameters are refused: {error}")))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The PHC string of a password. `salt` must be random.
pub fn hash_password(password: &str, salt: [u8; 16]) -> Result<String> {
    argon2()?
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| Error::internal(format!("a password cannot be hashed: {error}")))
}

/// Verifies passwords without letting the hashes become a memory bomb.
#[derive(Debug)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// Digest of (user, password, hash) under a key of this process → verified.
    verified: Cache<[u8; 32], ()>,
    key: [u8; 32],
    /// Hashed when a user is unknown, so that time does not tell.
    dummy: String,
}

impl Passwords {
    pub fn new(clock: &SharedClock) -> Result<Self> {
        let mut key = [0; 32];
        for chunk in key.chunks_exact_mut(8) {
            chunk.copy_from_slice(&clock.random().to_le_bytes());
        }
        let mut salt = [0; 16];
        salt.copy_from_slice(&key[..16]);
        Ok(Passwords {
            permits: Arc::new(Semaphore::new(CONCURRENT_HASHES)),
            queue: Arc::new(Semaphore::new(CONCURRENT_HASHES + WAITING_HASHES)),
            verified: Cache::builder().max_capacity(REMEMBERED_ENTRIES).time_to_live(REMEMBERED).build(),
            key,
            dummy: hash_password("no user has this password", salt)?,
        })
    }

    /// Whether `password` is the one behind `hash`; without a hash (unknown user) it never is, and
    /// takes as long. An error when too many wait.
    pub async fn verify(&self, user: &str, password: &str, hash: Option<&str>) -> Result<bool> {
        let digest = self.digest(user, password, hash.unwrap_or_default())?;
        if hash.is_some() && self.verified.contains_key(&digest) {
            return Ok(true);
        }
        let _place = self
            .queue
            .try_acquire()
            .map_err(|_| Error::new(Code::LimitReached, "too many logins at the same time; try again in a moment"))?;
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Error::internal("the password queue is closed"))?;
        let known = hash.is_some();
        let (password, hash) = (password.to_owned(), hash.unwrap_or(&self.dummy).to_owned());
        let matched = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            matches_hash(&password, &hash)
        });
        let matched = matched.await.map_err(|error| Error::internal(format!("a password check failed: {error}")))??;
        if known && matched {
            self.verified.insert(digest, ());
        }
        Ok(known && matched)
    }

    /// HMAC-SHA-256 under this process's key: the cache holds nothing a password could be guessed
    /// from elsewhere, and a changed hash voids its entries.
    fn digest(&self, user: &str, password: &str, hash: &str) -> Result<[u8; 32]> {
        let mut digest = Hmac::<Sha256>::new_from_slice(&self.key)
            .map_err(|error| Error::internal(format!("a digest key is refused: {error}")))?;
        for part in [user, password, hash] {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        Ok(digest.finalize().into_bytes().into())
    }
}

fn matches_hash(password: &str, hash: &str) -> Result<bool> {
    let parsed = PasswordHash::new(hash)
        .map_err(|error| Error::internal(format!("a stored password hash is unreadable: {error}")))?;
    match Argon2::default().verify_password(password.as_bytes(), &parsed) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(Error::internal(format!("a password cannot be checked: {error}"))),
    }
}
