//! One row of each group: the answers with scans that leave the others out, against the same questions put
//! so that they read every row.

use super::made::*;

const FILTERS: [&str; 8] = [
    "true",
    "time < 300",
    "time >= 100 AND time < 700",
    "station = 'b'",
    "station IN ('a', 'c') AND time >= 50",
    "city = 'x' OR station IS NULL",
    "n > 3",
    "station = 'a' AND s IS NOT NULL",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_last_and_first_rows_of_groups_are_those_of_all_rows() {
    for seed in 207..212 {
        let made = history(seed).await;
        for by in ["station", "station, city", "city", "n", "city, s"] {
            for filter in FILTERS {
                for order in ["time DESC", "time ASC"] {
                    // Where several series share a group and a time.
                    let rest = match by {
                        "station" => "city",
                        "city" | "city, s" => "station",
                        "n" => "station, city",
                        _ => "n",
                    };
                    let ends = format!(
                        "SELECT DISTINCT ON ({by}) {COLUMNS} FROM air WHERE {filter} ORDER BY {by}, {order}, {rest}"
                    );
                    let all = format!(
                        "SELECT t, station, city, temperature, n, s FROM (SELECT {COLUMNS}, row_number() OVER \
                         (PARTITION BY {by} ORDER BY {order}, {rest}) AS number FROM air WHERE {filter}) WHERE number = 1"
                    );
                    assert_eq!(made.rows(&ends).await, made.rows(&all).await, "seed {seed}: {ends}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn different_values_and_times_of_groups_are_those_of_all_rows() {
    for seed in 302..306 {
        let made = history(seed).await;
        for filter in FILTERS {
            // Sums and counts need every row.
            for (columns, by) in [
                ("station, city", "station, city"),
                ("n", "n"),
                ("station, max(time)", "station"),
                ("city, min(time)", "city"),
                ("station, city, max(time), last_value(n ORDER BY time)", "station, city"),
            ] {
                let told = format!("SELECT {columns} FROM air WHERE {filter} GROUP BY {by}");
                // A count needs every row.
                let all = format!("SELECT {columns}, count(*) FROM air WHERE {filter} GROUP BY {by}");
                let without_count = |row: &String| row.rsplit_once(',').map(|(row, _)| row.to_owned());
                let mut expected: Vec<String> = made.rows(&all).await.iter().filter_map(without_count).collect();
                expected.sort();
                assert_eq!(made.rows(&told).await, expected, "seed {seed}: {told}");
            }
        }
    }
}

/// What is told, and what is not.
#[tokio::test]
async fn scans_are_told_only_what_is_true() {
    let mut made = Made::new();
    made.file(&[point("a", 5, 1), point("a", 6, 1), point("b", 7, 1)], 0, 0).await;
    made.tail(&[point("a", 50, 2), point("a", 51, 3), point("c", 52, 3)], 1);
    made.tail(&[point("a", 60, 4), point("b", 61, 4)], 2);
    let (context, _) = made.context(1);
    for told in [
        "SELECT DISTINCT ON (station) * FROM air ORDER BY station, time DESC",
        "SELECT DISTINCT station FROM air",
        "SELECT station, city, max(time), last_value(n ORDER BY time) FROM air WHERE time < 100 GROUP BY 1, 2",
        "SELECT a.station, first_value(a.n ORDER BY a.time) FROM air AS a WHERE a.station <> 'c' GROUP BY a.station",
    ] {
        let plan = rows(&context, &format!("EXPLAIN {told}")).await.join("\n");
        assert!(plan.contains("EndsExec"), "{told}: {plan}");
    }
    for not_told in [
        "SELECT station, max(n) FROM air GROUP BY station",
        "SELECT station, max(time), min(time) FROM air GROUP BY station",
        "SELECT station, max(time), count(*) FROM air GROUP BY station",
        "SELECT station, last_value(n ORDER BY time) FROM air WHERE n > 1 GROUP BY station",
        "SELECT station, last_value(n) IGNORE NULLS FROM air GROUP BY station",
        "SELECT station, last_value(n ORDER BY n, time) FROM air GROUP BY station",
        "SELECT station, last_value(n ORDER BY time) FILTER (WHERE n > 1) FROM air GROUP BY station",
        "SELECT station, max(time) FROM (SELECT * FROM air LIMIT 3) GROUP BY station",
        "SELECT max(time) FROM air",
        "SELECT station, max(time) FROM air WHERE n > random() GROUP BY station",
        "SELECT station, max(time) FROM air WHERE random() < 0.5 GROUP BY station",
    ] {
        let plan = rows(&context, &format!("EXPLAIN {not_told}")).await.join("\n");
        assert!(!plan.contains("EndsExec"), "{not_told}: {plan}");
    }
    let plan =
        rows(&context, "EXPLAIN ANALYZE SELECT DISTINCT ON (station) * FROM air ORDER BY station, time DESC").await;
    let tail = plan.iter().flat_map(|row| row.lines()).find(|line| line.contains("TailExec")).unwrap();
    assert!(tail.contains("output_rows=3"), "a series of the tail is read more than once: {tail}");
}
