//! What comes from outside is read without a panic, whatever it is: line protocol, SQL, `Accept` and codings of clients,
//! manifests, segments and lists of files of the store. Samples are mutated, from a seed; checksums are made right again,
//! so that what lies behind them is reached.
//!
//! A few thousand inputs of each kind run with the other tests. As many as you like: `SILTDB_TEST_SEED=1000
//! SILTDB_TEST_INPUTS=1000000 cargo test --test integration mutation`. A panic names its seed and its input. There is no
//! crate of fuzz targets for libFuzzer: it would build and link DataFusion a second time.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use siltdb::catalog::CatalogState;
use siltdb::database::{DatabaseState, FileList, decode_leaf, violations};
use siltdb::http::accept;
use siltdb::http::encoding::{self, Coding, ContentEncoder};
use siltdb::ledger::{LedgerState, Manifest};
use siltdb::model::clock::{Clock, ManualClock};
use siltdb::model::{DatabaseOptions, Precision, limits::Limits, time::WritePrecision};
use siltdb::{ledger, parse, wal};

use crate::oracle::World;

/// Inputs of each kind in one run, unless one says otherwise; of statements, which take longer, a fifth.
const INPUTS: u64 = 2_000;
/// What a statement may take, whose own limit is half of that.
const PATIENCE: Duration = Duration::from_secs(60);
/// What means something somewhere.
const WORDS: [&str; 36] = [
    ",",
    " ",
    "=",
    "\"",
    "\\",
    "\n",
    "\0",
    "\u{feff}",
    "ü",
    ";",
    "q=",
    "0",
    "-1",
    "1e400",
    "NaN",
    "9223372036854775807i",
    "18446744073709551615u",
    "-9223372036854775808",
    "t",
    "true",
    "*/*",
    "null",
    "{}",
    "[]",
    "SELECT",
    "FROM",
    "(",
    ")",
    "'",
    "--",
    "/*",
    " OR ",
    "CAST(",
    "NULL",
    " LIMIT 0",
    "ORDER BY time",
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Mutates samples, by numbers from a seed.
struct Mutator(ManualClock);

impl Mutator {
    fn roll(&self, sides: usize) -> usize {
        usize::try_from(self.0.random() % sides.max(1) as u64).expect("small")
    }

    fn pick<'a, T>(&self, all: &'a [T]) -> &'a T {
        &all[self.roll(all.len())]
    }

    /// A sample with one to six changes.
    fn mutate(&self, samples: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.pick(samples).clone();
        for _ in 0..1 + self.roll(6) {
            self.change(&mut bytes, samples);
        }
        bytes
    }

    fn change(&self, bytes: &mut Vec<u8>, samples: &[Vec<u8>]) {
        let at = self.roll(bytes.len() + 1);
        let end = (at + 1 + self.roll(16)).min(bytes.len());
        match self.roll(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.roll(8),
            1 if at < bytes.len() => bytes[at] = self.0.random().to_le_bytes()[0],
            2 => drop(bytes.drain(at.min(end)..end)),
            3 => {
                let again = bytes[at.min(end)..end].repeat(1 + self.roll(4));
                bytes.splice(at..at, again);
            }
            4 => {
                let other = self.pick(samples);
                let from = self.roll(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => drop(bytes.splice(at..at, self.pick(&WORDS).bytes())),
        }
    }
}

/// Asks `read` to read so many mutated samples. Returns how many it did not refuse.
fn run(samples: &[Vec<u8>], inputs: u64, read: impl Fn(&Mutator, &[u8]) -> bool) -> u64 {
    assert!(!samples.is_empty());
    let first = number("SILTDB_TEST_SEED", 1);
    let mut accepted = 0;
    for seed in first..first.saturating_add(inputs) {
        let mutator = Mutator(ManualClock::new(0, seed));
        let input = mutator.mutate(samples);
        match catch_unwind(AssertUnwindSafe(|| read(&mutator, &input))) {
            Ok(is_accepted) => accepted += u64::from(is_accepted),
            Err(_) => panic!("seed {seed}: a panic at the input {}", input.escape_ascii()),
        }
    }
    accepted
}

fn inputs() -> u64 {
    number("SILTDB_TEST_INPUTS", INPUTS)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder whose paths end so, or all.
fn files(folder: &Path, end: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push((path.to_string_lossy().into_owned(), fs::read(&path).expect("a file")));
        }
    }
    found.sort();
    found
}

/// The objects of the frozen stores whose paths contain the one and end in the other.
fn objects(part: &str, end: &str) -> Vec<(String, Vec<u8>)> {
    let all = files(&root().join("tests/frozen"), end);
    all.into_iter().filter(|(path, _)| path.contains(part)).collect()
}

fn contents(files: Vec<(String, Vec<u8>)>) -> Vec<Vec<u8>> {
    files.into_iter().map(|(_, bytes)| bytes).collect()
}

#[test]
fn any_line_protocol_is_read_or_refused() {
    let text: Vec<String> = contents(files(&root().join("tests/wire"), ".http"))
        .into_iter()
        .map(|bytes| String::from_utf8(bytes).expect("text"))
        .collect();
    let lines = text.iter().flat_map(|text| text.lines()).filter(|line| line.contains('=') && line.contains(' '));
    let samples: Vec<Vec<u8>> = lines.map(|line| format!("{line}\n{line}1").into_bytes()).collect();
    let limits = Limits::default();
    let (write_precision, database_precision, now) = (WritePrecision::Nanosecond, Precision::Nanosecond, 1);
    let options = parse::Options { write_precision, database_precision, now, limits: &limits };
    let accepted = run(&samples, inputs().saturating_mul(10), |_, input| {
        let Ok(points) = parse::line_protocol(input, &options) else { return false };
        let again = parse::line_protocol(input, &options).expect("what was read once");
        assert_eq!(points.len(), again.len());
        true
    });
    assert!(accepted > 0);
}

/// The statements of `tests/sql`.
fn statements() -> Vec<Vec<u8>> {
    let mut statements = Vec::new();
    for file in contents(files(&root().join("tests/sql"), ".slt")) {
        let text = String::from_utf8(file).expect("text");
        for record in text.split("\n\n").filter(|record| record.starts_with("query") || record.starts_with("statement"))
        {
            let lines = record.lines().skip(1).take_while(|line| *line != "----");
            statements.push(lines.collect::<Vec<&str>>().join("\n").into_bytes());
        }
    }
    statements
}

#[test]
fn any_statement_is_answered_or_refused() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let world = runtime.block_on(async {
        let world = World::with_database(1_700_000_000_000_000_000, 1, DatabaseOptions::default()).await;
        world.write("cpu,host=a usage=1,n=1i 1\ncpu,host=b usage=2,s=\"x\" 2").await;
        world
    });
    let accepted = run(&statements(), inputs() / 5, |_, input| {
        let text = String::from_utf8_lossy(input);
        let answer = async { tokio::time::timeout(PATIENCE, world.try_rows(&text)).await };
        let answer = runtime.block_on(answer).expect("an answer in time");
        if let Err(error) = &answer {
            assert!(!error.message.contains("panicked"), "{error}");
        }
        answer.is_ok()
    });
    assert!(accepted > 0);
}

/// A manifest with this text and the checksum of it.
fn sealed(text: &[u8]) -> Vec<u8> {
    let header = format!("siltdb-manifest 4 plain {:08x}\n", crc32c::crc32c(text));
    [header.as_bytes(), text].concat()
}

/// Reads a manifest. One that is read is the same after it was written.
fn manifest<S: LedgerState>(bytes: &[u8]) -> Option<Manifest<S>> {
    let read = Manifest::<S>::decode("m", bytes, None).ok()?;
    let written = read.encode().expect("a manifest that was read");
    let again = Manifest::<S>::decode("m", &written, None).expect("a manifest of ours");
    assert_eq!(again.encode().expect("a manifest of ours"), written);
    Some(read)
}

#[test]
fn any_manifest_is_read_or_refused() {
    let samples = contents(objects("/log/", ".m"));
    let body = |bytes: &Vec<u8>| {
        bytes.iter().position(|byte| *byte == b'\n').map_or(Vec::new(), |at| bytes[at + 1..].to_vec())
    };
    let texts: Vec<Vec<u8>> = samples.iter().map(body).collect();
    let accepted = run(&samples, inputs(), |mutator, input| {
        let _ = (manifest::<CatalogState>(input), manifest::<DatabaseState>(input));
        let behind = sealed(&mutator.mutate(&texts));
        let database = manifest::<DatabaseState>(&behind);
        let _ = database.as_ref().map(|read| violations(&read.state, read.version));
        manifest::<CatalogState>(&behind).is_some() || database.is_some()
    });
    assert!(accepted > 0);
}

/// A segment whose footer is another, with the checksum of it.
fn with_footer(segment: &[u8], change: impl FnOnce(Vec<Vec<u8>>) -> Vec<u8>) -> Option<Vec<u8>> {
    const TRAILER: usize = 16;
    let at = segment.len().checked_sub(TRAILER)?;
    let length = u32::from_le_bytes(segment[at..at + 4].try_into().expect("four bytes")) as usize;
    let begin = at.checked_sub(length)?;
    let footer = change(vec![segment[begin..at].to_vec()]);
    let numbers = [u32::try_from(footer.len()).expect("short"), crc32c::crc32c(&footer)].map(u32::to_le_bytes);
    Some([&segment[..begin], &footer, &numbers.concat(), &segment[at + 8..]].concat())
}

#[test]
fn any_segment_is_read_or_refused() {
    let samples = contents(objects("/log/", ".wal"));
    let accepted = run(&samples, inputs(), |mutator, input| {
        let whole = mutator.pick(&samples);
        let behind = with_footer(whole, |footer| mutator.mutate(&footer)).expect("a segment of ours");
        let read = [input, &behind].map(|bytes| wal::decode("w", bytes));
        for segment in read.iter().flatten() {
            let written = wal::encode(&segment.tables).expect("a segment that was read");
            assert!(wal::decode("w", &written).is_ok());
        }
        read.iter().any(Result::is_ok)
    });
    assert!(accepted > 0);
}

/// The lists of files of the frozen stores, with what the manifests say of them.
fn lists() -> Vec<(FileList, Vec<u8>)> {
    let mut found = Vec::new();
    let objects = objects("/leaf/", "");
    for manifest in contents(self::objects("/log/", ".m")).iter().filter_map(|bytes| manifest::<DatabaseState>(bytes)) {
        for leaf in manifest.state.tables.values().flat_map(|table| &table.leaves) {
            let object = objects.iter().find(|(path, _)| path.ends_with(&leaf.path));
            found.extend(object.map(|(_, bytes)| (leaf.clone(), bytes.clone())));
        }
    }
    found
}

#[test]
fn any_list_of_files_is_read_or_refused() {
    let lists = lists();
    let samples: Vec<Vec<u8>> = lists.iter().map(|(_, bytes)| bytes.clone()).collect();
    run(&samples, inputs(), |mutator, input| {
        let (leaf, whole) = mutator.pick(&lists);
        let end = whole.iter().position(|byte| *byte == b'\n').expect("a header");
        let text = ledger::decompress(&whole[end + 1..]).expect("a list of ours");
        let body = zstd::bulk::compress(&mutator.mutate(&[text]), 1).expect("compressed");
        let words = whole[..end].iter().rposition(|byte| *byte == b' ').expect("words");
        let header = format!("{} {:08x}\n", whole[..words].escape_ascii(), crc32c::crc32c(&body));
        let behind = [header.as_bytes(), &body].concat();
        [input, &behind].map(|bytes| decode_leaf("l", leaf, bytes)).iter().any(Result::is_ok)
    });
}

#[test]
fn any_header_about_formats_and_codings_is_read_or_refused() {
    let samples = [
        "application/csv;q=0.5, application/json",
        "*/*",
        "text/*;q=0",
        "application/vnd.apache.arrow.file; a=\"b\"",
        "gzip, br;q=1.0, *;q=0.1",
        "identity",
        "x-compress",
        "deflate;q=0.001,zstd",
    ];
    let samples: Vec<Vec<u8>> = samples.iter().map(|text| text.as_bytes().to_vec()).collect();
    let accepted = run(&samples, inputs().saturating_mul(10), |_, input| {
        let text = String::from_utf8_lossy(input);
        let _ = (encoding::negotiate(Some(&text)), encoding::of_request(Some(&text)));
        accept::negotiate(Some(&text)).is_ok()
    });
    assert!(accepted > 0);
}

#[test]
fn any_body_of_any_coding_is_decoded_within_its_limit_or_refused() {
    const LIMIT: usize = 4_096;
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd, Coding::Compress] {
        let encode = |text: &str| {
            let (mut encoder, mut body) = (ContentEncoder::new(coding).expect("an encoder"), Vec::new());
            encoder.write(text.as_bytes(), &mut body).expect("encoded");
            encoder.finish(&mut body).expect("encoded");
            body
        };
        let samples = ["", "cpu usage=1 1", &"a line that is repeated\n".repeat(100), &"x".repeat(100_000)].map(encode);
        let accepted = run(&samples, inputs(), |_, input| {
            let body = encoding::decode(coding, input, LIMIT);
            assert!(body.as_ref().is_ok_and(|body| body.len() <= LIMIT) || body.is_err());
            body.is_ok()
        });
        assert!(accepted > 0, "{}", coding.name());
    }
}
