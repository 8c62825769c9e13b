//! Who is asking.

use secrecy::ExposeSecret;

use super::{Engine, EngineOptions};
use crate::catalog::{ROOT_USER, hash_password};
use crate::model::clock::SharedClock;
use crate::model::{Code, Error, Result, TenantId, UserId};

/// An authenticated user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub admin: bool,
}

/// The hash that root's password is checked against: the configured one, or that of the configured
/// password, or that of the empty password.
pub(super) fn root_hash(options: &EngineOptions, clock: &SharedClock) -> Result<String> {
    if let Some(hash) = &options.root_password_hash {
        return Ok(hash.clone());
    }
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&clock.random().to_le_bytes());
    salt[8..].copy_from_slice(&clock.random().to_le_bytes());
    let password = options.root_password.as_ref().map_or("", |password| password.expose_secret());
    hash_password(password, salt)
}

impl Engine {
    /// Checks a user's password. The same error for an unknown user as for a wrong password, after
    /// the same time.
    pub async fn authenticate(&self, user: &str, password: &str) -> Result<User> {
        let catalog = self.catalog().await?;
        let entry = catalog.state.users.get(user);
        let hash = match entry {
            Some(_) if user == ROOT_USER => Some(self.inner.root_hash.as_str()),
            Some(entry) => entry.password_hash.as_deref(),
            None => None,
        };
        let matched = self.inner.passwords.verify(user, password, hash).await?;
        match entry {
            Some(entry) if matched => Ok(User { id: entry.id, name: user.to_owned(), admin: entry.admin }),
            _ => Err(access_denied(user)),
        }
    }

    /// The tenant a user may act in.
    pub async fn tenant(&self, user: &User, name: &str) -> Result<TenantId> {
        let catalog = self.catalog().await?;
        match catalog.state.tenants.get(name) {
            Some(tenant) if user.admin => Ok(tenant.id),
            _ => Err(access_denied(&user.name)),
        }
    }
}

fn access_denied(user: &str) -> Error {
    Error::new(
        Code::AccessDenied,
        format!("Auth error: Access denied for user '{user}' (using xxx) username or password invalid"),
    )
}
