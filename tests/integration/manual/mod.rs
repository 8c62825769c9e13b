//! The pages for readers: their commands work, their tables are the program's, and their links lead somewhere.
//!
//! Every block of shell or SQL in any page runs, in order, in a folder of its own, unless the comment above it says why
//! not. Comments above a block are for this test:
//!
//! | comment | meaning |
//! |---|---|
//! | `<!-- not run: REASON -->` | the block cannot run here |
//! | `<!-- needs: VARIABLE -->` | the block runs where this variable is set, and sees it |
//! | `<!-- before: COMMAND -->` | runs before the block: what the reader has from elsewhere |
//! | `<!-- in the test: TEXT = OTHER -->` | the block runs with OTHER instead of TEXT |
//! | `<!-- output -->` | the block holds what the one before it prints |
//! | `<!-- written by: SOURCE -->` | what follows, up to `<!-- end -->`, is the output of a hidden command or a table of `/metrics` |
//!
//! `UPDATE_EXPECTED=1` rewrites the outputs and the tables.

mod links;
mod page;
mod stage;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::client::Request;
use crate::server::{NO_MAINTENANCE, Server, Target};
use page::{Block, Kind, Page};
use stage::Stage;

/// Tables that the program writes, and who are looked for: a page that loses its markers is found.
const WRITTEN: [&str; 3] = [METRICS, "siltdb routes", "siltdb settings"];
const METRICS: &str = "GET /metrics";

#[test]
fn every_block_runs_or_says_why_not() {
    let pages: Vec<Page> = pages().iter().map(|path| Page::read(path)).collect();
    let blocks = pages.iter().flat_map(|page| &page.blocks).filter(|block| block.runs()).count();
    assert!(blocks >= 10, "only {blocks} blocks run");
    let failures: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = pages.iter().map(|page| scope.spawn(|| run(page).err())).collect();
        runs.into_iter().filter_map(|run| run.join().expect("no panic")).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Runs the blocks of a page and compares what they print.
fn run(page: &Page) -> Result<(), String> {
    if !page.mistakes.is_empty() {
        return Err(page.mistakes.join("\n"));
    }
    if !page.blocks.iter().any(Block::runs) {
        return Ok(());
    }
    let outputs = Stage::set(page).run()?;
    let mut updated = page.text.clone();
    for (place, expected) in page.blocks.iter().enumerate().filter(|(_, block)| block.kind == Kind::Output) {
        let printed = place.checked_sub(1).and_then(|before| outputs.get(&before));
        let Some(printed) = printed else { return Err(format!("{}: no block before it runs", page.place(expected))) };
        if printed.trim_end() != expected.text.trim_end() {
            if update() {
                updated = updated.replacen(&fenced(&expected.text), &fenced(&format!("{}\n", printed.trim_end())), 1);
                continue;
            }
            let place = page.place(expected);
            return Err(format!("{place}: expected\n{}\nbut the block above prints\n{printed}", expected.text));
        }
    }
    if updated != page.text {
        std::fs::write(&page.path, updated).expect("a page that can be written");
    }
    Ok(())
}

fn fenced(text: &str) -> String {
    format!("<!-- output -->\n```text\n{text}```\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_the_manual_are_those_of_the_program() {
    let metrics = metrics().await;
    let mut found = Vec::new();
    for path in pages() {
        let text = std::fs::read_to_string(&path).expect("a page");
        let mut updated = text.clone();
        for (command, written) in written_parts(&text) {
            let table = if command == METRICS { metrics.clone() } else { siltdb(&command) };
            if written != table && update() {
                let (head, end) = (format!("<!-- written by: {command} -->\n"), "<!-- end -->");
                updated = updated.replacen(&format!("{head}{written}{end}"), &format!("{head}{table}{end}"), 1);
            } else {
                let other = written.lines().zip(table.lines()).find(|(here, there)| here != there);
                assert!(written == table, "{} is not what '{command}' writes: {other:#?}", path.display());
            }
            found.push(command);
        }
        if updated != text {
            std::fs::write(&path, updated).expect("a page that can be written");
        }
    }
    found.sort();
    assert_eq!(found, WRITTEN);
}

/// Commands, and what stands between their markers.
fn written_parts(text: &str) -> Vec<(String, String)> {
    let parts = text.split("<!-- written by: ").skip(1).map(|part| {
        let (command, rest) = part.split_once(" -->\n").expect("a marker of one line");
        let (written, _) = rest.split_once("<!-- end -->").expect("the end of what is written");
        (command.to_owned(), written.to_owned())
    });
    parts.collect()
}

/// A table of the metrics of a server that has written and answered, so that it has all of them.
async fn metrics() -> String {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::start(&Target::folder(folder.path()), NO_MAINTENANCE).await;
    server.write("public", "air,station=a temperature=1 1").await;
    let page = server.send(&Request::new("GET", "/metrics", "")).await.expect("a page").text();
    server.terminate().await;
    let kinds: BTreeMap<&str, &str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let helps = page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    let rows = helps.map(|(name, help)| format!("| `{name}` | {} | {help} |\n", kinds[name]));
    format!("| metric | kind | meaning |\n|---|---|---|\n{}", rows.collect::<String>())
}

#[test]
fn every_command_stands_in_the_manual() {
    let help = siltdb("siltdb --help");
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"serve"), "{help}");
    let page = std::fs::read_to_string(root().join("docs/cli.md")).expect("the page of commands");
    for command in commands.into_iter().filter(|command| *command != "help") {
        assert!(page.contains(&format!("| `siltdb {command}` | ")), "docs/cli.md does not name 'siltdb {command}'");
    }
}

/// Statuses that the wire cases expect.
#[test]
fn every_status_stands_in_the_manual() {
    let page = std::fs::read_to_string(root().join("docs/rest.md")).expect("the page of routes");
    let (_, rest) = page.split_once("| status | when |").expect("a table of statuses");
    let (table, _) = rest.split_once("\n\n").expect("the end of the table");
    let mut found = BTreeSet::new();
    for case in std::fs::read_dir(root().join("tests/wire")).expect("the wire cases") {
        let text = std::fs::read_to_string(case.expect("an entry").path()).expect("a case");
        found.extend(text.lines().filter_map(|line| Some(line.strip_prefix("--- ")?.get(..3)?.to_owned())));
    }
    assert!(found.contains("422"), "{found:?}");
    found.retain(|status| !table.contains(status));
    assert!(found.is_empty(), "docs/rest.md does not name {found:?}");
}

#[test]
fn the_front_page_is_short() {
    let lines = std::fs::read_to_string(root().join("README.md")).expect("a page").lines().count();
    assert!(lines <= 130, "README.md has {lines} lines: what is more belongs in docs/");
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    let texts: BTreeMap<PathBuf, String> =
        pages.iter().map(|path| (path.clone(), std::fs::read_to_string(path).expect("a page"))).collect();
    let broken: Vec<String> = texts.iter().flat_map(|(path, text)| links::broken(path, text, &texts)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The changelog speaks of names as they were.
#[test]
fn pages_use_the_words_of_the_glossary() {
    let glossary = root().join("docs/glossary.md");
    let unused = words::unused(&std::fs::read_to_string(&glossary).expect("the glossary"));
    assert!(unused.contains(&"housekeeping".to_owned()), "{unused:?}");
    let found: Vec<String> = pages()
        .iter()
        .filter(|path| **path != glossary && !path.ends_with("CHANGELOG.md"))
        .flat_map(|path| words::found(path, &std::fs::read_to_string(path).expect("a page"), &unused))
        .collect();
    assert!(found.is_empty(), "docs/glossary.md has other words for these:\n{}", found.join("\n"));
}

/// Runs the program, whose name is the first word.
fn siltdb(command: &str) -> String {
    let output = Command::new(crate::siltdb()).args(command.split(' ').skip(1)).output().expect("the binary runs");
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn update() -> bool {
    std::env::var_os("UPDATE_EXPECTED").is_some()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Folders of the repository that hold no pages of ours.
const FOREIGN: [&str; 4] = [".git", "target", "siltdb-data", "node_modules"];

/// All pages of the repository.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() && !FOREIGN.contains(&name.as_str()) {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
