//! The bound on the memory of queries, against what the kernel says that the process has had at most.

use crate::server::{NO_MAINTENANCE, Server, Target};

/// What all queries together may use.
const POOL: u64 = 256 << 20;
/// What the process has besides: the program itself, and for each thread of queries what one call of a function
/// makes before it is cut.
const BASE: u64 = 300 << 20;

async fn server(folder: &std::path::Path) -> Server {
    let pool = POOL.to_string();
    let mut arguments = NO_MAINTENANCE.to_vec();
    // Nothing is concluded from speed.
    arguments.extend(["--query-memory-bytes", pool.as_str(), "--query-time", "120s"]);
    Server::start(&Target::folder(folder), &arguments).await
}

fn bounded(server: &Server, what: &str) {
    let (peak, most) = (server.peak_memory(), POOL + POOL / 4 + BASE);
    println!("{:>5} MiB  {what:.90}", peak >> 20);
    assert!(peak <= most, "{what}: {} MiB, which may be {}", peak >> 20, most >> 20);
}

/// Statements that ask for more than there is, each of a server of its own. All but the first ones are answered.
const STATEMENTS: &[&str] = &[
    "SELECT array_length(array_agg(repeat(cast(value AS VARCHAR), 2000))) n FROM generate_series(1, 1000000)",
    "SELECT sum(c) n FROM (SELECT sum(a.value) OVER () c FROM generate_series(1, 1000000) a, generate_series(1, 60) b)",
    "SELECT length(string_agg(repeat(cast(value AS VARCHAR), 2000), ',')) n FROM generate_series(1, 1000000)",
    "SELECT count(DISTINCT repeat(cast(value AS VARCHAR), 300)) n FROM generate_series(1, 200000)",
    "SELECT max(length(l)) n FROM (SELECT lag(x, 100000) OVER (ORDER BY v) l FROM \
     (SELECT value v, repeat(cast(value AS VARCHAR), 40) x FROM generate_series(1, 200000)))",
    "SELECT max(y) n FROM (SELECT repeat(cast(value AS VARCHAR), 300) y FROM generate_series(1, 60000) \
     ORDER BY y DESC OFFSET 10)",
    "SELECT sum(length(x)) n FROM (SELECT arrow_cast(repeat(cast(value AS VARCHAR), 1000000), 'LargeUtf8') x \
     FROM generate_series(1, 2)) a CROSS JOIN generate_series(1, 2048) b",
    "SELECT sum(length(x)) n FROM (SELECT arrow_cast(repeat(cast(value AS VARCHAR), 1000000), 'Utf8') x \
     FROM generate_series(1, 2)) a CROSS JOIN generate_series(1, 2048) b",
    "SELECT max(length(s)) n FROM (SELECT unnest(r) u, s FROM (SELECT range(0, 30000) r, \
     arrow_cast(repeat(cast(value AS VARCHAR), 100000), 'LargeUtf8') s FROM generate_series(1, 1)))",
    "WITH RECURSIVE r AS (SELECT 1 n, repeat('a', 1000000) s UNION ALL SELECT n + 1, s FROM r WHERE n < 3000) \
     SELECT max(n) n, max(length(s)) l FROM r",
    "SELECT median(value) + median(value * 2) + median(value * 3) + median(value * 5) n FROM generate_series(1, 1000000)",
];

#[tokio::test]
async fn one_statement_stays_within_the_bound() {
    for statement in STATEMENTS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = server(folder.path()).await;
        let answer = server.sql("public", statement, "application/json").await;
        println!("{} {:.150}", answer.status, answer.text());
        assert!(matches!(answer.status, 200 | 422), "{statement}: {} {}", answer.status, answer.text());
        bounded(&server, statement);
        server.number("public", "SELECT 1 n").await;
    }
}

#[tokio::test]
async fn many_statements_at_once_stay_within_the_bound() {
    for statement in [
        "SELECT max(c) n FROM (SELECT sum(value) OVER () c FROM generate_series(1, 1000000))",
        "SELECT array_length(array_agg(repeat(cast(value AS VARCHAR), 500))) n FROM generate_series(1, 10000)",
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = server(folder.path()).await;
        let asked = (0..32).map(|_| server.sql("public", statement, "application/json"));
        let answers = futures::future::join_all(asked).await;
        let answered = answers.iter().filter(|answer| answer.status == 200).count();
        let refused = answers.iter().filter(|answer| matches!(answer.status, 422 | 429)).count();
        assert_eq!(answered + refused, answers.len(), "{:?}", answers.iter().map(|one| one.status).collect::<Vec<_>>());
        println!("{answered} answered, {refused} refused");
        assert!(answered > 0, "none was answered: {}", answers[0].text());
        bounded(&server, statement);
    }
}
