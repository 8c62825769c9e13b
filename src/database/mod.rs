//! One database's manifest: its tables, columns, data files and epochs, and the closed list of
//! edits that turn one state into the next.
//!
//! In: a state and an [`Edit`]. Out: the next state, or a [`EditRefusal`]. Invariants: those of the
//! crate's front page that speak of one manifest (I5, I7, I12, I16), checked by [`invariants`] on
//! every commit. Never: bytes of segments or Parquet, the store, anything asynchronous.

mod apply;
mod edit;
mod file_list;
mod files;
mod invariants;
mod plan;
mod schema_changes;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::paths::SegmentName;
use crate::model::{DataFile, DatabaseId, DatabaseOptions, Digest, OrderKey, TableId, TableSchema, TenantId};

pub use apply::apply;
pub use edit::{Edit, EditRefusal, FlushedTable, Packed};
pub use file_list::{FileList, decode_leaf, encode_leaf};
pub use invariants::{file_violations, violations};
pub use plan::{
    Expired, MergeJob, PackJob, Rules, Sizes, UnpackJob, expired_files, horizon, is_worth_unpacking, merge_jobs,
    pack_jobs, unpack_jobs,
};
pub use schema_changes::{NewColumns, Resolution, resolve};

use text::Text;

/// Everything a database is, but for the points themselves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatabaseState {
    pub tenant: TenantId,
    pub id: DatabaseId,
    pub options: DatabaseOptions,
    /// The open epoch: number of the manifest that opened it.
    pub epoch: u64,
    /// Epochs below it are settled in data files. `[floor, epoch)` is the sealed range, if any.
    pub floor: u64,
    /// The segments of the sealed range, once they are agreed on.
    #[serde(with = "frozen_names")]
    pub frozen: Option<Vec<SegmentName>>,
    /// Jobs that began from an earlier version than this can no longer commit.
    pub gc_fence: u64,
    pub next_table: u64,
    /// By name. In a manifest's text each is a part of its own.
    #[serde(skip)]
    pub tables: BTreeMap<String, Arc<Table>>,
    /// Dropped: nothing may be written or read any more.
    pub dropped: bool,
}

/// One incarnation of a table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    pub id: TableId,
    pub schema: TableSchema,
    pub next_column: u32,
    /// Live data files that the manifest itself describes: the young ones, and those being worked on.
    #[serde(with = "shared_files")]
    pub files: Vec<Arc<DataFile>>,
    /// The other live data files, as lists in objects of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<FileList>,
    /// Sum of all segment rows ever settled: always the sum of the live files plus `dropped`.
    pub settled: Digest,
    /// Sum of what newer points replaced and of what expired.
    pub dropped: Digest,
    #[serde(skip)]
    text: Text,
}

impl DatabaseState {
    /// A new, empty database; its first manifest opens epoch 1.
    pub fn new(tenant: TenantId, id: DatabaseId, options: DatabaseOptions) -> Self {
        DatabaseState {
            tenant,
            id,
            options,
            epoch: 1,
            floor: 1,
            frozen: None,
            gc_fence: 0,
            next_table: 1,
            tables: BTreeMap::new(),
            dropped: false,
        }
    }

    /// Whether a range of epochs is sealed and waits to be settled.
    pub fn is_sealed(&self) -> bool {
        self.floor < self.epoch
    }

    pub fn table_by_id(&self, id: TableId) -> Option<(&String, &Arc<Table>)> {
        self.tables.iter().find(|(_, table)| table.id == id)
    }

    /// Whether a listed segment is part of what a query sees in this state. Sealed ranges count
    /// only once they are frozen.
    pub fn sees(&self, order: OrderKey) -> bool {
        order.epoch == self.epoch
    }
}

/// Segment names as the text of their keys.
mod frozen_names {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::SegmentName;

    pub fn serialize<S: Serializer>(names: &Option<Vec<SegmentName>>, serializer: S) -> Result<S::Ok, S::Error> {
        names.as_ref().map(|names| names.iter().map(SegmentName::file_name).collect::<Vec<_>>()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<SegmentName>>, D::Error> {
        let Some(names) = Option::<Vec<String>>::deserialize(deserializer)? else { return Ok(None) };
        let parse = |name: &String| {
            SegmentName::parse(name).ok_or_else(|| D::Error::custom(format!("{name:?} is no segment's name")))
        };
        names.iter().map(parse).collect::<Result<Vec<_>, _>>().map(Some)
    }
}

/// Files behind shared pointers: a commit copies pointers, not descriptions.
mod shared_files {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::DataFile;

    pub fn serialize<S: Serializer>(files: &[Arc<DataFile>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(files.iter().map(Arc::as_ref))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Arc<DataFile>>, D::Error> {
        Ok(Vec::<DataFile>::deserialize(deserializer)?.into_iter().map(Arc::new).collect())
    }
}
