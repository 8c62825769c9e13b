//! Files stay short, and a `mod.rs` is a table of contents.

use std::collections::BTreeMap;

use super::all_sources;

/// Lines of a file.
const FILE: usize = 450;

/// Lines of a `mod.rs`: its head comment, its modules and what it exports again.
const CONTENTS: usize = 60;

/// Each `mod.rs` that is longer still, with the lines that it has. The list and its numbers may only become smaller.
const LONG: &[(&str, usize)] = &[
    ("src/catalog/mod.rs", 154),
    ("src/cli/mod.rs", 223),
    ("src/cli/sql/mod.rs", 128),
    ("src/cli/write/mod.rs", 235),
    ("src/config/mod.rs", 150),
    ("src/database/mod.rs", 149),
    ("src/database/plan/mod.rs", 67),
    ("src/engine/mod.rs", 272),
    ("src/engine/tests/year/mod.rs", 292),
    ("src/format/mod.rs", 124),
    ("src/http/encoding/mod.rs", 121),
    ("src/http/mod.rs", 92),
    ("src/ledger/mod.rs", 420),
    ("src/merge/mod.rs", 77),
    ("src/metrics/mod.rs", 126),
    ("src/query/insert/mod.rs", 133),
    ("src/query/memory/mod.rs", 136),
    ("src/query/mod.rs", 74),
    ("src/query/statement/mod.rs", 281),
    ("src/query/tests/mod.rs", 103),
    ("src/query/time/mod.rs", 174),
    ("src/query/understood/mod.rs", 98),
    ("src/store/mod.rs", 227),
    ("src/table/mod.rs", 68),
];

#[test]
fn files_are_short() {
    let known: BTreeMap<&str, usize> = LONG.iter().copied().collect();
    let mut offences = Vec::new();
    for (path, text) in all_sources() {
        let lines = text.lines().count();
        let most = if path.ends_with("/mod.rs") { CONTENTS } else { FILE };
        match known.get(path.as_str()) {
            Some(_) if lines <= most => offences.push(format!("{path} is short now: remove it from LONG")),
            Some(allowed) if lines > *allowed => offences.push(format!("{path} grew from {allowed} to {lines} lines")),
            None if lines > most => offences.push(format!("{path} has {lines} lines, and may have {most}")),
            _ => {}
        }
    }
    let paths: Vec<String> = all_sources().into_iter().map(|(path, _)| path).collect();
    let gone = known.keys().filter(|path| !paths.iter().any(|present| present == *path));
    offences.extend(gone.map(|path| format!("{path} is not there: remove it from LONG")));
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}
