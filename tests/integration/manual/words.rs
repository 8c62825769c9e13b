//! Words that the glossary has others for.

use std::path::Path;

/// The words in brackets at the end of a row of the glossary.
pub fn unused(glossary: &str) -> Vec<String> {
    let brackets =
        glossary.lines().filter_map(|line| line.strip_suffix("] |")?.rsplit_once('[').map(|(_, words)| words));
    brackets.flat_map(|words| words.split(", ")).map(str::to_owned).collect()
}

/// Where a page has one of the words in its prose: not in code, nor in what the program has written.
pub fn found(path: &Path, text: &str, unused: &[String]) -> Vec<String> {
    let (mut block, mut written) = (false, false);
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        written = (written || line.starts_with("<!-- written by: ")) && line != "<!-- end -->";
        let fence = line.trim_start().starts_with("```");
        block ^= fence;
        if block || fence || written {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`").to_lowercase();
        let letters = |side: Option<char>| side.is_some_and(|next| next.is_alphanumeric() || next == '_');
        let stands = |word: &String| {
            prose.match_indices(word.as_str()).any(|(from, _)| {
                !letters(prose[..from].chars().next_back()) && !letters(prose[from + word.len()..].chars().next())
            })
        };
        found.extend(
            unused.iter().filter(|word| stands(word)).map(|word| format!("{}:{}: {word}", path.display(), at + 1)),
        );
    }
    found
}

#[test]
fn words_are_found_in_prose_alone() {
    let unused = unused("| **flush** | make files [settle, settled] |\n| **x** | y |\n");
    assert_eq!(unused, ["settle", "settled"]);
    let page =
        "Settled, `settle` unsettled.\n```sh\nsettle\n```\n<!-- written by: x -->\nsettle\n<!-- end -->\nto settle\n";
    assert_eq!(found(Path::new("p"), page, &unused), ["p:1: settled", "p:8: settle"]);
}
