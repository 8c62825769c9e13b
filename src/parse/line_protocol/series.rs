//! Series met before in the body. Most bodies write to the same series again and again; then
//! table and tags of a line are one look-up of their text instead of a dozen.

use super::hash::KeyMap;

/// Look-ups before it is decided whether remembering pays.
const TRIAL: usize = 1_024;
/// Remembering pays if at least one look-up in so many finds something.
const WORTHWHILE: usize = 8;

/// A table, and values of its tags: pairs of column and dictionary key.
#[derive(Debug, Default)]
pub(super) struct SeriesCache<'a> {
    /// From table and tags as written.
    known: KeyMap<'a, CachedSeries>,
    tags: Vec<(usize, i32)>,
    lookups: usize,
    found: usize,
}

/// One series: its table and its span of `SeriesCache::tags`.
#[derive(Debug, Clone, Copy)]
pub(super) struct CachedSeries {
    pub(super) table: usize,
    from: usize,
    to: usize,
}

impl<'a> SeriesCache<'a> {
    /// Whether remembering still pays.
    #[inline]
    pub(super) fn pays(&self) -> bool {
        self.lookups < TRIAL || self.found * WORTHWHILE >= self.lookups
    }

    #[inline]
    pub(super) fn get(&mut self, raw: &[u8]) -> Option<CachedSeries> {
        self.lookups += 1;
        let series = self.known.get(raw).copied()?;
        self.found += 1;
        Some(series)
    }

    #[inline]
    pub(super) fn tags(&self, series: CachedSeries) -> &[(usize, i32)] {
        &self.tags[series.from..series.to]
    }

    pub(super) fn insert(&mut self, raw: &'a [u8], table: usize, tags: &[(usize, i32)]) {
        let from = self.tags.len();
        self.tags.extend_from_slice(tags);
        self.known.insert(raw, CachedSeries { table, from, to: self.tags.len() });
    }
}
