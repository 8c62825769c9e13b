//! What is passed over by the planner is refused by name; what is obeyed is not.

use datafusion::sql::sqlparser::{dialect::GenericDialect, parser::Parser};

use super::*;

struct Some3;

impl Functions for Some3 {
    fn is_of_one_row(&self, name: &str) -> bool {
        ["abs", "upper", "date_bin"].contains(&name)
    }
}

/// What the walk says; no error at all of what does not parse.
fn checked(sql: &str) -> Result<(), Option<Error>> {
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(sql).map_err(|_| None)?;
    let query = parser.parse_query().map_err(|_| None)?;
    check(&query, &Some3).map_err(Some)
}

/// Queries, and how the refusal begins.
const PASSED_OVER: &[(&str, &str)] = &[
    ("SELECT a FROM t PREWHERE a > 5", "PREWHERE at Line: 1, Column: 26"),
    ("SELECT a FROM t START WITH a = 1 CONNECT BY PRIOR a = b", "START WITH at Line: 1, Column: 17"),
    ("SELECT a FROM t CONNECT BY PRIOR a = b", "CONNECT BY at Line: 1, Column: 17"),
    ("SELECT a FROM t LATERAL VIEW explode(x) y AS z", "LATERAL VIEW"),
    ("SELECT a FROM t CLUSTER BY a", "CLUSTER BY at Line: 1, Column: 28"),
    ("SELECT a FROM t DISTRIBUTE BY a", "DISTRIBUTE BY"),
    ("SELECT a FROM t SORT BY a", "SORT BY"),
    ("SELECT a FROM t FOR UPDATE", "FOR UPDATE"),
    ("SELECT a FROM t FOR SHARE OF t NOWAIT", "FOR UPDATE, FOR SHARE"),
    ("SELECT TOP 5 a FROM t", "TOP at Line: 1, Column: 1"),
    ("SELECT a FROM t FETCH FIRST 5 ROWS ONLY", "FETCH"),
    ("SELECT a FROM t FETCH FIRST 5 PERCENT ROWS WITH TIES", "FETCH"),
    ("SELECT a FROM t SETTINGS max_threads = 1", "SETTINGS at Line: 1, Column: 26"),
    ("SELECT a FROM t FORMAT JSON", "FORMAT"),
    ("SELECT a FROM t LIMIT 5 BY a", "LIMIT BY"),
    ("SELECT a FROM t ORDER BY a WITH FILL FROM 1 TO 5", "WITH FILL"),
    ("SELECT a FROM t ORDER BY a WITH FILL INTERPOLATE (b AS b + 1)", "INTERPOLATE"),
    ("SELECT a FROM t GROUP BY a WITH ROLLUP", "GROUP BY … WITH ROLLUP"),
    ("SELECT a FROM t GROUP BY a WITH CUBE", "GROUP BY … WITH CUBE"),
    ("SELECT a FROM t GROUP BY a WITH TOTALS", "GROUP BY … WITH TOTALS"),
    ("SELECT a INTO x FROM t", "SELECT INTO"),
    ("SELECT * ILIKE '%a%' FROM t", "* ILIKE"),
    ("SELECT * RENAME a AS b FROM t", "* RENAME"),
    ("SELECT a FROM t TABLESAMPLE BERNOULLI (10)", "TABLESAMPLE"),
    ("SELECT a FROM (SELECT a FROM t) AS u TABLESAMPLE (10 ROWS)", "TABLESAMPLE"),
    ("SELECT a FROM t WITH (NOLOCK)", "WITH (hints)"),
    ("SELECT a FROM t WITH ORDINALITY", "WITH ORDINALITY"),
    ("SELECT a FROM UNNEST([1, 2]) WITH OFFSET", "WITH OFFSET"),
    ("SELECT a FROM UNNEST([1, 2]) WITH ORDINALITY", "WITH ORDINALITY"),
    ("SELECT a FROM t PARTITION (p0)", "PARTITION"),
    ("SELECT a FROM t GLOBAL JOIN u ON t.a = u.a", "GLOBAL JOIN"),
    ("SELECT a FROM t ASOF JOIN u MATCH_CONDITION (t.a >= u.a) ON t.b = u.b", "this kind of JOIN"),
    ("SELECT a FROM t CROSS APPLY u", "this kind of JOIN"),
    ("SELECT a FROM other.generate_series(1, 2)", "a function of a database"),
    ("SELECT a FROM generate_series(start => 1, stop => 2)", "named arguments"),
    ("SELECT a FROM t AS u (b INT)", "a column's type"),
    (
        "WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n LIMIT 5) SELECT * FROM n",
        "LIMIT, OFFSET in WITH RECURSIVE",
    ),
    (
        "WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n ORDER BY 1) SELECT * FROM n",
        "ORDER BY in WITH RECURSIVE",
    ),
    ("SELECT abs(DISTINCT a) FROM t", "DISTINCT or ALL of abs"),
    ("SELECT abs(a) FILTER (WHERE a > 0) FROM t", "FILTER of abs"),
    ("SELECT ABS(a) OVER (ORDER BY a) FROM t", "OVER of abs"),
    ("SELECT abs(a ORDER BY a) FROM t", "ORDER BY of abs"),
    ("SELECT abs(a) WITHIN GROUP (ORDER BY a) FROM t", "WITHIN GROUP of abs"),
    ("SELECT abs(a) IGNORE NULLS FROM t", "IGNORE or RESPECT NULLS of abs"),
    ("SELECT sum(a) IGNORE NULLS OVER (ORDER BY a) FROM t", "IGNORE or RESPECT NULLS of sum"),
    ("SELECT covar_pop(DISTINCT a, b) FROM t", "DISTINCT of covar_pop"),
    ("SELECT nth_value(DISTINCT a, 2 ORDER BY b) FROM t", "DISTINCT of nth_value"),
    ("SELECT lag(DISTINCT a) OVER (ORDER BY b) FROM t", "DISTINCT of lag"),
    ("SELECT approx_percentile_cont(DISTINCT a, 0.5) FROM t", "DISTINCT of approx_percentile_cont"),
    ("SELECT array(SELECT 1) FROM t", "a query as the argument"),
    ("SELECT quantile(0.5)(a) FROM t", "parameters of quantile"),
    ("SELECT sum(a) OVER (w ORDER BY a) FROM t WINDOW w AS (PARTITION BY b)", "a window that extends a named one"),
    ("SELECT a FROM t WINDOW w AS (ORDER BY a) ORDER BY sum(a) OVER w", "OVER with a window's name"),
    (
        "SELECT (SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY a) LIMIT 1) FROM t",
        "WINDOW in a subquery at Line: 1, Column: 9",
    ),
    ("SELECT CAST(a AS VARCHAR(3)) FROM t", "the type VARCHAR(3)"),
    ("SELECT a::CHAR(3) FROM t", "the type CHAR(3)"),
    ("SELECT CAST(a AS INT(11)) FROM t", "the type INT(11)"),
    ("SELECT CAST(a AS DATE FORMAT 'YYYY') FROM t", "CAST with ARRAY or FORMAT"),
    ("SELECT MATCH (a) AGAINST ('x') FROM t", "the expression MATCH"),
    ("SELECT a COLLATE \"de\" FROM t", "the expression a COLLATE"),
    ("SELECT a FROM t WHERE a LIKE ANY ('x')", "the expression"),
    ("SELECT a FROM (FROM t) AS u", "FROM without SELECT"),
    ("SELECT a FROM t |> TABLESAMPLE BERNOULLI (10)", "the operator |>"),
    ("SELECT a FROM t |> AGGREGATE sum(a) GROUP BY b ASC", "an order in |> AGGREGATE"),
    ("SELECT a FROM t WHERE a > (SELECT max(b) FROM u PREWHERE b > 1)", "PREWHERE"),
];

#[test]
fn what_is_passed_over_is_refused_by_name() {
    let mut failures = Vec::new();
    for (sql, clause) in PASSED_OVER {
        match checked(sql) {
            Err(Some(error)) => {
                let message = error.message.strip_prefix("This feature is not implemented: ").unwrap_or_default();
                if error.code != Code::NotImplemented || !message.starts_with(clause) {
                    failures.push(format!("{sql}: {error:?}"));
                }
            }
            other => failures.push(format!("{sql}: {other:?}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_is_obeyed_passes() {
    let mut failures = Vec::new();
    for sql in [
        "SELECT /*+ a hint is a comment */ a FROM t",
        "WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 5) SELECT * FROM n LIMIT 3",
        "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b DESC NULLS LAST LIMIT 5 OFFSET 2 ROWS",
        "SELECT a FROM t LIMIT 5, 10",
        "SELECT * EXCLUDE (a) FROM t",
        "SELECT * EXCEPT (a) REPLACE (b + 1 AS b) FROM t",
        "SELECT sum(a) FILTER (WHERE b > 1), count(DISTINCT c), array_agg(a ORDER BY b) FROM t GROUP BY ALL",
        "SELECT sum(a) OVER w, lag(a) IGNORE NULLS OVER (PARTITION BY b ORDER BY c) FROM t WINDOW w AS (ORDER BY a)",
        "SELECT a FROM t QUALIFY row_number() OVER (ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) = 1",
        "SELECT approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t GROUP BY ROLLUP (a), CUBE (b, c)",
        "SELECT a FROM t JOIN u USING (a) LEFT ANTI JOIN v ON t.a = v.a CROSS JOIN generate_series(1, 5) AS g (n)",
        "SELECT a FROM t, LATERAL (SELECT b FROM u WHERE u.a = t.a) AS v",
        "SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, CAST(a AS DECIMAL(10, 2)), a::TIMESTAMP(3), DATE '2026-01-01' FROM t",
        "SELECT INTERVAL '1 day', EXTRACT(year FROM time), time AT TIME ZONE 'UTC', abs(-a), [1, 2][1] FROM t",
        "SELECT a FROM t |> WHERE a > 1 |> AGGREGATE sum(a) AS s GROUP BY b |> ORDER BY s |> LIMIT 5",
        "VALUES (1, 'a'), (2, NULL)",
        "SELECT 1 UNION ALL BY NAME SELECT 2",
    ] {
        if let Err(error) = checked(sql) {
            failures.push(format!("{sql}: {error:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
