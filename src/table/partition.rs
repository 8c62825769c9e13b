//! Partitions: the spans of time, in UTC, that data files keep to.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::take_record_batch,
};

use super::layout::ticks;
use crate::model::{Error, Precision, Result, time::civil_from_days};

/// What one partition spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    Day,
    Month,
    Year,
    /// All time in one partition, `all`.
    All,
}

/// The most partitions that one flush writes files into.
pub const MAXIMUM_PARTITIONS: usize = 64;

/// The folder of the partition that holds a time: `day=2026-11-24`, `month=2026-11`, `year=2026` or
/// `all`. Years before 0 begin with `-`, those after 9999 have as many digits as they need. Any
/// 64-bit time is good.
pub fn partition_of(ticks: i64, precision: Precision, span: Span) -> String {
    folder(number(ticks.div_euclid(precision.ticks_per_day()), span), span)
}

/// The finest span with which the rows touch at most [`MAXIMUM_PARTITIONS`] partitions, so that a
/// back-fill of scattered points does not become a file a day. `times` are ticks, batch by batch.
pub fn choose_span<'a>(times: impl IntoIterator<Item = &'a [i64]>, precision: Precision) -> Span {
    let mut span = Span::Day;
    let mut touched: BTreeSet<i64> = BTreeSet::new();
    let mut last_day = None;
    for ticks in times {
        for ticks in ticks {
            let day = ticks.div_euclid(precision.ticks_per_day());
            if last_day.replace(day) == Some(day) {
                continue;
            }
            touched.insert(number(day, span));
            while touched.len() > MAXIMUM_PARTITIONS {
                (span, touched) = coarser(span, &touched);
            }
        }
    }
    span
}

/// Cuts a batch into one for each partition it touches, the earliest first. Rows keep their order;
/// a batch that lies in one partition is returned as it is. `time` is the time column's position.
pub fn split_by_partition(
    batch: &RecordBatch,
    time: usize,
    precision: Precision,
    span: Span,
) -> Result<Vec<(String, RecordBatch)>> {
    let mut rows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    let mut last: Option<(i64, i64)> = None;
    let ticks = ticks(batch, time)?;
    let number_of = |ticks: i64| number(ticks.div_euclid(precision.ticks_per_day()), span);
    let (Some(first), Some(end)) = (ticks.iter().min(), ticks.iter().max()) else { return Ok(Vec::new()) };
    if number_of(*first) == number_of(*end) {
        return Ok(vec![(folder(number_of(*first), span), batch.clone())]);
    }
    for (row, ticks) in ticks.iter().enumerate() {
        let day = ticks.div_euclid(precision.ticks_per_day());
        let number = match last {
            Some((last_day, number)) if last_day == day => number,
            _ => number(day, span),
        };
        last = Some((day, number));
        let row = u32::try_from(row).map_err(|_| Error::internal(format!("a batch of {} rows", batch.num_rows())))?;
        rows.entry(number).or_default().push(row);
    }
    let cut = |(number, rows): (i64, Vec<u32>)| Ok((folder(number, span), pick(batch, rows)?));
    rows.into_iter().map(cut).collect()
}

/// The given rows, ascending, of a batch: without a copy where they lie together.
fn pick(batch: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch> {
    if let (Some(first), Some(last)) = (rows.first(), rows.last())
        && (last - first) as usize + 1 == rows.len()
    {
        return Ok(batch.slice(*first as usize, rows.len()));
    }
    Ok(take_record_batch(batch, &UInt32Array::from(rows))?)
}

/// The next coarser span, and the partitions of it that hold the given ones.
fn coarser(span: Span, touched: &BTreeSet<i64>) -> (Span, BTreeSet<i64>) {
    match span {
        Span::Day => (Span::Month, touched.iter().map(|day| number(*day, Span::Month)).collect()),
        Span::Month => (Span::Year, touched.iter().map(|month| month.div_euclid(12)).collect()),
        Span::Year | Span::All => (Span::All, BTreeSet::from([0])),
    }
}

/// The number of the partition of a day: days since 1970, months or years since the year 0.
fn number(day: i64, span: Span) -> i64 {
    match span {
        Span::Day => day,
        Span::Month => {
            let (year, month, _) = civil_from_days(day);
            year * 12 + month - 1
        }
        Span::Year => civil_from_days(day).0,
        Span::All => 0,
    }
}

fn folder(number: i64, span: Span) -> String {
    match span {
        Span::Day => {
            let (year, month, day) = civil_from_days(number);
            format!("day={}-{month:02}-{day:02}", four_digits(year))
        }
        Span::Month => format!("month={}-{:02}", four_digits(number.div_euclid(12)), number.rem_euclid(12) + 1),
        Span::Year => format!("year={}", four_digits(number)),
        Span::All => "all".to_owned(),
    }
}

fn four_digits(year: i64) -> String {
    let sign = if year < 0 { "-" } else { "" };
    format!("{sign}{:04}", year.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn folders_of_ordinary_and_extreme_times() {
        let now = 20_781 * DAY + DAY - 1;
        let folder = |ticks, precision, span| partition_of(ticks, precision, span);
        assert_eq!(folder(now, Precision::Millisecond, Span::Day), "day=2026-11-24");
        assert_eq!(folder(now, Precision::Millisecond, Span::Month), "month=2026-11");
        assert_eq!(folder(now, Precision::Millisecond, Span::Year), "year=2026");
        assert_eq!(folder(now, Precision::Millisecond, Span::All), "all");
        assert_eq!(folder(-1, Precision::Nanosecond, Span::Day), "day=1969-12-31");
        assert_eq!(folder(i64::MIN, Precision::Nanosecond, Span::Day), "day=1677-09-21");
        assert_eq!(folder(i64::MAX, Precision::Nanosecond, Span::Day), "day=2262-04-11");
        assert_eq!(folder(i64::MAX, Precision::Microsecond, Span::Day), "day=294247-01-10");
        assert_eq!(folder(i64::MIN, Precision::Microsecond, Span::Month), "month=-290308-12");
        assert_eq!(folder(i64::MAX, Precision::Millisecond, Span::Day), "day=292278994-08-17");
        assert_eq!(folder(i64::MIN, Precision::Millisecond, Span::Year), "year=-292275055");
    }

    fn batch(days: impl IntoIterator<Item = i64>) -> RecordBatch {
        use arrow::array::{ArrayRef, TimestampMillisecondArray};
        let time = TimestampMillisecondArray::from_iter_values(days.into_iter().map(|day| day * DAY + 5));
        RecordBatch::try_from_iter([("time", std::sync::Arc::new(time) as ArrayRef)]).unwrap()
    }

    #[test]
    fn the_span_is_the_finest_that_touches_few_partitions() {
        let choose = |days: Vec<i64>| choose_span([ticks(&batch(days), 0).unwrap()], Precision::Millisecond);
        assert_eq!(choose(vec![]), Span::Day);
        assert_eq!(choose((0..64).map(|day| day * 1_000).collect()), Span::Day);
        assert_eq!(choose((0..65).collect()), Span::Month);
        assert_eq!(choose((0..3_650).collect()), Span::Year);
        assert_eq!(choose((0..100).map(|year| year * 366).collect()), Span::All);
    }

    #[test]
    fn splitting_keeps_the_order_and_slices_what_lies_together() {
        let split = |days: &[i64], span| {
            split_by_partition(&batch(days.iter().copied()), 0, Precision::Millisecond, span).unwrap()
        };
        let one = split(&[20_781, 20_781], Span::Day);
        assert_eq!(one, [("day=2026-11-24".to_owned(), batch([20_781, 20_781]))]);
        let parts = split(&[1, 0, 1, 40, 0], Span::Day);
        assert_eq!(
            parts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["day=1970-01-01", "day=1970-01-02", "day=1970-02-10"]
        );
        assert_eq!(parts[0].1, batch([0, 0]));
        let months = split(&[1, 0, 1, 40, 0], Span::Month);
        assert_eq!(months[0].1, batch([1, 0, 1, 0]));
        assert_eq!(months[1], ("month=1970-02".to_owned(), batch([40])));
        assert!(split(&[], Span::Day).is_empty());
    }
}
