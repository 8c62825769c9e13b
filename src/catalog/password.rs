//! Passwords: argon2id (RFC 9106) with OWASP's 12 MiB, 3 passes, 1 lane, as PHC strings; at most
//! two hashes at once, so that logins cannot exhaust memory; verified credentials are remembered
//! for five minutes under a keyed digest.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit, Mac};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;
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

/// What a password is checked against.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// A PHC string.
    Hash(&'a str),
    /// The password itself, as a setting holds it.
    Secret(&'a SecretString),
}

/// Verifies passwords without letting the hashes become a memory bomb.
#[derive(Debug)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// Digest of (user, password, hash) under a key of this process → verified.
    verified: Cache<[u8; 32], ()>,
    key: [u8; 32],
    /// Hashed when there is nothing to check against, so that time does not tell.
    dummy: OnceLock<String>,
}

impl Passwords {
    pub fn new(clock: &SharedClock) -> Self {
        let mut key = [0; 32];
        for chunk in key.chunks_exact_mut(8) {
            chunk.copy_from_slice(&clock.random().to_le_bytes());
        }
        Passwords {
            permits: Arc::new(Semaphore::new(CONCURRENT_HASHES)),
            queue: Arc::new(Semaphore::new(CONCURRENT_HASHES + WAITING_HASHES)),
            verified: Cache::builder().max_capacity(REMEMBERED_ENTRIES).time_to_live(REMEMBERED).build(),
            key,
            dummy: OnceLock::new(),
        }
    }

    /// Whether `password` is the right one. Without a credential (unknown user) it never is, and
    /// every wrong password costs a hash, which bounds how fast anybody can guess. An error when
    /// too many wait.
    pub async fn verify(&self, user: &str, password: &str, credential: Option<Credential<'_>>) -> Result<bool> {
        let hash = match credential {
            None => None,
            Some(Credential::Hash(hash)) => Some(hash),
            Some(Credential::Secret(secret)) => {
                let (given, right) = (self.digest(user, password, "")?, self.digest(user, secret.expose_secret(), "")?);
                if bool::from(given.ct_eq(&right)) {
                    return Ok(true);
                }
                None
            }
        };
        let digest = self.digest(user, password, hash.unwrap_or_default())?;
        if hash.is_some() && self.verified.contains_key(&digest) {
            return Ok(true);
        }
        let matched = self.matches(password, hash).await?;
        if matched {
            self.verified.insert(digest, ());
        }
        Ok(matched)
    }

    /// Hashes `password` and compares; without a hash, spends the same time and says no.
    async fn matches(&self, password: &str, hash: Option<&str>) -> Result<bool> {
        let _place = self.queue.try_acquire().map_err(|_| {
            Error::new(Code::Unavailable, "too many logins at the same time, nothing was stored; try again in a moment")
        })?;
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Error::internal("the password queue is closed"))?;
        let known = hash.is_some();
        let hash = match hash {
            Some(hash) => hash.to_owned(),
            None => self.dummy()?.to_owned(),
        };
        let password = password.to_owned();
        let matched = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            matches_hash(&password, &hash)
        });
        let matched = matched.await.map_err(|error| Error::internal(format!("a password check failed: {error}")))??;
        Ok(known && matched)
    }

    fn dummy(&self) -> Result<&str> {
        if let Some(dummy) = self.dummy.get() {
            return Ok(dummy);
        }
        let mut salt = [0; 16];
        salt.copy_from_slice(&self.digest("", "salt", "")?[..16]);
        let dummy = hash_password("no user has this password", salt)?;
        Ok(self.dummy.get_or_init(|| dummy))
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
