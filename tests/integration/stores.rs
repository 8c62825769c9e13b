//! Places: what becomes a store and what does not, what is said of one that cannot be used, and one that may not
//! be written any more.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;

use crate::bucket::bucket;
use crate::client::Request;
use crate::server::{EAGER_FLUSH, NO_MAINTENANCE, ROOT, Server, Target};

/// Commands that work on a store that is there.
const CARE: [(&str, &[&str]); 4] =
    [("check", &[]), ("maintain", &[]), ("sql", &["SELECT 1"]), ("write", &["--retry-time", "1h"])];
/// A port of the system's choice; what is refused before that does not take it.
const ANYWHERE: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// What starts a program whose access to files their modes decide. Root's own does not, unless it gives that
/// right up.
fn ordinary() -> &'static [&'static str] {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    if id.stdout == b"0\n" {
        return &["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"];
    }
    &[]
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own folder");
}

/// Gives all folders below a path, and itself, a mode.
fn set_modes(path: &Path, mode: u32) {
    set_mode(path, 0o755);
    for entry in fs::read_dir(path).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_dir() {
            set_modes(&entry.path(), mode);
        }
    }
    set_mode(path, mode);
}

/// The one line that a command complains in.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&output.stdout));
    assert!(text.starts_with("siltdb: ") && text.lines().count() == 1, "{text}");
    text
}

fn run(target: &Target, verb: &str, words: &[&str]) -> Output {
    target.run_under(ordinary(), verb, words, b"m v=1 1\n")
}

fn names_in(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn who_cares_for_a_store_makes_none() {
    let folder = TempDir::new().expect("a temporary folder");
    let (missing, empty, foreign) = ("missing", "empty", "foreign");
    fs::create_dir(folder.path().join(empty)).expect("a folder");
    fs::create_dir(folder.path().join(foreign)).expect("a folder");
    fs::write(folder.path().join(foreign).join("notes.txt"), "mine").expect("a file");
    for name in [missing, empty, foreign, "missing/below"] {
        let target = Target::folder(&folder.path().join(name));
        for (verb, words) in CARE {
            let said = complaint(&run(&target, verb, words));
            assert!(said.contains("no SiltDB store at ") && said.contains(&target.store), "{verb}: {said}");
            assert!(said.contains("`siltdb serve --store ") && said.contains("makes one"), "{verb}: {said}");
        }
    }
    let place = folder.path().join(missing);
    let doctor = Command::new(crate::siltdb()).arg("doctor").arg(&place).output().expect("the binary runs");
    assert!(complaint(&doctor).contains("no SiltDB store at "));
    assert_eq!(names_in(folder.path()), [empty, foreign]);
    assert_eq!(names_in(&folder.path().join(empty)), Vec::<String>::new());
    assert_eq!(names_in(&folder.path().join(foreign)), ["notes.txt"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cares_for_a_store_makes_none_in_a_bucket() {
    let Some(target) = bucket("places").await else { return };
    for (verb, words) in CARE {
        let said = complaint(&target.run_under(&[], verb, words, b"m v=1 1\n"));
        assert!(said.contains("no SiltDB store at s3://siltdb-places-"), "{verb}: {said}");
    }
    let server = Server::start(&target, NO_MAINTENANCE).await;
    assert!(server.log().contains(&format!("new store made at {}\n", target.store)), "{}", server.log());
    server.write("public", "m v=1 1").await;
    server.terminate().await;
    target.check();
    // The bucket is not empty any more: what is above the store's prefix is no place for another one.
    let above = Target { store: target.store.replace("/some/prefix", ""), ..target.clone() };
    let said = complaint(&above.run_under(&[], "serve", &ANYWHERE, b""));
    assert!(said.contains("is not empty and no SiltDB store (it holds some/prefix/"), "{said}");
    let absent = Target { store: "s3://siltdb-no-such-bucket/x".to_owned(), ..target };
    for (verb, words) in CARE.iter().copied().chain([("serve", &ANYWHERE[..])]) {
        let said = complaint(&absent.run_under(&[], verb, words, b"m v=1 1\n"));
        assert!(said.contains("the bucket does not exist"), "{verb}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_says_that_it_has_made_a_store() {
    let folder = TempDir::new().expect("a temporary folder");
    let target = Target::folder(&folder.path().join("store"));
    for is_new in [true, false] {
        let server = Server::start(&target, NO_MAINTENANCE).await;
        let log = server.log();
        let line = format!("new store made at file://{}\n", target.store);
        assert_eq!(log.contains(&format!("\n{line}")), is_new, "{log}");
        assert_eq!(log.contains("INFO") && log.contains("new store made store=\"file://"), is_new, "{log}");
        server.terminate().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_says_at_once_why_a_place_cannot_be_its_store() {
    let folder = TempDir::new().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "mine").expect("a file");
    for name in ["foreign", "shut", "store"] {
        fs::create_dir(at(name)).expect("a folder");
    }
    fs::write(at("foreign").join("notes.txt"), "mine").expect("a file");
    Target::folder(&at("store")).make().await;
    set_mode(&at("shut"), 0o555);
    set_modes(&at("store"), 0o555);
    for (name, reason) in [
        ("file", "is a file, not a folder"),
        ("file/below", "is a file, not a folder"),
        ("missing/below", "missing is not there; make it, mount it, or correct --store"),
        ("foreign", "is not empty and no SiltDB store (it holds notes.txt)"),
        ("shut", "Permission denied"),
        ("shut/below", "Permission denied"),
        ("store", "the store may not be written (with --mode read-only it is served as it is)"),
    ] {
        let target = Target::folder(&at(name));
        let said = complaint(&run(&target, "serve", &ANYWHERE));
        assert!(said.contains(reason) && said.contains(&target.store), "{name}: {said}");
    }
    // What may not be written is not tried for an hour.
    let output = run(&Target::folder(&at("store")), "write", &["--retry-time", "1h"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("siltdb: standard input, lines 1 to 1: ") && said.contains("Permission denied"), "{said}");
    assert_eq!(names_in(folder.path()), ["file", "foreign", "shut", "store"]);
    set_mode(&at("shut"), 0o755);
    set_modes(&at("store"), 0o755);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_its_catalog_is_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    let (place, away) = (folder.path().join("store"), folder.path().join("away"));
    let target = Target::folder(&place);
    let server = Server::start(&target, NO_MAINTENANCE).await;
    server.write("public", "m v=1i 1").await;
    server.terminate().await;
    fs::rename(place.join("sys"), &away).expect("moved away");
    for (verb, words) in CARE.iter().copied().chain([("serve", &ANYWHERE[..])]) {
        let said = complaint(&run(&target, verb, words));
        assert!(said.contains("holds data (such as t/1/d/"), "{verb}: {said}");
        assert!(said.contains("but no catalog (sys/log is missing): restore sys/"), "{verb}: {said}");
    }
    assert_eq!(names_in(&place), ["t"]);
    fs::rename(&away, place.join("sys")).expect("moved back");
    target.check();
}

async fn answer(server: &Server, sql: &str) -> String {
    let response = server.sql("public", sql, "application/csv").await;
    assert_eq!(response.status, 200, "{sql}: {}", response.text());
    response.text()
}

async fn ping_of(server: &Server) -> String {
    server.send(&Request::new("GET", "/api/v1/ping", "")).await.expect("an answer").text()
}

async fn takes_writes(server: &Server) -> String {
    let page = server.send(&Request::new("GET", "/metrics", "")).await.expect("an answer").text();
    let line = page.lines().find(|line| line.starts_with("siltdb_store_takes_writes "));
    line.unwrap_or_else(|| panic!("{page}")).to_owned()
}

/// A disk that becomes read-only under a server that flushes as often as it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_may_not_be_written_any_more_is_read_and_goes_on_when_it_may() {
    let folder = TempDir::new().expect("a temporary folder");
    let place = folder.path().join("store");
    let target = Target::folder(&place);
    let server = Server::start_under(ordinary(), &target, EAGER_FLUSH).await;
    for number in 1..=5 {
        server.write("public", &format!("m v={number}i {number}")).await;
    }
    set_modes(&place, 0o555);
    let (all, sum) = ("SELECT count(*) AS n, sum(v) AS s FROM m", "n,s\n5,15\n");
    let write = Request::new("POST", "/api/v1/write?db=public", "m v=6i 6").header("Authorization", ROOT);
    for _ in 0..3 {
        let response = server.send(&write).await.expect("an answer");
        assert_eq!(response.status, 503, "{}", response.text());
        assert!(response.text().contains("the store does not let the server do this"), "{}", response.text());
        assert!(server.log().contains("Permission denied"), "{}", server.log());
        assert_eq!(answer(&server, all).await, sum);
    }
    let told = ping_of(&server).await;
    assert!(told.contains(r#""status":"refusing writes","reason":"the store may not be written""#), "{told}");
    assert_eq!(takes_writes(&server).await, "siltdb_store_takes_writes 0");
    let mut ping = Command::new(crate::siltdb());
    let said =
        complaint(&ping.args(["ping", "--server", &format!("http://{}", server.address)]).output().expect("runs"));
    assert!(said.contains("the server is refusing writes: the store may not be written"), "{said}");
    // Whatever housekeeping was doing, a new server that only reads is served all of it.
    let reader = Server::start_under(ordinary(), &target, &["--mode", "read-only", "--flush-age", "1s"]).await;
    assert_eq!(answer(&reader, all).await, sum);
    assert!(ping_of(&reader).await.contains(r#""status":"healthy""#), "it is not to write");
    set_modes(&place, 0o755);
    let response = server.send(&write).await.expect("an answer");
    assert_eq!(response.status, 200, "{}", response.text());
    // What housekeeping was refused a moment ago may be noted later than this write; it goes on every second.
    while !ping_of(&server).await.contains(r#""status":"healthy""#) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(takes_writes(&server).await, "siltdb_store_takes_writes 1");
    assert_eq!(answer(&reader, all).await, "n,s\n6,21\n");
    target.maintain();
    assert_eq!(answer(&server, all).await, "n,s\n6,21\n");
    target.check();
    reader.terminate().await;
    server.terminate().await;
}

/// The first write into a folder that was removed is not acknowledged.
#[tokio::test]
async fn a_folder_that_was_removed_takes_nothing() {
    let folder = TempDir::new().expect("a temporary folder");
    let place = folder.path().join("store");
    let server = Server::start(&Target::folder(&place), NO_MAINTENANCE).await;
    server.write("public", "m v=1i 1").await;
    fs::remove_dir_all(&place).expect("removed");
    for (route, body) in [("write?db=public", "m v=2i 2"), ("write?db=public", "m w=2i 2"), ("sql", "SELECT * FROM m")]
    {
        let request = Request::new("POST", &format!("/api/v1/{route}"), body).header("Authorization", ROOT);
        let response = server.send(&request).await.expect("an answer");
        assert_eq!(response.status, 503, "{body}: {}", response.text());
        assert!(!response.text().contains(&*place.to_string_lossy()), "{body}: {}", response.text());
    }
    let said = format!("the folder {} is not there (any more)", place.display());
    assert!(server.log().contains(&said), "{}", server.log());
    assert!(!place.exists());
    server.terminate().await;
}
