//! Housekeeping for those who are called for it and leave again, as a function is: one database, or
//! whatever is due anywhere, as far as the time goes.

use super::background::due_tasks;
use super::begin::Missing;
use super::{Budget, Engine, Report, Tasks};
use crate::model::{Code, DatabaseId, Result, TenantId};

impl Engine {
    /// Some tasks of one database. Nothing is done when no catalog names it (any more).
    pub async fn maintain_database(
        &self,
        tenant: TenantId,
        database: DatabaseId,
        tasks: Tasks,
        budget: Budget,
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
        let handle = self.open_database(tenant, database);
        self.maintain_open(&handle, tasks, budget, &mut report).await?;
        Ok(report)
    }

    /// What is due in any database, judged as a server in the background does. A database that fails
    /// does not keep the others waiting.
    ///
    /// # Errors
    /// The first failure, after everything else has been tried.
    pub async fn maintain_due(&self, budget: Budget) -> Result<Report> {
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
        for handle in self.all_databases(&catalog) {
            if !budget.allows(0) {
                report.left += 1;
                continue;
            }
            report.databases += 1;
            let tended = async {
                let listing = self.look(&handle, &self.inner.store).await?;
                let tasks = due_tasks(self, &handle, &listing.manifest);
                self.maintain_open(&handle, tasks, budget, &mut report).await
            };
            if let Err(error) = tended.await {
                tracing::warn!(tenant = %handle.tenant, database = %handle.id, %error, "housekeeping failed");
                first.get_or_insert(error);
            }
        }
        if budget.allows(0) {
            report.collected += self.collect_catalog(&catalog).await?;
        }
        self.inner.catalog.flush_hint(&self.inner.store).await;
        first.map_or(Ok(report), Err)
    }
}
