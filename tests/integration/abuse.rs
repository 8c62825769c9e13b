//! Statements that ask for more memory and time than there is, many at once, beside clients that behave.
//!
//! What has to hold: the process lives, its memory stays within a quarter above its total, no write of the
//! others is refused or lost, their queries are answered or told to come again, and afterwards all is as it was.
//!
//! `SILTDB_TEST_ABUSE_SECONDS` is how long it takes, `SILTDB_TEST_ABUSE_STATEMENTS` how many hostile clients
//! there are, `SILTDB_TEST_CGROUP` the folder of a memory cgroup to put the server into: see CONTRIBUTING.md.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::server::{ROOT, Server, Target, sql_on, write_to};

/// Memory of the whole process, as a setting.
const TOTAL: u64 = 1 << 30;
/// Writers that behave, and the pause of each between two writes.
const WRITERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(50);

fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// The hostile statements, with their names.
fn statements() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/abuse/statements.sql");
    let text = std::fs::read_to_string(path).expect("the statements");
    let (mut name, mut found) = (String::new(), Vec::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("-- ") {
            Some(comment) => comment.clone_into(&mut name),
            None => found.push((name.clone(), line.to_owned())),
        }
    }
    found
}

/// What all tasks share.
struct Storm {
    address: String,
    stopped: AtomicBool,
    next: AtomicUsize,
    acknowledged: AtomicU64,
}

impl Storm {
    fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// Answers of one kind of client: how often each status came, and how long each took.
#[derive(Default)]
struct Seen {
    statuses: BTreeMap<String, usize>,
    times: Vec<Duration>,
}

impl Seen {
    fn add(&mut self, status: &str, took: Duration) {
        *self.statuses.entry(status.to_owned()).or_default() += 1;
        self.times.push(took);
    }

    fn join(&mut self, other: Seen) {
        for (status, times) in other.statuses {
            *self.statuses.entry(status).or_default() += times;
        }
        self.times.extend(other.times);
    }

    fn show(&mut self, name: &str) -> String {
        self.times.sort();
        let of = |share: usize| {
            let place = (self.times.len() * share / 100).min(self.times.len().saturating_sub(1));
            self.times.get(place).map_or(0, Duration::as_millis)
        };
        let (half, most, longest) = (of(50), of(95), of(100));
        format!("{name}: {:?}, half within {half} ms, 95 % within {most} ms, all within {longest} ms", self.statuses)
    }
}

/// Asks one hostile statement after the other. Says for each name which statuses came.
async fn hostile(storm: Arc<Storm>, statements: Arc<Vec<(String, String)>>) -> BTreeMap<String, Seen> {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    while !storm.is_over() {
        let number = storm.next.fetch_add(1, Ordering::Relaxed);
        let (name, statement) = &statements[number % statements.len()];
        let began = Instant::now();
        let status = if number % 4 == 3 {
            unread(&storm, statement).await
        } else {
            match sql_on(&storm.address, "public", statement, "application/json").await {
                Ok(response) if response.text().contains("took longer than") => "out of time".to_owned(),
                Ok(response) if response.complete => response.status.to_string(),
                Ok(response) => format!("{} cut", response.status),
                Err(error) => format!("none: {error}"),
            }
        };
        seen.entry(name.clone()).or_default().add(&status, began.elapsed());
    }
    seen
}

/// Asks and reads nothing of the answer for a while.
async fn unread(storm: &Storm, statement: &str) -> String {
    let head = format!(
        "POST /api/v1/sql?db=public HTTP/1.1\r\nHost: {}\r\nAuthorization: {ROOT}\r\nContent-Length: {}\r\n\r\n",
        storm.address,
        statement.len()
    );
    let Ok(mut stream) = TcpStream::connect(&storm.address).await else { return "none: refused".to_owned() };
    if stream.write_all(format!("{head}{statement}").as_bytes()).await.is_err() {
        return "none: cut".to_owned();
    }
    for _ in 0..50 {
        if storm.is_over() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    "unread".to_owned()
}

/// Writes a point every now and then, each another one.
async fn writer(storm: Arc<Storm>, number: usize) -> Seen {
    let mut seen = Seen::default();
    for time in 1_u64.. {
        if storm.is_over() {
            break;
        }
        let began = Instant::now();
        let line = format!("kept,writer=w{number} n={time}i {time}");
        let status = match write_to(&storm.address, "public", &line).await {
            Ok(response) => response.status.to_string(),
            Err(error) => format!("none: {error}"),
        };
        if status == "200" {
            storm.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        seen.add(&status, began.elapsed());
        sleep(PAUSE).await;
    }
    seen
}

/// Asks for the last row of one series, again and again.
async fn reader(storm: Arc<Storm>) -> Seen {
    let mut seen = Seen::default();
    while !storm.is_over() {
        let began = Instant::now();
        let query = "SELECT n FROM small WHERE host = 'h7' ORDER BY time DESC LIMIT 1";
        let status = match sql_on(&storm.address, "public", query, "application/json").await {
            Ok(response) if response.status == 200 && response.text() == "[{\"n\":7}]" => "200".to_owned(),
            Ok(response) => format!("{}: {}", response.status, response.text()),
            Err(error) => format!("none: {error}"),
        };
        seen.add(&status, began.elapsed());
        sleep(PAUSE * 4).await;
    }
    seen
}

/// The server over a store with a few rows.
async fn start(folder: &TempDir) -> Server {
    let total = TOTAL.to_string();
    let arguments = ["--memory-bytes", total.as_str(), "--query-time", "10s", "--log", "error"];
    let server = Server::start(&Target::folder(folder.path()), &arguments).await;
    if let Ok(cgroup) = std::env::var("SILTDB_TEST_CGROUP") {
        std::fs::write(Path::new(&cgroup).join("cgroup.procs"), server.id().to_string())
            .expect("a cgroup takes the server");
    }
    let small: Vec<String> = (0..100).map(|host| format!("small,host=h{host} n={host}i {host}")).collect();
    server.write("public", &small.join("\n")).await;
    server.write("public", "big n=999999i 1").await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_statements_take_nothing_from_others() {
    let seconds = setting("SILTDB_TEST_ABUSE_SECONDS", 15);
    let clients = setting("SILTDB_TEST_ABUSE_STATEMENTS", 32);
    let folder = TempDir::new().expect("a temporary folder");
    let server = start(&folder).await;
    let program = server.program_memory();
    let storm = Arc::new(Storm {
        address: server.address.clone(),
        stopped: AtomicBool::new(false),
        next: AtomicUsize::new(0),
        acknowledged: AtomicU64::new(0),
    });
    let statements = Arc::new(statements());
    let mut hostiles: JoinSet<BTreeMap<String, Seen>> =
        (0..clients).map(|_| hostile(storm.clone(), statements.clone())).collect();
    let mut writers: JoinSet<Seen> = (0..WRITERS).map(|number| writer(storm.clone(), number)).collect();
    let reader = tokio::spawn(reader(storm.clone()));
    sleep(Duration::from_secs(seconds as u64)).await;
    storm.stopped.store(true, Ordering::Relaxed);

    let mut written = Seen::default();
    while let Some(seen) = writers.join_next().await {
        written.join(seen.expect("a writer ends"));
    }
    let mut asked = reader.await.expect("the reader ends");
    let mut abused: BTreeMap<String, Seen> = BTreeMap::new();
    while let Some(seen) = hostiles.join_next().await {
        for (name, seen) in seen.expect("a hostile client ends") {
            abused.entry(name).or_default().join(seen);
        }
    }
    for (name, seen) in &mut abused {
        println!("{}", seen.show(name));
    }
    println!("{}\n{}", written.show("writes"), asked.show("small queries"));
    let peak = server.peak_memory() - program;
    println!("memory: {} MiB at most, of {} MiB, beside {} MiB of the program", peak >> 20, TOTAL >> 20, program >> 20);

    for (name, seen) in &abused {
        let broken: Vec<&String> = seen.statuses.keys().filter(|status| is_broken(status)).collect();
        assert!(broken.is_empty(), "{name}: {broken:?}");
    }
    assert_eq!(written.statuses.keys().collect::<Vec<_>>(), ["200"], "every write is acknowledged");
    // How many and how soon is printed: it depends on what else the machine has to do.
    let told = |status: &String| status == "200" || status.starts_with("429") || status.contains("took longer than");
    assert!(asked.statuses.keys().all(told), "a small query is answered, or told to come again");
    assert!(asked.statuses.contains_key("200"), "some small queries are answered");
    assert!(peak <= TOTAL + TOTAL / 4, "{peak} bytes of {TOTAL}");
    let kept = server.number("public", "SELECT count(*) AS n FROM kept").await;
    assert_eq!(kept as u64, storm.acknowledged.load(Ordering::Relaxed), "every acknowledged point is there, once");
    server.terminate().await;
}

/// Whether an answer is none, or one that says that something of ours broke.
fn is_broken(status: &str) -> bool {
    status.starts_with("none") || status.starts_with("500")
}
