//! What can happen to a database.

use std::sync::Arc;

use crate::model::paths::SegmentName;
use crate::model::{ColumnKind, DataFile, Digest, Error, TableId};

use super::{DatabaseState, Expired, FileList, NewColumns};

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
    /// Data files were merged into others, no two of which share a point.
    Merge {
        table: TableId,
        inputs: Vec<String>,
        outputs: Vec<DataFile>,
        /// Sum of what newer points replaced and of what was too old.
        dropped: Digest,
        base: u64,
    },
    /// Lists of data files were written as file lists.
    Pack {
        tables: Vec<Packed>,
        base: u64,
    },
    /// The files of a file list come back into the manifest, to be worked on.
    Unpack {
        table: TableId,
        leaf: String,
        files: Vec<Arc<DataFile>>,
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
    /// Data files and file lists whose every row is past the database's retention.
    Expire {
        tables: Vec<Expired>,
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
    pub consumed: Digest,
    /// Sum of what newer points replaced.
    pub dropped: Digest,
}

/// A table's new file list.
#[derive(Debug, Clone)]
pub struct Packed {
    pub table: TableId,
    pub leaf: FileList,
    /// Files of the manifest that it lists.
    pub files: Vec<String>,
    /// A file list whose files it lists too, and which it replaces.
    pub replaces: Option<String>,
}

/// The next state, or why there is none.
pub(super) type EditResult = Result<DatabaseState, EditRefusal>;

/// Why an edit does not apply to the newest state.
#[derive(Debug, Clone)]
pub enum EditRefusal {
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
            Edit::Pack { .. } => "pack",
            Edit::Unpack { .. } => "unpack",
            Edit::Define(_) => "define",
            Edit::CreateTable { .. } => "create table",
            Edit::DropTable { .. } => "drop table",
            Edit::DropDatabase => "drop database",
            Edit::Expire { .. } => "expire",
            Edit::Collect => "collect",
        }
    }
}
