//! What others are kept from: users of the same machine, readers of the log, terminals, and clients who would
//! like to know where the data is.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::{Request, send};
use crate::server::{NO_MAINTENANCE, ROOT, Server, Target, sql_on};

/// What makes a program's files readable by all, unless it says otherwise.
const OPEN: &[&str] = &["sh", "-c", "umask 022; exec \"$@\"", "sh"];

/// Everything below a folder, with its mode.
fn below(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("it is there");
            found.push((path.clone(), metadata.mode() & 0o7777));
            if metadata.is_dir() {
                pending.push(path);
            }
        }
    }
    found
}

async fn write_flush_and_read(target: &Target) {
    let server = Server::start_under(OPEN, target, NO_MAINTENANCE).await;
    server.write("public", "air,station=a temperature=1 1").await;
    server.terminate().await;
    let flushed = target.run_under(OPEN, "maintain", &[], b"");
    assert!(flushed.status.success(), "{flushed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_its_owners_alone_whatever_the_umask() {
    let folder = TempDir::new().expect("a temporary folder");
    let place = folder.path().join("store");
    write_flush_and_read(&Target::folder(&place)).await;
    let mut kinds = (0, 0);
    for (path, mode) in below(folder.path()) {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{mode:o} {}", path.display());
        if path.is_dir() { kinds.0 += 1 } else { kinds.1 += 1 }
    }
    assert!(kinds.0 >= 8 && kinds.1 >= 8, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_there_keeps_its_mode_and_its_group_what_it_was_given() {
    use std::os::unix::fs::PermissionsExt;
    // Nobody else may enter the second: what its group may do was said on purpose.
    for (given, directories, files) in [(0o755, 0o700, 0o600), (0o750, 0o750, 0o640)] {
        let folder = TempDir::new().expect("a temporary folder");
        let place = folder.path().join("store");
        fs::create_dir(&place).expect("a folder");
        fs::set_permissions(&place, fs::Permissions::from_mode(given)).expect("its mode");
        write_flush_and_read(&Target::folder(&place)).await;
        assert_eq!(fs::metadata(&place).expect("a folder").mode() & 0o7777, given);
        for (path, mode) in below(&place) {
            assert_eq!(mode, if path.is_dir() { directories } else { files }, "{mode:o} {}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_link_is_refused_and_clients_are_not_told_where() {
    let folder = TempDir::new().expect("a temporary folder");
    let (place, away) = (folder.path().join("store"), folder.path().join("elsewhere"));
    let target = Target::folder(&place);
    let server = Server::start(&target, NO_MAINTENANCE).await;
    server.write("public", "air,station=a temperature=1 1").await;
    let log = below(&place)
        .into_iter()
        .map(|(path, _)| path)
        .find(|path| path.ends_with("log") && !path.ends_with("sys/log"));
    let log = log.expect("the log of a database");
    fs::rename(&log, &away).expect("moved");
    symlink(&away, &log).expect("a link");
    let before = fs::read_dir(&away).expect("a folder").count();
    let write = Request::new("POST", "/api/v1/write?db=public", "air,station=a temperature=2 2")
        .header("Authorization", ROOT)
        .header("x-request-id", "asked-by-a-test");
    let written = send(&server.address, &write).await.expect("an answer");
    let read = server.sql("public", "SELECT * FROM air", "application/csv").await;
    for answer in [written, read] {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.text().contains("x-request-id"), "{}", answer.text());
        for secret in [folder.path().to_str().expect("a plain path"), "log/", "file:"] {
            assert!(!answer.text().contains(secret), "{}", answer.text());
        }
    }
    assert_eq!(fs::read_dir(&away).expect("a folder").count(), before, "nothing is written through the link");
    let said = server.log();
    let line = said.lines().find(|line| line.contains("asked-by-a-test")).expect("a line of the log");
    assert!(line.contains("is a symbolic link") && line.contains(log.to_str().expect("a plain path")), "{line}");
    fs::remove_file(&log).expect("the link");
    fs::rename(&away, &log).expect("moved back");
    assert_eq!(server.number("public", "SELECT count(*) AS n FROM air").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_spilled_is_gone_after_the_next_start() {
    let folder = TempDir::new().expect("a temporary folder");
    let spill = folder.path().join("spill");
    fs::create_dir(&spill).expect("a folder");
    let target = Target::folder(&folder.path().join("store"));
    let place = spill.to_str().expect("a plain path");
    let settings = [
        "--maintenance",
        "false",
        "--query-memory-bytes",
        "48MiB",
        "--query-time",
        "10m",
        "--query-spill-folder",
        place,
    ];
    let spilled = || {
        let files = below(&spill).into_iter().filter(|(path, _)| path.is_file());
        files.map(|(path, _)| fs::metadata(path).map_or(0, |file| file.len())).sum::<u64>()
    };
    let mut server = Server::start_under(OPEN, &target, &settings).await;
    let address = server.address.clone();
    let query = tokio::spawn(async move {
        let sort =
            "SELECT value, repeat('x', 400) AS t FROM generate_series(1, 1000000) ORDER BY md5(CAST(value AS VARCHAR))";
        let _ = sql_on(&address, "public", sort, "application/csv").await;
    });
    let began = Instant::now();
    while spilled() == 0 {
        assert!(began.elapsed() < Duration::from_secs(120) && !query.is_finished(), "nothing was spilled");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (path, mode) in below(&spill) {
        let is_ours = path.parent() == Some(&spill);
        assert!(!is_ours || mode == 0o700, "{mode:o} {}", path.display());
    }
    server.kill9();
    let _ = query.await;
    assert!(spilled() > 0, "a killed process removes nothing");
    let server = Server::start(&target, &settings).await;
    assert_eq!(spilled(), 0);
    assert_eq!(fs::read_dir(&spill).expect("a folder").count(), 1, "its own");
    server.terminate().await;
    assert_eq!(fs::read_dir(&spill).expect("a folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_write_no_line_of_the_log_and_no_name_that_a_terminal_obeys() {
    let folder = TempDir::new().expect("a temporary folder");
    for format in ["text", "json"] {
        let target = Target::folder(&folder.path().join(format));
        let settings = ["--maintenance", "false", "--log", "trace", "--log-format", format];
        let server = Server::start(&target, &settings).await;
        let text = "x\n2026-11-24T00:00:00Z INFO siltdb::cli::serve: forged line \x1b[2J\u{9b}31m";
        let lines = format!("m v=\"1\" 1\nm v=\"{text}\" 2\n");
        server.write("public", &lines).await;
        let cast = "SELECT CAST(v AS BIGINT) FROM m";
        let request = Request::new("POST", "/api/v1/sql?db=public&chunked=true", cast).header("Authorization", ROOT);
        let _ = server.send(&request).await;
        server.sql("public", &format!("SELECT '{text}' FROM nowhere"), "application/csv").await;
        server
            .sql(&format!("x{text}").replace(['\n', '\x1b', '\u{9b}', ' '], "%0A%1B%5B"), "SELECT 1", "application/csv")
            .await;
        for (body, place) in [
            ("ok v=1 1\nn,a\x1b[31m=t v=1 2", "line 2, column 3"),
            ("n v=1,b\u{9b}=2 1", "line 1, column 7"),
            ("n v=1,c\u{202e}=2 1", "line 1, column 7"),
            ("n\u{200b} v=1 1", "line 1, column 1"),
        ] {
            let request = Request::new("POST", "/api/v1/write?db=public", body).header("Authorization", ROOT);
            let answer = server.send(&request).await.expect("an answer");
            assert_eq!(answer.status, 422, "{body:?}: {}", answer.text());
            assert!(answer.text().contains(place), "{body:?}: {}", answer.text());
        }
        let log = server.log();
        assert!(log.contains("forged line"), "the log says what it was");
        let begins = |line: &str| line.starts_with("2026-11-24T00:00:00Z");
        assert!(!log.lines().any(begins), "{format}");
        let obeyed = log.chars().find(|each| each.is_control() && *each != '\n');
        assert_eq!(obeyed, None, "{format}");
        server.terminate().await;
    }
}
