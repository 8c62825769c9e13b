//! The function as AWS runs it: the real `bootstrap` under a Lambda Runtime API of our own, on a folder
//! and on an S3 server. Nothing here links SiltDB.
//!
//! | module | proves |
//! |---|---|
//! | `wire` | the cases of `tests/wire` get the same bytes through the function URL as from a server |
//! | `requests` | bodies of every coding, the limits of an event, large results, statuses, who may come in |
//! | `writers` | fifty processes write one table with new columns while others keep house |
//! | `frozen` | what is acknowledged survives a freeze, a kill, and a process that is never thawed |
//! | `housekeeping` | events and schedules settle data, within their time |
//! | `costs` | requests to the object store: of a write, a query, a round, of nothing |
//! | `cold` | from the start of a process to its first answers |
//! | `memory` | 256 MB suffice for writes, 512 MB for queries and housekeeping |
//! | `secrets` | a password that is kept by AWS |
//! | `rights` | what functions of each mode ask of a bucket is what the policies of the template allow |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test or a benchmark ends where it is wrong"
)]
#![allow(clippy::disallowed_methods, reason = "measures and waits by the machine's clocks, and reads its own settings")]

// Shared with SiltDB's own tests; each uses a part.
#[allow(dead_code)]
#[path = "../../../tests/integration/bucket.rs"]
mod bucket;
#[allow(dead_code)]
#[path = "../../../tests/integration/client.rs"]
mod client;
#[allow(dead_code)]
#[path = "../../../tests/integration/conversation.rs"]
mod conversation;
#[allow(dead_code)]
#[path = "../../../tests/integration/server.rs"]
mod server;

mod cold;
mod costs;
mod frozen;
mod housekeeping;
mod memory;
mod platform;
mod requests;
mod rights;
mod secrets;
mod wire;
mod writers;

/// Says a figure, also where the output of tests that pass is not shown.
fn say(text: &str) {
    use std::io::Write;
    // Nobody reads it: then it need not be said.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The function's executable: that of this build, or another one that is to be tried, such as what
/// `infra/aws/build` has made.
fn bootstrap() -> std::path::PathBuf {
    let other = std::env::var_os("SILTDB_TEST_BOOTSTRAP").filter(|path| !path.is_empty());
    other.map_or_else(|| env!("CARGO_BIN_EXE_bootstrap").into(), Into::into)
}

/// The `siltdb` program, built beside `bootstrap` when the whole workspace is.
fn siltdb() -> &'static str {
    let program = concat!(env!("CARGO_BIN_EXE_bootstrap"), "/../siltdb");
    static PROGRAM: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    PROGRAM.get_or_init(|| {
        let found = std::fs::canonicalize(program.replace("/bootstrap/..", ""));
        found.expect("siltdb beside bootstrap: cargo build --workspace").to_string_lossy().into_owned()
    })
}
