//! What can happen to a database.

use crate::model::{ColumnKind, DataFile, Error, Sum, TableId};
use crate::store::paths::SegmentName;

use super::NewColumns;

/// One change, decided against an older state and applied to the newest.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Close the open epoch and open the next.
    Seal,
    /// Agree on the segments of the sealed range, as listed when it was `[floor, epoch)`.
    Freeze {
        floor: u64,
        epoch: u64,
        segments: Vec<SegmentName>,
    },
    /// The first segments of the frozen list are now in data files. `base` is the version the job
    /// began from.
    Flush {
        floor: u64,
        consumed: Vec<SegmentName>,
        base: u64,
        tables: Vec<FlushedTable>,
    },
    /// Data files were merged into one.
    Merge {
        table: TableId,
        inputs: Vec<String>,
        output: Option<Box<DataFile>>,
        dropped: Sum,
        base: u64,
    },
    /// Create what is missing of the named tables and columns.
    Define(Vec<NewColumns>),
    /// `CREATE TABLE`: tags and fields, in order.
    CreateTable {
        name: String,
        columns: Vec<(String, ColumnKind)>,
    },
    DropTable {
        name: String,
    },
    DropDatabase,
    /// Data files whose every row is past the database's retention.
    Expire {
        table: TableId,
        files: Vec<String>,
    },
    /// Raise the fence to the newest version.
    Collect,
}

/// What a flush made of one table's rows.
#[derive(Debug, Clone)]
pub struct FlushedTable {
    pub table: TableId,
    pub files: Vec<DataFile>,
    /// Sum of the segments' rows that went in.
    pub consumed: Sum,
    /// Sum of what newer points replaced.
    pub dropped: Sum,
}

/// Why an edit does not apply to the newest state.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// There is nothing to do.
    Nothing,
    /// Somebody else's commit made the job's work void; its outputs are garbage.
    Superseded,
    /// A frozen range must be flushed first.
    FlushFirst,
    /// The caller's client has to hear this.
    Invalid(Error),
}

impl Edit {
    /// As the manifest records it.
    pub fn kind(&self) -> &'static str {
        match self {
            Edit::Seal => "seal",
            Edit::Freeze { .. } => "freeze",
            Edit::Flush { .. } => "flush",
            Edit::Merge { .. } => "merge",
            Edit::Define(_) => "define",
            Edit::CreateTable { .. } => "create table",
            Edit::DropTable { .. } => "drop table",
            Edit::DropDatabase => "drop database",
            Edit::Expire { .. } => "expire",
            Edit::Collect => "collect",
        }
    }
}
