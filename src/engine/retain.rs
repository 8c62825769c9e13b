//! Retain: drop data files whose every row is past the database's TTL. Queries hide such rows at
//! once; this only gives the space back.

use super::{Engine, databases::OpenDatabase};
use crate::database::{Edit, expired_files};
use crate::model::Result;

impl Engine {
    /// Files dropped.
    pub(super) async fn retain_open(&self, open: &OpenDatabase) -> Result<usize> {
        let manifest = open.ledger.load(&self.inner.store).await?.manifest;
        let mut dropped = 0;
        for (table, files) in expired_files(&manifest.state, self.inner.clock.now()) {
            let count = files.len();
            let committed = open.commit(&self.inner.store, self.limits(), &Edit::Expire { table, files }).await?;
            if matches!(committed, super::databases::Committed::Done(_)) {
                dropped += count;
            }
        }
        Ok(dropped)
    }
}
