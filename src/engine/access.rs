//! Who is asking.

use super::{Engine, EngineOptions};
use crate::catalog::{Credential, ROOT_USER};
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
    /// Checks a user's password. The same error for an unknown user as for a wrong password, after
    /// the same time.
    pub async fn authenticate(&self, user: &str, password: &str) -> Result<User> {
        let catalog = self.catalog().await?;
        let entry = catalog.state.users.get(user);
        let credential = match entry {
            Some(_) if user == ROOT_USER => Some(root_credential(&self.inner.options)),
            Some(entry) => entry.password_hash.as_deref().map(Credential::Hash),
            None => None,
        };
        let matched = self.inner.passwords.verify(user, password, credential).await?;
        match entry {
            Some(entry) if matched => Ok(User { id: entry.id, name: user.to_owned(), admin: entry.admin }),
            _ => Err(access_denied(user)),
        }
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
