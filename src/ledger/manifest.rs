//! One numbered manifest and its bytes.
//!
//! ```text
//! siltdb-manifest 4 plain|zstd <CRC-32C of the rest, 8 hex digits>\n
//! {"version":…,"commit":…,"parent":…,"kind":…,"recent":[…]}\n
//! head of the state, one line\n
//! a part of the state, one line\n …
//! ```
//!
//! What the state says of itself and what its parts are is the state's own affair ([`LedgerState`]). All but
//! small manifests are compressed.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::LedgerState;
use crate::model::{Code, Error, Result};

/// The format this build writes. Format 4 allows numbered names of segments, which programs that know only
/// format 3 would not see.
pub const FORMAT: u32 = 4;

/// The oldest format that this build reads: what follows a manifest of it is written in the newest.
const OLDEST_FORMAT: u32 = 3;

/// Longer texts are compressed, bytes.
const PLAIN_BYTES: usize = 64 << 10;
/// Longer texts are refused, bytes.
const LARGEST_BYTES: u64 = 1 << 30;

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
#[derive(Debug, Clone)]
pub struct Manifest<S> {
    /// The format it was written in.
    pub format: u32,
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

/// A manifest's first line: which commit it is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ManifestHeader {
    pub version: u64,
    pub commit: CommitId,
    pub parent: Option<CommitId>,
    kind: String,
    recent: Vec<(u64, CommitId)>,
}

/// Whether a manifest is known to descend from commit `commit` of version `version`; `None` when that is too long
/// ago to tell.
fn remembers(recent: &[(u64, CommitId)], version: u64, commit: CommitId) -> Option<bool> {
    recent.iter().find(|(number, _)| *number == version).map(|(_, known)| *known == commit)
}

impl ManifestHeader {
    /// As [`Manifest::remembers`], of earlier versions.
    pub fn remembers(&self, version: u64, commit: CommitId) -> Option<bool> {
        remembers(&self.recent, version, commit)
    }

    /// Reads no more than which commit a manifest is of.
    pub fn decode(key: &str, bytes: &[u8]) -> Result<ManifestHeader> {
        let (_, text) = text(key, bytes)?;
        let line = text.lines().next().unwrap_or_default();
        serde_json::from_str(line).map_err(|error| Error::corrupt(key, error))
    }
}

impl<S: LedgerState> Manifest<S> {
    pub fn encode(&self) -> Result<Bytes> {
        let failed = |error: String| Error::internal(format!("manifest {} cannot be encoded: {error}", self.version));
        let head = ManifestHeader {
            version: self.version,
            commit: self.commit,
            parent: self.parent,
            kind: self.kind.clone(),
            recent: self.recent.clone(),
        };
        let mut text = serde_json::to_string(&head).map_err(|error| failed(error.to_string()))?;
        let (state, parts) = self.state.encode().map_err(failed)?;
        for line in std::iter::once(state.as_str()).chain(parts.iter().map(AsRef::as_ref)) {
            text.push('\n');
            text.push_str(line);
        }
        let (form, body) = if text.len() > PLAIN_BYTES {
            ("zstd", zstd::bulk::compress(text.as_bytes(), 1).map_err(|error| failed(error.to_string()))?)
        } else {
            ("plain", text.into_bytes())
        };
        let mut bytes = format!("{MAGIC} {} {form} {:08x}\n", self.format, crc32c::crc32c(&body)).into_bytes();
        bytes.extend_from_slice(&body);
        Ok(Bytes::from(bytes))
    }

    /// Reads a manifest back; `key` names the object in errors. What it shares with the state `before`
    /// it is taken from there.
    pub fn decode(key: &str, bytes: &[u8], before: Option<&S>) -> Result<Self> {
        let (format, text) = text(key, bytes)?;
        let mut lines = text.split('\n');
        let head: ManifestHeader =
            serde_json::from_str(lines.next().unwrap_or_default()).map_err(|error| Error::corrupt(key, error))?;
        let state = lines.next().ok_or_else(|| Error::corrupt(key, "it holds no state"))?;
        let parts: Vec<&str> = lines.collect();
        let state = S::decode(state, &parts, before).map_err(|error| Error::corrupt(key, error))?;
        let ManifestHeader { version, commit, parent, kind, recent } = head;
        Ok(Manifest { format, version, commit, parent, kind, recent, state })
    }

    /// Whether all that can read this manifest know segments by their places too.
    pub fn knows_places(&self) -> bool {
        self.format >= 4
    }

    /// Whether commit `commit` is known to be version `version` of this manifest's history. `None`
    /// when that is too long ago to tell.
    pub fn remembers(&self, version: u64, commit: CommitId) -> Option<bool> {
        if version == self.version {
            return Some(self.commit == commit);
        }
        remembers(&self.recent, version, commit)
    }
}

/// A manifest's format and the text behind its header, whose checksum it verifies.
fn text<'a>(key: &str, bytes: &'a [u8]) -> Result<(u32, Cow<'a, str>)> {
    let end = bytes.iter().take(64).position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| Error::corrupt(key, "it does not begin with a manifest's header"))?;
    let header = String::from_utf8_lossy(&bytes[..end]);
    let mut words = header.split(' ');
    let (magic, format, form, sum) = (words.next(), words.next(), words.next(), words.next());
    if magic != Some(MAGIC) {
        return Err(Error::corrupt(key, "it does not begin with a manifest's header"));
    }
    let format: u32 = format
        .and_then(|format| format.parse().ok().filter(|format| *format > 0))
        .ok_or_else(|| Error::corrupt(key, "its format number is unreadable"))?;
    if !(OLDEST_FORMAT..=FORMAT).contains(&format) {
        let whose = if format > FORMAT { "a newer SiltDB" } else { "a SiltDB before the first release" };
        return Err(Error::new(
            Code::Unavailable,
            format!(
                "{key} has format {format}, written by {whose}, unless its first line is damaged; this one reads \
                 {OLDEST_FORMAT} to {FORMAT}"
            ),
        ));
    }
    let body = &bytes[end + 1..];
    if sum != Some(format!("{:08x}", crc32c::crc32c(body)).as_str()) {
        return Err(Error::corrupt(key, "its checksum does not match"));
    }
    let text = match form {
        Some("plain") => std::str::from_utf8(body).map(Cow::Borrowed).map_err(|error| Error::corrupt(key, error)),
        Some("zstd") => {
            let text = decompress(body).map_err(|error| Error::corrupt(key, error))?;
            String::from_utf8(text).map(Cow::Owned).map_err(|error| Error::corrupt(key, error))
        }
        _ => Err(Error::corrupt(key, "it is neither plain nor zstd")),
    };
    text.map(|text| (format, text))
}

/// What was compressed by zstd, unless it is absurdly long.
pub fn decompress(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(body)?;
    if decoder.take(LARGEST_BYTES + 1).read_to_end(&mut text)? as u64 > LARGEST_BYTES {
        return Err(std::io::Error::other("it is longer than a gibibyte"));
    }
    Ok(text)
}
