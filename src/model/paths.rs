//! Every object name, built and parsed here and nowhere else.
//!
//! ```text
//! sys/log/<n:020>.m                                            catalog manifest n
//! sys/HINT
//! sys/probe/<version>
//! t/<tenant>/d/<database>/log/<n:020>.m                        manifest n of a database
//! t/<tenant>/d/<database>/log/<e:020>.w.<clock>-<writer>-<tables>-<number>-<before>.wal   segment of epoch e
//! t/<tenant>/d/<database>/data/<table>~<id>/<partition>/<b:020>-<ulid>.parquet
//! t/<tenant>/d/<database>/leaf/<b:020>-<ulid>                  a list of data files
//! t/<tenant>/d/<database>/HINT
//! ```
//!
//! `.m` sorts before `.w.`, and segments of epoch e before manifest e+1, so that one LIST from a
//! floor shows the live log and every newer manifest. Nothing but a segment ends in `.wal`: a store's
//! notices of new segments are to be had by that.

use super::{DatabaseId, OrderKey, TableId, TenantId, names::folder_form};

/// Root of the catalog.
pub const CATALOG_ROOT: &str = "sys/";

/// What the objects of all databases begin with.
pub const DATABASES_PREFIX: &str = "t/";

/// Where the store's probe works.
pub const PROBE_PREFIX: &str = "sys/probe/";

/// Where the result of the store's probe is kept for this version of the probe.
pub fn probe_result(version: u32) -> String {
    format!("{PROBE_PREFIX}{version}")
}

/// Root of a database, ending in `/`.
pub fn database_root(tenant: TenantId, database: DatabaseId) -> String {
    format!("t/{tenant}/d/{database}/")
}

/// Prefix of the log below a root, ending in `/`.
pub fn log_prefix(root: &str) -> String {
    format!("{root}log/")
}

/// Prefix of the data files below a root, ending in `/`.
pub fn data_prefix(root: &str) -> String {
    format!("{root}data/")
}

/// Manifest `version` below a root.
pub fn manifest(root: &str, version: u64) -> String {
    format!("{root}log/{version:020}.m")
}

/// Whether a key is a manifest's, of whatever root.
pub fn is_manifest(path: &str) -> bool {
    let name = path.rsplit_once("log/").map(|(_, name)| name);
    matches!(name.and_then(LogName::parse), Some(LogName::Manifest(_)))
}

/// A key that sorts before everything of number `number` in the log below a root.
pub fn log_before(root: &str, number: u64) -> String {
    format!("{root}log/{number:020}")
}

/// A key that sorts after manifest and segments of number `number` in the log below a root.
pub fn log_after(root: &str, number: u64) -> String {
    format!("{root}log/{number:020}.x")
}

/// The hint below a root: a copy of some recent manifest, the only object that is overwritten.
pub fn hint(root: &str) -> String {
    format!("{root}HINT")
}

/// A new data file of a table, below a root. `base` is the manifest version the job began from.
pub fn data_file(table_name: &str, table: TableId, partition: &str, base: u64, unique: &str) -> String {
    format!("data/{}~{table}/{partition}/{base:020}-{unique}.parquet", folder_form(table_name))
}

/// The manifest version that the job behind a data file began from.
pub fn data_file_base(path: &str) -> Option<u64> {
    base_of(path.rsplit('/').next()?.strip_suffix(".parquet")?)
}

/// Prefix of the lists of data files below a root, ending in `/`.
pub fn leaf_prefix(root: &str) -> String {
    format!("{root}leaf/")
}

/// A new list of data files, below a root. `base` is the manifest version the job began from.
pub fn leaf(base: u64, unique: &str) -> String {
    format!("leaf/{base:020}-{unique}")
}

/// The manifest version that the job behind a list of data files began from.
pub fn leaf_base(path: &str) -> Option<u64> {
    let (folder, name) = path.rsplit_once('/')?;
    (folder == "leaf" || folder.ends_with("/leaf")).then(|| base_of(name)).flatten()
}

fn base_of(name: &str) -> Option<u64> {
    let (base, unique) = name.split_once('-')?;
    (base.len() == 20 && !unique.is_empty()).then(|| base.parse().ok()).flatten()
}

/// Whether SiltDB gives such names to objects of the database whose root this is.
pub fn is_given(root: &str, path: &str) -> bool {
    let Some(name) = path.strip_prefix(root) else { return false };
    match name.split_once('/') {
        None => name == "HINT",
        Some(("log", rest)) => LogName::parse(rest).is_some(),
        Some(("data", _)) => data_file_base(path).is_some(),
        Some(("leaf", _)) => leaf_base(name).is_some(),
        Some(_) => false,
    }
}

/// The root of the database that an object is of, ending in `/`, and which database that is; `None` for names
/// that are not of databases.
pub fn database_of(path: &str) -> Option<(&str, TenantId, DatabaseId)> {
    let mut ends = path.match_indices('/').map(|(position, _)| position + 1);
    let root = &path[..ends.nth(3)?];
    let ["t", tenant, "d", database, ""] = *root.split('/').collect::<Vec<_>>() else { return None };
    Some((root, TenantId(tenant.parse().ok()?), DatabaseId(database.parse().ok()?)))
}

/// Name of a WAL segment: where it stands, and which tables it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentName {
    pub order: OrderKey,
    /// One bit a table (id modulo 32): a query may skip a segment whose bit is not set.
    pub tables: u32,
    /// Where it stands among the segments of its writer; none in names that SiltDB 0.1.0 gave.
    pub place: Option<RunPosition>,
}

/// Where a segment stands among those that its writer put into the same epoch. It is what tells a LIST that
/// lacks a segment from one that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunPosition {
    /// Counts from 0.
    pub number: u32,
    /// All smaller numbers had landed before this segment was sent.
    pub before: u32,
}

impl SegmentName {
    /// The bit of a table in [`SegmentName::tables`].
    pub fn table_bit(table: TableId) -> u32 {
        1 << (table.0 % 32)
    }

    pub fn may_hold(&self, table: TableId) -> bool {
        self.tables & SegmentName::table_bit(table) != 0
    }

    /// The part of the key after `log/`.
    pub fn file_name(&self) -> String {
        let OrderKey { epoch, clock, writer } = self.order;
        let place = self.place.map_or(String::new(), |place| format!("-{:08x}-{:08x}", place.number, place.before));
        format!("{epoch:020}.w.{clock:016x}-{writer:016x}-{:08x}{place}.wal", self.tables)
    }

    pub fn path(&self, root: &str) -> String {
        format!("{root}log/{}", self.file_name())
    }

    pub fn parse(file_name: &str) -> Option<SegmentName> {
        let (epoch, rest) = file_name.split_once(".w.")?;
        let mut parts = rest.strip_suffix(".wal")?.split('-');
        let (clock, writer, tables) = (parts.next()?, parts.next()?, parts.next()?);
        let place = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => None,
            (Some(number), Some(before), None) => {
                Some(RunPosition { number: hexadecimal_32(number)?, before: hexadecimal_32(before)? })
            }
            _ => return None,
        };
        if epoch.len() != 20 {
            return None;
        }
        let (clock, writer) = (hexadecimal_64(clock)?, hexadecimal_64(writer)?);
        let order = OrderKey { epoch: epoch.parse().ok()?, clock, writer };
        Some(SegmentName { order, tables: hexadecimal_32(tables)?, place })
    }
}

/// A number of exactly 16 hexadecimal digits.
fn hexadecimal_64(text: &str) -> Option<u64> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// A number of exactly 8 hexadecimal digits.
fn hexadecimal_32(text: &str) -> Option<u32> {
    (text.len() == 8).then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// What the names have in common that a segment of this order may have.
pub fn segment_pattern(order: OrderKey) -> String {
    let OrderKey { epoch, clock, writer } = order;
    format!("{epoch:020}.w.{clock:016x}-{writer:016x}-*.wal")
}

/// The database that a segment is of, by its key; `None` for whatever is not a segment.
pub fn database_of_segment(path: &str) -> Option<(TenantId, DatabaseId)> {
    let parts: Vec<&str> = path.split('/').collect();
    let ["t", tenant, "d", database, "log", name] = parts.as_slice() else { return None };
    SegmentName::parse(name)?;
    Some((TenantId(tenant.parse().ok()?), DatabaseId(database.parse().ok()?)))
}

/// Whether a path is one that a store's objects have: below `sys/`, or below a tenant's database.
pub fn is_below_store(path: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["sys", _, ..] => true,
        ["t", tenant, "d", database, _, ..] => is_number(tenant) && is_number(database),
        _ => false,
    }
}

/// Whether an object may be there before there is a store: what probes, and starts that were broken off, leave.
/// A database that no catalog names yet has had one commit.
pub fn may_precede_store(path: &str) -> bool {
    if path.starts_with(PROBE_PREFIX) {
        return true;
    }
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["t", _, "d", _, "HINT"] => is_below_store(path),
        ["t", _, "d", _, "log", name] => is_below_store(path) && LogName::parse(name) == Some(LogName::Manifest(1)),
        _ => false,
    }
}

/// What a name in a log folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogName {
    Manifest(u64),
    Segment(SegmentName),
}

impl LogName {
    /// Classifies the part of a key after `log/`; `None` for a name SiltDB did not give.
    pub fn parse(file_name: &str) -> Option<LogName> {
        if let Some(number) = file_name.strip_suffix(".m") {
            return (number.len() == 20).then(|| number.parse().ok().map(LogName::Manifest)).flatten();
        }
        SegmentName::parse(file_name).map(LogName::Segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_names_round_trip_and_sort_between_manifests() {
        let order = OrderKey { epoch: 7, clock: 0x1234, writer: u64::MAX };
        let name = SegmentName { order, tables: 5, place: Some(RunPosition { number: 300, before: 299 }) };
        for name in [name, SegmentName { place: None, ..name }] {
            assert_eq!(SegmentName::parse(&name.file_name()), Some(name));
        }
        let root = "t/1/d/2/";
        assert!(manifest(root, 7) < name.path(root));
        assert!(name.path(root) < log_after(root, 7));
        assert!(log_after(root, 7) < manifest(root, 8));
        assert!(log_before(root, 7) < manifest(root, 7));
        assert!(manifest(root, 6) < log_before(root, 7));
        assert_eq!(database_of_segment(&name.path(root)), Some((TenantId(1), DatabaseId(2))));
        for other in [manifest(root, 7), hint(root), format!("x/{}", name.path(root))] {
            assert_eq!(database_of_segment(&other), None, "{other}");
        }
        assert!(is_manifest(&manifest(root, 7)) && !is_manifest(&name.path(root)) && !is_manifest(&hint(root)));
    }

    #[test]
    fn foreign_names_are_not_classified() {
        for name in ["", "1.m", "x.w.y", "00000000000000000007.w.12-34-56.wal", "00000000000000000007.mm", ".w."] {
            assert_eq!(LogName::parse(name), None, "{name}");
        }
        assert_eq!(LogName::parse("00000000000000000007.m"), Some(LogName::Manifest(7)));
        let segment = "00000000000000000007.w.0000000000001234-00000000000000aa-00000001";
        assert_eq!(LogName::parse(segment), None);
        assert!(LogName::parse(&format!("{segment}.wal")).is_some());
        assert!(LogName::parse(&format!("{segment}-00000001-00000000.wal")).is_some());
        for wrong in ["-00000001", "-1-0", "-00000001-00000000-00000000", "-0000000g-00000000"] {
            assert_eq!(LogName::parse(&format!("{segment}{wrong}.wal")), None, "{wrong}");
        }
    }

    #[test]
    fn names_of_a_database_are_told_from_foreign_ones() {
        let root = database_root(TenantId(1), DatabaseId(2));
        let data = format!("{root}{}", data_file("cpu", TableId(9), "day=2026-11-24", 42, "01ABC"));
        for given in [manifest(&root, 7), hint(&root), data.clone(), format!("{root}{}", leaf(7, "01ABC"))] {
            assert!(is_given(&root, &given), "{given}");
            assert_eq!(database_of(&given), Some((root.as_str(), TenantId(1), DatabaseId(2))));
        }
        for foreign in ["README", "log/notes.txt", "data/x.parquet", "backup/HINT", "HINT.old", "leaf/x/7-01ABC"] {
            assert!(!is_given(&root, &format!("{root}{foreign}")), "{foreign}");
        }
        assert!(!is_given("t/1/d/3/", &data));
        for other in ["sys/HINT", "t/1/d/x/HINT", "t/1/d", "t/1/e/2/HINT"] {
            assert_eq!(database_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_data_file_tells_the_version_its_job_began_from() {
        let path = data_file("Cpu load/é", TableId(9), "day=2026-11-24", 42, "01ABC");
        assert_eq!(path, "data/cpu_load__~9/day=2026-11-24/00000000000000000042-01ABC.parquet");
        assert_eq!(data_file_base(&path), Some(42));
        assert_eq!(data_file_base("data/x/y.parquet"), None);
        assert_eq!(leaf_base(&leaf(7, "01ABC")), Some(7));
        assert_eq!(leaf_base("t/1/d/2/leaf/00000000000000000007-01ABC"), Some(7));
        assert_eq!(leaf_base("leaf/7-01ABC"), None);
        assert_eq!(leaf_base(&path), None);
    }
}
