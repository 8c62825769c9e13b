//! `SELECT *` of a table that is wide enough to be planned for one column.

use super::*;

const COLUMNS: usize = super::super::star::WIDE + 40;

async fn wide() -> (Sql, String) {
    let sql = Sql::new().await;
    let names: Vec<String> = (0..COLUMNS).map(|index| format!("c{index}")).collect();
    let fields: Vec<String> = names.iter().map(|name| format!("{name} BIGINT")).collect();
    sql.run(&format!("CREATE TABLE wide ({}, TAGS(t))", fields.join(", "))).await.unwrap();
    for row in 0..5_usize {
        let values: Vec<String> = (0..COLUMNS).map(|index| ((index * 7 + row * 13) % 11).to_string()).collect();
        let insert =
            format!("INSERT wide (time, t, {}) VALUES ({row}, 'x{row}', {})", names.join(", "), values.join(", "));
        sql.run(&insert).await.unwrap();
    }
    (sql, format!("time, t, {}", names.join(", ")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_is_all_columns_whatever_stands_around_it() {
    let (sql, columns) = wide().await;
    for (around, rows) in [
        ("FROM wide ORDER BY time", 5),
        ("FROM wide AS w ORDER BY w.c3 DESC, w.time LIMIT 3 OFFSET 1", 3),
        ("FROM public.wide WHERE c7 > 2 AND t <> 'x1' ORDER BY c5 + c6, time", 2),
        ("FROM wide WHERE c1 IN (SELECT max(c1) FROM wide) ORDER BY time", 1),
        ("FROM wide ORDER BY 1 LIMIT 1", 1),
        ("FROM wide ORDER BY 2 DESC LIMIT 1", 1),
        ("FROM wide ORDER BY 9, time", 5),
        ("FROM (SELECT * FROM wide) ORDER BY time", 5),
        ("FROM wide WHERE time > '1970-01-01' ORDER BY time", 4),
        ("FROM wide WHERE false", 0),
    ] {
        let star = sql.run(&format!("SELECT * {around}")).await.unwrap_or_else(|error| panic!("{around}: {error:?}"));
        let listed = sql.run(&format!("SELECT {columns} {around}")).await.unwrap();
        assert_eq!(star[0].num_columns(), COLUMNS + 2, "{around}");
        assert_eq!(star.iter().map(RecordBatch::num_rows).sum::<usize>(), rows, "{around}");
        assert_eq!(
            pretty_format_batches(&star).unwrap().to_string(),
            pretty_format_batches(&listed).unwrap().to_string()
        );
    }
    let error = sql.error("SELECT * FROM wide WHERE nothing = 1").await;
    assert!(error.message.contains("No field named nothing"), "{error:?}");
    assert_eq!(sql.code("SELECT * FROM wide ORDER BY 1000").await, Code::Planning);
}

/// Each column of a projection is looked up among all of its input's, by name, by every rule.
#[tokio::test(flavor = "multi_thread")]
async fn the_plan_of_a_star_has_no_projection() {
    let (sql, columns) = wide().await;
    let plan = sql.table("EXPLAIN VERBOSE SELECT * FROM wide WHERE c7 > 2 ORDER BY c3 LIMIT 3").await;
    assert!(plan.contains("TableScan: wide") && !plan.contains("Projection:"), "{plan}");
    let plan = sql.table(&format!("EXPLAIN VERBOSE SELECT {columns} FROM wide")).await;
    assert!(plan.contains("Projection:"), "{plan}");
}
