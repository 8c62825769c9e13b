//! The `siltdb` program; see [`siltdb::cli`].

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The system's, glibc's at least, keeps what was freed for the thread that had it: after many large queries a
/// server would hold, for good, more than it may.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    siltdb::cli::main()
}
