//! What a store may hold at the end of a month, and the table of figures that a run prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::world::{DAY, HOUR};
use crate::engine::{Database, Engine};
use crate::model::paths;
use crate::model::{Result, time::civil_from_days};
use crate::store::{Cost, ListEntry, Meter, Store};

// The bounds, all in one place. None grows with time but through the number of partitions. They are
// asserted when housekeeping has just found nothing left to do.

/// Live files of a table: one for each of its partitions and so many besides …
const FILES_BESIDE: usize = 16;
/// … and one more for every so many partitions: a file of scattered times (of a month, a year, all time)
/// stands between files of the days it spans that are older and younger than it, which then stay two.
const PARTITIONS_FOR_A_SECOND_FILE: usize = 4;
/// Partitions of a table with a retention of thirty days: its days, some in the future, and the far
/// ones that never expire.
const PARTITIONS_OF_A_RETENTION: usize = 48;
/// Manifests of a database: the hundred that are kept, and those of the last rounds.
const MANIFESTS: usize = 110;
/// Bytes of the largest manifest, however many files there are.
const MANIFEST_BYTES: u64 = 72 << 10;
/// Objects of a database that are neither live files nor manifests nor segments (hint, file lists).
const OTHER_OBJECTS: usize = 32;
/// Objects outside of databases: catalog, hint, probe.
const CATALOG_OBJECTS: usize = 16;
/// Data files that nobody names, in the midst of work: inputs of merges and outputs of lost races
/// inside the grace.
const LEFTOVERS: usize = 300;

/// What one database holds.
#[derive(Debug, Default)]
pub struct Holdings {
    pub tables: Vec<TableHoldings>,
    /// Bytes of data files, by path.
    pub stored: BTreeMap<String, u64>,
    named: BTreeSet<String>,
    manifests: Vec<u64>,
    segments: usize,
    others: Vec<String>,
}

#[derive(Debug)]
pub struct TableHoldings {
    pub name: String,
    pub files: usize,
    pub rows: u64,
    pub bytes: u64,
    pub partitions: usize,
    /// Smallest of the largest times of its files.
    pub oldest_end: i64,
}

impl Holdings {
    pub async fn of(engine: &Engine, store: &Store, database: &Database) -> Result<Holdings> {
        let snapshot = engine.snapshot(database, &[], &Arc::new(Meter::default())).await?;
        let root = paths::database_root(database.tenant, database.id);
        let mut holdings = Holdings::default();
        for name in snapshot.table_names() {
            let Some(table) = snapshot.table(&name) else { continue };
            let files = engine.files(&table).await?;
            holdings.named.extend(files.iter().map(|file| format!("{root}{}", file.path)));
            holdings.tables.push(TableHoldings {
                name,
                files: files.len(),
                rows: files.iter().map(|file| file.rows).sum(),
                bytes: files.iter().map(|file| file.size).sum(),
                partitions: files.iter().map(|file| file.partition.as_str()).collect::<BTreeSet<_>>().len(),
                oldest_end: files.iter().map(|file| file.max_time).min().unwrap_or(i64::MAX),
            });
        }
        let prefixes = (paths::log_prefix(&root), paths::data_prefix(&root));
        for entry in store.list(&root, None).await? {
            holdings.sort_in(entry, &prefixes);
        }
        Ok(holdings)
    }

    fn sort_in(&mut self, entry: ListEntry, (log, data): &(String, String)) {
        match entry.path.strip_prefix(log).and_then(paths::LogName::parse) {
            Some(paths::LogName::Manifest(_)) => self.manifests.push(entry.size),
            Some(paths::LogName::Segment(_)) => self.segments += 1,
            None if entry.path.starts_with(data) => drop(self.stored.insert(entry.path, entry.size)),
            None => self.others.push(entry.path),
        }
    }

    pub fn unnamed(&self) -> impl Iterator<Item = &String> {
        self.stored.keys().filter(|path| !self.named.contains(*path))
    }

    fn largest_manifest(&self) -> u64 {
        self.manifests.iter().copied().max().unwrap_or(0)
    }

    /// What is too much in the midst of work.
    pub fn excesses_at_work(&self) -> Vec<String> {
        let unnamed = self.unnamed().count();
        let mut excesses = Vec::new();
        if unnamed > LEFTOVERS {
            excesses.push(format!("{unnamed} data files that nobody names, {LEFTOVERS} may be there"));
        }
        excesses
    }

    /// What is too much once housekeeping found nothing left to do.
    pub fn excesses(&self, ttl: Option<i64>, now: i64) -> Vec<String> {
        let mut excesses = Vec::new();
        let mut at_most = |what: String, found: u64, bound: u64| {
            if found > bound {
                excesses.push(format!("{found} {what}, {bound} may be there"));
            }
        };
        for table in &self.tables {
            let bound = table.partitions + table.partitions / PARTITIONS_FOR_A_SECOND_FILE + FILES_BESIDE;
            let what = format!("live files of table '{}' in {} partitions", table.name, table.partitions);
            at_most(what, table.files as u64, bound as u64);
            if ttl.is_some() {
                let what = format!("partitions of table '{}' in spite of its retention", table.name);
                at_most(what, table.partitions as u64, PARTITIONS_OF_A_RETENTION as u64);
            }
        }
        at_most("manifests".to_owned(), self.manifests.len() as u64, MANIFESTS as u64);
        at_most("bytes in the largest manifest".to_owned(), self.largest_manifest(), MANIFEST_BYTES);
        at_most("segments in the tail".to_owned(), self.segments as u64, 0);
        let unnamed: Vec<&String> = self.unnamed().collect();
        let example = unnamed.first().map_or(String::new(), |path| format!(" (like {path})"));
        at_most(format!("data files that nobody names{example}"), unnamed.len() as u64, 0);
        at_most(format!("other objects: {:?}", self.others), self.others.len() as u64, OTHER_OBJECTS as u64);
        excesses.extend(ttl.into_iter().flat_map(|ttl| self.expired(now - ttl)));
        excesses
    }

    /// Live files, and objects by the day in their names, that should have gone with the retention.
    fn expired(&self, horizon: i64) -> Vec<String> {
        let late = |table: &&TableHoldings| table.oldest_end < horizon - HOUR;
        let tables = self.tables.iter().filter(late);
        let mut excesses: Vec<String> = tables
            .map(|table| format!("table '{}' has a file whose every row is past the retention", table.name))
            .collect();
        let (year, month, day) = civil_from_days((horizon - HOUR).div_euclid(DAY));
        let first = format!("day={year:04}-{month:02}-{day:02}");
        let partition = |path: &&String| path.split('/').find(|folder| folder.starts_with("day=")).map(str::to_owned);
        let gone = |path: &&String| partition(path).is_some_and(|partition| partition < first);
        excesses.extend(self.stored.keys().filter(gone).map(|path| format!("{path} is of before {first}")));
        excesses
    }
}

/// Objects outside of databases that are too many.
pub async fn catalog_excess(store: &Store) -> Result<Option<String>> {
    let objects = store.list(paths::CATALOG_ROOT, None).await?.len();
    Ok((objects > CATALOG_OBJECTS).then(|| format!("{objects} objects of the catalog, {CATALOG_OBJECTS} may be there")))
}

/// Figures of one month.
#[derive(Debug)]
pub struct Month {
    pub name: String,
    /// Objects in the store in the midst of work, and when all was done.
    pub objects: (usize, usize),
    pub bytes: u64,
    /// Bytes of data files written since the beginning.
    pub written: u64,
    pub holdings: Vec<Holdings>,
    /// What the processes asked of the store this month.
    pub cost: Cost,
}

pub const HEADING: &str = "month      rows files partitions   peak objects | at rest: KiB    live  \
written  /live | manifest  KiB | this month: puts     gets   lists deletes  MiB up";

impl fmt::Display for Month {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = || self.holdings.iter().flat_map(|holdings| &holdings.tables);
        let live: u64 = tables().map(|table| table.bytes).sum();
        write!(
            formatter,
            "{} {:>7} {:>5} {:>10} {:>6} {:>7} | {:>12} {:>7} {:>8} {:>6.1} | {:>8} {:>4} | {:>16} {:>8} {:>7} {:>7} {:>7.1}",
            self.name,
            tables().map(|table| table.rows).sum::<u64>(),
            tables().map(|table| table.files).sum::<usize>(),
            tables().map(|table| table.partitions).sum::<usize>(),
            self.objects.0,
            self.objects.1,
            self.bytes >> 10,
            live >> 10,
            self.written >> 10,
            self.written as f64 / live.max(1) as f64,
            self.holdings.iter().map(|holdings| holdings.manifests.len()).sum::<usize>(),
            self.holdings.iter().map(Holdings::largest_manifest).max().unwrap_or(0) >> 10,
            self.cost.puts,
            self.cost.gets,
            self.cost.lists,
            self.cost.deletes,
            self.cost.bytes_written as f64 / f64::from(1 << 20),
        )
    }
}
