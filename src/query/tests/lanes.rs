//! Which queries are small.

use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::{ExecutionPlan, displayable};
use tokio::time::Instant;

use super::{
    super::{
        lanes,
        request::StatementRequest,
        select,
        statement::{self, Statement},
    },
    Sql,
};
use crate::{model::limits::Limits, store::Meter};

async fn planned(sql: &Sql, text: &str) -> Arc<dyn ExecutionPlan> {
    let Ok(Statement::Query(query)) = statement::parse(text, &Limits::default()) else { panic!("{text}") };
    let queries = sql.queries.inner.clone();
    let part = queries.parts.begin(queries.context.pool());
    let (session, deadline) = (sql.session.clone(), Instant::now() + Duration::from_secs(60));
    select::planned(&StatementRequest { queries, session, meter: Arc::new(Meter::new()), deadline, part }, query).await
}

#[tokio::test]
async fn small_is_what_reads_few_rows_and_makes_no_more() {
    let sql = Sql::new().await;
    sql.all(&[
        "CREATE TABLE t (v DOUBLE, s STRING, TAGS(k))",
        "INSERT t (time, k, v, s) VALUES (1, 'a', 1, 'x'), (2, 'b', 2, 'y')",
    ])
    .await;
    for settled in [false, true] {
        if settled {
            sql.queries.inner.engine.maintain(crate::engine::Tasks::ALL).await.unwrap();
        }
        for (query, small) in [
            ("SELECT v FROM t WHERE k = 'a' ORDER BY time DESC LIMIT 1", true),
            ("SELECT k, date_bin(INTERVAL '1 hour', time) AS h, max(v) FROM t GROUP BY k, h ORDER BY h", true),
            ("SELECT count(*) FROM t WHERE s LIKE 'x%'", true),
            ("SELECT 1", true),
            ("SELECT a.v FROM t a, t b", false),
            ("SELECT regexp_count(s, 'x') FROM t", false),
            ("SELECT repeat(s, 1000) FROM t", false),
            ("SELECT value FROM generate_series(1, 10)", false),
            ("SELECT unnest(make_array(v, v)) FROM t", false),
        ] {
            let plan = planned(&sql, query).await;
            let shown = displayable(plan.as_ref()).indent(false);
            assert_eq!(lanes::is_small(&plan), small, "settled: {settled}, {query}\n{shown}");
        }
    }
}
