//! The command line as a person uses it: `siltdb config`, `sql` and `write`, on a server and straight
//! on a store.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::{NO_MAINTENANCE, Server, Target};

const FORMATS: [&str; 5] = ["table", "csv", "tsv", "json", "nd-json"];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command printed that has to succeed.
fn success(output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// What a command complained about that has to fail.
fn failure(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stderr)
}

/// Runs a command with something on its standard input.
fn run_with(target: &Target, words: &[&str], input: &[u8]) -> Output {
    let mut child = start(target, words, Stdio::piped());
    child.stdin.take().expect("a pipe").write_all(input).expect("the command reads");
    child.wait_with_output().expect("the command ends")
}

fn run(target: &Target, words: &[&str]) -> Output {
    start(target, words, Stdio::null()).wait_with_output().expect("the command ends")
}

fn start(target: &Target, words: &[&str], input: Stdio) -> Child {
    let mut command = command(target, words);
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary starts")
}

fn command(target: &Target, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_siltdb"));
    // No setting of the person who runs the tests may change their outcome.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SILTDB_")) {
        command.env_remove(name);
    }
    command.envs(target.environment.iter().map(|(name, value)| (name, value)));
    command.args(words);
    command
}

/// `count` points of table `load`, each with its number as time and value.
fn lines(count: usize) -> String {
    (1..=count).map(|number| format!("load,host=h{} v={number}i {number}\n", number % 7)).collect()
}

const LOADED: &str = "SELECT count(*) AS n, count(DISTINCT time) AS d, sum(v) AS s FROM load";

/// The one line that [`LOADED`] answers in csv when the points up to `count` are there once.
fn loaded(count: usize) -> String {
    format!("n,d,s\n{count},{count},{}\n", count * (count + 1) / 2)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary path of plain characters")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_answers_alike_on_a_server_and_on_its_store() {
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(folder.path());
    let server = Server::start(&target, NO_MAINTENANCE).await;
    server.write("public", "air,station=a t=1.5,note=\"x,\\\"y\\\"\" 1\nair,station=b t=2 2000000000").await;
    for sql in ["SELECT * FROM air ORDER BY time", "SHOW TABLES", "SELECT 1 WHERE false", "DESCRIBE TABLE air"] {
        for format in FORMATS {
            let on_server = success(&run(&target, &["sql", "--server", &server.address, "--format", format, sql]));
            let on_store = success(&run(&target, &["sql", "--store", &target.store, "--format", format, sql]));
            assert_eq!(on_server, on_store, "{sql} {format}");
            assert!(on_server.is_empty() || on_server.ends_with('\n'), "{sql} {format}: {on_server:?}");
        }
    }
    let csv = success(&run(&target, &["sql", "--server", &server.address, "SELECT t, note FROM air WHERE t < 2"]));
    assert_eq!(csv, "t,note\n1.5,\"x,\"\"y\"\"\"\n", "csv where nobody looks at a terminal");
    let table = success(&run(&target, &["sql", "--store", &target.store, "--format", "table", "SELECT 1 AS one"]));
    assert_eq!(table, "+-----+\n| one |\n+-----+\n| 1   |\n+-----+\n");
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_tells_whether_a_server_takes_requests() {
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(folder.path());
    let server = Server::start(&target, NO_MAINTENANCE).await;
    let address = server.address.clone();
    let told = success(&run(&target, &["ping", "--server", &address]));
    assert_eq!(told, format!("{} healthy\n", env!("CARGO_PKG_VERSION")));
    server.terminate().await;
    let complaint = failure(&run(&target, &["ping", "--server", &address]), 1);
    assert!(complaint.starts_with(&format!("siltdb: {address}: ")), "{complaint}");
    failure(&run(&target, &["ping", "--server", "ftp://db"]), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_statements_stop_at_the_first_that_fails() {
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(folder.path());
    let server = Server::start(&target, NO_MAINTENANCE).await;
    let statements = "CREATE DATABASE d; -- a; comment\nSELECT ';' AS a;\nSELECT x FROM;\nDROP DATABASE d;";
    let address = server.address.clone();
    for to in [["--server", address.as_str()], ["--store", target.store.as_str()]] {
        let output = run_with(&target, &["sql", to[0], to[1]], statements.as_bytes());
        let message = failure(&output, 1);
        assert!(message.starts_with("siltdb: statement 3 of 4, line 3: 010009 "), "{message}");
        assert_eq!(text(&output.stdout), "a\n;\n");
        // The last one was not run.
        let file = folder.path().join("cleanup.sql");
        fs::write(&file, "SHOW DATABASES;\nDROP DATABASE d").expect("a file");
        let shown = success(&run(&target, &["sql", to[0], to[1], "-f", path(&file)]));
        assert!(shown.lines().any(|line| line == "d"), "{shown}");
    }
    let message = failure(&run(&target, &["sql", "--server", &server.address, "SELECT * FROM nothing"]), 1);
    assert!(message.starts_with("siltdb: 030019 Table not found"), "{message}");
    let message = failure(&run(&target, &["sql", "--store", &target.store, "--tenant", "other", "SELECT 1"]), 1);
    assert!(message.contains("Access denied"), "{message}");
    let both = ["sql", "--server", "x", "--store", "y", "SELECT 1"];
    assert!(failure(&run(&target, &both), 2).contains("cannot be used with"));
    server.terminate().await;
    let message = failure(&run(&target, &["sql", "--server", &address, "SELECT 1"]), 1);
    assert!(message.contains("cannot be reached"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_taken_from_the_environment() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut target = Target::folder(folder.path());
    target.environment.push(("SILTDB_ROOT_PASSWORD".to_owned(), "right".to_owned()));
    let server = Server::start(&target, NO_MAINTENANCE).await;
    let ask = |password: &str, words: &[&str]| {
        let mut client = target.clone();
        client.environment.push(("SILTDB_PASSWORD".to_owned(), password.to_owned()));
        run_with(&client, &[&[words[0], "--server", &server.address], &words[1..]].concat(), b"m v=1 1")
    };
    assert_eq!(success(&ask("right", &["sql", "SELECT 1 AS n"])), "n\n1\n");
    assert!(failure(&ask("wrong", &["sql", "SELECT 1"]), 1).contains("010016 "));
    assert!(failure(&ask("wrong", &["write"]), 1).contains("010016 "));
    success(&ask("right", &["write"]));
    assert!(failure(&ask("right", &["sql", "--user", "nobody", "SELECT 1"]), 1).contains("010016 "));
    // Whoever can open the store needs none.
    assert_eq!(success(&run(&target, &["sql", "--store", &target.store, "SELECT v FROM m"])), "v\n1.0\n");
    server.terminate().await;
}

/// A program that gives another one a terminal.
const TERMINAL: &[&str] =
    &["python3", "-c", "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_is_shown_what_it_would_obey() {
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(folder.path());
    target.make().await;
    let value = "x\u{1b}]0;pwned\u{7}\u{1b}[31m\u{9b}y\u{202e}z";
    success(&target.run_under(&[], "write", &[], format!("m,t=a v=\"{value}\" 1\n").as_bytes()));
    let shown = "x\\u{1b}]0;pwned\\u{7}\\u{1b}[31m\\u{9b}y\\u{202e}z";
    for format in ["table", "csv", "tsv"] {
        let arguments = ["--format", format, "SELECT v FROM m"];
        let on_terminal = success(&target.run_under(TERMINAL, "sql", &arguments, b""));
        assert!(on_terminal.contains(shown), "{format}: {on_terminal:?}");
        assert!(!on_terminal.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{format}: {on_terminal:?}");
        let piped = success(&target.run("sql", &arguments));
        assert!(piped.contains(if format == "table" { shown } else { value }), "{format}: {piped:?}");
    }
    let wrong = target.run("sql", &["SELECT * FROM \"no\u{1b}[31mwhere\""]);
    let said = failure(&wrong, 1);
    assert!(said.contains("no\\u{1b}[31mwhere") && !said.contains('\u{1b}'), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_leaves_ends_it_quietly() {
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(folder.path());
    let server = Server::start(&target, NO_MAINTENANCE).await;
    // More than a pipe holds.
    let sql = "SELECT repeat('x', 1000) FROM generate_series(1, 2000)";
    for to in [["--server", server.address.as_str()], ["--store", target.store.as_str()]] {
        let mut child = start(&target, &["sql", to[0], to[1], sql], Stdio::null());
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("the command ends");
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{to:?}");
    }
    server.terminate().await;
}

/// A server on an address that is known before. Killed when dropped.
struct Second(Child);

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_goes_on_where_a_killed_server_stopped_it() {
    const POINTS: usize = 60_000;
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(&folder.path().join("store"));
    let progress = folder.path().join("progress");
    let input = lines(POINTS);
    let (first, second) = input.split_at(input.len() / 2);
    let mut server = Server::start(&target, NO_MAINTENANCE).await;
    let address = server.address.clone();
    let words = ["write", "--server", &address, "--batch-lines", "200", "--progress", path(&progress)];
    let mut load = start(&target, &[&words[..], &["--retry-time", "1ms"]].concat(), Stdio::piped());
    let mut pipe = load.stdin.take().expect("a pipe");
    pipe.write_all(first.as_bytes()).expect("the load reads");
    while written(&progress) == 0 {
        let ended = load.try_wait().expect("a child of ours");
        assert!(ended.is_none(), "the load ended: {ended:?}");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    server.kill9();
    // The load may be gone before it has read all.
    let _ = pipe.write_all(second.as_bytes());
    drop(pipe);
    let message = failure(&load.wait_with_output().expect("the load ends"), 1);
    let (done, size) = (written(&progress), input.len() as u64);
    assert!(done > 0 && done < size, "killed half-way: {done} of {size}");
    assert!(message.contains(&format!("Everything up to byte {done} of standard input is written")), "{message}");
    assert!(message.contains("the same command goes on from there"), "{message}");
    // What it calls written is there, whoever looks.
    let before = input[..usize::try_from(done).expect("a place")].lines().count();
    let there = success(&run(&target, &["sql", "--store", &target.store, LOADED]));
    let count = there.lines().nth(1).and_then(|line| line.split(',').next()).and_then(|count| count.parse().ok());
    assert!(count.is_some_and(|count: usize| count >= before), "{there}: {before} were acknowledged");

    // The same command, and nothing listens yet: it waits for the server that comes.
    let mut load = start(&target, &[&words[..], &["--gzip"]].concat(), Stdio::piped());
    let mut serve = command(&target, &["serve", "--store", &target.store, "--listen", &address]);
    serve.args(NO_MAINTENANCE).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _second = Second(serve.spawn().expect("the binary starts"));
    load.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the load reads");
    let summary = success(&load.wait_with_output().expect("the load ends"));
    let rest = POINTS - before;
    let thousands = if rest < 1_000 { rest.to_string() } else { format!("{},{:03}", rest / 1_000, rest % 1_000) };
    assert!(summary.starts_with(&format!("{thousands} points (")), "{summary}, {rest} were left");
    assert_eq!(written(&progress), size);
    assert_eq!(success(&run(&target, &["sql", "--server", &address, LOADED])), loaded(POINTS));
    // A place in one target says nothing about another.
    let elsewhere = ["write", "--store", &target.store, "--progress", path(&progress)];
    assert!(failure(&run(&target, &elsewhere), 2).contains("use another file"));
}

/// How far the only input of a progress file is written.
fn written(progress: &Path) -> u64 {
    let Ok(bytes) = fs::read(progress) else { return 0 };
    let contents: Value = serde_json::from_slice(&bytes).expect("a whole file at any time");
    contents["inputs"]
        .as_object()
        .and_then(|inputs| inputs.values().next())
        .and_then(|input| input["bytes"].as_u64())
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_line_is_named_and_a_mended_file_goes_on() {
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(&folder.path().join("store"));
    let server = Server::start(&target, NO_MAINTENANCE).await;
    let whole = lines(3_000);
    let at = whole.match_indices('\n').nth(1_776).expect("many lines").0 + 1;
    for (case, to) in [["--server", server.address.as_str()], ["--store", target.store.as_str()]].iter().enumerate() {
        // Not line protocol; and another type than the column has, which only the database knows.
        for (kind, (wrong, code)) in [("load v=oops 1", "040004 "), ("load v=\"text\" 1", "020004 ")].iter().enumerate()
        {
            let database = format!("d{case}{kind}");
            success(&run(&target, &["sql", to[0], to[1], &format!("CREATE DATABASE {database}")]));
            let input = folder.path().join(format!("{database}.lp"));
            fs::write(&input, format!("{}{wrong}\n{}", &whole[..at], &whole[at..])).expect("a file");
            let progress = folder.path().join(format!("{database}.progress"));
            let words = [
                "write",
                to[0],
                to[1],
                "--database",
                &database,
                "--batch-lines",
                "500",
                "--progress",
                path(&progress),
                path(&input),
            ];
            let message = failure(&run(&target, &words), 1);
            assert!(message.starts_with(&format!("siltdb: {}, line 1778: {code}", path(&input))), "{message}");
            // Exactly what stands before the line is called written, whatever batch it was in.
            assert_eq!(written(&progress), at as u64, "{message}");
            fs::write(&input, &whole).expect("a file");
            success(&run(&target, &words));
            let answer = success(&run(&target, &["sql", to[0], to[1], "--database", &database, LOADED]));
            assert_eq!(answer, loaded(3_000));
        }
    }
    server.terminate().await;
}

/// Windows' editors put one in front of what they save as UTF-8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_order_mark_is_no_part_of_a_file() {
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(&folder.path().join("store"));
    let server = Server::start(&target, NO_MAINTENANCE).await;
    let (points, statements) = (folder.path().join("points.lp"), folder.path().join("statements.sql"));
    fs::write(&points, "\u{feff}# a comment\nmarked v=1i 1\nmarked v=2i 2\n").expect("a file");
    let sql = "\u{feff}SHOW TABLES; SELECT count(*) AS n FROM marked";
    fs::write(&statements, sql).expect("a file");
    for to in [["--server", server.address.as_str()], ["--store", target.store.as_str()]] {
        let summary = success(&run(&target, &["write", to[0], to[1], "--batch-lines", "1", path(&points)]));
        assert!(summary.starts_with("2 points ("), "{summary}");
        let answer = "table_name\nmarked\nn\n2\n";
        assert_eq!(success(&run(&target, &["sql", to[0], to[1], "-f", path(&statements)])), answer);
        assert_eq!(success(&run_with(&target, &["sql", to[0], to[1]], sql.as_bytes())), answer);
    }
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_less_gets_smaller_parts() {
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(folder.path());
    let server = Server::start(&target, &[NO_MAINTENANCE, &["--write-body-bytes", "4KiB"]].concat()).await;
    success(&run_with(&target, &["write", "--server", &server.address], lines(1_000).as_bytes()));
    assert_eq!(success(&run(&target, &["sql", "--server", &server.address, LOADED])), loaded(1_000));
    let long = format!("load v=1i 1\nload note=\"{}\" 2\n", "x".repeat(5_000));
    let message = failure(&run_with(&target, &["write", "--server", &server.address], long.as_bytes()), 1);
    assert!(message.starts_with("siltdb: standard input, line 2: "), "{message}");
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_standard_input_go_straight_into_a_store() {
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(&folder.path().join("store"));
    target.make().await;
    let whole = lines(900);
    let cuts: Vec<usize> = whole.match_indices('\n').map(|(at, _)| at + 1).collect();
    let (first, second, third) = (&whole[..cuts[299]], &whole[cuts[299]..cuts[599]], &whole[cuts[599]..]);
    let (plain, zstd) = (folder.path().join("a.lp"), folder.path().join("b.lp.zst"));
    fs::write(&plain, first).expect("a file");
    fs::write(&zstd, zstd::encode_all(second.as_bytes(), 3).expect("compressed")).expect("a file");
    let words = ["write", "--store", &target.store, "--batch-lines", "7", path(&plain), path(&zstd)];
    let summary = success(&run(&target, &words));
    assert!(summary.starts_with("600 points ("), "{summary}");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(third.as_bytes()).expect("compressed");
    let gzip = gzip.finish().expect("compressed");
    success(&run_with(&target, &["write", "--store", &target.store], &gzip));
    assert_eq!(success(&run(&target, &["sql", "--store", &target.store, LOADED])), loaded(900));
    // Writing again changes nothing.
    success(&run(&target, &words));
    assert_eq!(success(&run(&target, &["sql", "--store", &target.store, LOADED])), loaded(900));
    let seconds = ["write", "--store", &target.store, "--precision", "s"];
    success(&run_with(&target, &seconds, b"fine v=1 7"));
    let shown =
        success(&run(&target, &["sql", "--store", &target.store, "SELECT CAST(time AS BIGINT) AS t FROM fine"]));
    assert_eq!(shown, "t\n7000000000\n");
    target.check();

    let message = failure(&run(&target, &["write", "--store", &target.store, "--database", "none", path(&plain)]), 1);
    assert!(message.contains("lines 1 to 300: 030017 "), "{message}");
    assert!(message.contains("write --skip-bytes=0 --"), "{message}");
    let message = failure(&run(&target, &["write", "--store", &target.store, "missing.lp"]), 2);
    assert!(message.contains("missing.lp cannot be read"), "{message}");
}

#[test]
fn settings_are_shown_with_where_they_came_from() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("silt.toml");
    let hash = "$argon2id$v=19$m=8,t=1,p=1$YWFhYWFhYWE$bWhEpD4B5PLUCV9iAWj3MGfTIkWsGQdYxdQKDzJ9aAc";
    let text = format!("grace = \"2h\"\nlog = \"debug\"\nroot_password_hash = \"{hash}\"\n");
    fs::write(&file, text).expect("a file");
    let mut target = Target::folder(folder.path());
    target.environment.push(("SILTDB_LOG".to_owned(), "warn".to_owned()));
    target.environment.push(("SILTDB_ROOT_PASSWORD".to_owned(), "hunter2".to_owned()));
    let words = ["config", "--config", path(&file), "--listen", "127.0.0.1:7"];
    let json = success(&run(&target, &[&words[..], &["--format", "json"]].concat()));
    let rows: Vec<Value> = serde_json::from_str(&json).expect("JSON");
    let of = |setting: &str| {
        let row = rows.iter().find(|row| row["setting"] == setting).expect("every setting");
        (row["value"].as_str().expect("text").to_owned(), row["source"].as_str().expect("text").to_owned())
    };
    let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(of("listen"), pair("127.0.0.1:7", "flag --listen"));
    assert_eq!(of("log"), pair("warn", "environment variable SILTDB_LOG"));
    assert_eq!(of("grace"), pair("2h", &format!("file {}, line 1", path(&file))));
    assert_eq!(of("query_time"), pair("30s", "default"));
    assert_eq!(of("root_password"), pair("(set)", "environment variable SILTDB_ROOT_PASSWORD"));
    assert_eq!(of("root_password_hash"), pair("(set)", &format!("file {}, line 3", path(&file))));
    let table = success(&run(&target, &words));
    assert!(table.contains("| grace ") && table.starts_with('+'), "{table}");
    assert!(!table.contains("hunter2") && !json.contains("hunter2") && !table.contains("argon2"));
    let message = failure(&run(&target, &["config", "--query-time", "soon"]), 2);
    assert!(message.contains("--query-time 'soon': it must be a time"), "{message}");
}
