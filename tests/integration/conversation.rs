//! Conversations: files of requests and of the answers they have to get. `tests/wire/README.md`
//! describes the format. Which door is spoken to is the caller's business.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::{Request, Response, send};

/// How long `@retry` tries.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Exact,
    Json,
    Match,
    Any,
}

#[derive(Debug, Clone)]
struct Exchange {
    title: String,
    line: usize,
    request: Request,
    /// Go on without the answer.
    hold: bool,
    /// Ask until the answer is as expected.
    retry: bool,
    status: u16,
    comparison: Comparison,
    headers: Vec<(String, String)>,
    expected: String,
    /// Lines of the file that hold the expected body, for rewriting.
    body_lines: Range<usize>,
}

/// A file of exchanges with one server.
#[derive(Debug)]
pub struct Conversation {
    pub name: String,
    /// Flags of its server.
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    exchanges: Vec<Exchange>,
    text: String,
}

/// What came of a conversation.
#[derive(Debug, Default)]
pub struct Held {
    /// What was not as expected, a line each; empty when all was.
    pub differences: String,
    /// The answers, bodies without their content coding, by the exchange's line and title.
    pub answers: Vec<(String, Response)>,
    bodies: Vec<(Range<usize>, Option<Vec<String>>)>,
}

/// The files of a folder, in order.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder of conversations")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

impl Conversation {
    pub fn read(path: &Path) -> Conversation {
        let text = std::fs::read_to_string(path).expect("a readable file");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        parse(name, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Holds it with whoever listens at the address.
    pub async fn hold(&self, address: &str) -> Held {
        let mut held = Held::default();
        let mut waiting = Vec::new();
        for exchange in &self.exchanges {
            if exchange.hold {
                let (address, request) = (address.to_owned(), exchange.request.clone());
                waiting.push(tokio::spawn(async move {
                    // It may itself come too early, while the request before it still has the only place.
                    while matches!(send(&address, &request).await, Ok(response) if response.status == 429) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }));
                continue;
            }
            let response = answer(address, exchange).await;
            let place = format!("{}:{} {}", self.name, exchange.line, exchange.title);
            for difference in compare(exchange, &response) {
                let _ = writeln!(held.differences, "{place}: {difference}");
            }
            held.bodies.push((exchange.body_lines.clone(), actual_lines(exchange, &response)));
            held.answers.push((place, response));
        }
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
        held
    }

    /// The file's text as it would have to be.
    pub fn rewritten(&self, held: &Held) -> String {
        rewrite(&self.text, &held.bodies)
    }
}

async fn answer(address: &str, exchange: &Exchange) -> Response {
    let began = Instant::now();
    loop {
        let mut response = match send(address, &exchange.request).await {
            Ok(response) => response,
            Err(error) => panic!("{} (line {}): no answer: {error}", exchange.title, exchange.line),
        };
        response.body = decoded(&response);
        let settled = !exchange.retry || compare(exchange, &response).is_empty();
        if settled || began.elapsed() > PATIENCE {
            return response;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What differs from the expectation.
fn compare(exchange: &Exchange, response: &Response) -> Vec<String> {
    let mut differences = Vec::new();
    let body = response.text();
    if response.status != exchange.status {
        differences.push(format!("status {} instead of {} ({body})", response.status, exchange.status));
    }
    if !response.complete {
        differences.push("the answer was cut".to_owned());
    }
    for (name, expected) in &exchange.headers {
        let actual = response.header(name);
        let holds = match expected.as_str() {
            "-" => actual.is_none(),
            pattern => actual.is_some_and(|value| matches(pattern, value)),
        };
        if !holds {
            differences.push(format!("header {name} is {actual:?} instead of {expected}"));
        }
    }
    let holds = match exchange.comparison {
        Comparison::Any => true,
        Comparison::Exact => body == exchange.expected,
        Comparison::Json => {
            let (actual, expected) = (serde_json::from_str(&body), serde_json::from_str(&exchange.expected));
            match (actual, expected) {
                (Ok::<serde_json::Value, _>(actual), Ok::<serde_json::Value, _>(expected)) => actual == expected,
                _ => false,
            }
        }
        Comparison::Match => exchange.expected.lines().all(|pattern| matches(&format!("*{pattern}*"), &body)),
    };
    if !holds {
        differences.push(format!("body\n{body}\ninstead of ({:?})\n{}", exchange.comparison, exchange.expected));
    }
    differences
}

/// Whether the whole text fits the pattern, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The body without its content coding.
fn decoded(response: &Response) -> Vec<u8> {
    match response.header("content-encoding") {
        None | Some("identity") => response.body.clone(),
        Some(coding) => coding_of(coding, &response.body, true),
    }
}

/// Encodes or decodes by programs and crates that are not SiltDB's.
fn coding_of(coding: &str, bytes: &[u8], decode: bool) -> Vec<u8> {
    use flate2::Compression;
    use std::io::Read;
    let mut out = Vec::new();
    let done = match (coding, decode) {
        ("gzip", true) => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out),
        ("gzip", false) => flate2::read::GzEncoder::new(bytes, Compression::default()).read_to_end(&mut out),
        ("deflate", true) => flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut out),
        ("deflate", false) => flate2::read::ZlibEncoder::new(bytes, Compression::default()).read_to_end(&mut out),
        ("raw-deflate", false) => {
            flate2::read::DeflateEncoder::new(bytes, Compression::default()).read_to_end(&mut out)
        }
        ("br", true) => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        ("br", false) => brotli::CompressorReader::new(bytes, 4096, 5, 20).read_to_end(&mut out),
        ("zstd", true) => zstd::stream::read::Decoder::new(bytes).and_then(|mut reader| reader.read_to_end(&mut out)),
        ("zstd", false) => zstd::stream::encode_all(bytes, 3).map(|encoded| {
            out = encoded;
            out.len()
        }),
        ("compress", true) => return through_gzip(bytes),
        _ => panic!("the runner does not know how to handle {coding}"),
    };
    done.unwrap_or_else(|error| panic!("{coding}: {error}"));
    out
}

/// `gzip -d` reads what compress(1) writes.
fn through_gzip(bytes: &[u8]) -> Vec<u8> {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("body.Z");
    std::fs::write(&file, bytes).expect("a writable file");
    let output = std::process::Command::new("gzip").arg("-dc").arg(&file).output().expect("gzip runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn parse(name: String, text: String) -> Result<Conversation, String> {
    let lines: Vec<&str> = text.lines().collect();
    let (mut arguments, mut environment) = (Vec::new(), Vec::new());
    let mut exchanges = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if let Some(settings) = line.strip_prefix("# server:") {
            arguments.extend(settings.split_whitespace().map(str::to_owned));
            at += 1;
        } else if let Some((name, value)) = line.strip_prefix("# environment: ").and_then(|line| line.split_once('=')) {
            environment.push((name.to_owned(), value.to_owned()));
            at += 1;
        } else if let Some(title) = line.strip_prefix("### ") {
            let end = (at + 1..lines.len()).find(|next| lines[*next].starts_with("### ")).unwrap_or(lines.len());
            let exchange = parse_exchange(title, &lines, at + 1, end);
            exchanges.push(exchange.map_err(|error| format!("line {}: {error}", at + 1))?);
            at = end;
        } else if line.is_empty() || line.starts_with('#') {
            at += 1;
        } else {
            return Err(format!("line {}: neither a comment nor an exchange", at + 1));
        }
    }
    drop(lines);
    Ok(Conversation { name, arguments, environment, exchanges, text })
}

fn parse_exchange(title: &str, lines: &[&str], start: usize, end: usize) -> Result<Exchange, String> {
    let status_at = (start..end).find(|at| lines[*at].starts_with("--- ")).ok_or("no line '--- STATUS'")?;
    let mut exchange = Exchange {
        title: title.to_owned(),
        line: start,
        request: Request::default(),
        hold: false,
        retry: false,
        status: 0,
        comparison: Comparison::Exact,
        headers: Vec::new(),
        expected: String::new(),
        body_lines: 0..0,
    };
    parse_request(&mut exchange, &lines[start..status_at])?;
    let mut words = lines[status_at][4..].split_whitespace();
    exchange.status = words.next().and_then(|word| word.parse().ok()).ok_or("no status")?;
    exchange.comparison = match words.next() {
        None | Some("exact") => Comparison::Exact,
        Some("json") => Comparison::Json,
        Some("match") => Comparison::Match,
        Some("any") => Comparison::Any,
        Some(other) => return Err(format!("no comparison {other}")),
    };
    let mut at = status_at + 1;
    while at < end && !lines[at].is_empty() {
        exchange.headers.push(header(lines[at])?);
        at += 1;
    }
    let mut last = end;
    while last > at && lines[last - 1].is_empty() {
        last -= 1;
    }
    let body_start = (at + 1).min(last.max(at));
    exchange.body_lines = body_start..last.max(body_start);
    exchange.expected = expected_text(&lines[exchange.body_lines.clone()]);
    Ok(exchange)
}

/// Lines that each end in a newline, except where the last says otherwise.
fn expected_text(lines: &[&str]) -> String {
    match lines.split_last() {
        Some((&NO_NEWLINE, rest)) => rest.join("\n"),
        _ => lines.iter().map(|line| format!("{line}\n")).collect(),
    }
}

const NO_NEWLINE: &str = "\\ no newline";

fn header(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("'{line}' is not a header"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn parse_request(exchange: &mut Exchange, lines: &[&str]) -> Result<(), String> {
    let mut lines = lines.iter().skip_while(|line| line.starts_with('#'));
    let (method, target) = lines.next().and_then(|line| line.split_once(' ')).ok_or("no request line")?;
    exchange.request = Request::new(method, target, "");
    let mut directives = Vec::new();
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        match line.strip_prefix('@') {
            Some(directive) => directives.push(directive),
            None => exchange.request.headers.push(header(line)?),
        }
    }
    let body: Vec<&str> = lines.copied().collect();
    exchange.request.body = body.join("\n").into_bytes();
    while exchange.request.body.last() == Some(&b'\n') {
        exchange.request.body.pop();
    }
    directives.into_iter().try_for_each(|directive| apply(directive, exchange))
}

fn apply(directive: &str, exchange: &mut Exchange) -> Result<(), String> {
    let request = &mut exchange.request;
    match directive.split_once(' ').unwrap_or((directive, "")) {
        ("as", credentials) => {
            use base64::Engine;
            let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
            request.headers.push(("Authorization".to_owned(), format!("Basic {encoded}")));
        }
        ("chunked", "") => request.chunked = true,
        ("encode", coding) => request.body = coding_of(coding, &request.body, false),
        ("hex", "") => request.body = unhex(&request.body)?,
        ("repeat", count) => {
            let count = count.parse().map_err(|_| "no count")?;
            request.body.push(b'\n');
            request.body = request.body.repeat(count);
        }
        ("hold", "") => exchange.hold = true,
        ("retry", "") => exchange.retry = true,
        _ => return Err(format!("no directive @{directive}")),
    }
    Ok(())
}

fn unhex(text: &[u8]) -> Result<Vec<u8>, String> {
    let digits: String = text.iter().map(|byte| char::from(*byte)).filter(char::is_ascii_hexdigit).collect();
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|error| error.to_string()))
        .collect()
}

/// What the expectation has to say to be true; `None` where it is a pattern and stays.
fn actual_lines(exchange: &Exchange, response: &Response) -> Option<Vec<String>> {
    let text = response.text();
    match exchange.comparison {
        Comparison::Match | Comparison::Any => None,
        Comparison::Json if compare(exchange, response).is_empty() => None,
        Comparison::Json | Comparison::Exact => {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if exchange.comparison == Comparison::Exact && !text.is_empty() && !text.ends_with('\n') {
                lines.push(NO_NEWLINE.to_owned());
            }
            Some(lines)
        }
    }
}

fn rewrite(text: &str, bodies: &[(Range<usize>, Option<Vec<String>>)]) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    let mut at = 0;
    for (range, body) in bodies {
        let Some(body) = body else { continue };
        out.extend(lines[at..range.start].iter().map(|line| (*line).to_owned()));
        if range.is_empty() && !body.is_empty() && out.last().is_some_and(|line| !line.is_empty()) {
            out.push(String::new());
        }
        out.extend(body.iter().cloned());
        if range.is_empty() && !body.is_empty() && range.start < lines.len() {
            out.push(String::new());
        }
        at = range.end;
    }
    out.extend(lines[at..].iter().map(|line| (*line).to_owned()));
    out.join("\n") + "\n"
}

#[test]
fn patterns_match_whole_texts() {
    assert!(matches("a*c", "abc"));
    assert!(matches("*", ""));
    assert!(matches("text/csv", "text/csv"));
    assert!(matches("*b*", "abc"));
    assert!(!matches("a*c", "abcd"));
    assert!(!matches("text/csv", "text/csv; charset"));
}
