//! Passwords: argon2id (RFC 9106) with OWASP's 12 MiB, 3 passes, 1 lane, as PHC strings.
//!
//! At most two hashes at once, so that logins cannot exhaust memory, and a pause after each that was wrong, so that
//! guessing cannot take all processors. Verified credentials are remembered under a keyed digest while they are used,
//! so nobody who tries wrong ones can keep those out who are in; the digest covers the stored hash, so a changed
//! password is void as soon as the catalog that this process goes by has the new one.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use argon2::password_hash::{PasswordHasher, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use hmac::{Hmac, KeyInit, Mac};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;

use super::turns::{Name, Turns};
use crate::model::{Error, Result, clock::SharedClock};

/// Hashes under way at once: 24 MiB with our own parameters.
const CONCURRENT_HASHES: usize = 2;
/// How long credentials are remembered after they were last used.
const REMEMBERED: Duration = Duration::from_secs(300);
/// How long wrong ones are: a client with an old password asks often.
const REMEMBERED_AS_WRONG: Duration = Duration::from_secs(10);
const REMEMBERED_ENTRIES: u64 = 10_000;
/// The pause after a wrong password, in times of what its hash took, and at most: two threads that hash all the time
/// would be half of a small machine.
const PAUSE_TIMES: u32 = 3;
const MAXIMUM_PAUSE: Duration = Duration::from_millis(150);
/// The most that a stored hash may cost to check, in KiB of memory and in that times passes, about a second.
const MAXIMUM_MEMORY: u32 = 256 << 10;
const MAXIMUM_WORK: u64 = 1 << 20;

/// Blocks of 1 KiB that are kept for the next hash. What is larger goes back to the system by itself, while what is
/// smaller leaves a hole each time that glibc's aligned allocations do not fill: 12 MiB lost a login.
const KEPT_BLOCKS: usize = 32 << 10;

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

/// Whether a text can be what a password is checked against.
///
/// # Errors
/// What it would have to be. The text is not repeated.
pub fn check_hash(hash: &str) -> Result<(), String> {
    parse(hash).map(drop)
}

fn parse(hash: &str) -> Result<PasswordHash, String> {
    let form = "it must be argon2's PHC string: $argon2id$v=19$m=…,t=…,p=…$salt$hash";
    let parsed = PasswordHash::new(hash).map_err(|error| format!("{form}: {error}"))?;
    let is_argon2 = Algorithm::try_from(parsed.algorithm.as_str()).is_ok();
    if !is_argon2 || parsed.salt.is_none() || parsed.hash.is_none() {
        return Err(form.to_owned());
    }
    let costs = Params::try_from(&parsed).map_err(|error| format!("{form}: {error}"))?;
    let work = u64::from(costs.m_cost()) * u64::from(costs.t_cost());
    if costs.m_cost() > MAXIMUM_MEMORY || work > MAXIMUM_WORK {
        return Err(format!(
            "it may cost m={MAXIMUM_MEMORY} and m*t={MAXIMUM_WORK} at most, for strangers can ask for it"
        ));
    }
    Ok(parsed)
}

/// What a password is checked against.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// A PHC string.
    Hash(&'a str),
    /// The password itself, as a setting holds it.
    Secret(&'a SecretString),
    /// Nothing, for there is no such user, or it has no password. Takes as long as a check against the hash of
    /// somebody, so that time does not tell; without one, against what would be made today.
    Nothing { alike: Option<&'a str> },
}

/// Who wants in, and with what.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    pub user: &'a str,
    pub password: &'a str,
    /// The address it comes from, as far as it counts.
    pub from: Option<IpAddr>,
}

/// Verifies passwords without letting the hashes become a memory bomb.
#[derive(Debug)]
pub struct Passwords {
    clock: SharedClock,
    turns: Turns,
    memory: Memory,
    /// Digest of (user, password, hash) under a key of this process → verified.
    verified: Cache<[u8; 32], ()>,
    /// The same → wrong.
    wrong: Cache<[u8; 32], ()>,
    key: [u8; 32],
    /// Hashed when there is nothing to check against.
    dummy: OnceLock<String>,
}

impl Passwords {
    pub fn new(clock: &SharedClock) -> Self {
        let mut key = [0; 32];
        for chunk in key.chunks_exact_mut(8) {
            chunk.copy_from_slice(&clock.random().to_le_bytes());
        }
        let cache = || Cache::builder().max_capacity(REMEMBERED_ENTRIES);
        Passwords {
            clock: clock.clone(),
            turns: Turns::new(CONCURRENT_HASHES),
            memory: Memory::default(),
            verified: cache().time_to_idle(REMEMBERED).build(),
            wrong: cache().time_to_live(REMEMBERED_AS_WRONG).build(),
            key,
            dummy: OnceLock::new(),
        }
    }

    /// Whether the password is the right one. Every wrong one costs a hash, which bounds how fast anybody can guess,
    /// except for one that was wrong a moment ago.
    ///
    /// # Errors
    /// [`Code::Unavailable`](crate::model::Code::Unavailable) when too many wait.
    pub async fn verify(&self, login: Login<'_>, credential: Credential<'_>) -> Result<bool> {
        let Login { user, password, from } = login;
        let (name, hash, can_match) = match credential {
            Credential::Hash(hash) => (Some(user), Some(hash), true),
            Credential::Secret(secret) => {
                let (given, right) = (self.digest(user, password, "")?, self.digest(user, secret.expose_secret(), "")?);
                if bool::from(given.ct_eq(&right)) {
                    return Ok(true);
                }
                (Some(user), None, false)
            }
            Credential::Nothing { alike } => (None, alike, false),
        };
        let digest = self.digest(user, password, hash.unwrap_or_default())?;
        // Not `contains_key`, which does not count as use.
        if can_match && self.verified.get(&digest).is_some() {
            return Ok(true);
        }
        if self.wrong.get(&digest).is_some() {
            return Ok(false);
        }
        let matched = self.matches(name, from, password, hash).await? && can_match;
        if matched { &self.verified } else { &self.wrong }.insert(digest, ());
        Ok(matched)
    }

    /// One of `count` by a user's name: always the same one in this process, which nobody outside can tell.
    pub fn choose(&self, user: &str, count: usize) -> Result<usize> {
        let digest = self.digest(user, "", "choice")?;
        let number = u64::from_le_bytes(std::array::from_fn(|at| digest[at]));
        Ok(usize::try_from(number % count.max(1) as u64).unwrap_or_default())
    }

    /// Hashes `password` and compares; without a hash, with one that nothing matches.
    async fn matches(&self, name: Name<'_>, from: Option<IpAddr>, password: &str, hash: Option<&str>) -> Result<bool> {
        let turn = self.turns.take(name, from).await?;
        let hash = match hash {
            Some(hash) => hash.to_owned(),
            None => self.dummy()?.to_owned(),
        };
        let (tell, told) = oneshot::channel();
        // In a task of its own, so that who leaves before the answer does not get the pause for nothing.
        let (clock, memory, password) = (self.clock.clone(), self.memory.clone(), password.to_owned());
        tokio::spawn(async move {
            let pause = check(&clock, memory, password, hash, tell).await;
            clock.sleep(pause).await;
            drop(turn);
        });
        told.await.map_err(|_| Error::internal("a password check ended without an answer"))?
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

/// Hashes and tells. Returns how long the turn is to be kept: a while if the password was wrong.
async fn check(
    clock: &SharedClock,
    memory: Memory,
    password: String,
    hash: String,
    tell: oneshot::Sender<Result<bool>>,
) -> Duration {
    let began = clock.elapsed();
    let matched = tokio::task::spawn_blocking(move || matches_hash(&memory, &password, &hash)).await;
    let matched = matched.unwrap_or_else(|error| Err(Error::internal(format!("a password check failed: {error}"))));
    let pause = match matched {
        Ok(true) => Duration::ZERO,
        _ => (Duration::from_nanos(clock.elapsed().abs_diff(began)) * PAUSE_TIMES).min(MAXIMUM_PAUSE),
    };
    // Who asked may have left.
    let _ = tell.send(matched);
    pause
}

/// The memory of hashes, for the next ones: as many pieces as there are turns.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<Vec<Vec<Block>>>>);

impl Memory {
    fn with<T>(&self, blocks: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = lock().pop().unwrap_or_default();
        memory.resize(memory.len().max(blocks), Block::new());
        let done = work(&mut memory[..blocks]);
        if memory.len() <= KEPT_BLOCKS {
            lock().push(memory);
        }
        done
    }
}

fn matches_hash(memory: &Memory, password: &str, hash: &str) -> Result<bool> {
    let unusable = |why: String| Error::internal(format!("a stored password hash cannot be used: {why}"));
    let parsed = parse(hash).map_err(unusable)?;
    let (Some(salt), Some(right)) = (&parsed.salt, &parsed.hash) else {
        return Err(unusable("it has no salt or no hash".to_owned()));
    };
    let broken = |error: &dyn std::fmt::Display| unusable(error.to_string());
    let algorithm = Algorithm::try_from(parsed.algorithm.as_str()).map_err(|error| broken(&error))?;
    let version = parsed.version.map_or(Ok(Version::default()), Version::try_from).map_err(|error| broken(&error))?;
    let params = Params::try_from(&parsed).map_err(|error| broken(&error))?;
    let (blocks, mut given) = (params.block_count(), vec![0; right.as_bytes().len()]);
    let argon2 = Argon2::new(algorithm, version, params);
    memory
        .with(blocks, |memory| argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut given, memory))
        .map_err(|error| Error::internal(format!("a password cannot be checked: {error}")))?;
    Ok(given.ct_eq(right.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::clock::SystemClock;

    #[test]
    fn credentials_are_remembered_while_they_are_used() {
        let clock: SharedClock = Arc::new(SystemClock);
        let policy = Passwords::new(&clock).verified.policy();
        assert_eq!((policy.time_to_idle(), policy.time_to_live()), (Some(REMEMBERED), None));
    }

    #[test]
    fn the_memory_of_a_hash_serves_the_next_one() {
        let memory = Memory::default();
        let address = |blocks| memory.with(blocks, |memory| memory.as_ptr().addr());
        let first = address(12);
        assert_eq!((address(12), address(3)), (first, first));
        address(KEPT_BLOCKS + 1);
        assert!(memory.0.lock().unwrap().is_empty());
        // Those of RFC 9106's reference implementation.
        let hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(matches_hash(&memory, "password", hash).unwrap());
        assert!(!matches_hash(&memory, "Password", hash).unwrap());
        assert!(matches_hash(&memory, "password", "$argon2id$v=19$m=1$x$y").is_err());
    }

    #[test]
    fn a_name_always_stands_for_the_same_user() {
        let clock: SharedClock = Arc::new(SystemClock);
        let passwords = Passwords::new(&clock);
        let choose = |name: usize| passwords.choose(&format!("name{name}"), 3).unwrap();
        let chosen: Vec<usize> = (0..100).map(choose).collect();
        assert_eq!(chosen, (0..100).map(choose).collect::<Vec<_>>());
        assert!((0..3).all(|user| chosen.contains(&user)));
        assert_eq!(passwords.choose("name", 0).unwrap(), 0);
    }
}
