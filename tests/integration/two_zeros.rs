//! A store of an earlier version, which kept -0.0: `tests/data/two-zeros`, with a table `z` of two data
//! files of one day, one of the next, and a tail. It is read, and merged, as if there had been one zero.

use std::path::Path;

use tempfile::TempDir;

use crate::server::{NO_MAINTENANCE, Server, Target};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder of the store") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

const QUERIES: [(&str, &str); 7] = [
    ("SELECT k, v, n FROM z ORDER BY time", "a,0.0,1;b,0.0,7;c,5.0,3;f,0.0,8;g,0.0,9;d,0.0,;e,,5;h,1.0,10"),
    ("SELECT count(*) FROM z WHERE v IN (0, 5, 7, 8)", "6"),
    ("SELECT k FROM z WHERE v NOT IN (0, 5, 7, 8)", "h"),
    ("SELECT count(*) FROM z a JOIN (SELECT 0.0 AS z) k ON a.v = k.z", "5"),
    ("SELECT count(*) FROM z WHERE v IN (SELECT 0.0)", "5"),
    ("SELECT v, count(*) FROM z GROUP BY v ORDER BY v", "0.0,5;1.0,1;5.0,1;,1"),
    ("SELECT k FROM z WHERE v = 0 ORDER BY v, k DESC", "g;f;d;b;a"),
];

async fn ask(server: &Server, stage: &str) {
    for (sql, expected) in QUERIES {
        let response = server.sql("public", sql, "application/csv").await;
        let body = String::from_utf8(response.body).expect("text");
        let rows: Vec<&str> = body.lines().skip(1).collect();
        assert_eq!(rows.join(";"), expected, "{stage}: {sql}");
    }
}

#[tokio::test]
async fn an_older_store_has_one_zero() {
    let folder = TempDir::new().expect("a temporary folder");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/two-zeros"), folder.path());
    let target = Target::folder(folder.path());
    let server = Server::start(&target, NO_MAINTENANCE).await;
    ask(&server, "as it was").await;
    target.flush();
    ask(&server, "flushed").await;
    // The merge proves that it lost nothing, though the sums of its inputs are of both zeros.
    target.maintain();
    ask(&server, "merged").await;
    target.check();
    server.terminate().await;
}
