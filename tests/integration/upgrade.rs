//! A store that an earlier program has left is read, written to and cared for by this one, as it is.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::server::{NO_MAINTENANCE, Server, Target};

/// What [`stored`] answers of the store as it was left.
const CPU: &str = "host,region,usage,load,note,ok,day
a,eu,101.0,0,day 0,true,2025-12-01
a,eu,1.0,10,day 1,true,2025-12-02
a,eu,2.0,20,day 2,true,2025-12-03
a,eu,3.0,30,day 3,true,2025-12-04
a,eu,4.0,40,day 4,true,2025-12-05
a,eu,5.0,50,day 5,true,2025-12-06
b,,0.5,,,,2025-12-01
b,,1.5,,,,2025-12-02
b,,2.5,,,,2025-12-03
b,,3.5,,,,2025-12-04
b,,4.5,,,,2025-12-05
b,,5.5,,,,2025-12-06
c,,7.0,,,,2025-12-07
c,,8.0,,,,2025-12-07
d,,9.0,,,,2025-12-08
";

async fn answer(server: &Server, database: &str, sql: &str) -> String {
    let response = server.sql(database, sql, "application/csv").await;
    assert_eq!(response.status, 200, "{sql}: {}", response.text());
    response.text()
}

async fn stored(server: &Server) -> String {
    let columns = "host, region, usage, load, note, ok, CAST(time AS DATE) AS day";
    answer(server, "public", &format!("SELECT {columns} FROM cpu ORDER BY host, time")).await
}

/// What else is stored: another unit of time, another type, and zeros with a sign, which equal those without.
async fn verify_the_rest(server: &Server) {
    let disk = answer(server, "public", "SELECT count(*) AS n, sum(free) AS s FROM disk").await;
    assert_eq!(disk, format!("n,s\n6,{}\n", 7 + 1_000 + 2_000 + 3_000 + 4_000 + 5_000));
    let zeros = answer(server, "public", "SELECT count(*) AS n FROM cpu WHERE abs(signed) = 0.0").await;
    assert_eq!(zeros, "n\n2\n");
    let air = answer(server, "air", "SELECT temperature, CAST(time AS BIGINT) AS t FROM station").await;
    assert_eq!(air, "temperature,t\n21.5,1764547200000\n");
    assert_eq!(answer(server, "public", "SHOW DATABASES").await, "database_name\nair\npublic\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_an_earlier_program_goes_on() {
    let folder = TempDir::new().expect("a temporary folder");
    let place = folder.path().join("store");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store-of-format-3"), &place);
    let target = Target::folder(&place);
    target.check();
    let server = Server::start(&target, NO_MAINTENANCE).await;
    assert!(!server.log().contains("new store"), "{}", server.log());
    assert_eq!(stored(&server).await, CPU);
    verify_the_rest(&server).await;
    // Overwrites in each part of it, and a new column.
    let day = |number: i64| 1_764_547_200_000_000_000 + number * 86_400_000_000_000;
    let lines = format!(
        "cpu,host=b usage=20,extra=1i {}\ncpu,host=a,region=eu usage=102 {}\ncpu,host=d usage=30 {}",
        day(2),
        day(0),
        day(7)
    );
    server.write("public", &lines).await;
    let expected = CPU.replace("b,,2.5", "b,,20.0").replace("101.0", "102.0").replace("d,,9.0", "d,,30.0");
    assert_eq!(stored(&server).await, expected);
    for settle in [Target::flush, Target::maintain, Target::collect_at_once] {
        settle(&target);
        assert_eq!(stored(&server).await, expected);
        verify_the_rest(&server).await;
        target.check();
    }
    let extra = answer(&server, "public", "SELECT host, extra FROM cpu WHERE extra = 1").await;
    assert_eq!(extra, "host,extra\nb,1\n");
    server.terminate().await;
}

/// Names that new ones may not be like: with escapes of terminals, an override of direction, and spaces of no width.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_refused_now_are_read_written_and_dropped_where_they_are() {
    let folder = TempDir::new().expect("a temporary folder");
    let place = folder.path().join("store");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store-with-unseen-names"), &place);
    let target = Target::folder(&place);
    target.check();
    let server = Server::start(&target, NO_MAINTENANCE).await;
    let rows = "SELECT \"ta\u{1b}[31mg\", \"fi\u{202e}eld\", CAST(time AS BIGINT) AS t FROM plain ORDER BY time";
    assert_eq!(answer(&server, "public", rows).await, "ta\u{1b}[31mg,fi\u{202e}eld,t\nx\u{9b}y,1.0,1\n");
    server.write("public", "plain,ta\u{1b}[31mg=z fi\u{202e}eld=2 2\nlook\u{200b}alike,t=a v=4 4").await;
    for settle in [Target::flush, Target::maintain] {
        settle(&target);
        assert!(answer(&server, "public", rows).await.ends_with("\nz,2.0,2\n"));
        let alike = answer(&server, "public", "SELECT count(*) AS n FROM \"look\u{200b}alike\"").await;
        assert_eq!(alike, "n\n2\n");
    }
    let table = server.sql("public", "SELECT * FROM plain", "application/table").await.text();
    assert!(
        table.contains("ta\\u{1b}[31mg") && table.contains("fi\\u{202e}eld") && table.contains("x\\u{9b}y"),
        "{table}"
    );
    assert!(!table.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{table}");
    let described = server.sql("public", "DESCRIBE TABLE plain", "application/table").await.text();
    assert!(described.contains("ta\\u{1b}[31mg") && !described.contains('\u{1b}'), "{described}");
    assert_eq!(answer(&server, "pub%E2%80%8Blic", "SELECT v FROM m").await, "v\n3.0\n");
    for drop in ["DROP TABLE \"look\u{200b}alike\"", "DROP TABLE plain", "DROP DATABASE \"pub\u{200b}lic\""] {
        let dropped = server.sql("public", drop, "application/csv").await;
        assert_eq!(dropped.status, 200, "{drop:?}: {}", dropped.text());
    }
    assert_eq!(answer(&server, "public", "SHOW DATABASES").await, "database_name\npublic\n");
    for (create, column) in [
        ("CREATE DATABASE \"pub\u{200b}lic\"", 17),
        ("CREATE TABLE \"a\u{202e}\" (v DOUBLE)", 14),
        ("CREATE TABLE a (\"v\u{1b}\" DOUBLE)", 17),
        ("CREATE TABLE a (v DOUBLE, TAGS(t, \"t\u{9b}\"))", 35),
    ] {
        let refused = server.sql("public", create, "application/csv").await;
        assert_eq!(refused.status, 422, "{create:?}: {}", refused.text());
        let place = format!("at Line: 1, Column: {column}");
        assert!(refused.text().contains(&place), "{create:?}: {}", refused.text());
    }
    server.terminate().await;
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
