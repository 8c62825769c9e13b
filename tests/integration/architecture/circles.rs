//! No circle of imports between files. A module and those inside it may name each other: it wires them.
//!
//! Paths are followed through re-exports to the file that defines the name. Unit tests are left out: they may
//! import whatever they test, and nothing imports them.

use std::collections::{BTreeMap, BTreeSet};

use super::{all_sources, is_in_names, without_comments};

/// Circles that are still there, each with all its files. The list may only become shorter.
const CIRCLES: &[&[&str]] = &[
    &[
        "src/engine/databases.rs",
        "src/engine/group_commit.rs",
        "src/engine/maintain.rs",
        "src/engine/order.rs",
        "src/engine/snapshot.rs",
    ],
    &[
        "src/query/context.rs",
        "src/query/provider.rs",
        "src/query/scan.rs",
        "src/query/selector.rs",
        "src/query/selector_exec.rs",
        "src/query/tag_filter.rs",
    ],
    &["src/query/exact/distinct.rs", "src/query/exact/sums.rs"],
    &["src/query/understood/expression.rs", "src/query/understood/query.rs"],
];

#[test]
fn files_do_not_import_each_other_in_a_circle() {
    let found: BTreeSet<Vec<String>> = circles(&Crate::new(&all_sources())).into_iter().collect();
    let known: BTreeSet<Vec<String>> =
        CIRCLES.iter().map(|files| files.iter().map(ToString::to_string).collect()).collect();
    let list = |circle: &Vec<String>| circle.iter().map(|file| format!("\"{file}\"")).collect::<Vec<_>>().join(", ");
    let new = found.difference(&known).map(|circle| format!("a circle that is not in CIRCLES: &[{}],", list(circle)));
    let gone = known.difference(&found).map(|circle| format!("no circle any more, remove it: &[{}],", list(circle)));
    let offences: Vec<String> = new.chain(gone).collect();
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

/// The test above sees what it has to see.
#[test]
fn circles_are_found() {
    let found = |files: &[(&str, &str)]| {
        let files: Vec<_> = files.iter().map(|(path, text)| (format!("src/{path}"), text.to_string())).collect();
        circles(&Crate::new(&files))
    };
    let pair = [vec!["src/a/x.rs".to_owned(), "src/a/y.rs".to_owned()]];
    let root = ("a/mod.rs", "mod x;\nmod y;\npub use x::X;\n");
    let x = ("a/x.rs", "use super::{q, y::{Y, Z}};\n");
    assert_eq!(found(&[root, x, ("a/y.rs", "use super::X;\n")]), pair, "through a re-export");
    assert_eq!(found(&[root, x, ("a/y.rs", "fn f() { crate::a::x::f() }\n")]), pair, "inside an expression");
    assert!(
        found(&[root, x, ("a/y.rs", "use super::Own;\n#[cfg(test)]\nmod tests { use super::super::X; }\n")]).is_empty()
    );
    assert!(found(&[root, ("a/x.rs", "use super::X;\n"), ("a/x/z.rs", "use super::X;\n"), ("a/y.rs", "")]).is_empty());
}

type Path = Vec<String>;

/// The modules of a crate by their paths.
struct Crate {
    modules: BTreeMap<Path, Module>,
}

struct Module {
    file: String,
    /// Every path that the file names, as written.
    named: Vec<Path>,
}

impl Crate {
    fn new(sources: &[(String, String)]) -> Self {
        let mut modules = BTreeMap::new();
        for (file, text) in sources {
            let Some(path) = module_path(file) else { continue };
            let text = without_comments(text);
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            modules.insert(path, Module { file: file.clone(), named: paths_named(code) });
        }
        Self { modules }
    }

    /// The module that defines what `path` names in module `at`, as far as it is one of ours.
    fn resolve(&self, at: &Path, path: &[String], depth: usize) -> Option<Path> {
        let mut here = match path.first()?.as_str() {
            "crate" => at[..1].to_vec(),
            "super" | "self" => at.clone(),
            child if self.modules.contains_key(&joined(at, child)) => at.clone(),
            _ => return None,
        };
        for (number, segment) in path.iter().enumerate() {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => drop(here.pop()),
                name if self.modules.contains_key(&joined(&here, name)) => here.push(name.to_owned()),
                name => {
                    let Some(module) = self.modules.get(&here).filter(|_| depth < 8) else { return Some(here) };
                    let exported =
                        module.named.iter().find(|used| used.len() > 1 && used.last().is_some_and(|last| last == name));
                    let Some(exported) = exported.filter(|used| used[..] != path[number..]) else { return Some(here) };
                    return self.resolve(&here, exported, depth + 1).or(Some(here));
                }
            }
        }
        Some(here)
    }

    /// The modules that a module imports, without those around and inside it.
    fn imports(&self, at: &Path) -> BTreeSet<Path> {
        let named = self.modules[at].named.iter().filter_map(|path| self.resolve(at, path, 0));
        named.filter(|to| !to.starts_with(at) && !at.starts_with(to) && self.modules.contains_key(to)).collect()
    }
}

/// Groups of modules of which each reaches each, by the names of their files.
fn circles(tree: &Crate) -> Vec<Vec<String>> {
    let imports: BTreeMap<&Path, BTreeSet<Path>> = tree.modules.keys().map(|at| (at, tree.imports(at))).collect();
    let reached = |from: &Path| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&Path> = imports[from].iter().collect();
        while let Some(module) = next.pop() {
            if seen.insert(module) {
                next.extend(&imports[module]);
            }
        }
        seen
    };
    let reached: BTreeMap<&Path, BTreeSet<&Path>> = tree.modules.keys().map(|at| (at, reached(at))).collect();
    let mut groups = BTreeSet::new();
    for (from, to) in &reached {
        let group: Vec<String> = to
            .iter()
            .filter(|other| reached[*other].contains(from))
            .map(|other| tree.modules[*other].file.clone())
            .collect();
        if group.len() > 1 {
            groups.insert(group);
        }
    }
    groups.into_iter().collect()
}

/// `src/engine/mod.rs` → `src`, `engine`; nothing for tests.
fn module_path(file: &str) -> Option<Path> {
    let short = file.strip_suffix(".rs")?;
    let short =
        short.strip_suffix("/mod").or(short.strip_suffix("/lib")).or(short.strip_suffix("/main")).unwrap_or(short);
    let path: Path = short.split('/').filter(|part| *part != "lambda").map(str::to_owned).collect();
    let root = if file.starts_with("lambda/") { "lambda" } else { "src" };
    let path: Path = std::iter::once(root.to_owned()).chain(path.into_iter().skip(1)).collect();
    (!path.iter().any(|part| part == "tests")).then_some(path)
}

fn joined(path: &Path, name: &str) -> Path {
    let mut longer = path.clone();
    longer.push(name.to_owned());
    longer
}

/// Paths that begin at `crate`, `super` or `self`, and those of `use` declarations, with their groups taken apart.
fn paths_named(text: &str) -> Vec<Path> {
    let mut found = Vec::new();
    for start in ["use ", "crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|character| is_in_names(character) || character == ':') {
                continue;
            }
            let begin = if start == "use " { at + start.len() } else { at };
            tree(&mut text[begin..].chars().peekable(), &Vec::new(), &mut found);
        }
    }
    found
}

/// Reads one tree of paths: names, `::`, groups in braces.
fn tree(text: &mut std::iter::Peekable<std::str::Chars<'_>>, prefix: &Path, found: &mut Vec<Path>) {
    let mut path = prefix.clone();
    loop {
        while text.next_if(|character| character.is_whitespace()).is_some() {}
        if text.next_if_eq(&'{').is_some() {
            while text.peek().is_some_and(|character| *character != '}') {
                tree(text, &path, found);
                while text.next_if(|character| !matches!(character, ',' | '}')).is_some() {}
                text.next_if_eq(&',');
                while text.next_if(|character| character.is_whitespace()).is_some() {}
            }
            text.next();
            return;
        }
        let mut name = String::new();
        while let Some(character) = text.next_if(|character| is_in_names(*character)) {
            name.push(character);
        }
        if name.is_empty() {
            break;
        }
        path.push(name);
        if text.next_if_eq(&':').is_none() || text.next_if_eq(&':').is_none() {
            break;
        }
    }
    if path.len() > prefix.len() {
        found.push(path);
    }
}
