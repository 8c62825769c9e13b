//! The catalog: tenants, users, and which database has which id.
//!
//! In: a state and a change. Out: the next state, or an error for the client; whether a password is
//! right. Invariants: names are unique within their tenant; a name that is created again gets
//! another id; no password is kept, only its argon2id hash. Never: data files, segments, HTTP.

mod password;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ledger::LedgerState;
use crate::model::{Code, DatabaseId, Error, Result, TenantId, UserId, names::check_name};

pub use password::{Credential, Login, Passwords, check_hash, hash_password};

/// The tenant that is there from the start.
pub const DEFAULT_TENANT: &str = "cnosdb";
/// The database that is there from the start.
pub const DEFAULT_DATABASE: &str = "public";
/// The administrator that is there from the start.
pub const ROOT_USER: &str = "root";
/// Names of schemas about the system: no database can have them.
const SYSTEM_SCHEMAS: [&str; 3] = ["cluster_schema", "information_schema", "usage_schema"];

/// Everything the catalog knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CatalogState {
    pub tenants: BTreeMap<String, Tenant>,
    pub users: BTreeMap<String, UserEntry>,
    /// Databases whose objects are still to be deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DroppedDatabase>,
}

/// What is left of a database that no name means any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedDatabase {
    pub tenant: TenantId,
    pub id: DatabaseId,
    /// Nanoseconds since 1970.
    pub since: i64,
    /// Nothing is left but the manifest that says that it was dropped.
    pub emptied: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tenant {
    pub id: TenantId,
    pub databases: BTreeMap<String, DatabaseId>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserEntry {
    pub id: UserId,
    /// PHC string; none for root, whose password is a setting of the server.
    pub password_hash: Option<String>,
    pub admin: bool,
}

impl LedgerState for CatalogState {
    fn list_from(&self, version: u64) -> u64 {
        version
    }
}

impl CatalogState {
    /// The catalog of a new store: tenant `cnosdb` with database `public`, user `root`.
    pub fn first(public: DatabaseId) -> Self {
        let tenant = Tenant { id: TenantId(1), databases: BTreeMap::from([(DEFAULT_DATABASE.to_owned(), public)]) };
        let root = UserEntry { id: UserId(1), password_hash: None, admin: true };
        CatalogState {
            tenants: BTreeMap::from([(DEFAULT_TENANT.to_owned(), tenant)]),
            users: BTreeMap::from([(ROOT_USER.to_owned(), root)]),
            dropped: Vec::new(),
        }
    }

    pub fn tenant(&self, id: TenantId) -> Option<&Tenant> {
        self.tenants.values().find(|tenant| tenant.id == id)
    }

    pub fn database(&self, tenant: TenantId, name: &str) -> Option<DatabaseId> {
        self.tenant(tenant)?.databases.get(name).copied()
    }

    /// The state with one database more.
    pub fn with_database(&self, tenant: TenantId, name: &str, id: DatabaseId) -> Result<Self> {
        check_name("Database name", name)?;
        let mut next = self.clone();
        let databases = &mut next.tenant_mut(tenant)?.databases;
        if databases.contains_key(name) {
            return Err(database_exists(name));
        }
        databases.insert(name.to_owned(), id);
        Ok(next)
    }

    /// The state without a database, dropped at `now` (nanoseconds since 1970); `None` when that name no
    /// longer means `id`.
    pub fn without_database(&self, tenant: TenantId, name: &str, id: DatabaseId, now: i64) -> Result<Option<Self>> {
        if self.database(tenant, name) != Some(id) {
            return Ok(None);
        }
        let mut next = self.clone();
        next.tenant_mut(tenant)?.databases.remove(name);
        next.dropped.push(DroppedDatabase { tenant, id, since: now, emptied: false });
        Ok(Some(next))
    }

    /// The state with a dropped database marked as emptied, or, if `gone`, forgotten; `None` when that
    /// is so already.
    pub fn with_emptied(&self, id: DatabaseId, gone: bool) -> Option<Self> {
        let mut next = self.clone();
        let position = next.dropped.iter().position(|dropped| dropped.id == id)?;
        if gone {
            next.dropped.remove(position);
        } else if std::mem::replace(&mut next.dropped[position].emptied, true) {
            return None;
        }
        Some(next)
    }

    fn tenant_mut(&mut self, id: TenantId) -> Result<&mut Tenant> {
        let found = self.tenants.values_mut().find(|tenant| tenant.id == id);
        found.ok_or_else(|| Error::new(Code::Catalog, format!("tenant {id} is no longer there")))
    }
}

/// Refuses to create what is not for users to create.
pub fn check_creatable(name: &str) -> Result<()> {
    if SYSTEM_SCHEMAS.contains(&name) { Err(database_exists(name)) } else { Ok(()) }
}

/// Refuses to drop what has to stay. A database that got the name of a system schema before that was
/// refused is there, and can go.
pub fn check_droppable(name: &str, is_there: bool) -> Result<()> {
    if name == DEFAULT_DATABASE || (SYSTEM_SCHEMAS.contains(&name) && !is_there) {
        return Err(Error::new(Code::DropForbidden, format!("Database {name:?} forbid drop")));
    }
    Ok(())
}

pub fn database_exists(name: &str) -> Error {
    Error::new(Code::DatabaseExists, format!("Database {name:?} already exists"))
}

pub fn database_not_found(name: &str) -> Error {
    Error::new(Code::DatabaseNotFound, format!("Database not found: {name:?}"))
}
