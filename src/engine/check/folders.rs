//! What lies beside the databases that the catalog names.

use std::collections::{BTreeMap, HashSet};

use super::CheckReport;
use crate::engine::Engine;
use crate::model::Result;
use crate::model::paths::{self, LogName};
use crate::store::ListEntry;

/// Objects of one database's folder.
#[derive(Default)]
struct Folder {
    objects: usize,
    bytes: u64,
    /// Whether there are rows, settled or not.
    has_rows: bool,
}

impl Folder {
    fn add(&mut self, root: &str, entry: &ListEntry) {
        self.objects += 1;
        self.bytes += entry.size;
        let logged = entry.path.strip_prefix(&paths::log_prefix(root)).and_then(LogName::parse);
        let is_segment = matches!(logged, Some(LogName::Segment(_)));
        self.has_rows |= is_segment || entry.path.starts_with(&paths::data_prefix(root));
    }
}

impl Engine {
    /// Finds folders of databases that no catalog names, and objects in none.
    pub(super) async fn check_folders(&self, report: &mut CheckReport) -> Result<()> {
        let mut folders: BTreeMap<String, Folder> = BTreeMap::new();
        for entry in self.inner.store.list(paths::DATABASES_PREFIX, None).await? {
            match paths::database_of(&entry.path) {
                Some((root, ..)) => folders.entry(root.to_owned()).or_default().add(root, &entry),
                None => report.problems.push(format!("{}: SiltDB does not give such names", entry.path)),
            }
        }
        // Asked after the LIST: a database has rows only after the catalog names it.
        let catalog = self.newest_catalog().await?;
        let live = self.all_databases(&catalog).into_iter().map(|handle| handle.root().to_owned());
        let dropped = catalog.state.dropped.iter().map(|dropped| paths::database_root(dropped.tenant, dropped.id));
        let known: HashSet<String> = live.chain(dropped).collect();
        for (root, Folder { objects, bytes, has_rows }) in folders {
            if known.contains(&root) {
                continue;
            }
            if has_rows {
                report.problems.push(format!(
                    "{root}: it holds rows ({objects} objects, {bytes} bytes), but no catalog names it: it may be of a \
                     database that a restored or damaged catalog has forgotten"
                ));
            } else {
                report.notes.push(format!(
                    "{root}: no catalog names it, and it holds no rows ({objects} objects, {bytes} bytes): it is of a \
                     CREATE DATABASE that did not end, and can be deleted"
                ));
            }
        }
        Ok(())
    }
}
