//! Scans over hand-made snapshots: files and tails with duplicates, late points and missing columns,
//! against the same points merged in a map.

use std::collections::BTreeMap;

use crate::{query::errors::from_datafusion, table};

use super::made::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_history_answers_as_its_points_merged() {
    for seed in 0..24 {
        let made = history(seed).await;
        let all = format!("SELECT {COLUMNS} FROM air");
        assert_eq!(made.rows(&all).await, made.expected(|_| true), "seed {seed}");
        type Passes = fn(&SamplePoint) -> bool;
        let filters: [(&str, Passes); 9] = [
            ("n > 5", |point| point.n.is_some_and(|n| n > 5)),
            ("n IS NULL", |point| point.n.is_none()),
            ("s = 's1' OR temperature < 2", |point| {
                point.s.as_deref() == Some("s1") || point.temperature.is_some_and(|temperature| temperature < 2.0)
            }),
            ("station = 'b'", |point| point.station == Some("b")),
            ("station = 'b' AND n < 3", |point| point.station == Some("b") && point.n.is_some_and(|n| n < 3)),
            ("station IS NULL AND city IN ('x', 'zz')", |point| point.station.is_none() && point.city == Some("x")),
            ("time >= 200 AND time < 300", |point| (200..300).contains(&point.time)),
            ("time < 250 AND s IS NOT NULL", |point| point.time < 250 && point.s.is_some()),
            ("station = 'c' OR n = 1", |point| point.station == Some("c") || point.n == Some(1)),
        ];
        for (filter, passes) in filters {
            let sql = format!("SELECT {COLUMNS} FROM air WHERE {filter}");
            assert_eq!(made.rows(&sql).await, made.expected(passes), "seed {seed}: {filter}");
            let sql = format!("SELECT count(*) FROM air WHERE {filter}");
            assert_eq!(made.rows(&sql).await, [made.expected(passes).len().to_string()], "seed {seed}: {filter}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_count_every_point_once() {
    for seed in 100..116 {
        let made = history(seed).await;
        let points: Vec<&SamplePoint> = made
            .merged
            .values()
            .filter(|point| point.time >= made.ttl.map_or(i64::MIN, |ttl| made.now - ttl.as_nanos() as i64))
            .collect();
        let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        let stations = points.iter().filter_map(|point| point.station);
        let times = points.iter().map(|point| point.time);
        let expected = format!(
            "{},{},{},{},{},{}",
            points.len(),
            points.iter().filter(|point| point.s.is_some()).count(),
            number(times.clone().min()),
            number(times.max()),
            stations.clone().min().unwrap_or_default(),
            stations.max().unwrap_or_default(),
        );
        let sql = "SELECT count(*), count(s), CAST(min(time) AS BIGINT), CAST(max(time) AS BIGINT), min(station), \
                   max(station) FROM air";
        assert_eq!(made.rows(sql).await, [expected], "seed {seed}");
        let mut groups: BTreeMap<Option<&str>, (usize, Option<i64>)> = BTreeMap::new();
        for point in &points {
            let (count, sum) = groups.entry(point.station).or_default();
            *count += 1;
            *sum = point.n.map_or(*sum, |n| Some(sum.unwrap_or(0) + n));
        }
        let mut expected: Vec<String> = groups
            .into_iter()
            .map(|(station, (count, sum))| format!("{},{count},{}", station.unwrap_or_default(), number(sum)))
            .collect();
        expected.sort();
        let sql = "SELECT station, count(*), sum(n) FROM air GROUP BY station";
        assert_eq!(made.rows(sql).await, expected, "seed {seed}");
        let (context, _) = made.context(4);
        let newest = rows(&context, "SELECT CAST(time AS BIGINT) AS t FROM air ORDER BY time DESC LIMIT 3").await;
        let mut times: Vec<i64> = points.iter().map(|point| point.time).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        let times: Vec<String> = times.into_iter().take(3).map(|time| time.to_string()).collect();
        assert_eq!(newest, times, "seed {seed}");
        let limited = rows(&context, "SELECT n FROM air LIMIT 4").await;
        assert_eq!(limited.len(), points.len().min(4), "seed {seed}");
    }
}

/// Grouping by a tag over several files of a group, which DataFusion may wrongly take as sorted when
/// it trusts the statistics in footers.
#[tokio::test(flavor = "multi_thread")]
async fn grouping_by_a_tag_over_several_files() {
    let mut made = Made::new();
    let stations = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for hour in 0..14 {
        let points: Vec<SamplePoint> =
            stations.iter().enumerate().map(|(n, station)| point(station, hour * PARTITION + n as i64, 1)).collect();
        made.file(&points, hour as usize, hour as usize).await;
    }
    for partitions in [1, 2, 4] {
        let (context, _) = made.context(partitions);
        let counts = rows(&context, "SELECT station, count(*), sum(n) FROM air GROUP BY station").await;
        assert_eq!(counts.len(), stations.len(), "{partitions} partitions: {counts:?}");
        let hours = "SELECT station, date_bin(INTERVAL '250 nanoseconds', time) h, count(*) FROM air GROUP BY 1, 2";
        assert_eq!(rows(&context, hours).await.len(), 14 * stations.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_manifest_knows_is_not_read() {
    let mut made = Made::new();
    for hour in 0..10 {
        made.file(&[point("a", hour * PARTITION, 1), point("b", hour * PARTITION + 1, 2)], 0, 0).await;
    }
    let (context, meter) = made.context(4);
    let before = meter.snapshot().gets;
    let answer = rows(&context, "SELECT count(*), CAST(min(time) AS BIGINT), CAST(max(time) AS BIGINT) FROM air").await;
    assert_eq!(answer, ["20,0,2251"]);
    assert_eq!(meter.snapshot().gets, before, "counts and times are in the manifest");
    assert_eq!(rows(&context, "SELECT n FROM air WHERE time >= 500 AND time < 700").await.len(), 2);
    let one_file = meter.snapshot().gets - before;
    assert!((1..=3).contains(&one_file), "{one_file} requests for one file");
    let none = meter.snapshot().gets;
    assert!(rows(&context, "SELECT n FROM air WHERE station = 'zzz'").await.is_empty());
    assert!(rows(&context, "SELECT n FROM air WHERE time > 100000").await.is_empty());
    assert_eq!(meter.snapshot().gets, none);
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_say_what_is_merged_and_what_was_pruned() {
    let mut made = Made::new();
    for hour in 0..5 {
        made.file(
            &[point("a", hour * PARTITION, 1), point("b", hour * PARTITION + 20, 2)],
            hour as usize,
            hour as usize,
        )
        .await;
    }
    made.tail(&[point("a", PARTITION, 7)], 9);
    let (context, _) = made.context(4);
    let plan = rows(&context, "EXPLAIN SELECT * FROM air WHERE n > 1 AND station = 'a'").await.join("\n");
    assert!(plan.contains("MergeExec: groups=1, files=1, tail_parts=1, predicate=station@1 = a"), "{plan}");
    assert!(plan.contains("DataSourceExec: file_groups"), "{plan}");
    let merge = plan.find("MergeExec").unwrap();
    let filter = plan[..merge].rfind("FilterExec").unwrap_or_else(|| panic!("no filter above the merge: {plan}"));
    assert!(plan[filter..merge].contains("n@"), "{plan}");
    let analyzed = rows(&context, "EXPLAIN ANALYZE SELECT * FROM air WHERE time < 600").await.join("\n");
    assert!(analyzed.contains("groups_merged=1"), "{analyzed}");
    assert!(analyzed.contains("manifest_files=5, manifest_files_pruned=2"), "{analyzed}");
    assert!(!plan.contains("output_ordering"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn order_decides_and_not_where_a_point_lies() {
    let mut made = Made::new();
    // The tail holds an older segment than the file: a flush of another process came in between.
    made.tail(&[point("a", 5, 1)], 0);
    made.file(&[point("a", 5, 2)], 1, 1).await;
    made.merged.clear();
    made.remember(&[point("a", 5, 2)]);
    assert_eq!(made.rows("SELECT n FROM air").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_file_is_an_error() {
    let mut made = Made::new();
    made.file(&[point("a", 5, 1)], 0, 0).await;
    made.store.delete(&format!("{ROOT}{}", made.files[0].path)).await.unwrap();
    let (context, _) = made.context(2);
    let lost = context.sql("SELECT n FROM air").await.unwrap().collect().await.unwrap_err();
    let lost = from_datafusion(&lost);
    assert!(table::is_missing(&lost), "{lost:?}");
    made.tail(&[point("a", 5, 2)], 1);
    let (context, _) = made.context(2);
    let lost = context.sql("SELECT n FROM air").await.unwrap().collect().await.unwrap_err();
    assert!(table::is_missing(&from_datafusion(&lost)), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_point_ties_no_files_together() {
    let mut made = Made::new();
    for day in 0..6 {
        let points = [point("a", day * PARTITION, 1), point("b", day * PARTITION + 100, 1)];
        made.file(&points, day as usize, day as usize).await;
    }
    // One tail part in two days' files and in two gaps between them; another in one of the gaps.
    let late =
        [point("a", 50, 2), point("a", 210, 2), point("a", 3 * PARTITION + 1, 2), point("a", 5 * PARTITION - 1, 2)];
    made.tail(&late, 7);
    made.tail(&[point("a", 5 * PARTITION - 5, 3), point("c", 5 * PARTITION - 1, 3)], 8);
    let (context, _) = made.context(4);
    let plan = rows(&context, "EXPLAIN SELECT * FROM air").await.join("\n");
    assert!(plan.contains("MergeExec: groups=3, files=2, tail_parts=4"), "{plan}");
    assert_eq!(made.rows(&format!("SELECT {COLUMNS} FROM air")).await, made.expected(|_| true));
}

/// Files that follow each other meet for a moment, a late point meets one of them: only these times are
/// merged, and every row is there once, the newest.
#[tokio::test]
async fn what_meets_briefly_is_merged_briefly() {
    let mut made = Made::new();
    let steps = |first: i64, last: i64, n: i64| {
        ["a", "b"].iter().flat_map(move |station| (first..=last).map(move |time| point(station, time, n))).collect()
    };
    let (first, second, late): (Vec<SamplePoint>, Vec<SamplePoint>, Vec<SamplePoint>) =
        (steps(0, 100, 1), steps(98, 200, 2), vec![point("a", 50, 3), point("b", 51, 3)]);
    made.file(&first, 0, 0).await;
    made.file(&second, 1, 1).await;
    made.tail(&late, 2);
    let (context, _) = made.context(4);
    let plan = rows(&context, "EXPLAIN SELECT * FROM air").await.join("\n");
    assert!(plan.contains("MergeExec: groups=2, files=3, tail_parts=1"), "{plan}");
    for sql in ["SELECT count(*), sum(n) FROM air", "SELECT n, count(*) FROM air WHERE time > 40 GROUP BY n ORDER BY n"]
    {
        let all = rows(&context, sql).await;
        let expected: Vec<String> = if sql.contains("WHERE") {
            vec!["1,112".into(), "2,206".into(), "3,2".into()]
        } else {
            vec![format!("402,{}", 194 + 2 * 206 + 3 * 2)]
        };
        assert_eq!(all, expected, "{sql}");
    }
    assert_eq!(rows(&context, "SELECT * FROM air LIMIT 5").await.len(), 5);
}
