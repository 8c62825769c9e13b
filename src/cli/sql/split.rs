//! Text into statements: cut at each `;` that stands outside of quotes and comments.
//!
//! What opens and closes a quote is what the parser behind holds for one: `'…'`, `"…"` and `` `…` ``
//! with their quote doubled inside, `E'…'` with backslashes, `$tag$…$tag$`, `--` and nested `/* */`.

/// A statement, without its `;`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatementText {
    pub text: String,
    /// The line of the text on which it begins, from 1.
    pub line: usize,
}

/// A text cut into statements.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Those that have their `;`.
    pub complete: Vec<StatementText>,
    /// What follows the last `;`, unless it says nothing.
    pub rest: Option<StatementText>,
}

impl Split {
    /// All statements, the last of which needs no `;`.
    pub(super) fn all(self) -> Vec<StatementText> {
        self.complete.into_iter().chain(self.rest).collect()
    }
}

/// Cuts a text. A statement of blanks and comments alone is left out.
pub(super) fn split(text: &str) -> Split {
    let mut split = Split::default();
    let mut lines = Lines { text, counted: 0, line: 1 };
    let mut at = 0;
    // Where the first thing that is neither blank nor comment stands.
    let mut first = None;
    while let Some(next) = text[at..].chars().next() {
        let piece = piece(text, at, next);
        match piece {
            Piece::End => split.complete.extend(first.take().map(|first| lines.statement(first, at))),
            Piece::Blank(_) => {}
            Piece::Said(_) | Piece::Open => first = first.or(Some(at)),
        }
        at = match piece {
            Piece::Blank(end) | Piece::Said(end) => end,
            Piece::End => at + 1,
            Piece::Open => text.len(),
        };
    }
    split.rest = first.map(|first| lines.statement(first, text.len()));
    split
}

/// Counts lines once, however many statements there are.
struct Lines<'a> {
    text: &'a str,
    counted: usize,
    line: usize,
}

impl Lines<'_> {
    fn statement(&mut self, first: usize, end: usize) -> StatementText {
        self.line += self.text[self.counted..first].matches('\n').count();
        self.counted = first;
        StatementText { text: self.text[first..end].trim_end().to_owned(), line: self.line }
    }
}

/// What stands at one place, with where it ends.
enum Piece {
    /// A `;`.
    End,
    /// White space, or a comment.
    Blank(usize),
    Said(usize),
    /// A quote or a comment that does not end.
    Open,
}

fn piece(text: &str, at: usize, next: char) -> Piece {
    let rest = &text[at..];
    match next {
        ';' => Piece::End,
        '\'' if is_escaping(&text[..at]) => said(escaped_end(rest), at),
        '\'' | '"' | '`' => said(rest[1..].find(next).map(|end| end + 2), at),
        '$' => said(dollar_end(text, at), at),
        '-' if rest.starts_with("--") => Piece::Blank(rest.find('\n').map_or(text.len(), |end| at + end + 1)),
        '/' if rest.starts_with("/*") => comment_end(rest).map_or(Piece::Open, |end| Piece::Blank(at + end)),
        next if next.is_whitespace() => Piece::Blank(at + next.len_utf8()),
        next => Piece::Said(at + next.len_utf8()),
    }
}

fn said(end: Option<usize>, at: usize) -> Piece {
    end.map_or(Piece::Open, |end| Piece::Said(at + end))
}

/// Whether the quote that follows begins `E'…'`.
fn is_escaping(before: &str) -> bool {
    let mut characters = before.chars().rev();
    matches!(characters.next(), Some('e' | 'E')) && !characters.next().is_some_and(is_in_names)
}

/// The end of a text in which a backslash takes the next character along.
fn escaped_end(quoted: &str) -> Option<usize> {
    let mut characters = quoted.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '\'' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The end of `$tag$…$tag$`, or of a lone `$`.
fn dollar_end(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at..];
    let tag = rest[1..].find(|next| !is_in_names(next)).unwrap_or(rest.len() - 1);
    let opens = rest[1 + tag..].starts_with('$') && !text[..at].ends_with(is_in_names);
    if !opens {
        return Some(1);
    }
    let mark = &rest[..tag + 2];
    rest[mark.len()..].find(mark).map(|end| end + 2 * mark.len())
}

fn comment_end(comment: &str) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        let next = at + comment[at..].find(['*', '/'])?;
        match comment.get(next..next + 2) {
            Some("/*") => (at, depth) = (next + 2, depth + 1),
            Some("*/") if depth == 1 => return Some(next + 2),
            Some("*/") => (at, depth) = (next + 2, depth - 1),
            _ => at = next + 1,
        }
    }
}

fn is_in_names(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        split(text).complete.into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn a_semicolon_ends_a_statement_unless_it_is_quoted() {
        for whole in [
            "SELECT ';', 'it''s;'",
            "SELECT \"a;b\", `c;d`, \"e\"\";\"",
            "SELECT 1 -- not; here\n + 2",
            "SELECT 1 /* not; /* nor; */ here; */ + 2",
            "SELECT E'\\';' || 'x\\'",
            "SELECT $$a;b$$, $t$ $$;$x$ $t$",
            "SELECT 'ü;', a$b",
        ] {
            let twice = format!("{whole};\n {whole} ;");
            assert_eq!(texts(&twice), [whole, whole]);
            assert_eq!(split(&twice).rest, None);
            assert_eq!(
                split(whole),
                Split { complete: vec![], rest: Some(StatementText { text: whole.into(), line: 1 }) }
            );
        }
        assert_eq!(texts("SELECT name'; -- ';"), ["SELECT name'; -- '"]);
        assert_eq!(texts("SELECT 'x\\'; SELECT 2;"), ["SELECT 'x\\'", "SELECT 2"]);
    }

    #[test]
    fn what_says_nothing_is_no_statement() {
        for text in ["", ";;", " \n;\t; -- only this", "/* a */;-- b\n"] {
            assert_eq!(split(text), Split::default(), "{text}");
        }
        assert!(split("/* open ; ").rest.is_some());
    }

    #[test]
    fn statements_know_their_line() {
        let found = split("-- first\nSELECT 1;\n\n  SELECT\n 2;SELECT 3").all();
        let lines: Vec<(usize, &str)> = found.iter().map(|found| (found.line, found.text.as_str())).collect();
        assert_eq!(lines, [(2, "SELECT 1"), (4, "SELECT\n 2"), (5, "SELECT 3")]);
    }

    #[test]
    fn open_ends() {
        for text in ["SELECT 'a; b", "SELECT \"a; b", "SELECT $$; ", "SELECT 1 /* ; /* */", "SELECT E'\\'; "] {
            let found = split(text);
            assert!(found.complete.is_empty() && found.rest.is_some(), "{text}");
        }
    }

    proptest::proptest! {
        /// Nothing is lost or made up, whatever is typed.
        #[test]
        fn any_text_is_cut_without_a_panic(text in "[;'\"`$E\\-/*\\\\ \nü1t]{0,24}") {
            for statement in split(&text).all() {
                proptest::prop_assert!(text.contains(&statement.text));
            }
        }
    }
}
