//! What functions of each mode ask of a bucket is what the template's policies allow them, held by a proxy before
//! the S3 server that refuses everything else.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request as Asked, State};
use axum::response::Response as Answer;
use tokio::net::TcpListener;

use crate::bucket::bucket;
use crate::client::{Request, send};
use crate::platform::{Function, Options, schedule};
use crate::server::Target;

/// Patterns of keys by action.
type Rights = HashMap<String, Vec<String>>;

/// What policies of the template allow. Each statement names actions and patterns in a line each.
fn rights(policies: &[&str]) -> Rights {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/aws/template.yaml");
    let template = std::fs::read_to_string(template).expect("the template");
    let (mut rights, mut policy, mut action) = (Rights::new(), "", "");
    for line in template.lines() {
        let words = line.trim_start_matches([' ', '-']);
        if line.starts_with("  ") && !line.starts_with("   ") {
            policy = line.trim().trim_end_matches(':');
        } else if let Some(named) = words.strip_prefix("Action: ") {
            action = named;
        } else if let Some((_, rest)) = words.split_once("'${Bucket.Arn}/${Prefix}")
            && policies.contains(&policy)
        {
            rights.entry(action.to_owned()).or_default().push(rest.trim_end_matches('\'').to_owned());
        } else if words.ends_with("!GetAtt Bucket.Arn") && policies.contains(&policy) {
            rights.entry(action.to_owned()).or_default().push(String::new());
        }
    }
    rights
}

/// Whether a key is like a pattern, in which a `*` stands for anything.
fn is_like(key: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => key == pattern,
        Some((head, rest)) => key.strip_prefix(head).is_some_and(|key| {
            (0..=key.len()).filter(|at| key.is_char_boundary(*at)).any(|at| is_like(&key[at..], rest))
        }),
    }
}

/// A role's way to the bucket.
struct Gate {
    endpoint: String,
    /// `/bucket/prefix`.
    place: String,
    rights: Rights,
    refused: Mutex<Vec<String>>,
}

impl Gate {
    /// The same store, as somebody with these rights reaches it.
    async fn before(target: &Target, policies: &[&str]) -> (Target, Arc<Gate>) {
        let mut target = target.clone();
        let (_, endpoint) =
            target.environment.iter_mut().find(|(name, _)| name == "AWS_ENDPOINT_URL_S3").expect("an endpoint");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let own = std::mem::replace(endpoint, format!("http://{address}"));
        let gate = Arc::new(Gate {
            endpoint: own.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            place: format!("/{}", target.store.trim_start_matches("s3://")),
            rights: rights(policies),
            refused: Mutex::default(),
        });
        let router = Router::new().fallback(pass).with_state(gate.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (target, gate)
    }

    fn allows(&self, method: &str, path: &str) -> bool {
        let key = path.strip_prefix(&self.place);
        let (action, key) = match (method, key) {
            ("GET" | "HEAD", Some(key)) if !key.is_empty() => ("s3:GetObject", key),
            ("GET" | "HEAD", _) => ("s3:ListBucket", ""),
            ("PUT", Some(key)) => ("s3:PutObject", key),
            _ => return false,
        };
        self.rights.get(action).is_some_and(|patterns| patterns.iter().any(|pattern| is_like(key, pattern)))
    }

    fn refused(&self) -> Vec<String> {
        self.refused.lock().expect("no panic").clone()
    }
}

async fn pass(State(gate): State<Arc<Gate>>, asked: Asked) -> Answer {
    let (parts, body) = asked.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    let (method, target) = (parts.method.as_str(), parts.uri.to_string());
    if !gate.allows(method, parts.uri.path()) {
        gate.refused.lock().expect("no panic").push(format!("{method} {target}"));
        let body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        return Answer::builder().status(403).body(Body::from(body)).expect("an answer");
    }
    let mut request = Request::new(method, &target, body);
    for (name, value) in &parts.headers {
        if !matches!(name.as_str(), "host" | "connection" | "content-length") {
            request = request.header(name.as_str(), value.to_str().expect("text"));
        }
    }
    let answer = send(&gate.endpoint, &request).await.expect("an S3 server");
    let mut built = Answer::builder().status(answer.status);
    for (name, value) in &answer.headers {
        let is_framing =
            ["connection", "content-length", "transfer-encoding"].iter().any(|own| name.eq_ignore_ascii_case(own));
        if !is_framing {
            built = built.header(name, value);
        }
    }
    built.body(Body::from(answer.body)).expect("an answer")
}

#[test]
fn patterns() {
    for (key, pattern, alike) in [
        ("/t/1/d/2/log/3.m", "/t/*/d/*/log/*.m", true),
        ("/t/1/d/2/log/3.w.4.wal", "/t/*/d/*/log/*.m", false),
        ("/t/1/d/2/HINT", "/t/*/d/*/HINT", true),
        ("/t/1/d/2/data/x", "/t/*/d/*/log/*", false),
    ] {
        assert_eq!(is_like(key, pattern), alike, "{key} {pattern}");
    }
    let writer = rights(&["FrontPolicy", "WriterPolicy"]);
    assert_eq!(writer["s3:ListBucket"], [""]);
    assert_eq!((writer["s3:GetObject"].len(), writer["s3:PutObject"].len()), (3, 6), "{writer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_need_no_right_that_their_mode_has_not() {
    let Some(target) = bucket("rights").await else { return };
    // Whoever comes first makes the store, and proves it to itself: here the one that only writes.
    let keeper = Function::deploy(&target, Options::default().set("SILTDB_FLUSH_AGE", "0s")).await;
    let (writing, writers) = Gate::before(&target, &["FrontPolicy", "WriterPolicy"]).await;
    let (reading, readers) = Gate::before(&target, &["FrontPolicy", "ReaderPolicy"]).await;
    let (both, all) = Gate::before(&target, &["FrontPolicy", "ReaderPolicy", "WriterPolicy"]).await;
    let writer = Function::deploy(&writing, Options::default().set("SILTDB_MODE", "write-only")).await;
    let reader = Function::deploy(&reading, Options::default().set("SILTDB_MODE", "read-only")).await;
    let front = Function::deploy(&both, Options::default()).await;
    for round in 1..=3 {
        // Old processes know what was, new ones find it.
        for lines in [format!("air,station=a temperature={round} {round}"), format!("new{round},x=y v=1,w{round}=2 1")]
        {
            let answer = writer.write(lines).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(reader.answer("SELECT count(*) AS n FROM air").await, format!("n\n{round}\n"));
            assert_eq!(front.answer("SELECT count(*) AS n FROM air").await, format!("n\n{round}\n"));
        }
        let made = front.sql(&format!("CREATE DATABASE made{round}")).await;
        assert_eq!(made.status, 200, "{}", made.text());
        keeper.invoke(&schedule()).await.expect("a round");
        keeper.idle().await;
        assert_eq!(reader.answer("SELECT count(*) AS n FROM air").await, format!("n\n{round}\n"));
        for function in [&writer, &reader, &front] {
            function.forget();
        }
    }
    for gate in [&writers, &readers, &all] {
        // Who proves a new store to itself may not delete what it tried with: that goes by the bucket's lifecycle.
        let refused = gate.refused().into_iter().filter(|asked| !asked.ends_with("?delete"));
        assert_eq!(refused.collect::<Vec<_>>(), [""; 0]);
    }
    // The gates are no open doors.
    assert_eq!(reader.write("air,station=a temperature=9 9").await.status, 403);
    assert!(!readers.allows("PUT", &format!("{}/t/1/d/2/log/3.w.4.wal", readers.place)));
    assert!(!writers.allows("GET", &format!("{}/t/1/d/2/data/air~1/day=1/x.parquet", writers.place)));
    target.check();
}
