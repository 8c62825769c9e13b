//! How the release binary is linked.

#![allow(clippy::disallowed_methods, reason = "Cargo speaks by the environment")]

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        // The profile would strip it, but for a package with an optimisation of its own, as this one, Cargo
        // drops that setting.
        println!("cargo:rustc-link-arg-bins=-Wl,--strip-all");
        // At an address of its own choice it would have to correct 180,000 pointers at each start, and carry a
        // list of them. A function has a machine to itself.
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
