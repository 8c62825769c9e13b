//! One kept connection to the server.

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, AUTHORIZATION, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::report::Result;

/// `root:` in base64: the user every store begins with, and the empty password.
const ROOT: &str = "Basic cm9vdDo=";

pub const WRITE: &str = "/api/v1/write?db=public";
pub const SQL: &str = "/api/v1/sql?db=public";
pub const CSV: &str = "application/csv";
pub const ARROW: &str = "application/vnd.apache.arrow.stream";

pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    address: String,
}

pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Answer {
    /// The body of a 200.
    ///
    /// # Errors
    /// Any other status, with what the server said.
    pub fn good(self, about: &str) -> Result<Bytes> {
        if self.status == 200 {
            return Ok(self.body);
        }
        let said: String = String::from_utf8_lossy(&self.body).chars().take(1_000).collect();
        Err(format!("{about}: the server answered {}: {said}", self.status).into())
    }
}

impl Connection {
    pub async fn open(address: &str) -> Result<Connection> {
        let stream =
            TcpStream::connect(address).await.map_err(|error| format!("no connection to {address}: {error}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the sender; what goes wrong shows in the answer that does not come.
        tokio::spawn(connection);
        Ok(Connection { sender, address: address.to_owned() })
    }

    pub async fn send(&mut self, method: &str, target: &str, accept: &str, body: Bytes) -> Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, &self.address)
            .header(AUTHORIZATION, ROOT)
            .header(ACCEPT, accept)
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await.map_err(|error| format!("no answer: {error}"))?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|error| format!("the answer broke off: {error}"))?;
        Ok(Answer { status, body: body.to_bytes() })
    }

    /// The body of a statement that has to succeed.
    pub async fn sql(&mut self, statement: &str, accept: &str) -> Result<Bytes> {
        let body = Bytes::copy_from_slice(statement.as_bytes());
        self.send("POST", SQL, accept, body).await?.good(statement)
    }

    /// The only number of the only row.
    pub async fn number(&mut self, statement: &str) -> Result<usize> {
        let body = self.sql(statement, CSV).await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        let number = text.lines().nth(1).and_then(|line| line.trim().parse().ok());
        number.ok_or_else(|| format!("{statement}: not a number: {text}").into())
    }
}
