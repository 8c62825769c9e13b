//! Where the blocks of a page run: a home of their own, the repository's files, a port of their own, and programs that do
//! what a person would (start a server and go on; take a refusal for a failure).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

use super::page::{Block, Kind, Page};
use super::{FOREIGN, root};

/// Seconds that a page may take. Generous: nothing is concluded from speed.
const PATIENCE: &str = "300";
/// The port of the pages.
const PORT: &str = "8902";

/// `siltdb serve` starts a server, instead of the one that runs, and goes on when it answers.
const SILTDB: &str = r#"#!/usr/bin/env bash
set -euo pipefail
[ "${1-}" = serve ] || exec "$STAGE_PROGRAM" "$@"
if [ -s "$STAGE/server" ]; then
  kill "$(cat "$STAGE/server")"
  while kill -0 "$(cat "$STAGE/server")" 2>/dev/null; do sleep 0.1; done
fi
"$STAGE_PROGRAM" "$@" >"$STAGE/server.log" 2>&1 </dev/null &
echo "$!" >"$STAGE/server"
until "$STAGE_PROGRAM" ping --server "http://127.0.0.1:$STAGE_PORT" >/dev/null 2>&1; do
  kill -0 "$!" 2>/dev/null || { cat "$STAGE/server.log" >&2; exit 1; }
  sleep 0.1
done
"#;

/// `cargo run` is the program that is tested, already built.
const CARGO: &str = r#"#!/usr/bin/env bash
[ "${1-} ${2-}" = 'run --' ] || { echo "only 'cargo run --' is known here: $*" >&2; exit 1; }
exec siltdb "${@:3}"
"#;

/// A status that is no success is a failure.
const CURL: &str = r#"#!/usr/bin/env bash
PATH=$STAGE_PATH exec curl --silent --show-error --fail-with-body "$@"
"#;

pub struct Stage<'a> {
    page: &'a Page,
    folder: TempDir,
    port: u16,
}

impl<'a> Stage<'a> {
    pub fn set(page: &'a Page) -> Stage<'a> {
        let folder = TempDir::new().expect("a temporary folder");
        for name in ["bin", "home", "work", "out"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        for (name, text) in [("siltdb", SILTDB), ("cargo", CARGO), ("curl", CURL)] {
            let path = folder.path().join("bin").join(name);
            fs::write(&path, text).expect("a program");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program that runs");
        }
        for entry in fs::read_dir(root()).expect("the repository") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_owned();
            if !FOREIGN.iter().any(|foreign| name == *foreign) {
                symlink(&path, folder.path().join("work").join(name)).expect("a link");
            }
        }
        Stage { page, folder, port: free_port() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs all blocks that can run. What each printed, by its place in the page.
    pub fn run(&self) -> Result<BTreeMap<usize, String>, String> {
        let path = std::env::var("PATH").unwrap_or_default();
        fs::write(self.path("script"), self.script()).expect("a script");
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", PATIENCE, "bash"]).arg(self.path("script"));
        command.env_clear().current_dir(self.path("work")).stdin(Stdio::null());
        command.env("PATH", format!("{}:{path}", self.path("bin").display())).env("STAGE_PATH", &path);
        command.env("STAGE", self.folder.path()).env("STAGE_PROGRAM", crate::siltdb());
        command.env("STAGE_PORT", self.port.to_string()).env("SILTDB_LISTEN", format!("127.0.0.1:{}", self.port));
        command.env("HOME", self.path("home")).env("LANG", "C.UTF-8");
        let needed = self.page.blocks.iter().filter_map(|block| block.needs.as_ref());
        command.envs(needed.filter_map(|name| Some((name, std::env::var_os(name)?))));
        let output = command.output().expect("bash runs");
        let runnable = || self.page.blocks.iter().enumerate().filter(|(_, block)| block.runs());
        let out = |place: usize, kind| fs::read_to_string(self.path(&format!("out/{place}.{kind}")));
        if !output.status.success() {
            let last = runnable().rfind(|(place, _)| out(*place, "out").is_ok());
            let said = last.map(|(place, block)| {
                let [out, errors] = ["out", "err"].map(|kind| out(place, kind).unwrap_or_default());
                format!("{}: {}\n{}{out}{errors}", self.page.place(block), output.status, block.text)
            });
            let log = fs::read_to_string(self.path("server.log")).unwrap_or_default();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("{}\n{stderr}{log}", said.unwrap_or_else(|| self.page.path.display().to_string())));
        }
        Ok(runnable().map(|(place, _)| (place, out(place, "out").unwrap_or_default())).collect())
    }

    fn script(&self) -> String {
        let mut script = String::from(
            "set -euo pipefail\n\
             trap '[ ! -s \"$STAGE/server\" ] || kill \"$(cat \"$STAGE/server\")\"' EXIT\n\
             trap 'exit 143' TERM\n",
        );
        for (place, block) in self.page.blocks.iter().enumerate().filter(|(_, block)| block.runs()) {
            let text = text_of(block).replace(PORT, &self.port.to_string());
            writeln!(script, "{{\n{text}}} >\"$STAGE/out/{place}.out\" 2>\"$STAGE/out/{place}.err\"").expect("memory");
        }
        script
    }
}

/// What runs for a block. What prepares it prints nothing that counts.
fn text_of(block: &Block) -> String {
    let before: String = block.before.iter().map(|command| format!("{{ {command}\n}} >&2\n")).collect();
    match block.kind {
        Kind::Sql => format!("{before}siltdb sql --server http://127.0.0.1:{PORT} <<'SQL'\n{}SQL\n", block.text),
        _ => format!("{before}{}", block.text),
    }
}

/// A port that no system gives out by itself, and that no other page of this run has.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % 8_000).expect("a small number");
    loop {
        let port = 20_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
