//! The probe passes honest stores and finds lying ones.

use std::ops::Range;

use super::super::backend::Page;
use super::super::{memory, probe};
use super::*;
use crate::model::clock::ManualClock;

/// What a store lies about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    /// Ignores the condition of a create.
    CreateOverwrites,
    /// Looks, waits, and then writes: right in sequence, wrong in a race.
    CreateChecksFirst,
    /// Answers a read of nothing with a refusal.
    AbsentIsRefused,
    /// A listing shows its first page only.
    OnePage,
    /// Ignores where a listing is to begin.
    StartsAnywhere,
}

#[derive(Debug)]
struct Lying {
    honest: memory::MemoryBackend,
    lie: Lie,
}

#[async_trait::async_trait]
impl Backend for Lying {
    async fn put(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<(), BackendError> {
        if self.lie == Lie::CreateOverwrites {
            return self.honest.put(path, bytes, PutMode::Overwrite).await;
        }
        if self.lie == Lie::CreateChecksFirst && mode != PutMode::Overwrite {
            if self.honest.get(path, None).await.is_ok() {
                return Err(BackendError::Conflict("exists".into()));
            }
            tokio::task::yield_now().await;
            return self.honest.put(path, bytes, PutMode::Overwrite).await;
        }
        self.honest.put(path, bytes, mode).await
    }

    async fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Bytes, BackendError> {
        match self.honest.get(path, range).await {
            Err(BackendError::Absent) if self.lie == Lie::AbsentIsRefused => Err(BackendError::Refused("403".into())),
            result => result,
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>, page: Option<&str>) -> Result<Page, BackendError> {
        let after = after.filter(|_| self.lie != Lie::StartsAnywhere);
        let mut page = self.honest.list(prefix, after, page).await?;
        if self.lie == Lie::OnePage {
            page.next = None;
        }
        Ok(page)
    }

    async fn delete(&self, path: &str) -> Result<(), BackendError> {
        self.honest.delete(path).await
    }

    async fn begin_upload(&self, path: &str) -> Result<String, BackendError> {
        self.honest.begin_upload(path).await
    }

    async fn put_part(&self, path: &str, upload: &str, index: usize, bytes: Bytes) -> Result<String, BackendError> {
        self.honest.put_part(path, upload, index, bytes).await
    }

    async fn complete_upload(&self, path: &str, upload: &str, parts: Vec<String>) -> Result<(), BackendError> {
        self.honest.complete_upload(path, upload, parts).await
    }

    async fn abort_upload(&self, path: &str, upload: &str) -> Result<(), BackendError> {
        self.honest.abort_upload(path, upload).await
    }

    fn coalesce_gap(&self) -> u64 {
        0
    }
}

fn lying(lie: Lie) -> Store {
    let honest = memory::MemoryBackend::new(Arc::new(ManualClock::new(1, 1)));
    Store::from_raw(Arc::new(Lying { honest, lie }), "lying:".into())
}

#[tokio::test]
async fn the_probe_finds_lying_stores() {
    let lies = [
        (Lie::CreateOverwrites, "create race"),
        (Lie::CreateChecksFirst, "create race"),
        (Lie::AbsentIsRefused, "absent read"),
        (Lie::OnePage, "many keys"),
    ];
    for (lie, check) in lies {
        let report = probe::probe(&lying(lie), "", 1).await;
        let failed: Vec<&str> = report.checks.iter().filter(|check| !check.ok).map(|check| check.name).collect();
        assert!(!report.passed() && failed.contains(&check), "{lie:?}: {report}");
        assert!(report.to_string().contains(&format!("FAILED {check}")), "{report}");
    }
    let store = lying(Lie::CreateChecksFirst);
    let error = probe::probe_once(&store).await.unwrap_err();
    assert!(error.code == Code::StoreUnavailable && error.message.contains("create race"), "{error}");
    assert_eq!(paths_of(&store, "", None).await, Vec::<String>::new(), "no result, and nothing left behind");
    // Start-after that is ignored costs a longer listing, no wrong answer: the room filters.
    assert!(probe::probe(&lying(Lie::StartsAnywhere), "", 1).await.passed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_probe_passes_honest_stores_cleans_up_and_is_remembered() {
    let (directory, folder) = folder().await;
    for store in [Store::memory(), folder] {
        let report = probe::probe(&store, "probe/", 1).await;
        assert!(report.passed(), "{report}");
        assert_eq!(report.checks.len(), 10);
        assert_eq!(paths_of(&store, "", None).await, Vec::<String>::new());
        probe::probe_once(&store).await.unwrap();
        let before = store.totals().snapshot();
        probe::probe_once(&store).await.unwrap();
        let cost = store.totals().snapshot() - before;
        assert_eq!((cost.requests(), cost.gets), (1, 1));
        assert_eq!(paths_of(&store, "", None).await, ["sys/probe/1"]);
    }
    assert_eq!(temporary_files(directory.path()), 0);
}
