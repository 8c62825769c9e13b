//! Rooms import only from lower floors, and the large libraries are named in one room each. Files are short, do not
//! import each other in circles, and a type's name is its own.

mod circles;
mod lengths;
mod names;

use std::path::{Path, PathBuf};

/// Rooms from the ground up; those of one floor never meet.
const FLOORS: &[&[&str]] = &[
    &["model", "metrics"],
    &["parse", "store", "format", "merge"],
    &["ledger"],
    &["catalog", "database", "wal", "table"],
    &["engine"],
    &["query"],
    &["http"],
    &["main", "cli", "config"],
];

/// Crates and the only rooms (or single files) that may name them.
const OWNERS: &[(&str, &[&str])] = &[
    // DataFusion wants a registry of object stores; the query room gives it one that holds nothing.
    ("object_store", &["store", "query/sandbox.rs"]),
    ("aws_config", &["store"]),
    ("aws_credential_types", &["store"]),
    ("datafusion", &["query"]),
    ("axum", &["http"]),
    ("hyper", &["http"]),
    ("clap", &["cli", "config", "main"]),
];

#[test]
fn rooms_import_from_lower_floors_only() {
    let mut offences = Vec::new();
    for (room, path, text) in sources() {
        let Some(own) = floor_of(&room) else {
            // The crate's root wires rooms together and has no floor; any other has to be known.
            if room != "lib" {
                offences.push(format!("{}: '{room}' has no floor", path.display()));
            }
            continue;
        };
        for (number, used) in rooms_named(&without_comments(&text)) {
            let allowed = used == room || floor_of(&used).is_some_and(|floor| floor < own) || own == TOP;
            if !allowed {
                let line = text.lines().nth(number - 1).unwrap_or_default().trim();
                offences.push(format!("src/{}:{number}: {room} may not use {used}: {line}", path.display()));
            }
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn large_libraries_stay_in_their_rooms() {
    let mut offences = Vec::new();
    for (room, path, text) in sources() {
        for (at, line) in without_comments(&text).lines().enumerate() {
            for (library, owners) in OWNERS {
                let owned = owners.iter().any(|owner| *owner == room || Path::new(owner) == path);
                if names(line, &format!("{library}::")) && !owned {
                    offences.push(format!("src/{}:{}: {room} may not name {library}", path.display(), at + 1));
                }
            }
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

/// The test above sees what it has to see.
#[test]
fn uses_are_found() {
    let rooms = |text: &str| rooms_named(text).into_iter().map(|(_, room)| room).collect::<Vec<_>>();
    assert_eq!(rooms("use crate::store::{self, Store};"), ["store"]);
    assert_eq!(rooms("use crate::{model::{Code, http}, query};"), ["model", "query"]);
    assert_eq!(rooms("    let key = crate::wal::key_of(x)?; crate::merge::sum()"), ["wal", "merge"]);
    assert!(rooms("use crate::Thing;").is_empty());
    assert_eq!(
        rooms_named("\n\nuse crate::{\n    model,\n    query::{A, B},\n};\n").last(),
        Some(&(5, "query".to_owned()))
    );
    assert_eq!(without_comments("a\n// crate::query\nb"), "a\n\nb");
    assert!(names("use object_store::path;", "object_store::"));
    assert!(!names("my_object_store::path", "object_store::"));
    assert!(sources().iter().any(|(room, _, _)| room == "engine"));
}

/// Doors may use each other.
const TOP: usize = FLOORS.len() - 1;

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Every source file with its room: the first folder, or the file itself, below `src/`.
fn sources() -> Vec<(String, PathBuf, String)> {
    sources_below("src")
}

/// Every source file of the workspace by its path.
fn all_sources() -> Vec<(String, String)> {
    let below = |root: &str| {
        let path = |short: PathBuf| format!("{root}/{}", short.display());
        sources_below(root).into_iter().map(|(_, short, text)| (path(short), text)).collect::<Vec<_>>()
    };
    [below("src"), below("lambda/src")].concat()
}

fn sources_below(root: &str) -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let short = path.strip_prefix(&root).expect("below src").to_path_buf();
                let first = short.iter().next().unwrap_or_default().to_string_lossy().into_owned();
                let room = first.trim_end_matches(".rs").to_owned();
                let text = std::fs::read_to_string(&path).expect("a readable file");
                found.push((room, short, text));
            }
        }
    }
    found.sort();
    found
}

/// The text with its comment lines blank, so that line numbers stay.
fn without_comments(text: &str) -> String {
    let code = |line| if str::trim_start(line).starts_with("//") { "" } else { line };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// Whether `path` stands in the line as a path of its own.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|character| is_in_names(character) || character == ':')
    })
}

/// The rooms named after `crate::`, alone or first in a list in braces, with the numbers of their lines.
fn rooms_named(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut add = |at: usize| {
        let word: String = text[at..].trim_start().chars().take_while(|next| is_in_names(*next)).collect();
        if floor_of(&word).is_some() {
            let blanks = text[at..].len() - text[at..].trim_start().len();
            found.push((text[..at + blanks].matches('\n').count() + 1, word));
        }
    };
    for (at, prefix) in text.match_indices("crate::") {
        let start = at + prefix.len();
        if !text[start..].starts_with('{') {
            add(start);
            continue;
        }
        let mut depth = 0;
        for (offset, next) in text[start..].char_indices() {
            match next {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && matches!(next, '{' | ',') {
                add(start + offset + 1);
            }
        }
    }
    found
}

fn is_in_names(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
