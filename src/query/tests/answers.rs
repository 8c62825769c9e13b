//! Answers that DataFusion 55.2 gets wrong when it is left to itself.

use super::Sql;

/// Two series on two days, with NULLs.
async fn numbers() -> Sql {
    let sql = Sql::new().await;
    sql.all(&[
        "CREATE TABLE n (v DOUBLE, i BIGINT, j BIGINT, TAGS(k))",
        "INSERT n (time, k, v, i, j) VALUES (1, 'a', 0.0, 1, 10), (2, 'b', -0.0, 2, 20), (3, 'c', 5.0, NULL, 30)",
        "INSERT n (time, k, v, i, j) VALUES (86400000000004, 'd', -1.0, 4, NULL), (86400000000005, 'e', NULL, 5, 50)",
    ])
    .await;
    sql
}

#[tokio::test]
async fn there_is_one_zero() {
    let sql = numbers().await;
    for (query, answer) in [
        ("SELECT count(*) FROM n WHERE v = 0", "2"),
        ("SELECT count(*) FROM n WHERE v IN (0, 5, 7, 8)", "3"),
        ("SELECT count(*) FROM n WHERE v * -1 IN (0, -5, 7, 8)", "3"),
        ("SELECT count(*) FROM n WHERE v NOT IN (0, 5, 7, 8)", "1"),
        ("SELECT count(*) FROM n WHERE CASE v * -1 WHEN 0 THEN true ELSE false END", "2"),
        ("SELECT count(nullif(-v, 0)) FROM n", "2"),
        ("SELECT count(*) FROM n a JOIN (SELECT 0.0 AS z) k ON -a.v = k.z", "2"),
        ("SELECT count(*) FROM n a JOIN (SELECT '-0.0'::double AS z) k ON a.v = k.z", "2"),
        ("SELECT count(*) FROM n WHERE -v IN (SELECT 0.0)", "2"),
        ("SELECT count(DISTINCT -v) FROM n", "3"),
        ("SELECT count(*) FROM (SELECT round(v - 0.4) AS r FROM n GROUP BY round(v - 0.4))", "4"),
        ("SELECT -0.0, '-0.0'::double, round(-0.4), 0.0 * -1, -(v * 0) FROM n WHERE k = 'a'", "0.0,0.0,0.0,0.0,0.0"),
        ("SELECT k FROM n WHERE v = 0 ORDER BY -v, k DESC", "b;a"),
        ("SELECT v FROM n WHERE k = 'b'", "0.0"),
        ("SELECT 1 / (v * -1) FROM n WHERE k = 'a'", "inf"),
        ("SELECT arrow_cast(-0.4, 'Float32') - 0.0 > 0, cast(-1e-300 AS FLOAT) FROM n WHERE k = 'a'", "false,0.0"),
    ] {
        assert_eq!(sql.cells(query).await, answer, "{query}");
    }
}

#[tokio::test]
async fn an_order_is_left_out_only_where_it_is_there() {
    let sql = Sql::new().await;
    sql.all(&[
        "CREATE TABLE t (v BIGINT)",
        "INSERT t (time, v) VALUES ('2025-10-26 23:00:00', 1), ('2025-10-26 23:30:00', 2), ('2025-10-27 00:00:00', 3), \
         ('2025-10-27 00:30:00', 4), ('2025-01-30 10:00:00', 5), ('2025-01-31 09:00:00', 6)",
    ])
    .await;
    for query in [
        "SELECT v FROM (SELECT v, cast(time AS time) AS c, row_number() OVER (ORDER BY time) AS n FROM t) ORDER BY c",
        "SELECT v FROM (SELECT v, cast(time AS time) AS c FROM (SELECT * FROM t ORDER BY time LIMIT 9)) ORDER BY c",
        "SELECT v FROM (SELECT * FROM t ORDER BY time LIMIT 9) ORDER BY cast(time AS time)",
    ] {
        assert_eq!(sql.cells(query).await, "3;4;6;5;1;2", "{query}");
    }
    let months = "SELECT v FROM (SELECT * FROM t ORDER BY time LIMIT 2) ORDER BY time + interval '1 month'";
    assert_eq!(sql.cells(months).await, "6;5");
    let logarithm = "SELECT v FROM (SELECT * FROM t ORDER BY v LIMIT 3) ORDER BY log(0.5, v)";
    assert_eq!(sql.cells(logarithm).await, "3;2;1");
}

#[tokio::test]
async fn null_is_not_false() {
    let sql = numbers().await;
    for (query, answer) in [
        ("SELECT count(*) FROM n WHERE NOT (i IN (1, 2) AND i IN (4, 5))", "4"),
        ("SELECT count(*) FROM n WHERE (i IN (1, 2) AND i IN (4, 5)) IS NULL", "1"),
        ("SELECT count(*) FROM n WHERE ((i = 1 OR i = 2) AND (i = 4 OR i = 5)) IS NULL", "1"),
        ("SELECT count(*) FROM n WHERE i NOT IN (1, 2) OR i NOT IN (4, 5)", "4"),
        ("SELECT count(*) FROM n WHERE i IN (1, 2) AND i NOT IN (4, NULL)", "0"),
        ("SELECT count(*) FROM n WHERE i IN (1, 2, 4) AND i IN (2, 4, 5) AND NOT i IN (5, 1)", "2"),
        ("SELECT count(*) FROM n WHERE (i ^ i) = 0", "4"),
        ("SELECT count(power(i, 0)), count(log(i + 1, 1)), count(log(i + 2, i + 2)) FROM n", "4,4,4"),
        ("SELECT count(*) FROM n WHERE try_cast(i + 1000000 AS smallint) > 1", "0"),
        ("SELECT count(*) FROM n WHERE array_has([i, 1], 7)", "0"),
        ("SELECT count(*) FROM n WHERE NOT array_has([1, 2], i)", "2"),
    ] {
        assert_eq!(sql.cells(query).await, answer, "{query}");
    }
}

#[tokio::test]
async fn not_in_knows_what_it_does_not_know() {
    let sql = numbers().await;
    sql.all(&[
        "CREATE TABLE o (i BIGINT, g BIGINT, TAGS(k))",
        "INSERT o (time, k, i, g) VALUES (1, 'a', 1, 1), (2, 'b', NULL, 2), (3, 'c', 4, 3), (4, 'd', 4, NULL)",
    ])
    .await;
    for (query, answer) in [
        ("SELECT k FROM n WHERE i NOT IN (SELECT i FROM o) ORDER BY k", ""),
        ("SELECT k FROM n WHERE i NOT IN (SELECT i FROM o WHERE i IS NOT NULL) ORDER BY k", "b;e"),
        ("SELECT k FROM n WHERE 3 NOT IN (SELECT i FROM o WHERE o.k = n.k) ORDER BY k", "a;c;d;e"),
        ("SELECT k FROM n WHERE 3 NOT IN (SELECT i FROM o) ORDER BY k", ""),
        ("SELECT k FROM n WHERE i NOT IN (SELECT o.i FROM o WHERE o.i = n.i) ORDER BY k", "b;c;e"),
        ("SELECT k FROM n WHERE i NOT IN (SELECT o.i FROM o WHERE o.g > n.i) ORDER BY k", "b;c;d;e"),
        ("SELECT k FROM n WHERE i NOT IN (SELECT i FROM o) OR k = 'a' ORDER BY k", "a"),
        ("SELECT k FROM n WHERE NOT (i IN (SELECT i FROM o) OR k = 'a') ORDER BY k", ""),
        ("SELECT k FROM n WHERE (i IN (SELECT i FROM o)) IS NULL ORDER BY k", "b;c;e"),
        ("SELECT k FROM n WHERE i IN (SELECT i FROM o) OR k = 'b' ORDER BY k", "a;b;d"),
        ("SELECT k FROM n WHERE (CASE WHEN i > 100 THEN 1 END) NOT IN (SELECT g FROM o WHERE g = 1) ORDER BY k", ""),
    ] {
        assert_eq!(sql.cells(query).await, answer, "{query}");
    }
    let below = "SELECT k FROM n WHERE EXISTS (SELECT 1 FROM o LEFT JOIN (SELECT * FROM o AS q WHERE q.g = n.i) AS p \
                 ON o.k = p.k WHERE p.g IS NULL)";
    assert!(sql.error(below).await.message.contains("outer join"));
}

#[tokio::test]
async fn a_condition_stays_on_its_side_of_a_join() {
    let sql = numbers().await;
    sql.all(&[
        "CREATE TABLE o (g BIGINT, TAGS(k))",
        "INSERT o (time, k, g) VALUES (9, 'a', 1), (8, 'b', 2), (7, 'c', 3), (86400000000000, 'x', 4)",
    ])
    .await;
    // Filters go down into files, not into the tail.
    sql.queries.inner.engine.maintain(crate::engine::Tasks::ALL).await.unwrap();
    for (query, answer) in [
        (
            "SELECT b.k FROM n a RIGHT JOIN o b ON a.k = b.k WHERE date_part('year', a.time) IS NOT NULL ORDER BY b.k",
            "a;b;c",
        ),
        ("SELECT b.k FROM n a RIGHT JOIN o b ON a.k = b.k AND a.i > 5 WHERE date_part('year', a.time) IS NOT NULL", ""),
        ("SELECT a.k AS x, b.k AS y FROM n a JOIN o b ON a.k = b.k ORDER BY a.time DESC LIMIT 1", "c,c"),
        ("SELECT a.k AS x, b.k AS y FROM n a JOIN o b ON a.k = b.k ORDER BY b.time LIMIT 1", "c,c"),
        (
            "SELECT a.k AS x, b.time = a.time AS y FROM n a JOIN o b ON a.k = b.k ORDER BY b.time DESC LIMIT 2",
            "a,false;b,false",
        ),
    ] {
        assert_eq!(sql.cells(query).await, answer, "{query}");
    }
}

#[tokio::test]
async fn rows_are_not_counted_by_one_side_alone() {
    let sql = numbers().await;
    for word in ["INTERSECT", "EXCEPT"] {
        let error = sql.error(&format!("SELECT k FROM n {word} ALL SELECT k FROM n")).await;
        assert_eq!(error.code, crate::model::Code::NotImplemented);
        assert!(error.message.contains(&format!("{word} ALL")), "{}", error.message);
        sql.run(&format!("SELECT k FROM n {word} SELECT k FROM n")).await.unwrap();
    }
}

#[tokio::test]
async fn limits_leave_out_nothing_that_is_needed() {
    let sql = numbers().await;
    for (query, answer) in [
        ("SELECT count(*) FROM (SELECT * FROM (SELECT j FROM n LIMIT 3 OFFSET 2) ORDER BY j)", "3"),
        ("SELECT j FROM (SELECT j FROM n ORDER BY time LIMIT 3 OFFSET 2) ORDER BY j DESC", ";50;30"),
        (
            "SELECT j, row_number() OVER (ORDER BY j) FROM (SELECT j FROM n ORDER BY time LIMIT 3 OFFSET 2) ORDER BY j",
            "30,1;50,2;,3",
        ),
        ("SELECT k FROM n ORDER BY time LIMIT 2 OFFSET 1", "b;c"),
        ("SELECT k, avg(j ORDER BY time), max(j ORDER BY time) FROM n GROUP BY k ORDER BY k LIMIT 1", "a,10.0,10"),
        ("SELECT k, count(*) OVER () FROM n GROUP BY k ORDER BY k LIMIT 1", "a,5"),
        ("SELECT i, count(*) OVER () FROM n GROUP BY i ORDER BY i LIMIT 1", "1,5"),
    ] {
        assert_eq!(sql.cells(query).await, answer, "{query}");
    }
}

/// The parts of a sort with a limit share their bound: sorted by less than they are merged by, the rows of one
/// part would put out better ones of another.
#[tokio::test]
async fn parts_are_sorted_by_all_that_they_are_merged_by() {
    let sql = numbers().await;
    let union = "SELECT 9 AS c, i AS d FROM n WHERE k > 'a' UNION ALL SELECT 4 AS c, nullif(i, 4) AS d FROM n \
                 WHERE v IS NOT NULL ORDER BY c DESC, d ASC NULLS FIRST LIMIT 3";
    assert_eq!(sql.cells(union).await, "9,;9,2;9,4");
    let plan = sql.cells(&format!("EXPLAIN {union}")).await;
    let merge = plan.split("SortPreservingMergeExec: [").nth(1).unwrap_or_else(|| panic!("{plan}"));
    let keys = &merge[..merge.find(']').unwrap()];
    assert!(keys.contains("c@0") && plan.contains(&format!("expr=[{keys}], preserve_partitioning=[true]")), "{plan}");
}

#[tokio::test]
async fn aggregates_may_differ_in_a_cast_alone() {
    let sql = numbers().await;
    for (query, answer) in [
        ("SELECT min(j), min(CAST(j AS VARCHAR)), min(try_cast(j AS DOUBLE)) AS y FROM n", "10,10,10.0"),
        (
            "SELECT v > 1 AS g, max(i), max(CAST(i AS VARCHAR)) AS x FROM n GROUP BY v > 1 \
             HAVING max(CAST(i AS VARCHAR)) > '' ORDER BY max(CAST(i AS VARCHAR)), g",
            "false,4,4;,5,5",
        ),
        ("SELECT k, sum(i) AS x, sum(CAST(i AS DOUBLE)) AS y FROM n GROUP BY k ORDER BY y DESC LIMIT 1", "c,,"),
        (
            "SELECT k, sum(i) OVER (ORDER BY k) AS x, sum(CAST(i AS DOUBLE)) OVER (ORDER BY k) AS y FROM n ORDER BY k",
            "a,1,1.0;b,3,3.0;c,3,3.0;d,7,7.0;e,12,12.0",
        ),
        ("SELECT count(DISTINCT j), count(DISTINCT CAST(v AS BIGINT)) AS x, count(DISTINCT v) AS y FROM n", "4,3,3"),
    ] {
        assert_eq!(sql.cells(query).await, answer, "{query}");
    }
    let twice = sql.error("SELECT * FROM (SELECT min(j), min(j) FROM n)").await;
    assert!(twice.message.contains("min(n.j)"), "{}", twice.message);
}

/// The years that nanoseconds reach are 1677 to 2262.
#[tokio::test]
async fn years_may_be_compared_with_any_year() {
    let sql = numbers().await;
    for settled in [false, true] {
        if settled {
            sql.queries.inner.engine.maintain(crate::engine::Tasks::ALL).await.unwrap();
        }
        for (condition, count) in [
            ("> 0", "5"),
            (">= 1677", "5"),
            ("<> 1", "5"),
            ("IS DISTINCT FROM 2262", "5"),
            ("< 5000", "5"),
            ("<= 2262", "5"),
            ("= 1970", "5"),
            ("IN (1, 1970, 9999)", "5"),
            ("BETWEEN -3 AND 300000", "5"),
            ("> 2262", "0"),
            ("< 1677", "0"),
            ("= 1", "0"),
            ("> 1970", "0"),
            ("IS NOT DISTINCT FROM 9999", "0"),
        ] {
            for year in
                ["date_part('year', time)", "extract(year FROM time)", "CAST(date_part('year', time) AS BIGINT)"]
            {
                let query = format!("SELECT count(*) FROM n WHERE {year} {condition}");
                assert_eq!(sql.cells(&query).await, count, "{query}");
            }
        }
    }
}

#[tokio::test]
async fn a_window_may_have_one_partition_of_all_rows() {
    let sql = numbers().await;
    for partition in ["1", "-0.0", "NULL", "1 + 1", "'a'", "1, 'b'"] {
        let query = format!("SELECT k, count(*) OVER (PARTITION BY {partition}) AS n FROM n ORDER BY k");
        assert_eq!(sql.cells(&query).await, "a,5;b,5;c,5;d,5;e,5", "{query}");
    }
    let mixed = "SELECT k, sum(j) OVER (PARTITION BY 1, i IS NULL ORDER BY time) AS s, count(*) OVER (PARTITION BY 2) \
                 FROM n ORDER BY k";
    assert_eq!(sql.cells(mixed).await, "a,10,5;b,30,5;c,30,5;d,30,5;e,80,5");
}

#[tokio::test]
async fn tests_of_truth_are_never_null() {
    let sql = numbers().await;
    for (test, answer) in [
        ("(i > 2) IS TRUE", "false;true"),
        ("(i > 2) IS NOT TRUE", "false;true"),
        ("(i IN (1, 2, 9)) IS FALSE", "false;true"),
        ("(i > 0) IS NOT FALSE", "true"),
        ("(i > 2) IS UNKNOWN", "false;true"),
        ("(k = 'a' AND i > 7) IS NOT UNKNOWN", "true"),
    ] {
        for query in [
            format!("SELECT DISTINCT {test} AS t FROM n ORDER BY t"),
            format!("SELECT t FROM (SELECT {test} AS t FROM n) GROUP BY t ORDER BY t"),
            format!("SELECT DISTINCT t FROM (SELECT {test} AS t, max(v) AS m FROM n GROUP BY {test}) ORDER BY t"),
        ] {
            assert_eq!(sql.cells(&query).await, answer, "{query}");
        }
    }
    let twice = "SELECT count(*) FILTER (WHERE (i > 2) IS TRUE), sum(v) FILTER (WHERE (i > 2) IS TRUE) FROM n";
    assert_eq!(sql.cells(twice).await, "2,-1.0");
}
