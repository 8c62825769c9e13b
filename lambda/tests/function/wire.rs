//! The conversations of `tests/wire`, through the function URL and with a server.

use std::collections::BTreeMap;
use std::path::Path;

use tempfile::TempDir;

use crate::client::Response;
use crate::conversation::{Conversation, files};
use crate::platform::{Function, Options};
use crate::server::{Server, Target};

/// Files that a function cannot hold, and why.
const OTHERS: [(&str, &str); 2] = [
    ("busy.http", "a process of a function has one request at a time"),
    ("server.http", "AWS reads the heads, and a function has no address of its machine's"),
];

/// Exchanges whose bodies hold the counters of the process that is asked, or times.
const OF_THE_PROCESS: [&str; 3] =
    [" metrics", " what a query costs, in its plan", " 422: a point that is too old, with its line"];

/// Headers that differ by their nature: of one request, or of the connection.
const OF_ITS_OWN: [&str; 6] =
    ["x-request-id", "x-siltdb-cost", "date", "connection", "transfer-encoding", "content-length"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_conversation_has_the_same_bytes_as_with_a_server() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/wire");
    let (mut differences, mut compared) = (String::new(), 0);
    for file in files(&folder) {
        let conversation = Conversation::read(&file);
        if OTHERS.iter().any(|(name, _)| *name == conversation.name) {
            continue;
        }
        let stores = [TempDir::new().expect("a folder"), TempDir::new().expect("a folder")];
        let [of_function, of_server] = stores
            .each_ref()
            .map(|store| Target { environment: conversation.environment.clone(), ..Target::folder(store.path()) });
        let function = Function::deploy(&of_function, options(&conversation)).await;
        let server = Server::start(&of_server, &conversation.arguments).await;
        let by_function = conversation.hold(&function.address).await;
        let by_server = conversation.hold(&server.address).await;
        differences.push_str(&by_function.differences);
        for ((place, left), (_, right)) in by_function.answers.iter().zip(&by_server.answers) {
            compared += 1;
            if what_counts(left) != what_counts(right) && !OF_THE_PROCESS.iter().any(|title| place.ends_with(title)) {
                let (left_text, right_text) = (left.text(), right.text());
                let (left, right) = (&left.headers, &right.headers);
                differences.push_str(&format!("{place}: {left:?}\n{left_text}\ninstead of\n{right:?}\n{right_text}\n"));
            }
        }
    }
    assert!(differences.is_empty(), "{differences}");
    crate::say(&format!("{compared} exchanges give the same bytes through the function URL as from a server"));
    assert!(compared > 100, "{compared}");
}

/// The server's flags as variables.
fn options(conversation: &Conversation) -> Options {
    let pairs = conversation.arguments.chunks(2).map(|pair| {
        let [flag, value] = pair else { panic!("{}: flags without values", conversation.name) };
        let variable = flag.trim_start_matches("--").replace('-', "_").to_uppercase();
        (format!("SILTDB_{variable}"), value.clone())
    });
    Options { environment: pairs.collect(), ..Options::default() }
}

fn what_counts(response: &Response) -> (u16, BTreeMap<&str, &str>, &[u8], bool) {
    let headers = response.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers = headers.filter(|(name, _)| !OF_ITS_OWN.contains(name)).collect();
    (response.status, headers, &response.body, response.complete)
}
