//! Check: walk a store and verify every object, invariant and sum of every database it holds.

mod folders;
mod log;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use futures::TryStreamExt;

use super::snapshot::{lost, missing};
use super::{Engine, databases::DatabaseHandle};
use crate::database::{DatabaseState, Table, file_violations, violations};
use crate::ledger::Listing;
use crate::merge::{self, KeyColumns};
use crate::model::paths;
use crate::model::{DataFile, Digest, Precision, Result};
use crate::table;
use crate::wal;

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    pub databases: usize,
    pub tables: usize,
    pub files: usize,
    pub segments: usize,
    /// Rows in data files.
    pub rows: u64,
    /// Data files that were written before there were checksums. Damage in them is a problem only where it
    /// changes what they hold.
    pub without_checksums: usize,
    /// Objects that no manifest names: leftovers of jobs that lost, which collection removes.
    pub unreferenced: usize,
    /// What is worth knowing, and no fault of the store.
    pub notes: Vec<String>,
    /// What is wrong, in plain words; empty when the store is clean.
    pub problems: Vec<String>,
}

impl CheckReport {
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(formatter, "problem: {problem}")?;
        }
        for note in &self.notes {
            writeln!(formatter, "note: {note}")?;
        }
        write!(
            formatter,
            "{}: {} databases, {} tables, {} data files with {} rows, {} segments, {} unreferenced objects",
            if self.is_clean() { "clean" } else { "NOT CLEAN" },
            self.databases,
            self.tables,
            self.files,
            self.rows,
            self.segments,
            self.unreferenced
        )?;
        match self.without_checksums {
            0 => Ok(()),
            files => write!(formatter, ", {files} data files without checksums, from an earlier version"),
        }
    }
}

impl Engine {
    /// Reads everything that the catalog's databases consist of. Errors only when the store cannot
    /// be read; what is wrong with its contents is in the report.
    pub async fn check(&self) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        let catalog = self.existing_catalog().await?;
        for handle in self.all_databases(&catalog) {
            report.databases += 1;
            match handle.ledger.load(&self.inner.store).await {
                Ok(listing) => self.check_database(&handle, &listing, &mut report).await?,
                Err(error) => report.problems.push(format!("database {}: {error}", handle.root())),
            }
        }
        self.check_folders(&mut report).await?;
        Ok(report)
    }

    async fn check_database(
        &self,
        handle: &DatabaseHandle,
        listing: &Listing<DatabaseState>,
        report: &mut CheckReport,
    ) -> Result<()> {
        let manifest = &listing.manifest;
        let root = handle.root();
        report.problems.extend(
            violations(&manifest.state, manifest.version).into_iter().map(|problem| format!("{root}: {problem}")),
        );
        report.problems.extend(listing.unknown.iter().map(|name| format!("{name}: SiltDB does not give such names")));
        self.check_log(handle, listing, report).await?;
        self.check_segments(handle, listing, report).await?;
        let stored = self.stored_files(root, report).await?;
        let mut named = HashSet::new();
        for (name, table) in &manifest.state.tables {
            report.tables += 1;
            named.extend(table.leaves.iter().map(|leaf| format!("{root}{}", leaf.path)));
            let files = self.check_leaves(handle, name, table, &stored, report).await;
            for file in &files {
                let path = format!("{root}{}", file.path);
                report.files += 1;
                report.rows += file.rows;
                report.without_checksums += usize::from(file.tail_crc.is_none());
                match stored.get(&path) {
                    None => report.problems.push(format!("{path}: table '{name}' needs it, but it is not there")),
                    Some(size) if *size != file.size => report
                        .problems
                        .push(format!("{path}: it has {size} bytes instead of the {} that were written", file.size)),
                    Some(_) => {
                        self.check_file(handle, table, file, manifest.state.options.precision, report).await;
                    }
                }
                named.insert(path);
            }
        }
        report.unreferenced += stored.keys().filter(|path| !named.contains(*path)).count();
        Ok(())
    }

    /// The data files and file lists that there are below a database's root, and their bytes.
    async fn stored_files(&self, root: &str, report: &mut CheckReport) -> Result<HashMap<String, u64>> {
        let mut objects = self.inner.store.list(&paths::data_prefix(root), None).await?;
        objects.extend(self.inner.store.list(&paths::leaf_prefix(root), None).await?);
        let mut stored: HashMap<String, u64> = HashMap::new();
        for entry in objects {
            if paths::data_file_base(&entry.path).or_else(|| paths::leaf_base(&entry.path)).is_none() {
                report.problems.push(format!("{}: SiltDB does not give such names", entry.path));
            }
            stored.insert(entry.path, entry.size);
        }
        Ok(stored)
    }

    /// All live files of a table, those of its leaves read and verified, and no two at odds.
    async fn check_leaves(
        &self,
        handle: &DatabaseHandle,
        name: &str,
        table: &Table,
        stored: &HashMap<String, u64>,
        report: &mut CheckReport,
    ) -> Vec<Arc<DataFile>> {
        let mut files = table.files.clone();
        for leaf in &table.leaves {
            let path = format!("{}{}", handle.root(), leaf.path);
            if stored.get(&path) != Some(&leaf.size) {
                report.problems.push(format!("{path}: table '{name}' needs it with {} bytes", leaf.size));
            }
            let lists = std::slice::from_ref(leaf);
            match self.inner.leaves.load_all(&self.inner.store, handle.root(), lists).await {
                Ok(listed) => files.extend(listed),
                Err(error) => report.problems.push(format!("table '{name}': {error}")),
            }
        }
        if !table.leaves.is_empty() {
            report.problems.extend(file_violations(name, files.iter().map(AsRef::as_ref).collect()));
        }
        files
    }

    async fn check_segments(
        &self,
        handle: &DatabaseHandle,
        listing: &Listing<DatabaseState>,
        report: &mut CheckReport,
    ) -> Result<()> {
        let state = &listing.manifest.state;
        if let Some(missing) = self.still_missing(handle, listing).await? {
            report.problems.push(lost(handle, &missing).to_string());
        }
        let frozen = state.frozen.iter().flatten().copied();
        let live = listing
            .segments
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| name.order.epoch >= state.floor && (state.frozen.is_none() || state.sees(name.order)));
        for name in frozen.chain(live) {
            report.segments += 1;
            match self.inner.segments.get(&self.inner.store, handle.root(), name).await {
                Ok(Some(segment)) => {
                    for part in &segment.tables {
                        let key = wal::key_of(part.batch.schema_ref())?;
                        let ids = wal::column_ids(part.batch.schema_ref())?;
                        if merge::sum(&part.batch, &key, &ids)? != part.sum {
                            let path = name.path(handle.root());
                            report.problems.push(format!("{path}: its rows do not add up to its footer's sum"));
                        }
                    }
                }
                Ok(None) => report.problems.push(format!("{}: it is not there", name.path(handle.root()))),
                Err(error) => report.problems.push(error.to_string()),
            }
        }
        Ok(())
    }

    /// What a listing lacks, and one that begins later as well.
    async fn still_missing(&self, handle: &DatabaseHandle, listing: &Listing<DatabaseState>) -> Result<Option<String>> {
        let Some(suspected) = missing(handle, listing) else { return Ok(None) };
        let now = missing(handle, &handle.ledger.load(&self.inner.store).await?);
        Ok(now.filter(|now| *now == suspected))
    }

    async fn check_file(
        &self,
        handle: &DatabaseHandle,
        table: &Table,
        file: &DataFile,
        precision: Precision,
        report: &mut CheckReport,
    ) {
        let path = format!("{}{}", handle.root(), file.path);
        match self.read_sum(handle, table, file, precision).await {
            Ok(sum) if sum != file.sum => {
                report.problems.push(format!("{path}: its rows add up to {sum:?} instead of {:?}", file.sum));
            }
            Ok(_) => {}
            Err(error) => report.problems.push(format!("{path}: {error}")),
        }
    }

    /// The sum of a file's rows. Reading it through a merge of one proves that it is sorted and has
    /// no duplicates.
    async fn read_sum(
        &self,
        handle: &DatabaseHandle,
        table: &Table,
        file: &DataFile,
        precision: Precision,
    ) -> Result<Digest> {
        let schema = &table.schema;
        let ids: Vec<_> = schema.columns.iter().map(|column| column.id).collect();
        let (store, footers) = (&self.inner.store, &self.inner.footers);
        let mut rows = table::read_file(store, footers, handle.root(), file, schema, precision);
        table::verify_beginning(store, handle.root(), file).await?;
        let mut sum = Digest::default();
        while let Some(batch) = rows.try_next().await? {
            sum = sum.plus(merge::sum(&batch, &KeyColumns::of(schema), &ids)?);
        }
        Ok(sum)
    }
}
