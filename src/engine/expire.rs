//! Retain: forget data files, and lists of such, whose every row is past the database's TTL. Queries hide
//! such rows at once; this only gives the space back.

use super::{
    Engine,
    databases::{Committed, DatabaseHandle},
};
use crate::database::{Edit, Expired, expired_files};
use crate::model::Result;

impl Engine {
    /// Files dropped.
    pub(super) async fn retain_open(&self, handle: &DatabaseHandle) -> Result<usize> {
        let manifest = handle.ledger.recent(&self.inner.store).await?;
        let tables = expired_files(&manifest.state, self.earlier_now());
        if tables.is_empty() {
            return Ok(0);
        }
        let dropped = tables.iter().map(Expired::count).sum();
        let committed = handle.commit(&self.inner.store, self.limits(), &Edit::Expire { tables }).await?;
        Ok(if matches!(committed, Committed::Done(_)) { dropped } else { 0 })
    }
}
