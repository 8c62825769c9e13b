//! A type name that more than one file can see names one type in the whole workspace.

use std::collections::{BTreeMap, BTreeSet};

use super::{all_sources, is_in_names, without_comments};

/// Names that still stand for several types. The list may only become shorter.
const SHARED: &[&str] = &[];

#[test]
fn type_names_are_unique() {
    let mut places: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for (path, text) in all_sources() {
        for (number, line) in without_comments(&text).lines().enumerate() {
            if let Some((name, public)) = type_defined(line) {
                places.entry(name.to_owned()).or_default().push((format!("{path}:{}", number + 1), public));
            }
        }
    }
    assert!(places.contains_key("Engine"), "no type was found where there are many");
    let shared = places.iter().filter(|(_, found)| found.len() > 1 && found.iter().any(|(_, public)| *public));
    let shared: BTreeSet<&str> = shared.map(|(name, _)| name.as_str()).collect();
    let known: BTreeSet<&str> = SHARED.iter().copied().collect();
    let mut offences = Vec::new();
    for name in shared.difference(&known) {
        let lines: Vec<&str> = places[*name].iter().map(|(line, _)| line.as_str()).collect();
        offences.push(format!("{name} names several types: {}", lines.join(", ")));
    }
    for name in known.difference(&shared) {
        offences.push(format!("{name} names one type now: remove it from SHARED"));
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

/// The test above sees what it has to see.
#[test]
fn definitions_are_found() {
    assert_eq!(type_defined("pub struct Engine {"), Some(("Engine", true)));
    assert_eq!(type_defined("    pub(super) enum Kind<'a> {"), Some(("Kind", true)));
    assert_eq!(type_defined("pub(in crate::query) trait Shape: Sized {"), Some(("Shape", true)));
    assert_eq!(type_defined("struct Half(u8);"), Some(("Half", false)));
    assert_eq!(type_defined("type Outcome = Result<(), ()>;"), Some(("Outcome", false)));
    assert_eq!(type_defined("    type Item = u8;"), None, "an associated type belongs to its trait");
    assert_eq!(type_defined("let structure = Engine {"), None);
}

/// The name of the type that a line defines, and whether other files can see it.
fn type_defined(line: &str) -> Option<(&str, bool)> {
    let code = line.trim_start();
    let indented = code.len() < line.len();
    let (public, code) = match code.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => (true, rest.split_once(')')?.1),
        Some(rest) if rest.starts_with(' ') => (true, rest),
        _ => (false, code),
    };
    let (keyword, rest) = code.trim_start().split_once(' ')?;
    if !matches!(keyword, "struct" | "enum" | "trait" | "type") || (keyword == "type" && indented && !public) {
        return None;
    }
    let name = rest.split(|character| !is_in_names(character)).next()?;
    name.starts_with(|first: char| first.is_ascii_uppercase()).then_some((name, public))
}
