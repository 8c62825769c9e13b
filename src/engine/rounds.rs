//! Housekeeping for those who are called for it and leave again, as a function is: one database, or
//! whatever is due anywhere, as far as the time goes.

use super::background::needed;
use super::begin::Missing;
use super::{Duties, Effort, Engine, Report};
use crate::model::{Code, DatabaseId, Result, TenantId};

impl Engine {
    /// Some duties of one database. Nothing is done when no catalog names it (any more).
    pub async fn tend_database(
        &self,
        tenant: TenantId,
        database: DatabaseId,
        duties: Duties,
        effort: Effort,
    ) -> Result<Report> {
        let mut report = Report::default();
        let names = |catalog: &crate::catalog::CatalogState| {
            catalog.tenant(tenant).is_some_and(|tenant| tenant.databases.values().any(|id| *id == database))
        };
        self.begin(Missing::Fail).await?;
        if !names(&self.catalog().await?.state) && !names(&self.newest_catalog().await?.state) {
            return Ok(report);
        }
        report.databases = 1;
        let open = self.open_database(tenant, database);
        self.maintain_open(&open, duties, effort, &mut report).await?;
        Ok(report)
    }

    /// What is due in any database, judged as a server in the background does. A database that fails
    /// does not keep the others waiting.
    ///
    /// # Errors
    /// The first failure, after everything else has been tried.
    pub async fn tend_due(&self, effort: Effort) -> Result<Report> {
        let mut report = Report::default();
        let catalog = match self.existing_catalog().await {
            // The first request makes it; till then nothing is due.
            Err(error) if error.code == Code::NoStore => {
                tracing::info!(%error, "there is nothing to care for yet");
                return Ok(report);
            }
            other => other?,
        };
        let mut first = None;
        for open in self.all_databases(&catalog) {
            if !effort.allows(0) {
                report.left += 1;
                continue;
            }
            report.databases += 1;
            let tended = async {
                let listing = self.look(&open, &self.inner.store).await?;
                let duties = needed(self, &open, &listing.manifest);
                self.maintain_open(&open, duties, effort, &mut report).await
            };
            if let Err(error) = tended.await {
                tracing::warn!(tenant = %open.tenant, database = %open.id, %error, "housekeeping failed");
                first.get_or_insert(error);
            }
        }
        if effort.allows(0) {
            report.collected += self.collect_catalog(&catalog).await?;
        }
        self.inner.catalog.flush_hint(&self.inner.store).await;
        first.map_or(Ok(report), Err)
    }
}
