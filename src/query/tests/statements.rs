//! What each statement answers, and with which error it is refused.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn databases() {
    let sql = Sql::new().await;
    sql.all(&[
        "CREATE DATABASE b WITH TTL '10d' SHARD 2 VNODE_DURATION = '1d' REPLICA 1 PRECISION 'ms' \
         MAX_MEMCACHE_SIZE '300M' MEMCACHE_PARTITIONS 4 WAL_MAX_FILE_SIZE '128MiB' WAL_SYNC 'true' \
         STRICT_WRITE 'true' MAX_CACHE_READERS 8",
        "create database if not exists b",
        "CREATE DATABASE 'Quoted'",
        "CREATE DATABASE \"MixedCase\" WITH ttl=100",
        "CREATE DATABASE LowerCase;",
    ])
    .await;
    let names = sql.cells("SHOW DATABASES").await;
    for name in ["MixedCase", "Quoted", "b", "lowercase", "public"] {
        assert!(names.split(';').any(|found| found == name), "{names}");
    }
    assert!(names.split(';').is_sorted(), "{names}");
    let described = sql.table("DESCRIBE DATABASE b").await;
    let header = described.lines().nth(1).unwrap();
    let columns: Vec<&str> = header.trim_matches('|').split('|').map(str::trim).collect();
    assert_eq!(
        columns.join(" "),
        "ttl shard vnode_duration replica precision max_memcache_size memcache_partitions wal_max_file_size wal_sync \
         strict_write max_cache_readers"
    );
    assert_eq!(sql.cells("DESC DATABASE 'b'").await, "10days,2,1day,1,MS,286.102294921875 MiB,4,128 MiB,true,true,8");
    assert_eq!(sql.cells("DESC DATABASE lowercase").await, "INF,1,1year,1,NS,128 MiB,16,128 MiB,false,false,32");
    assert!(sql.cells("DESC DATABASE \"MixedCase\"").await.starts_with("3months 8days 16h 19m 12s,"));
    sql.all(&["DROP DATABASE b", "DROP DATABASE IF EXISTS b"]).await;
    for (text, code) in [
        ("CREATE DATABASE lowercase", Code::DatabaseExists),
        ("CREATE DATABASE information_schema", Code::DatabaseExists),
        ("CREATE DATABASE cluster_schema", Code::DatabaseExists),
        ("CREATE DATABASE usage_schema", Code::DatabaseExists),
        ("DROP DATABASE usage_schema", Code::DropForbidden),
        ("DROP DATABASE b", Code::DatabaseNotFound),
        ("DESCRIBE DATABASE b", Code::DatabaseNotFoundInQuery),
        ("SHOW TABLES ON b", Code::DatabaseNotFoundInQuery),
        ("SELECT * FROM b.t", Code::DatabaseNotFoundInQuery),
        ("CREATE TABLE b.t (n BIGINT)", Code::DatabaseNotFound),
        ("INSERT b.t VALUES (1, 1)", Code::DatabaseNotFound),
        ("DROP DATABASE lowercase AFTER '7d'", Code::NotImplemented),
        ("ALTER DATABASE lowercase SET TTL '1d'", Code::NotImplemented),
        ("CREATE DATABASE \"a/b\"", Code::SqlSyntax),
        ("CREATE DATABASE \" \"", Code::SqlSyntax),
        ("CREATE DATABASE x WITH TTL 'soon'", Code::Semantic),
        ("CREATE DATABASE x WITH PRECISION 's'", Code::Semantic),
        ("CREATE DATABASE x WITH SHARD 'many'", Code::Semantic),
        ("CREATE DATABASE x WITH WAL_SYNC 'maybe'", Code::Semantic),
        ("CREATE DATABASE x WITH MAX_MEMCACHE_SIZE '1 parsec'", Code::Semantic),
        ("CREATE DATABASE x WITH COLOUR 'blue'", Code::SqlSyntax),
        ("CREATE DATABASE x WITH", Code::SqlSyntax),
        ("CREATE DATABASE x y", Code::SqlSyntax),
        ("CREATE DATABASE", Code::SqlSyntax),
        ("SHOW TABLES ON public x", Code::SqlSyntax),
    ] {
        assert_eq!(sql.code(text).await, code, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables() {
    let sql = Sql::new().await;
    sql.all(&[
        "CREATE TABLE air (temperature DOUBLE CODEC(GORILLA), n BIGINT, u BIGINT UNSIGNED CODEC(delta), s STRING, \
         b BOOLEAN, TAGS(station, \"City\"))",
        "CREATE TABLE IF NOT EXISTS air (n BIGINT)",
        "CREATE TABLE public.bare (n BIGINT)",
        "CREATE TABLE cnosdb.public.\"Odd Name\" (n BIGINT, tags(t))",
    ])
    .await;
    let tables = sql.cells("SHOW TABLES").await;
    assert_eq!(tables, "Odd Name;air;bare");
    assert_eq!(sql.cells("SHOW TABLES ON public").await, tables);
    assert_eq!(
        sql.cells("DESC TABLE air").await,
        "time,TIMESTAMP(NANOSECOND),TIME,DEFAULT;station,STRING,TAG,DEFAULT;City,STRING,TAG,DEFAULT;\
         temperature,DOUBLE,FIELD,DEFAULT;n,BIGINT,FIELD,DEFAULT;u,BIGINT UNSIGNED,FIELD,DEFAULT;\
         s,STRING,FIELD,DEFAULT;b,BOOLEAN,FIELD,DEFAULT"
    );
    assert!(sql.table("DESCRIBE TABLE air").await.contains("| column_name | data_type "));
    sql.all(&["DROP TABLE bare", "DROP TABLE IF EXISTS bare"]).await;
    for (text, code) in [
        ("CREATE TABLE air (n BIGINT)", Code::TableExists),
        ("CREATE TABLE x (TAGS(a))", Code::NoField),
        ("CREATE TABLE x (n BIGINT, n DOUBLE)", Code::ColumnExists),
        ("CREATE TABLE x (n BIGINT, TAGS(n))", Code::ColumnExists),
        ("CREATE TABLE x (time BIGINT)", Code::ColumnExists),
        ("CREATE TABLE x (t TIMESTAMP, n BIGINT)", Code::ColumnExists),
        ("CREATE TABLE x (n INT)", Code::SqlSyntax),
        ("CREATE TABLE x (n BIGINT CODEC(GORILLA))", Code::Semantic),
        ("CREATE TABLE x (g GEOMETRY(POINT, 0))", Code::NotImplemented),
        ("CREATE TABLE x ()", Code::SqlSyntax),
        ("CREATE TABLE x (n BIGINT", Code::SqlSyntax),
        ("CREATE TABLE other.public.x (n BIGINT)", Code::Semantic),
        ("DROP TABLE bare", Code::TableNotFound),
        ("DESCRIBE TABLE bare", Code::TableNotFound),
        ("SELECT * FROM bare", Code::TableNotFound),
        ("INSERT bare VALUES (1, 2)", Code::TableNotFound),
        ("DESCRIBE air", Code::SqlSyntax),
        ("ALTER TABLE air ADD TAG x", Code::NotImplemented),
        ("UPDATE air SET n = 1 WHERE n = 2", Code::NotImplemented),
        ("DELETE FROM air", Code::NotImplemented),
    ] {
        assert_eq!(sql.code(text).await, code, "{text}");
    }
    assert_eq!(sql.error("SELECT * FROM nope").await.message, "Table not found: \"cnosdb.public.nope\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_a_request() {
    let sql = Sql::new().await;
    for text in ["", ";", " ;; -- nothing\n ; ", "/* nothing */"] {
        assert_eq!(sql.table(text).await, "", "{text}");
    }
    for text in ["SELECT 1", "select 1;", ";;SELECT 1;;", "SELECT 1 -- one; two", "(SELECT 1)", "VALUES (1)"] {
        assert_eq!(sql.cells(text).await, "1", "{text}");
    }
    let error = sql.error("SELECT 1; SELECT 2;").await;
    assert_eq!(error.code, Code::MultipleStatements);
    assert_eq!(error.message, "Multi-statement not allow, found num:2, sql:SELECT 1; SELECT 2;");
    for (text, message) in [
        ("1", "sql parser error: Expected: an SQL statement, found: 1 at Line: 1, Column: 1"),
        ("SELEC 1", "sql parser error: Expected: an SQL statement, found: SELEC at Line: 1, Column: 1"),
        ("SELECT 1\n  FROM", "sql parser error: Expected: identifier, found: EOF"),
        ("SELECT 1 2", "sql parser error: Expected: end of statement, found: 2 at Line: 1, Column: 10"),
        ("SHOW DATABASES now", "sql parser error: Expected: end of statement, found: now at Line: 1, Column: 16"),
    ] {
        let error = sql.error(text).await;
        assert_eq!((error.code, error.message.as_str()), (Code::SqlSyntax, message), "{text}");
    }
    assert_eq!(sql.code("SELECT 'open").await, Code::SqlSyntax);
    let error = sql.error("GRANT READ ON DATABASE public TO ROLE r").await;
    assert_eq!(error.code, Code::NotImplemented);
    assert_eq!(error.message, "This feature is not implemented: GRANT READ");
}

#[tokio::test(flavor = "multi_thread")]
async fn inserts() {
    let sql = Sql::new().await;
    sql.all(&["CREATE TABLE air (temperature DOUBLE, n BIGINT, u BIGINT UNSIGNED, s STRING, b BOOLEAN, TAGS(t0, t1))"])
        .await;
    assert_eq!(
        sql.table("INSERT air VALUES (101, 'a', 'x', 1.5, -2, 3, 'str', true)").await.lines().nth(1),
        Some("| rows |")
    );
    for (text, rows) in [
        ("INSERT INTO air (time, n) VALUES (102, 1), ('1970-01-01T00:00:00.000000103Z', 2)", "2"),
        ("INSERT air (n, t0, time) VALUES ('7', 5, '2026-11-23T10:00:00+08:00')", "1"),
        ("INSERT air (time, n) VALUES (1 + 1, 3 * 3)", "1"),
        ("INSERT air (time, s, b) VALUES (now(), 1.5, 'true')", "1"),
        ("INSERT air (time, n) SELECT time + INTERVAL '1 hour', n FROM air WHERE n = 7", "1"),
        ("INSERT air (time, n) (SELECT 5 AS time, 5)", "1"),
        ("INSERT air (time, n) SELECT time, n FROM air WHERE n = 12345", "0"),
        ("INSERT air (time, n) VALUES (101, 8), (101, 9)", "2"),
    ] {
        assert_eq!(sql.cells(text).await, rows, "{text}");
    }
    assert_eq!(
        sql.cells("SELECT CAST(time AS BIGINT) AS t, t0, n FROM air ORDER BY t, t0, n").await,
        "2,,9;5,,5;101,a,-2;101,,9;102,,1;103,,2;1795399200000000000,5,7;1795402800000000000,,7;1795478400000000000,,"
    );
    assert_eq!(sql.cells("SELECT s, b FROM air WHERE s = '1.5'").await, "1.5,true");
    for (text, code, message) in [
        ("INSERT air (time, n) VALUES (NULL, 1)", Code::TimeIsNull, "Column time cannot be null."),
        ("INSERT air (time, n) SELECT NULL, 1", Code::TimeIsNull, "Column time cannot be null."),
        ("INSERT air (time, t0) VALUES (1, 'a')", Code::NoFields, "Fields can't be empty"),
        ("INSERT air (time, n) VALUES (1, 1), (2, NULL)", Code::NoFields, "Fields can't be empty"),
        (
            "INSERT air (time, x) VALUES (1, 1)",
            Code::InsertColumnUnknown,
            "Insert column 'x' does not exist in target table, expect time, t0, t1, temperature, n, u, s, b",
        ),
        ("INSERT air VALUES (1, 2)", Code::InsertColumnCount, "Insert columns and Source columns not match"),
        ("INSERT air (time, n) SELECT 1", Code::InsertColumnCount, "Insert columns and Source columns not match"),
        (
            "INSERT air (time, u) VALUES (1, -1234)",
            Code::Arrow,
            "Arrow: Cast error: Can't cast value -1234 to type UInt64 (row 1, column u)",
        ),
    ] {
        let error = sql.error(text).await;
        assert_eq!((error.code, error.message.as_str()), (code, message), "{text}");
    }
    for (text, code) in [
        ("INSERT air (time, n) VALUES ('never', 1)", Code::Arrow),
        ("INSERT air (time, n) VALUES (1, 'many')", Code::Arrow),
        ("INSERT air (time, n) VALUES (1, 1), (2)", Code::Planning),
        ("INSERT air (time, n, n) VALUES (1, 1, 2)", Code::Semantic),
        ("INSERT air (time, n)", Code::SqlSyntax),
        ("INSERT air (time, n) VALUES (1, nope)", Code::Planning),
    ] {
        assert_eq!(sql.code(text).await, code, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_as_numbers_and_texts() {
    let sql = Sql::new().await;
    sql.all(&[
        "CREATE DATABASE ms WITH PRECISION 'ms'",
        "CREATE TABLE ns (n BIGINT)",
        "CREATE TABLE ms.t (n BIGINT)",
        "INSERT ns VALUES (101, 1), (1795478400000000000, 2)",
        "INSERT ms.t VALUES (101, 1), (1795478400000, 2), ('2026-11-24T01:00:00Z', 3)",
    ])
    .await;
    for (text, expected) in [
        ("SELECT n FROM ns WHERE time = 101", "1"),
        ("SELECT n FROM ms.t WHERE time = 101", "1"),
        ("SELECT n FROM ms.t WHERE 101 = time", "1"),
        ("SELECT n FROM ms.t WHERE time > 101 AND time <= 1795478400000", "2"),
        ("SELECT n FROM ms.t WHERE time BETWEEN 100 AND 102", "1"),
        ("SELECT n FROM ms.t WHERE time NOT IN (101, 1795478400000)", "3"),
        ("SELECT n FROM ms.t WHERE time >= '2026-11-24' AND time < '2026-11-24 00:30:00'", "2"),
        ("SELECT n FROM ms.t WHERE time = '2026-11-24T09:00:00+08:00'", "3"),
        ("SELECT n FROM ns WHERE time BETWEEN '2026-01-01' AND '2027-01-01'", "2"),
        ("SELECT n FROM ms.t WHERE time = (SELECT 101)", "1"),
        ("SELECT time = 101 FROM ms.t WHERE n = 1", "true"),
        ("SELECT t.n FROM ms.t AS t JOIN ns ON t.time = ns.time AND t.time > 200", "2"),
        ("SELECT count(*) FROM ms.t WHERE time > now() - INTERVAL '1 day'", "2"),
        ("SELECT to_timestamp(101)", "1970-01-01T00:00:00.000000101"),
        ("SELECT CAST(101 AS TIMESTAMP)", "1970-01-01T00:00:00.000000101"),
        ("SELECT to_timestamp(n) FROM ns WHERE n = 2", "1970-01-01T00:00:00.000000002"),
        ("SELECT n::TIMESTAMP FROM ns WHERE n = 2", "1970-01-01T00:00:00.000000002"),
        ("SELECT to_timestamp('2026-11-24T00:00:00+01:00')", "2026-11-23T23:00:00"),
        ("SELECT to_timestamp_seconds(101)", "1970-01-01T00:01:41"),
        ("SELECT now()", "2026-11-24T00:00:00"),
        ("SELECT arrow_typeof(time) FROM ms.t LIMIT 1", "Timestamp(ms)"),
    ] {
        assert_eq!(sql.cells(text).await, expected, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries() {
    let sql = Sql::new().await;
    sql.all(&[
        "CREATE TABLE air (n BIGINT, TAGS(station))",
        "INSERT air VALUES (1, 'a', 1), (2, 'a', 2), (1, 'b', 3), (3, 'b', 4)",
        "INSERT air VALUES (2, 'a', 20)",
    ])
    .await;
    for (text, expected) in [
        ("SELECT station, n FROM air ORDER BY n", "a,1;b,3;b,4;a,20"),
        ("SELECT station, sum(n) s FROM air GROUP BY station ORDER BY s DESC", "a,21;b,7"),
        ("WITH x AS (SELECT * FROM air WHERE n > 2) SELECT count(*) FROM x", "3"),
        ("WITH air AS (SELECT 5 AS n) SELECT n FROM air", "5"),
        ("SELECT x.n FROM public.air x JOIN cnosdb.public.air y ON x.n = y.n WHERE y.station = 'b' ORDER BY 1", "3;4"),
        ("SELECT n FROM air WHERE n > (SELECT avg(n) FROM air)", "20"),
        ("SELECT n FROM air UNION SELECT 1 ORDER BY n LIMIT 2 OFFSET 1", "3;4"),
        ("SELECT row_number() OVER (ORDER BY n) FROM air ORDER BY 1 LIMIT 2", "1;2"),
        ("SELECT STATION, AIR.N FROM AIR WHERE N = 1", "a,1"),
        ("SELECT value FROM generate_series(1, 2)", "1;2"),
        ("SELECT count(*) FROM air WHERE station IS NULL", "0"),
    ] {
        assert_eq!(sql.cells(text).await, expected, "{text}");
    }
    assert!(sql.table("SELECT count(*), count(n) FROM air").await.contains("| count(*) | count(air.n) |"));
    let plan = sql.table("EXPLAIN SELECT * FROM air WHERE n = 1").await;
    assert!(plan.contains("| plan_type     | plan ") && plan.contains("| physical_plan |"), "{plan}");
    let plan = sql.table("EXPLAIN ANALYZE SELECT * FROM air").await;
    assert!(plan.contains("groups_merged=1"), "{plan}");
    assert!(sql.table("EXPLAIN FORMAT tree SELECT * FROM air").await.contains("MergeExec"));
    assert_eq!(sql.code("EXPLAIN INSERT air VALUES (1, 'a', 1)").await, Code::NotImplemented);
    for (text, code) in [
        ("SELECT nope FROM air", Code::Planning),
        ("SELECT nope(1)", Code::Planning),
        ("SELECT CAST('x' AS BIGINT)", Code::Arrow),
        ("SELECT * FROM other.public.air", Code::Semantic),
        ("SELECT n FROM air GROUP BY station", Code::Planning),
    ] {
        assert_eq!(sql.code(text).await, code, "{text}");
    }
    let error = sql.error("SELECT nope FROM air").await;
    assert!(error.message.starts_with("Datafusion: Schema error: No field named nope."), "{error:?}");
}
