//! Which files a question can be about, from the manifest alone.

use std::ops::RangeInclusive;

use crate::model::{ColumnId, DataFile, TagRange};

/// What a query asks of one tag: that it has one of these values, or, with `None` among them, none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagFilter {
    pub id: ColumnId,
    pub values: Vec<Option<String>>,
}

/// Whether a file may hold a row within `time` (ticks, both ends included) that passes every filter.
/// Only a true "no" is said; a "yes" may be wrong.
pub fn may_match(file: &DataFile, time: &RangeInclusive<i64>, filters: &[TagFilter]) -> bool {
    let overlaps = !time.is_empty() && *time.start() <= file.max_time && file.min_time <= *time.end();
    overlaps && filters.iter().all(|filter| passes(file, filter))
}

fn passes(file: &DataFile, filter: &TagFilter) -> bool {
    let range = file.tags.iter().find(|range| range.id == filter.id);
    match range {
        // The file may know nothing of the tag though it has values; without any, all rows lack it.
        None => file.columns.contains(&filter.id) || filter.values.contains(&None),
        Some(range) => filter.values.iter().any(|value| may_hold(range, value.as_deref())),
    }
}

fn may_hold(range: &TagRange, value: Option<&str>) -> bool {
    let Some(value) = value else { return range.nulls > 0 };
    let Some(min) = &range.min else { return false };
    min.as_str() <= value && range.max.as_ref().is_none_or(|max| value <= max.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{OrderKey, OrderRange, Sum};

    fn file() -> DataFile {
        let range = |id, min: Option<&str>, max: Option<&str>, nulls| TagRange {
            id: ColumnId(id),
            min: min.map(str::to_owned),
            max: max.map(str::to_owned),
            nulls,
        };
        DataFile {
            path: String::new(),
            partition: "all".to_owned(),
            size: 1,
            tail_bytes: 1,
            rows: 10,
            min_time: 100,
            max_time: 200,
            order: OrderRange::of(OrderKey { epoch: 1, clock: 1, writer: 1 }),
            tags: vec![range(1, Some("b"), Some("d"), 0), range(2, Some("x"), None, 3), range(3, None, None, 10)],
            columns: vec![ColumnId(0), ColumnId(1), ColumnId(2), ColumnId(9)],
            sum: Sum::default(),
        }
    }

    #[test]
    fn time_bounds() {
        let file = file();
        for (time, expected) in [(0..=99, false), (0..=100, true), (200..=200, true), (201..=i64::MAX, false)] {
            assert_eq!(may_match(&file, &time, &[]), expected, "{time:?}");
        }
        #[expect(clippy::reversed_empty_ranges)]
        let empty = 150..=149;
        assert!(!may_match(&file, &empty, &[]));
    }

    #[test]
    fn tags() {
        let file = file();
        let matches = |filters: &[(u32, &[Option<&str>])]| {
            let filters: Vec<TagFilter> = filters
                .iter()
                .map(|(id, values)| TagFilter {
                    id: ColumnId(*id),
                    values: values.iter().map(|value| value.map(str::to_owned)).collect(),
                })
                .collect();
            may_match(&file, &(i64::MIN..=i64::MAX), &filters)
        };
        assert!(matches(&[(1, &[Some("b")])]));
        assert!(matches(&[(1, &[Some("a"), Some("d")])]));
        assert!(!matches(&[(1, &[Some("a"), Some("e")])]));
        assert!(!matches(&[(1, &[None])]), "no row lacks it");
        assert!(matches(&[(2, &[Some("zzz")])]), "no upper bound known");
        assert!(!matches(&[(2, &[Some("w")])]));
        assert!(matches(&[(2, &[None])]));
        assert!(!matches(&[(3, &[Some("a")])]), "all rows lack it");
        assert!(matches(&[(3, &[None])]));
        assert!(!matches(&[(4, &[Some("a")])]), "not in the file");
        assert!(matches(&[(4, &[None, Some("a")])]));
        assert!(matches(&[(9, &[Some("a")])]), "values, but no range");
        assert!(!matches(&[(1, &[Some("c")]), (2, &[Some("a")])]));
        assert!(!matches(&[(1, &[])]));
    }
}
