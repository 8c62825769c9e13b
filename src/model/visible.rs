//! Text that others gave, made fit for a terminal and for lines of a log: what would move the cursor, change
//! colours, begin a line or turn the order of letters around is shown as `\u{1b}`.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Whether a character is obeyed instead of shown: controls (C0, DEL, C1), separators of lines, and what
/// overrides the direction of writing.
pub fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether there may be such a character in bytes of UTF-8: cheap, and no more than a guess.
fn may_hold_obeyed(bytes: &[u8]) -> bool {
    // The last two begin the characters from U+0080 to U+00BF, and from U+2000 to U+2FFF.
    bytes.iter().any(|byte| matches!(byte, ..0x20 | 0x7f | 0xc2 | 0xe2))
}

/// The text on one line.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// The text with its lines and tabs.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

fn escaped(text: &str, kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_shown = |character: char| !is_obeyed(character) || kept(character);
    if !may_hold_obeyed(text.as_bytes()) || text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_shown(character) {
            out.push(character);
        } else {
            // Writing to a string does not fail.
            let _ = write_escaped(&mut out, character);
        }
    }
    Cow::Owned(out)
}

/// Writes a character as Rust would: `\n`, `\t`, `\u{1b}`.
fn write_escaped(out: &mut dyn Write, character: char) -> fmt::Result {
    write!(out, "{}", character.escape_default())
}

/// Shows bytes that come in pieces as [`visible_lines`] does, whatever was cut apart between two of them; what is
/// not UTF-8 is shown as `\x9b`.
#[derive(Debug, Default)]
pub struct VisibleBytes {
    /// The begun character at the end of the piece before.
    begun: Vec<u8>,
}

impl VisibleBytes {
    /// What to show of the next piece.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.begun.is_empty() && bytes.is_ascii() && !may_hold_obeyed(bytes) {
            return Cow::Borrowed(bytes);
        }
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(all.len() + 16);
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            out.extend_from_slice(visible_lines(chunk.valid()).as_bytes());
            if chunks.peek().is_none() && is_begun(chunk.invalid()) {
                self.begun = chunk.invalid().to_vec();
                break;
            }
            chunk.invalid().iter().for_each(|byte| out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()));
        }
        Cow::Owned(out)
    }
}

/// Whether bytes that are no UTF-8 would be, if others followed.
fn is_begun(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_obeyed_is_shown() {
        for plain in ["", "plain", "ä Ω 日本 \u{200d}", "\\u{1b}"] {
            assert!(matches!(visible(plain), Cow::Borrowed(same) if same == plain), "{plain}");
        }
        assert_eq!(visible("a\x1b[31m\nb\x07\u{9b}\x7f\r\0"), "a\\u{1b}[31m\\nb\\u{7}\\u{9b}\\u{7f}\\r\\u{0}");
        assert_eq!(visible("x\u{202e}y\u{2028}z\u{2066}"), "x\\u{202e}y\\u{2028}z\\u{2066}");
        assert_eq!(visible_lines("a\tb\nc\x1b"), "a\tb\nc\\u{1b}");
    }

    #[test]
    fn pieces_are_shown_wherever_they_are_cut() {
        let text = "a\u{9b}b\u{202e}c ä日\x1b]0;x\x07\n";
        let expected = "a\\u{9b}b\\u{202e}c ä日\\u{1b}]0;x\\u{7}\n";
        for cut in 0..=text.len() {
            let mut screen = VisibleBytes::default();
            let (head, tail) = text.as_bytes().split_at(cut);
            let shown = [screen.next(head).into_owned(), screen.next(tail).into_owned()].concat();
            assert_eq!(String::from_utf8(shown).unwrap(), expected, "{cut}");
        }
        let mut screen = VisibleBytes::default();
        assert_eq!(&*screen.next(b"a\x9b31m\xff"), b"a\\x9b31m\\xff");
        assert_eq!(&*screen.next(b"plain"), b"plain");
    }
}
