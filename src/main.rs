//! The `siltdb` program; see [`siltdb::cli`].

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// The system's, glibc's at least, keeps what was freed for the thread that had it: after many large queries a
/// server would hold, for good, more than it may.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    siltdb::cli::main()
}
