//! The proof of SiltDB: one binary, because every test binary links DataFusion.
//!
//! | module | proves |
//! |---|---|
//! | `abuse` | hostile statements, many at once, take nothing from clients that behave |
//! | `wire` | the HTTP contract, case by case: `tests/wire/*.http` |
//! | `results` | the two binary formats, which a text file cannot hold |
//! | `sql` | SQL, each file of `tests/sql/*.slt` with the data in the tail, half flushed, and settled |
//! | `durability` | acknowledged points survive `kill -9`, and a stop loses nothing |
//! | `processes` | several processes on one store lose nothing and see each other's writes at once |
//! | `oracle` | random histories against a model in memory |
//! | `examples` | the programs and settings of `examples` do what they say |
//! | `frozen` | a store of each format that was released, kept as it was, is read, written to and maintained |
//! | `damage` | a flipped bit, in whatever object, gives an error and no wrong answer |
//! | `differential` | generated queries have the same answer wherever the points are, and DuckDB's |
//! | `mutation` | mutated input and mutated objects are read or refused, without a panic |
//! | `retention` | rows past their time are hidden at once and removed later |
//! | `open_at_rest` | another engine reads the same rows from the Parquet files |
//! | `connector` | CnosDB's own clients for Python read what is there |
//! | `two_zeros` | a store of an earlier version, which kept -0.0, is read and merged as if there had been one zero |
//! | `commands` | `siltdb config`, `sql` and `write`, on a server and straight on a store |
//! | `manual` | commands of the pages work, their tables are the program's, their links lead somewhere |
//! | `stores` | what becomes a store and what does not; one that is full or may not be written is still read |
//! | `memory` | what one statement, and many at once, take of the machine's memory, whatever they ask for |
//! | `strangers` | who has no credentials and holds connections takes nothing from others |
//! | `upgrade` | a store that an earlier program has left goes on |
//! | `private` | what users of the same machine, readers of the log, terminals and clients are kept from |
//! | `unread` | results that nobody reads leave a server with the memory it may have, and come back |
//! | `architecture` | rooms import only from lower floors, files are short, type names unique |
//!
//! `UPDATE_EXPECTED=1 cargo test --test integration` rewrites what the wire and SQL files expect;
//! read the difference before you believe it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test or a benchmark ends where it is wrong"
)]
#![allow(clippy::disallowed_methods, reason = "measures and waits by the machine's clocks, and reads its own settings")]

mod abuse;
mod architecture;
mod bucket;
mod client;
mod commands;
mod connector;
mod conversation;
mod damage;
mod differential;
mod durability;
mod examples;
mod frozen;
mod manual;
mod memory;
mod mutation;
mod open_at_rest;
mod oracle;
mod private;
mod processes;
mod results;
mod retention;
mod server;
mod sql;
mod stores;
mod strangers;
mod two_zeros;
mod unread;
mod upgrade;
mod wire;

/// The program that is tested.
fn siltdb() -> &'static str {
    env!("CARGO_BIN_EXE_siltdb")
}
