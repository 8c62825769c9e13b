//! An HTTP/1.1 client of one request per connection. Its own, because the tests have to send what a
//! library would correct and to see what a library would hide: headers that are not there, bodies
//! that end too early, encodings as they are on the wire.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No exchange of these tests takes this long; one that does has hung.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Send the body with chunked transfer encoding, so without a `Content-Length`.
    pub chunked: bool,
}

impl Request {
    pub fn new(method: &str, target: &str, body: impl Into<Vec<u8>>) -> Request {
        Request { method: method.to_owned(), target: target.to_owned(), body: body.into(), ..Request::default() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn head(&self, address: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let has_length = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if self.chunked {
            head.push_str("Transfer-Encoding: chunked\r\n");
        } else if !has_length && (!self.body.is_empty() || self.method == "POST") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        // One char, one byte: a test file can hold bytes above 127 in a header.
        head.chars().map(|character| u8::try_from(character).unwrap_or(b'?')).collect()
    }

    fn wire_body(&self) -> Vec<u8> {
        if !self.chunked {
            return self.body.clone();
        }
        let mut wire = Vec::new();
        for piece in self.body.chunks(self.body.len().div_ceil(3).max(1)) {
            wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            wire.extend_from_slice(piece);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        wire
    }
}

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body ended as its framing said, and not by a connection that was cut.
    pub complete: bool,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request and reads the whole answer.
///
/// # Errors
/// When no answer came: refused, reset, or cut before the end of the head.
pub async fn send(address: &str, request: &Request) -> io::Result<Response> {
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let (mut reader, mut writer) = stream.into_split();
        let (head, body) = (request.head(address), request.wire_body());
        let write = async move {
            // A server may answer and close before it has read everything: what counts is the answer.
            let sent = async {
                writer.write_all(&head).await?;
                writer.write_all(&body).await?;
                writer.flush().await
            };
            let _ = sent.await;
            writer
        };
        let read = async {
            let mut bytes = Vec::new();
            let end = reader.read_to_end(&mut bytes).await;
            (bytes, end.is_ok())
        };
        let (_writer, (bytes, clean)) = tokio::join!(write, read);
        parse(&bytes, request.method == "HEAD", clean)
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(result) => result,
        Err(_) => panic!("no answer within {PATIENCE:?} to {} {}", request.method, request.target),
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, what.to_owned())
}

fn parse(bytes: &[u8], head_only: bool, clean: bool) -> io::Result<Response> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(|| broken("no response head"))?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let status: u16 = status.ok_or_else(|| broken("no status line"))?;
    let rest = &bytes[end + 4..];
    if status == 100 {
        return parse(rest, head_only, clean);
    }
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut response = Response { status, headers, body: rest.to_vec(), complete: clean };
    if head_only {
        response.complete = clean && rest.is_empty();
    } else if response.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        (response.body, response.complete) = unchunk(rest);
    } else if let Some(length) = response.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        response.complete = rest.len() == length;
    }
    Ok(response)
}

/// The body of a chunked message, and whether its last chunk was there.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else { return (body, false) };
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|line| line.split(';').next());
        let Some(size) = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok()) else {
            return (body, false);
        };
        rest = &rest[end + 2..];
        if size == 0 {
            return (body, true);
        }
        if rest.len() < size + 2 {
            body.extend_from_slice(&rest[..rest.len().min(size)]);
            return (body, false);
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}
