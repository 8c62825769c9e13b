//! The `siltdb` program; see [`siltdb::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    siltdb::cli::main()
}
