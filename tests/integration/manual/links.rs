//! Links between the pages, and to files of the repository.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The links of a page that lead nowhere: to no file, or to no heading of one.
pub fn broken(path: &Path, text: &str, pages: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let mut found = Vec::new();
    for target in targets(text) {
        let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
        let folder = path.parent().expect("a file is in a folder");
        let file = if file.is_empty() { path.to_owned() } else { plain(&folder.join(file)) };
        let leads = match pages.get(&file) {
            Some(page) => heading.is_empty() || headings(page).contains(&heading.to_owned()),
            None => file.exists(),
        };
        if !leads {
            found.push(format!("{}: {target}", path.display()));
        }
    }
    found
}

/// Targets of links, but those of other hosts.
fn targets(text: &str) -> Vec<String> {
    let text = outside_of_blocks(text);
    let parts = text.split("](").skip(1).map(|part| part.split(')').next().unwrap_or_default().to_owned());
    parts.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// The names that headings have as targets, as GitHub makes them.
fn headings(text: &str) -> Vec<String> {
    let text = outside_of_blocks(text);
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | ' ');
    titles
        .map(|title| title.to_lowercase().chars().filter(|next| letter(*next)).collect::<String>().replace(' ', "-"))
        .collect()
}

fn outside_of_blocks(text: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        if !inside && !fence {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The path without `..`, whether it is there or not.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, component| {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
        plain
    })
}

#[test]
fn broken_links_are_found() {
    let here = PathBuf::from(file!());
    let here = super::root().join(&here);
    let page = here.with_file_name("page.md");
    let text = "# A `b` title: c\n[a](mod.rs) [b](#a-b-title-c) [c](../manual/page.md#a-b-title-c) [d](none.md) [e](#none) \
                [f](https://example.org/x)\n```sh\n[g](none)\n```\n";
    let pages = BTreeMap::from([(page.clone(), text.to_owned())]);
    let broken = broken(&page, text, &pages);
    assert_eq!(broken.len(), 2, "{broken:?}");
}
