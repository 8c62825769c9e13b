//! Who is asking.

use std::net::IpAddr;

use super::{Engine, EngineOptions};
use crate::catalog::{CatalogState, Credential, Login, ROOT_USER, UserEntry};
use crate::model::{Code, Error, Result, TenantId, UserId};

/// An authenticated user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub admin: bool,
}

/// What root's password is checked against: the configured hash, or else the configured password,
/// which is empty by default.
fn root_credential(options: &EngineOptions) -> Credential<'_> {
    match &options.root_password_hash {
        Some(hash) => Credential::Hash(hash),
        None => Credential::Secret(&options.root_password),
    }
}

impl Engine {
    /// Checks a user's password. The same error for an unknown user as for a wrong
    /// password, after the same time.
    ///
    /// A password that this process changes and a user that it revokes are void at once; if another process does, within
    /// half a minute, for that old is the catalog at most that this one goes by.
    ///
    /// # Errors
    /// [`Code::AccessDenied`]; [`Code::Unavailable`] when too many logins wait.
    pub async fn authenticate(&self, user: &str, password: &str) -> Result<User> {
        self.authenticate_from(None, user, password).await
    }

    /// The same for a login from an address: those from one address wait for each other, if too many come at a time.
    ///
    /// # Errors
    /// As [`Engine::authenticate`].
    pub async fn authenticate_from(&self, from: Option<IpAddr>, user: &str, password: &str) -> Result<User> {
        let catalog = self.catalog().await?;
        let entry = catalog.state.users.get(user);
        let credential = match entry {
            Some(_) if user == ROOT_USER => root_credential(&self.inner.options),
            Some(UserEntry { password_hash: Some(hash), .. }) => Credential::Hash(hash),
            _ => Credential::Nothing { alike: self.hash_like(&catalog.state, user)? },
        };
        let matched = self.inner.passwords.verify(Login { user, password, from }, credential).await?;
        match entry {
            Some(entry) if matched => Ok(User { id: entry.id, name: user.to_owned(), admin: entry.admin }),
            _ => Err(access_denied(user)),
        }
    }

    /// The hash of some user, as if the name were his: hashes may differ in what they cost.
    fn hash_like<'a>(&'a self, state: &'a CatalogState, name: &str) -> Result<Option<&'a str>> {
        let chosen = self.inner.passwords.choose(name, state.users.len())?;
        Ok(match state.users.iter().nth(chosen) {
            Some((user, _)) if user == ROOT_USER => self.inner.options.root_password_hash.as_deref(),
            Some((_, entry)) => entry.password_hash.as_deref(),
            None => None,
        })
    }

    /// Root, for a caller whom somebody else has authenticated.
    pub async fn root(&self) -> Result<User> {
        match self.catalog().await?.state.users.get(ROOT_USER) {
            Some(entry) => Ok(User { id: entry.id, name: ROOT_USER.to_owned(), admin: entry.admin }),
            None => Err(access_denied(ROOT_USER)),
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
