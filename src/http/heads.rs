//! What a request's head must not say, whatever route it asks for.
//!
//! Framing that another program in between could read in another way ends the connection. A page of another site that
//! makes a browser send requests is refused by what browsers say of themselves, and, on a server that lets everybody on
//! its machine in, by the name under which it was reached: a page may have that name point here (DNS rebinding).

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Version, request::Parts};

use crate::model::{Code, Error, Result};

const HEADER_BYTES: usize = 32 << 10;
const HEADER_COUNT: usize = 100;
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a head is no larger than it may be.
///
/// # Errors
/// [`Code::HeadersTooLarge`].
pub fn check_size(parts: &Parts) -> Result<()> {
    let headers = &parts.headers;
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if bytes + target <= HEADER_BYTES && headers.len() <= HEADER_COUNT {
        return Ok(());
    }
    let message = format!("request line and headers may have {HEADER_BYTES} bytes and {HEADER_COUNT} headers");
    Err(Error::new(Code::HeadersTooLarge, message))
}

/// Whether everybody on the way from the client reads the same request in these bytes (RFC 9112 sections 3.2 and 6.1).
/// What hyper refuses is not asked again.
///
/// # Errors
/// [`Code::BadRequest`]. The connection must be closed.
pub fn check_framing(parts: &Parts) -> Result<()> {
    let hosts = parts.headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && parts.version >= Version::HTTP_11) {
        return Err(refuse("a request has one Host header"));
    }
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(refuse("Transfer-Encoding may be chunked, and nothing else")),
    }
}

/// Whether there is one claim of who asks, so that nobody in between has looked at another one.
///
/// # Errors
/// [`Code::BadRequest`].
pub fn check_claims(headers: &HeaderMap) -> Result<()> {
    let is_one = headers.get_all(AUTHORIZATION).iter().count() <= 1;
    if is_one { Ok(()) } else { Err(refuse("a request has at most one Authorization header")) }
}

fn refuse(message: &str) -> Error {
    Error::new(Code::BadRequest, message)
}

/// Refuses what a browser sends on behalf of a page that is not ours. `Same-site` pages of another origin are told by
/// their `Origin`, which every POST of a browser has.
///
/// # Errors
/// [`Code::Forbidden`].
pub fn check_origin(parts: &Parts) -> Result<()> {
    let headers = &parts.headers;
    if headers.get(SEC_FETCH_SITE).is_some_and(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site")) {
        return Err(forbid("a page of another site made a browser send this request (Sec-Fetch-Site)"));
    }
    let asked = asked_host(parts);
    let is_foreign = headers.get_all(ORIGIN).iter().any(|origin| !is_same(origin.to_str().ok(), asked));
    if is_foreign {
        return Err(forbid(
            "a page of another origin made a browser send this request: Origin is not the Host. A proxy that lets its \
             own pages ask has to leave Origin away",
        ));
    }
    Ok(())
}

/// Refuses names of this server that are not those of its own machine. For a server that asks for no password.
///
/// # Errors
/// [`Code::Forbidden`].
pub fn check_local(parts: &Parts) -> Result<()> {
    let named = parts.headers.get_all(HOST).iter().map(|host| host.to_str().ok());
    let named = named.chain(parts.uri.authority().map(|authority| Some(authority.as_str())));
    if named.into_iter().all(|host| host.is_some_and(is_loopback)) {
        return Ok(());
    }
    Err(forbid(
        "without a password for root this server answers only as localhost or 127.0.0.1: ask it by that name, or set SILTDB_ROOT_PASSWORD",
    ))
}

fn forbid(message: &str) -> Error {
    Error::new(Code::Forbidden, message)
}

/// The host that a request is for, with its port. A target in absolute form has it instead of the header.
fn asked_host(parts: &Parts) -> Option<&str> {
    match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => parts.headers.get(HOST)?.to_str().ok(),
    }
}

/// Whether an origin (`https://host:port`) is this host. The port of its scheme may be said or not.
fn is_same(origin: Option<&str>, host: Option<&str>) -> bool {
    let (Some(origin), Some(host)) = (origin, host) else { return false };
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let usual = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(usual).unwrap_or(text).to_ascii_lowercase();
    bare(authority) == bare(host)
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    let address = name.parse::<IpAddr>().map(|address| address.to_canonical());
    match address {
        Ok(address) => address.is_loopback(),
        Err(_) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = Request::builder().method("POST").uri(target);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn framing() {
        let check = |headers: &[(&str, &str)]| check_framing(&parts("/", headers)).is_ok();
        assert!(check(&[("host", "x")]) && check(&[("host", ""), ("transfer-encoding", " Chunked")]));
        assert!(!check(&[]) && !check(&[("host", "x"), ("host", "x")]));
        for coding in ["gzip, chunked", "identity", "chunked, chunked", "", "xchunked"] {
            assert!(!check(&[("host", "x"), ("transfer-encoding", coding)]), "{coding}");
        }
        assert!(!check(&[("host", "x"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]));
        let mut old = parts("/", &[]);
        old.version = Version::HTTP_10;
        assert!(check_framing(&old).is_ok());
        assert!(check_claims(&parts("/", &[("authorization", "a")]).headers).is_ok());
        assert!(check_claims(&parts("/", &[("authorization", "a"), ("authorization", "a")]).headers).is_err());
    }

    #[test]
    fn pages_of_others() {
        let check = |target: &str, headers: &[(&str, &str)]| check_origin(&parts(target, headers)).is_ok();
        for (origin, host) in [
            ("http://127.0.0.1:8902", "127.0.0.1:8902"),
            ("https://DB.example", "db.example"),
            ("https://db.example", "db.example:443"),
            ("http://db.example:80", "db.example"),
            ("http://[::1]:8902", "[::1]:8902"),
        ] {
            assert!(check("/", &[("host", host), ("origin", origin)]), "{origin} {host}");
        }
        for (origin, host) in [
            ("null", "127.0.0.1"),
            ("http://localhost:3000", "localhost:8902"),
            ("http://db.example", "db.example:443"),
            ("http://evil.example", "db.example"),
            ("http://db.example.evil.example", "db.example"),
            ("chrome-extension://db.example", "db.example"),
            ("", ""),
        ] {
            assert!(!check("/", &[("host", host), ("origin", origin)]), "{origin} {host}");
        }
        assert!(check("/", &[("host", "x"), ("sec-fetch-site", "same-origin")]));
        assert!(check("/", &[("host", "x"), ("sec-fetch-site", "none")]) && check("/", &[]));
        assert!(!check("/", &[("host", "x"), ("sec-fetch-site", "Cross-Site")]));
        assert!(!check("/", &[("host", "x"), ("origin", "http://x"), ("origin", "http://y")]));
        assert!(!check("http://x/", &[("host", "y"), ("origin", "http://y")]));
    }

    #[test]
    fn names_of_this_machine() {
        let check = |target: &str, headers: &[(&str, &str)]| check_local(&parts(target, headers)).is_ok();
        for host in
            ["localhost:8902", "LOCALHOST", "localhost.", "db.localhost", "127.0.0.1:1", "127.9.9.9", "[::1]:8902"]
        {
            assert!(check("/", &[("host", host)]), "{host}");
        }
        for host in [
            "rebound.evil.example:8902",
            "localhost.evil.example",
            "10.0.0.1",
            "[2001:db8::1]",
            "",
            "127.0.0.1.evil.example",
            "a@localhost@b",
        ] {
            assert!(!check("/", &[("host", host)]), "{host}");
        }
        assert!(check("/", &[]), "what is older than Host");
        assert!(!check("http://evil.example/", &[("host", "localhost")]));
    }
}
