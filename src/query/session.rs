//! Who sends a statement, and what is set for it.

use crate::{
    engine::User,
    model::{Mode, TenantId},
};

/// Who asks, and where.
#[derive(Debug, Clone)]
pub struct Session {
    pub user: User,
    pub tenant: TenantId,
    pub tenant_name: String,
    /// The database of tables named without one.
    pub database: String,
    /// Partitions of the plan, which is also how many requests to the store are in flight at once.
    pub target_partitions: Option<usize>,
    pub mode: Mode,
}
