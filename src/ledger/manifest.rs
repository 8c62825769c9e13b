//! One numbered manifest and its bytes.
//!
//! ```text
//! siltdb-manifest 1 <CRC-32C of the rest, 8 hex digits>\n
//! {"version":…,"commit":…,"parent":…,"kind":…,"recent":[…],"state":{…}}
//! ```

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use crate::model::{Code, Error, Result};

/// The format this build writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// How many earlier commits a manifest remembers.
pub const RECENT: usize = 64;

const MAGIC: &str = "siltdb-manifest";

/// 128 random bits that tell one commit from every other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommitId(pub u128);

impl fmt::Debug for CommitId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl Serialize for CommitId {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for CommitId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(CommitId).map_err(serde::de::Error::custom)
    }
}

/// Version `version` of a state, immutable once it is on the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest<S> {
    pub version: u64,
    pub commit: CommitId,
    /// Commit of version - 1; none for the first.
    pub parent: Option<CommitId>,
    /// What the commit did, for people who read the log.
    pub kind: String,
    /// The last commits before this one, oldest first.
    pub recent: Vec<(u64, CommitId)>,
    pub state: S,
}

impl<S: Serialize + DeserializeOwned> Manifest<S> {
    pub fn encode(&self) -> Result<Bytes> {
        let body = serde_json::to_vec(self)
            .map_err(|error| Error::internal(format!("manifest {} cannot be encoded: {error}", self.version)))?;
        let mut bytes = format!("{MAGIC} {FORMAT} {:08x}\n", crc32c::crc32c(&body)).into_bytes();
        bytes.extend_from_slice(&body);
        Ok(Bytes::from(bytes))
    }

    /// Reads a manifest back; `key` names the object in errors.
    pub fn decode(key: &str, bytes: &[u8]) -> Result<Self> {
        let end = bytes.iter().take(64).position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| Error::corrupt(key, "it does not begin with a manifest's header"))?;
        let header = String::from_utf8_lossy(&bytes[..end]);
        let mut words = header.split(' ');
        let (magic, format, sum) = (words.next(), words.next(), words.next());
        if magic != Some(MAGIC) {
            return Err(Error::corrupt(key, "it does not begin with a manifest's header"));
        }
        let format: u32 = format
            .and_then(|format| format.parse().ok().filter(|format| *format > 0))
            .ok_or_else(|| Error::corrupt(key, "its format number is unreadable"))?;
        if format > FORMAT {
            return Err(Error::new(
                Code::Unavailable,
                format!("{key} has format {format}, written by a newer SiltDB; this one reads up to {FORMAT}"),
            ));
        }
        let body = &bytes[end + 1..];
        if sum != Some(format!("{:08x}", crc32c::crc32c(body)).as_str()) {
            return Err(Error::corrupt(key, "its checksum does not match"));
        }
        serde_json::from_slice(body).map_err(|error| Error::corrupt(key, error))
    }

    /// Whether commit `commit` is known to be version `version` of this manifest's history. `None`
    /// when that is too long ago to tell.
    pub fn remembers(&self, version: u64, commit: CommitId) -> Option<bool> {
        if version == self.version {
            return Some(self.commit == commit);
        }
        self.recent.iter().find(|(number, _)| *number == version).map(|(_, known)| *known == commit)
    }
}
