//! Statements that mean harm: each is answered at once, with an error.

use std::time::{Duration, Instant};

use super::*;

/// Refused for what it is, and not because its time was over: of that there is more than a busy machine needs.
async fn refused(sql: &Sql, text: &str) -> Error {
    let error = sql.error(text).await;
    assert_ne!(error.code, Code::QueryTimeout, "{text:.80}");
    error
}

async fn patient() -> Sql {
    Sql::with(Limits { query_time: Duration::from_secs(200), ..Limits::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_settings_are_out_of_reach() {
    let sql = patient().await;
    for text in [
        "CREATE EXTERNAL TABLE p (line STRING) STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE UNBOUNDED EXTERNAL TABLE p STORED AS PARQUET LOCATION 's3://bucket/x'",
        "COPY (SELECT 1) TO '/tmp/stolen.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/stolen.csv'",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "SHOW ALL",
        "SHOW datafusion.execution.batch_size",
        "SHOW FUNCTIONS",
        "SHOW CREATE TABLE t",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE t AS SELECT 1",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "SELECT 1 INTO t",
        "WITH x AS (INSERT INTO t VALUES (1)) SELECT * FROM x",
        "BEGIN",
        "TRUNCATE t",
    ] {
        let error = refused(&sql, text).await;
        assert!(
            matches!(error.code, Code::NotImplemented | Code::SqlSyntax | Code::Planning),
            "{text}: {:?} {}",
            error.code,
            error.message
        );
    }
    for text in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM \"file:///etc/passwd\"",
        "SELECT * FROM \"http://localhost/x.parquet\"",
        "SELECT * FROM information_schema.df_settings",
    ] {
        let error = refused(&sql, text).await;
        assert!(
            matches!(error.code, Code::TableNotFound | Code::DatabaseNotFoundInQuery),
            "{text}: {:?} {}",
            error.code,
            error.message
        );
    }
    assert!(!std::path::Path::new("/tmp/stolen.csv").exists());
    for text in ["SELECT input_file_name()", "SELECT read_csv('/etc/passwd')", "SELECT * FROM read_parquet('/etc/x')"] {
        refused(&sql, text).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_out_of_proportion() {
    let sql = patient().await;
    sql.all(&["CREATE TABLE t (n BIGINT, s STRING)"]).await;
    let unions = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(3_000));
    let parentheses = format!("SELECT {}1{}", "(".repeat(3_000), ")".repeat(3_000));
    let nested_queries = format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(300), ")".repeat(300));
    let sums = format!("SELECT 1{}", "+1".repeat(4_000));
    let long_sums = format!("SELECT 1{}", "+1".repeat(100_000));
    let joins = format!("SELECT 1 FROM t{}", ", t".repeat(40));
    let cross = format!("SELECT 1 FROM t{}", " CROSS JOIN t".repeat(40));
    let items = format!("SELECT 1 FROM t WHERE n IN ({})", vec!["1"; 10_001].join(","));
    let stars = format!("SELECT {} FROM t", vec!["*"; 100].join(","));
    let negations = format!("SELECT {}1", "- ".repeat(3_000));
    let nots = format!("SELECT {}true", "NOT ".repeat(4_000));
    let casts = format!("SELECT 1{}", "::BIGINT".repeat(3_000));
    let conditions = format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(300), " END".repeat(300));
    // Each common table expression uses the one before it twice.
    let mut laughs = "WITH a0 AS (SELECT 1 AS x)".to_owned();
    for level in 1..30 {
        laughs += &format!(", a{level} AS (SELECT l.x FROM a{p} l, a{p} r)", p = level - 1);
    }
    laughs += " SELECT count(*) FROM a29";
    let mut nested_with = "SELECT 1 AS x".to_owned();
    for level in 0..25 {
        nested_with = format!("WITH w{level} AS ({nested_with}) SELECT * FROM w{level}");
    }
    let long = format!("SELECT '{}'", "x".repeat(300 << 10));
    for text in [
        unions,
        parentheses,
        nested_queries,
        sums,
        long_sums,
        joins,
        cross,
        items,
        stars,
        negations,
        nots,
        casts,
        conditions,
        laughs,
        nested_with,
        long,
    ] {
        let error = refused(&sql, &text).await;
        assert!(matches!(error.code, Code::Planning | Code::SqlSyntax), "{:.80}: {error:?}", text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_within_the_bounds_runs() {
    let sql = Sql::new().await;
    sql.all(&["CREATE TABLE t (n BIGINT, s STRING)", "INSERT t (time, n) VALUES (1, 1), (2, 2), (3, 700)"]).await;
    let unions = format!("SELECT count(*) FROM (SELECT 1{})", " UNION ALL SELECT 1".repeat(64));
    assert_eq!(sql.cells(&unions).await, "65");
    let items = (0..9_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(sql.cells(&format!("SELECT count(*) FROM t WHERE n IN ({items})")).await, "3");
    let choices = (0..250).map(|n| format!("n = {n}")).collect::<Vec<_>>().join(" OR ");
    assert_eq!(sql.cells(&format!("SELECT count(*) FROM t WHERE {choices}")).await, "2");
    let sums = format!("SELECT n{} FROM t WHERE n = 1", "+n".repeat(250));
    assert_eq!(sql.cells(&sums).await, "251");
    let rows = (0..5_000).map(|n| format!("({n}, -{n}, 'text', NULL)")).collect::<Vec<_>>().join(",");
    sql.all(&["CREATE TABLE u (n BIGINT, s STRING, b BOOLEAN)"]).await;
    assert_eq!(sql.cells(&format!("INSERT u VALUES {rows}")).await, "5000");
    assert_eq!(sql.cells("SELECT count(*), min(n) FROM u").await, "5000,-4999");
}

/// Everything on one thread, whose stack is the smallest there is.
#[tokio::test]
async fn deep_expressions_on_one_thread() {
    let sql = Sql::new().await;
    sql.all(&["CREATE TABLE t (n BIGINT)", "INSERT t VALUES (1, 1), (2, 2)"]).await;
    let choices = (0..250).map(|n| format!("n = {n}")).collect::<Vec<_>>().join(" OR ");
    assert_eq!(sql.cells(&format!("SELECT count(*) FROM t WHERE {choices}")).await, "2");
    let sums = format!("SELECT n{} FROM t WHERE n = 1", "+n".repeat(250));
    assert_eq!(sql.cells(&sums).await, "251");
    let texts = format!("SELECT length('a'{})", "||'b'".repeat(250));
    assert_eq!(sql.cells(&texts).await, "251");
    let nested = format!("SELECT {}n{} FROM t WHERE n = 1", "abs(".repeat(40), ")".repeat(40));
    assert_eq!(sql.cells(&nested).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_blow_up() {
    let sql = patient().await;
    sql.all(&["CREATE TABLE t (n BIGINT, s STRING)", "INSERT t VALUES (1, 300000000, 'x')"]).await;
    for text in [
        "SELECT length(repeat('x', 300000000))",
        "SELECT length(repeat(s, n)) FROM t",
        "SELECT length(repeat(repeat('x', 100000), 10000))",
        "SELECT lpad('x', 300000000, 'y')",
        "SELECT rpad(s, n, 'y') FROM t",
        "SELECT array_repeat('x', 300000000)",
        "SELECT array_repeat(array_repeat(1, 900000), 900000)",
        "SELECT array_resize([1], 300000000)",
        "SELECT range(1, 300000000)",
        "SELECT range(1, n) FROM t",
        "SELECT generate_series(1, 9000000000)",
        "SELECT count(*) FROM generate_series(1, 9000000000)",
        "SELECT count(*) FROM range(9000000000)",
        "SELECT range(TIMESTAMP '2000-01-01', TIMESTAMP '2026-01-01', INTERVAL '1 second')",
        "SELECT replace(repeat('x', 1000), 'x', repeat('y', 100000))",
        "SELECT replace(repeat('x', 1000), '', repeat('y', 100000))",
        "SELECT regexp_replace(repeat('x', 1000), '.', repeat('y', 100000), 'g')",
        "SELECT array_to_string(range(1, 1000), repeat('y', 100000))",
        "SELECT concat(repeat(repeat('x', 10000), 900), repeat(repeat('x', 10000), 900))",
        "SELECT repeat(repeat('x', 10000), 900) || repeat(repeat('x', 10000), 900)",
        "SELECT concat_ws(repeat(repeat('x', 10000), 600), 'a', 'b', 'c')",
        "SELECT array_concat(range(1, 900000), range(1, 900000))",
        "SELECT range(1, 900000) || range(1, 900000)",
        "SELECT levenshtein(repeat('x', 20000), repeat('y', 20000))",
        "SELECT encode(repeat(repeat('x', 10000), 900)::bytea, 'hex')",
    ] {
        let error = refused(&sql, text).await;
        assert!(error.message.contains("the limit is"), "{text}: {error:?}");
    }
    refused(&sql, "SELECT count(*) FROM range(1, length(repeat('x', 300000000)))").await;
    // Doubled again and again, by the operator.
    let mut doubled = "WITH a0 AS (SELECT s AS x FROM t)".to_owned();
    for level in 1..30 {
        doubled += &format!(", a{level} AS (SELECT x || x AS x FROM a{})", level - 1);
    }
    doubled += " SELECT length(x) FROM a29";
    let error = refused(&sql, &doubled).await;
    assert!(error.message.contains("the limit is"), "{error:?}");
    for (text, expected) in [
        ("SELECT repeat('ab', 3), lpad('x', 3, 'y'), 'a' || 'b', replace('aXb', 'X', '--')", "ababab,yyx,ab,a--b"),
        (
            "SELECT concat('a', 1, true), concat_ws('-', 'a', 'b'), range(1, 4), array_repeat(1, 2)",
            "a1true,a-b,[1, 2, 3],[1, 1]",
        ),
        ("SELECT count(*) FROM generate_series(1, 1000000)", "1000000"),
        (
            "SELECT count(*) FROM generate_series(TIMESTAMP '2026-01-01', TIMESTAMP '2026-02-01', INTERVAL '1 hour')",
            "745",
        ),
        ("SELECT s || NULL FROM t", ""),
        ("SELECT [1] || [2, 3]", "[1, 2, 3]"),
    ] {
        assert_eq!(sql.cells(text).await, expected, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_within_lists_counts() {
    let sql = patient().await;
    sql.all(&["CREATE TABLE t (n BIGINT, s STRING)", "INSERT t VALUES (1, 300000000, 'x')"]).await;
    let columns = |column: &str, number: usize| vec![column; number].join(",");
    for text in [
        // Each ended the process, or took all of its memory.
        "SELECT array_length(array_repeat(array_repeat(range(0, 999999), 16), 1000000))".to_owned(),
        "SELECT array_length(array_repeat(array_repeat(range(0, n / 301), 16), n)) FROM t".to_owned(),
        "SELECT array_length(array_resize([range(0, n / 301)], 1000000, range(0, n / 301))) FROM t".to_owned(),
        format!("SELECT make_array({}) FROM (SELECT range(0, n / 301) c FROM t)", columns("c", 100)),
        format!("SELECT arrays_zip({}) FROM (SELECT range(0, n / 301) c FROM t)", columns("c", 100)),
        "SELECT array_replace_all(array_repeat([1], 1000), [1], c) FROM (SELECT range(0, n / 301) c FROM t)".to_owned(),
        "SELECT array_append(array_repeat(c, 40), c) FROM (SELECT range(0, n / 301) c FROM t)".to_owned(),
        "SELECT string_to_array(repeat(s, 16000000), NULL) FROM t".to_owned(),
        "SELECT to_char(time, repeat('%c', n / 30)) FROM t".to_owned(),
        "SELECT arrow_cast(NULL, 'FixedSizeList(1000000000, Int64)') FROM t".to_owned(),
        "SELECT arrow_cast(NULL, 'FixedSizeBinary(2000000000)') FROM t".to_owned(),
        "SELECT CAST(NULL AS BIGINT[1000000000]) FROM t".to_owned(),
        "SELECT approx_percentile_cont(0.5, 1000000000000) WITHIN GROUP (ORDER BY n) FROM t".to_owned(),
        "SELECT approx_percentile_cont_with_weight(n, 0.5, 1000000000000) WITHIN GROUP (ORDER BY n) FROM t".to_owned(),
    ] {
        let error = sql.error(&text).await;
        assert!(error.message.contains("the limit is"), "{text:.100}: {error:?}");
    }
    for (text, expected) in [
        ("SELECT array_length(array_repeat([1, 2], 3)), array_append([[1]], [2])", "3,[[1], [2]]"),
        ("SELECT string_to_array('a,b', ','), arrays_zip([1], [2])", "[a, b],[{1: 1, 2: 2}]"),
        ("SELECT to_char(TIMESTAMP '2026-01-01', '%Y'), make_array(s, 'y') FROM t", "2026,[x, y]"),
        ("SELECT approx_percentile_cont(0.5, 200) WITHIN GROUP (ORDER BY n) FROM t", "300000000.0"),
    ] {
        assert_eq!(sql.cells(text).await, expected, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn constants_of_a_statement_are_bounded() {
    let sql = patient().await;
    let columns: Vec<String> = (0..50).map(|number| format!("repeat('{number}', 5000000)")).collect();
    let error = refused(&sql, &format!("SELECT {}", columns.join(","))).await;
    assert!(error.message.contains("the constants of this statement"), "{error:?}");
    assert!(error.message.contains("the limit is"), "{error:?}");
    let sums: Vec<String> = columns.iter().map(|column| format!("length({column})")).collect();
    let error = refused(&sql, &format!("SELECT {}", sums.join("+"))).await;
    assert!(error.message.contains("the constants of this statement"), "{error:?}");
    for text in [
        "SELECT arrow_cast(repeat('a', 5000000), 'LargeUtf8') FROM generate_series(1, 8192)",
        "SELECT CASE WHEN value > 0 THEN repeat('a', 16000000) ELSE 'b' END FROM generate_series(1, 8192)",
        "SELECT count(*) FROM generate_series(1, 8192) WHERE CASE WHEN value > 0 THEN repeat('a', 16000000) ELSE \
         cast(value AS VARCHAR) END = 'b'",
        "SELECT max(x) FROM (SELECT coalesce(NULL, repeat('a', 16000000), s) x FROM (SELECT cast(value AS VARCHAR) s \
         FROM generate_series(1, 8192)))",
    ] {
        let error = refused(&sql, text).await;
        assert!(error.message.contains("the limit is"), "{text}: {error:?}");
    }
    for (text, expected) in [
        ("SELECT length(repeat('a', 16000000)) + value FROM generate_series(1, 2)", "16000001;16000002"),
        (
            "SELECT max(length(x || value)) FROM (SELECT repeat('a', 100000) x, value FROM generate_series(1, 9))",
            "100001",
        ),
        ("SELECT count(*) FROM generate_series(1, 9) WHERE value < length(repeat('a', 100000))", "9"),
        ("SELECT length(x), array_length(y) FROM (SELECT repeat('a', 100000) x, range(1, 100000) y)", "100000,99999"),
    ] {
        assert_eq!(sql.cells(text).await, expected, "{text}");
    }
}

/// What one call does cannot be interrupted, neither in a plan nor while it is planned.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_does_not_give_way_leaves_others_served() {
    const PLANNERS: usize = 4;
    let query_time = Duration::from_secs(2);
    let sql = Sql::with(Limits { query_time, concurrent_queries: PLANNERS, ..Limits::default() }).await;
    sql.all(&["CREATE TABLE t (n BIGINT, s STRING)", "INSERT t VALUES (1, 900000, 'A'), (2, 900000, 'A')"]).await;
    let hostile = |number: &str, text: &str, from: &str| {
        let list = format!("range(0, {number})");
        [
            format!("SELECT array_has_all({list}, {list}){from}"),
            format!("SELECT array_has_any({list}, range(-{number}, 0)){from}"),
            format!("SELECT regexp_count(repeat({text}, {number}), '.*[^A-Z]|[A-Z]'){from}"),
            format!("SELECT regexp_replace(repeat({text}, {number}), '.*[^A-Z]|[A-Z]', '', 'g'){from}"),
            format!("SELECT repeat({text}, {number}) ~ '(A|B.{{9}}){{900}}C'{from}"),
            format!("SELECT repeat({text}, {number}) LIKE repeat('%A_', 2000) || 'B'{from}"),
            format!("SELECT strpos(repeat({text}, {number}), repeat({text}, {number} / 2) || 'B'){from}"),
            format!("SELECT levenshtein(repeat({text}, {number}), repeat('B', {number})){from}"),
        ]
    };
    let mut statements: Vec<String> = hostile("900000", "'A'", "").to_vec();
    statements.extend(hostile("n", "s", " FROM t"));
    statements.extend(statements.clone());
    // Each of which is allowed, and which together take long.
    statements.push(
        "SELECT sum(levenshtein(repeat('a', 9000), repeat(cast(value AS VARCHAR), 2000))) \
                     FROM generate_series(1000, 2000)"
            .to_owned(),
    );
    assert!(statements.len() > 32);
    let tasks = || sql.queries.inner.threads.handle().metrics().num_alive_tasks();
    let (before, planners) = (tasks(), &sql.queries.inner.planners);
    let all = futures::future::join_all(statements.iter().map(|text| sql.run(text))).await;
    for (text, result) in statements.iter().zip(all) {
        if text.contains("strpos") {
            continue;
        }
        let Err(error) = result else { panic!("{text} is answered") };
        let codes = [Code::QueryTimeout, Code::Planning, Code::TooManyQueries];
        assert!(codes.contains(&error.code), "{text}: {error:?}");
    }
    // One call after the deadline, as slow as a call is where nothing is optimised and the machine is busy.
    let limit = Instant::now() + Duration::from_secs(60);
    while tasks() > before || planners.available_permits() < PLANNERS {
        let permits = planners.available_permits();
        assert!(Instant::now() < limit, "{} tasks go on, and {permits} of {PLANNERS} planners are free", tasks());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sql.cells("SELECT count(*) FROM t").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_runs_out() {
    let sql = Sql::with(Limits { query_time: Duration::from_secs(1), ..Limits::default() }).await;
    let forever = "SELECT sum(a.value * b.value) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b \
                   WHERE a.value % 7 = b.value % 11";
    let started = Instant::now();
    let error = sql.error(forever).await;
    assert_eq!(error.code, Code::QueryTimeout, "{error:?}");
    assert_eq!(error.message, "the query took longer than 1s (setting 'query_time'): ask for less, or raise it");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    for forever in [
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value * b.value = -1",
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b",
        "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000) b \
         ON a.value % 7 = b.value % 11 AND a.value * b.value = -1",
        "SELECT sum(u) FROM (SELECT unnest(range(1, 1000)) + a.value u FROM generate_series(1, 1000000) a)",
    ] {
        let started = Instant::now();
        assert_eq!(sql.code(forever).await, Code::QueryTimeout, "{forever}");
        assert!(started.elapsed() < Duration::from_secs(10), "{forever}: {:?}", started.elapsed());
    }
    let endless = "WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r";
    assert_eq!(sql.code(endless).await, Code::QueryTimeout);
    // And the threads are free again.
    for _ in 0..60 {
        if sql.run("SELECT 1").await.is_ok() {
            return;
        }
    }
    panic!("nothing is answered any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_ends_its_query() {
    let sql = Sql::new().await;
    let endless = "SELECT a.value FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    let threads = sql.queries.inner.threads.handle();
    let tasks = || threads.metrics().num_alive_tasks();
    let before = tasks();
    let output = sql.queries.run(sql.session.clone(), endless, &Arc::new(Meter::new())).await.unwrap();
    let Output::Rows { mut batches, .. } = output else { panic!("a query has rows") };
    assert!(batches.try_next().await.unwrap().is_some());
    assert!(tasks() > before);
    drop(batches);
    for _ in 0..100 {
        if tasks() <= before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} tasks are still there, {before} were before", tasks());
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_runs_out() {
    let limits = Limits { query_memory_bytes: 8 << 20, query_spill_bytes: 0, ..Limits::default() };
    let sql = Sql::with(limits).await;
    let error = sql.error("SELECT count(DISTINCT value), count(*) FROM generate_series(1, 1000000)").await;
    assert_eq!(error.code, Code::Planning, "{error:?}");
    assert!(error.message.contains("more memory"), "{error:?}");
}
