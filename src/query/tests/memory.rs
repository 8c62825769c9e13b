//! What plans hold is reserved, or kept small.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use datafusion::execution::memory_pool::MemoryConsumer;

use super::*;
use crate::query::memory::operators::OPERATORS;

const STATEMENTS: &[&str] = &[
    "SELECT 1",
    "SELECT 1 WHERE false",
    "SELECT * FROM m",
    "SELECT n + 1, s || 'x', repeat(s, 3) FROM m WHERE h = 'a' AND n > 1 LIMIT 3",
    "SELECT * FROM m ORDER BY n, time",
    "SELECT * FROM m ORDER BY n DESC LIMIT 2",
    "SELECT * FROM (SELECT * FROM m ORDER BY n LIMIT 3 OFFSET 2) ORDER BY s",
    "SELECT h, count(*), sum(n), array_agg(s), string_agg(s, ','), median(n) FROM m GROUP BY h",
    "SELECT count(DISTINCT s), count(DISTINCT n) FROM m",
    "SELECT h, n, count(*) FROM m GROUP BY GROUPING SETS ((h), (n), ())",
    "SELECT DISTINCT ON (h) * FROM m ORDER BY h, time DESC",
    "SELECT h, max(n) FROM m GROUP BY h ORDER BY 2 DESC LIMIT 1",
    "SELECT sum(n) OVER () FROM m",
    "SELECT lag(n) OVER (PARTITION BY h ORDER BY time), rank() OVER (ORDER BY n) FROM m",
    "SELECT avg(n) OVER (PARTITION BY h ORDER BY time ROWS 3 PRECEDING) FROM m",
    "SELECT ntile(3) OVER (ORDER BY n), row_number() OVER () FROM m",
    "SELECT a.n FROM m a JOIN m b ON a.n = b.n AND a.s < b.s",
    "SELECT a.n FROM m a, m b",
    "SELECT a.n FROM m a JOIN m b ON a.n < b.n",
    "SELECT a.n, b.s FROM m a FULL JOIN m b ON a.h = b.h",
    "SELECT n FROM m WHERE n IN (SELECT n FROM u) AND NOT EXISTS (SELECT 1 FROM u WHERE u.s = m.s)",
    "SELECT n, (SELECT max(n) FROM u) FROM m",
    "SELECT l FROM (SELECT array_agg(n) l, h FROM m GROUP BY h) a JOIN m ON m.h = a.h",
    "SELECT l FROM (SELECT array_agg(n) l FROM m), u",
    "SELECT unnest(l), l FROM (SELECT array_agg(n) l FROM m)",
    "SELECT unnest(range(1, 4)), s FROM m",
    "WITH RECURSIVE r AS (SELECT 1 x UNION ALL SELECT x + 1 FROM r WHERE x < 9) SELECT * FROM r",
    "WITH RECURSIVE r AS (SELECT 1 x UNION SELECT x % 3 + 1 FROM r) SELECT * FROM r",
    "SELECT n FROM m UNION ALL SELECT n FROM u ORDER BY 1",
    "SELECT n FROM m UNION SELECT n FROM u",
    "SELECT n FROM m INTERSECT SELECT n FROM u EXCEPT SELECT 3",
    "SELECT value FROM generate_series(1, 100) WHERE value % 2 = 0",
    "SELECT date_bin(INTERVAL '1 hour', time) t, avg(n) FROM m GROUP BY t ORDER BY t",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_operator_is_in_the_table() {
    let sql = Sql::new().await;
    sql.all(&[
        "CREATE TABLE m (n BIGINT, s STRING, TAGS(h))",
        "CREATE TABLE u (n BIGINT, s STRING)",
        "INSERT m (time, h, n, s) VALUES (1, 'a', 1, 'x'), (2, 'b', 2, 'y'), (3, 'a', 3, 'z')",
        "INSERT u (time, n, s) VALUES (1, 1, 'x'), (2, 2, 'y')",
    ])
    .await;
    let mut found = BTreeSet::new();
    for statement in STATEMENTS {
        for told in ["EXPLAIN", "EXPLAIN ANALYZE"] {
            let batches = sql.run(&format!("{told} {statement}")).await.unwrap_or_else(|error| panic!("{error:?}"));
            for batch in &batches {
                let (kinds, plans) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
                let physical = kinds.iter().zip(plans).filter(|(kind, _)| !kind.unwrap().contains("logical"));
                for line in physical.flat_map(|(_, plan)| plan.unwrap().lines()) {
                    let name: String = line.trim().chars().take_while(char::is_ascii_alphanumeric).collect();
                    if name.ends_with("Exec") {
                        found.insert(name);
                    }
                }
            }
        }
    }
    let listed: BTreeSet<&str> = OPERATORS.iter().map(|operator| operator.name).collect();
    assert_eq!(listed.len(), OPERATORS.len(), "an operator is listed twice");
    let unlisted: Vec<&String> = found.iter().filter(|name| !listed.contains(name.as_str())).collect();
    assert!(unlisted.is_empty(), "say in query/memory/operators.rs what bounds the memory of {unlisted:?}");
    for seen in ["WindowMemoryExec", "CutExec", "PiecesExec", "BatchSizeExec", "CrossInputExec", "ShortListsExec"] {
        assert!(found.contains(seen), "no plan has a {seen}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_more_than_there_is_is_refused() {
    let limits = Limits { query_memory_bytes: 16 << 20, query_spill_bytes: 0, ..Limits::default() };
    let sql = Sql::with(limits).await;
    for text in [
        "SELECT max(s) FROM (SELECT sum(value) OVER () s FROM generate_series(1, 900000))",
        "SELECT max(s) FROM (SELECT lag(value, 800000) OVER (ORDER BY value) s FROM generate_series(1, 900000))",
        "SELECT max(s) FROM (SELECT avg(value) OVER (ROWS 800000 PRECEDING) s FROM generate_series(1, 900000))",
        "SELECT array_length(array_agg(repeat(cast(value AS VARCHAR), 200))) FROM generate_series(1, 100000)",
        "SELECT count(x) FROM (SELECT array_agg(repeat(cast(value AS VARCHAR), 200)) x \
         FROM generate_series(1, 100000) GROUP BY value % 7)",
        "SELECT length(string_agg(repeat(cast(value AS VARCHAR), 200), ',')) FROM generate_series(1, 100000)",
        "SELECT median(value) FROM generate_series(1, 1000000)",
        "SELECT count(*) FROM (SELECT value v, repeat('x', 900) x FROM generate_series(1, 50000)) a, \
         generate_series(1, 3) b WHERE length(a.x) > b.value + a.v % 2",
    ] {
        // What the one before held is given back a moment after its error.
        while sql.queries.reserved_bytes() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let error = sql.error(text).await;
        assert_eq!(error.code, Code::Planning, "{text}: {error:?}");
        assert!(error.message.contains("'query_memory_bytes'"), "{text}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_rows_are_repeated_in_small_batches() {
    // It copies gigabytes, which takes a loaded machine long.
    let query_time = std::time::Duration::from_secs(300);
    let limits = Limits { query_memory_bytes: 64 << 20, query_spill_bytes: 0, query_time, ..Limits::default() };
    let sql = Sql::with(limits).await;
    let wide = |bytes: usize, rows: usize, kind: &str| {
        format!(
            "(SELECT value v, arrow_cast(repeat(cast(value AS VARCHAR), {bytes}), '{kind}') x FROM \
             generate_series(1, {rows}))"
        )
    };
    for kind in ["Utf8", "LargeUtf8", "Utf8View"] {
        // More than the offsets of a batch of texts can say.
        let crossed =
            format!("SELECT count(*), sum(length(x)) FROM {} a, generate_series(1, 2200) b", wide(1_000_000, 1, kind));
        assert_eq!(sql.cells(&crossed).await, "2200,2200000000", "{kind}");
        let joined = format!(
            "SELECT count(*), sum(length(x)) FROM {} a JOIN generate_series(1, 4096) b ON a.v = b.value % 2 + 1",
            wide(100_000, 2, kind)
        );
        assert_eq!(sql.cells(&joined).await, "4096,409600000", "{kind}");
        let looped = format!(
            "SELECT count(*), sum(length(x)) FROM {} a JOIN generate_series(1, 4096) b ON a.v <= b.value",
            wide(100_000, 2, kind)
        );
        assert_eq!(sql.cells(&looped).await, "8191,819100000", "{kind}");
    }
    let too_wide = format!(
        "SELECT sum(length(x)) FROM {} a JOIN generate_series(1, 4096) b ON a.v = b.value",
        wide(1_000_000, 2, "Utf8")
    );
    let error = sql.error(&too_wide).await;
    assert!(error.message.contains("Utf8View"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_unnested_in_parts() {
    let limits = Limits { query_memory_bytes: 64 << 20, query_spill_bytes: 0, ..Limits::default() };
    let sql = Sql::with(limits).await;
    let unnested = "SELECT count(*), sum(u), count(w), sum(w), min(length(s)) FROM (SELECT v, unnest(r) u, unnest(q) w, s \
                    FROM (SELECT value v, range(0, 20000) r, CASE WHEN value > 1 THEN range(0, 10 * value) END q, \
                    arrow_cast(repeat('x', 10000), 'Utf8') s FROM generate_series(1, 3)))";
    assert_eq!(sql.cells(unnested).await, "60000,599970000,50,625,10000");
    let deep = "SELECT unnest(unnest(r)) u, s FROM (SELECT array_repeat(range(0, 1000), 900) r, \
                arrow_cast(repeat('x', 100000), 'Utf8') s FROM generate_series(1, 1))";
    let error = sql.error(deep).await;
    assert!(error.message.contains("Utf8View"), "{error:?}");
}

/// Small batches are not copied, and most plans have none of the operators that cut.
#[tokio::test(flavor = "multi_thread")]
async fn ordinary_plans_are_left_alone() {
    let sql = Sql::new().await;
    sql.all(&["CREATE TABLE m (n BIGINT, s STRING, TAGS(h))", "INSERT m (time, h, n) VALUES (1, 'a', 1)"]).await;
    for text in [
        "SELECT * FROM m WHERE h = 'a' AND s = 'x'",
        "SELECT h, avg(n), max(s) FROM m WHERE upper(s) = 'X' GROUP BY h ORDER BY 2",
        "SELECT a.n, b.s FROM m a JOIN m b ON a.h = b.h AND a.time = b.time",
        "SELECT date_trunc('hour', time) t, count(*) FROM m GROUP BY t ORDER BY t DESC LIMIT 3",
        "SELECT concat(h, '-', s), count(*) FROM m GROUP BY 1",
    ] {
        let plan = sql.table(&format!("EXPLAIN {text}")).await;
        for ours in ["CutExec", "PiecesExec", "BatchSizeExec"] {
            assert!(!plan.contains(ours), "{text}: {plan}");
        }
    }
}

/// What others hold is given back some time; what a statement would need for itself alone is not.
#[tokio::test]
async fn who_needs_little_is_told_to_come_again() {
    let sql = Sql::with(Limits { query_memory_bytes: 64 << 20, ..Limits::default() }).await;
    sql.all(&["CREATE TABLE m (n BIGINT, TAGS(h))", "INSERT m (time, h, n) VALUES (1, 'a', 1), (2, 'b', 2)"]).await;
    let others = MemoryConsumer::new("others").register(sql.queries.inner.context.pool());
    others.try_grow(64 << 20).unwrap();
    let little = "SELECT h, array_agg(n ORDER BY n) FROM m GROUP BY h ORDER BY h";
    let error = sql.error(little).await;
    assert_eq!(error.code, Code::TooManyQueries, "{}", error.message);
    others.free();
    sql.run(little).await.unwrap();
    let much = "SELECT array_length(array_agg(repeat(cast(value AS VARCHAR), 2000))) FROM generate_series(1, 1000000)";
    assert_eq!(sql.code(much).await, Code::Planning);
}
