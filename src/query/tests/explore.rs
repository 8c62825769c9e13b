use super::*;
#[tokio::test(flavor = "multi_thread")]
async fn explore() {
    let sql = Sql::new().await;
    sql.all(&["CREATE TABLE air (temperature DOUBLE, n BIGINT, u BIGINT UNSIGNED, s STRING, b BOOLEAN, TAGS(station, city))"]).await;
    for q in [
        "insert air values (101, 'a', 'x', 1.5, 2, 3, 'str', true), (102, 'b', null, null, -2, null, null, null)",
        "insert into air (time, station, n) values ('2026-11-23T10:00:00Z', 'a', 7), ('2026-11-23T10:00:00+08:00', 'a', 8), (1795478400000000000, 'q', 1)",
        "select * from air",
        "select count(*) from air",
        "select count(*) from air where time = 101",
        "select time = 101, time > 101 from air where time < 1000",
        "select time from air where time between 101 and 101",
        "select time from air where time in (101, 5)",
        "select time from air where time > '2026-01-01' order by time",
        "select time from air where time = '2026-11-23T10:00:00+08:00'",
        "select to_timestamp(101), cast(101 as timestamp), to_timestamp('2026-01-01T00:00:00Z'), arrow_typeof(cast(101 as timestamp))",
        "select station, max(n) from air group by station order by station",
        "explain select station, max(n) from air where n > 1 and station='a' group by station order by station",
        "explain analyze select station, max(n) from air where n > 1 and station='a' group by station order by station",
        "show tables", "show databases", "desc database public", "describe table air",
        "select 'a' || 'b', now(), version()",
        "select * from generate_series(1,3)",
        "select length(repeat('x', 300000000))",
        "select count(*) from generate_series(1,9000000000)",
        "select range(1,90000000)",
        "select 1; select 2", ";", "", "set x = 1", "show all", "select * from '/etc/passwd'", "copy (select 1) to '/tmp/x'",
        "create external table t stored as csv location '/etc/passwd'", "1", "select x from air", "select * from nope", "select * from nodb.t",
        "select * from other.public.air", "insert air (time, n) values (null, 1)", "insert air (time, u) values (1, -1234)", "insert air (time, station) values (1, 'a')",
        "insert air (time, nope) values (1, 'a')", "insert air (n) values (1)", "insert air values (1)",
        "insert into air select time + interval '1 second' as time, station, city, temperature, n,u,s,b from air",
        "insert into air (time, n) select '2020-01-01', 1",
        "insert into air (time, n) values (now(), 1 + 1)",
        "select sum(n), count(*) from air",
        "with recursive r as (select 1 as x union all select x+1 from r where x < 5) select * from r",
        "select 1/0", "select cast('a' as bigint)", "select @@version", "explain insert air values(1)", "explain (select 1) union select 2",
        "select * from air where station = 'zzz'", "select * from air limit 1", "select date_bin(interval '1 day', time) d, count(*) from air group by d order by d",
        "select \"time\" from public.air a where a.n = 7", "select * from cnosdb.public.air where 1=0", "describe table nope", "describe air", "show tables on nodb", "desc database nodb",
        "select time + 1 from air", "select cast(time as bigint) from air limit 1", "insert into air(time,n) values ('2026-01-01',1),(5,2)",
        "explain verbose select * from air", "select last_value(n order by time) from air", "values (1,2)", "select a.n from air a join air b on a.time=b.time where a.n=7",
        "select * from air where time > now() - interval '1 day'", "select min(time), max(time) from air", "SELECT 1 AS \"a b\"", "select case when time>5 then 1 end from air limit 1",
    ] {
        match sql.run(q).await {
            Ok(b) => println!("=== {q}\n{}", if b.is_empty() { "(nothing)".into() } else { arrow::util::pretty::pretty_format_batches(&b).unwrap().to_string() }),
            Err(e) => println!("=== {q}\n!! {:?} {}", e.code, e.message),
        }
    }
}
