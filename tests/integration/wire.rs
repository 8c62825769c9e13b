//! The HTTP contract, case by case. Each file of `tests/wire/` is a conversation with one server of
//! its own; `tests/wire/README.md` describes the format.

use std::path::Path;

use tempfile::TempDir;

use crate::conversation::{Conversation, files};
use crate::server::{Server, Target};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_conversation_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    let mut differences = String::new();
    for file in files(&folder) {
        let conversation = Conversation::read(&file);
        let store = TempDir::new().expect("a temporary folder");
        let target = Target { environment: conversation.environment.clone(), ..Target::folder(store.path()) };
        let server = Server::start(&target, &conversation.arguments).await;
        let held = conversation.hold(&server.address).await;
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&file, conversation.rewritten(&held)).expect("a writable file");
        }
        differences.push_str(&held.differences);
    }
    assert!(differences.is_empty(), "{differences}");
}
