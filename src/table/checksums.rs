//! Checksums of a data file's pages.
//!
//! ```text
//! row groups, as ever
//! a CRC-32C of each page with its header, 4 bytes little endian, in the order of the pages ┐
//! page index                                                                              │ the tail
//! footer, in which `siltdb.page_crc32c` says at which byte these checksums begin           ┘
//! ```
//!
//! The tail's own CRC-32C is in the manifest, whose bytes have one, too: so each byte that a reader
//! believes is covered, from the manifest down to the page. They are not in the page headers, where
//! Parquet has a place for them, because those would stay uncovered. Other readers skip them.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use parquet::{
    arrow::arrow_writer::{InMemoryPageStore, PageKey, PageStore, PageStoreArgs, PageStoreFactory},
    errors::ParquetError,
    file::metadata::{ColumnChunkMetaData, KeyValue, ParquetMetaData},
};

use super::missing;
use crate::{
    model::{DataFile, Error, Result},
    store::Store,
};

/// The footer's entry that says where the checksums begin, decimal.
const ENTRY: &str = "siltdb.page_crc32c";
/// Bytes at the beginning of a Parquet file, before its first page.
const MAGIC: &[u8] = b"PAR1";
/// Bytes of a checksum.
const WIDTH: usize = size_of::<u32>();

/// Sums up the pages that go into a file, on their way. Clones share what they found.
#[derive(Debug, Clone, Default)]
pub(super) struct PageSummer(Arc<Mutex<Vec<PageSum>>>);

#[derive(Debug, Clone, Copy)]
struct PageSum {
    bytes: u64,
    crc: u32,
}

impl PageSummer {
    fn pages(&self) -> MutexGuard<'_, Vec<PageSum>> {
        // A push leaves the list whole, whatever happens elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The checksums of all pages so far, as they go into the file.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.pages().iter().flat_map(|page| page.crc.to_le_bytes()).collect()
    }

    /// The footer's entry for checksums that begin at a byte of the file.
    pub(super) fn entry(begin: u64) -> KeyValue {
        KeyValue::new(ENTRY.to_owned(), begin.to_string())
    }

    /// Verifies that the pages it saw are those that the file's footer describes.
    pub(super) fn verify(&self, metadata: &ParquetMetaData) -> Result<()> {
        let ends = page_ends(metadata)?;
        let begins = std::iter::once(MAGIC.len() as u64).chain(ends.iter().copied());
        let described = begins.zip(&ends).map(|(begin, end)| end - begin);
        if described.eq(self.pages().iter().map(|page| page.bytes)) {
            return Ok(());
        }
        Err(Error::internal("the pages that were summed up are not those of the footer"))
    }
}

impl PageStoreFactory for PageSummer {
    fn create(&self, _: &PageStoreArgs<'_>) -> Result<Box<dyn PageStore>, ParquetError> {
        Ok(Box::new(SummedPages { pages: InMemoryPageStore::default(), header: None, summer: self.clone() }))
    }
}

/// The pages of a column chunk. They are taken out in the order of the file, each as its header and
/// what follows that.
struct SummedPages {
    pages: InMemoryPageStore,
    /// Of the page whose header was taken.
    header: Option<PageSum>,
    summer: PageSummer,
}

impl PageStore for SummedPages {
    fn put(&mut self, value: Bytes) -> Result<PageKey, ParquetError> {
        self.pages.put(value)
    }

    fn take(&mut self, key: PageKey) -> Result<Bytes, ParquetError> {
        let part = self.pages.take(key)?;
        let before = self.header.take();
        let PageSum { bytes, crc } = before.unwrap_or(PageSum { bytes: 0, crc: 0 });
        let sum = PageSum { bytes: bytes + part.len() as u64, crc: crc32c::crc32c_append(crc, &part) };
        match before {
            None => self.header = Some(sum),
            Some(_) => self.summer.pages().push(sum),
        }
        Ok(part)
    }

    fn memory_size(&self) -> usize {
        self.pages.memory_size()
    }
}

/// Where the pages of a file end, ascending. The first begins behind the magic, each later one where
/// the one before ends. A dictionary counts as a page.
fn page_ends(metadata: &ParquetMetaData) -> Result<Vec<u64>> {
    let refuse = || Error::internal("its pages do not follow each other without gaps");
    let index = metadata.offset_index().ok_or_else(refuse)?;
    let mut ends = Vec::new();
    let mut end = MAGIC.len() as u64;
    for (group, index) in metadata.row_groups().iter().zip(index) {
        for (chunk, index) in group.columns().iter().zip(index) {
            let range = chunk_range(chunk);
            if range.start != end {
                return Err(refuse());
            }
            for page in index.page_locations() {
                let begin = u64::try_from(page.offset).ok().filter(|begin| *begin >= end).ok_or_else(refuse)?;
                if begin > end {
                    // Only a dictionary has no place in the index: it comes before the first page.
                    if end > range.start {
                        return Err(refuse());
                    }
                    ends.push(begin);
                }
                end = u64::try_from(page.compressed_page_size).map(|bytes| begin + bytes).map_err(|_| refuse())?;
                ends.push(end);
            }
            if end != range.end {
                return Err(refuse());
            }
        }
    }
    Ok(ends)
}

/// The bytes of a column chunk.
pub(super) fn chunk_range(chunk: &ColumnChunkMetaData) -> Range<u64> {
    let (start, length) = chunk.byte_range();
    start..start + length
}

/// Where the page index begins: the writer puts it behind all data, before the footer.
fn index_start(metadata: &ParquetMetaData) -> Option<u64> {
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    let offsets = chunks.flat_map(|chunk| [chunk.column_index_offset(), chunk.offset_index_offset()]);
    offsets.flatten().min().and_then(|offset| u64::try_from(offset).ok())
}

/// Verifies the only bytes of a file that no reader needs, for who wants to know of all damage.
///
/// Errors: the store's; [`Code::Corrupt`](crate::model::Code::Corrupt) if they are not what they should be, or
/// the object is not there.
pub async fn verify_beginning(store: &Store, root: &str, file: &DataFile) -> Result<()> {
    let path = format!("{root}{}", file.path);
    match store.get_range(&path, 0..MAGIC.len() as u64).await? {
        None => Err(missing(&path)),
        Some(bytes) if bytes == MAGIC => Ok(()),
        Some(_) => Err(Error::corrupt(&path, "it does not begin as a Parquet file")),
    }
}

/// Verifies a file's tail against the manifest, if that knows its checksum.
///
/// Errors: [`Code::Corrupt`](crate::model::Code::Corrupt).
pub(super) fn verify_tail(path: &str, file: &DataFile, tail: &[u8]) -> Result<()> {
    match file.tail_crc {
        Some(crc) if crc != crc32c::crc32c(tail) => {
            Err(Error::corrupt(path, "its footer does not match the checksum in the manifest"))
        }
        _ => Ok(()),
    }
}

/// The checksums of a file's pages, as its tail has them.
#[derive(Debug)]
pub(super) struct PageChecksums {
    /// Where each page ends, ascending.
    ends: Vec<u64>,
    /// One a page.
    crcs: Vec<u32>,
}

impl PageChecksums {
    /// Those of a file's tail; none if it was written before there were checksums. `metadata` is what
    /// the tail holds besides.
    ///
    /// Errors: [`Code::Corrupt`](crate::model::Code::Corrupt) if they are not there, or not one a page.
    pub(super) fn read(
        path: &str,
        file: &DataFile,
        tail: &[u8],
        metadata: &ParquetMetaData,
    ) -> Result<Option<PageChecksums>> {
        let entries = metadata.file_metadata().key_value_metadata().into_iter().flatten();
        let Some(entry) = entries.into_iter().find(|entry| entry.key == ENTRY) else {
            return match file.tail_crc {
                None => Ok(None),
                Some(_) => Err(Error::corrupt(path, format!("its footer has no entry {ENTRY}"))),
            };
        };
        let tail_begin = file.size.saturating_sub(tail.len() as u64);
        let place = |byte: u64| usize::try_from(byte.checked_sub(tail_begin)?).ok();
        let begin = entry.value.as_deref().and_then(|begin| place(begin.parse().ok()?));
        let end = index_start(metadata).and_then(place);
        let encoded = begin.zip(end).and_then(|(begin, end)| tail.get(begin..end));
        let ends = page_ends(metadata).map_err(|error| Error::corrupt(path, error))?;
        let encoded = encoded.filter(|encoded| encoded.len() == ends.len() * WIDTH);
        let encoded = encoded.ok_or_else(|| Error::corrupt(path, "it does not have one checksum a page"))?;
        let crcs = encoded.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        Ok(Some(PageChecksums { ends, crcs }))
    }

    /// Bytes of memory it holds.
    pub(super) fn memory_size(&self) -> usize {
        self.ends.len() * size_of::<u64>() + self.crcs.len() * WIDTH
    }

    /// Verifies the pages of a range of the file, which has to begin and end as pages do. The error is
    /// the byte at which a damaged page begins; none if the range cuts a page.
    pub(super) fn verify(&self, range: &Range<u64>, bytes: &[u8]) -> Result<(), Option<u64>> {
        let mut page = self.ends.partition_point(|end| *end <= range.start);
        let mut begin = if page == 0 { MAGIC.len() as u64 } else { self.ends[page - 1] };
        let mut rest = bytes;
        if begin != range.start {
            return Err(None);
        }
        while !rest.is_empty() {
            let end = *self.ends.get(page).ok_or(None)?;
            let length = usize::try_from(end - begin).map_err(|_| None)?;
            let (bytes, after) = rest.split_at_checked(length).ok_or(None)?;
            if crc32c::crc32c(bytes) != self.crcs[page] {
                return Err(Some(begin));
            }
            (page, begin, rest) = (page + 1, end, after);
        }
        Ok(())
    }
}
