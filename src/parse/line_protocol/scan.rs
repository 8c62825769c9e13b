//! Where names, strings and lines end, and what their escapes stand for.

use std::borrow::Cow;

/// A table's name ends at an unescaped byte of this class (or the class asks to look closer: `\`).
pub(super) const TABLE_END: u8 = 1;
/// A key of a tag or field, or a tag's value, ends at an unescaped byte of this class.
pub(super) const KEY_END: u8 = 2;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    classes[b',' as usize] = TABLE_END | KEY_END;
    classes[b' ' as usize] = TABLE_END | KEY_END;
    classes[b'\n' as usize] = TABLE_END | KEY_END;
    classes[b'\r' as usize] = TABLE_END | KEY_END;
    classes[b'\\' as usize] = TABLE_END | KEY_END;
    classes[b'=' as usize] = KEY_END;
    classes
}

/// The byte at a position; the end of the body reads as the end of a line.
#[inline]
pub(super) fn byte_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(b'\n')
}

#[inline]
pub(super) fn is_line_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

/// The first unescaped byte of `class` at or after `at`. A backslash escapes only `,`, space and
/// `=`; before anything else, a backslash included, it stands for itself.
#[inline]
pub(super) fn name_end(bytes: &[u8], mut at: usize, class: u8) -> usize {
    loop {
        at += bytes
            .get(at..)
            .and_then(|rest| rest.iter().position(|byte| CLASSES[usize::from(*byte)] & class != 0))
            .unwrap_or(bytes.len().saturating_sub(at));
        if byte_at(bytes, at) != b'\\' {
            return at;
        }
        at += 1;
        if matches!(byte_at(bytes, at), b',' | b' ' | b'=') {
            at += 1;
        }
    }
}

/// The first unescaped space at or after `at`: the end of table and tags in a well-formed line.
#[inline]
pub(super) fn series_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    memchr::memchr_iter(b' ', rest).find(|space| *space == 0 || rest[space - 1] != b'\\').map(|space| at + space)
}

/// The closing quote of a string whose text begins at `at`.
#[inline]
pub(super) fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        at += if matches!(bytes.get(at + 1), Some(b'"' | b'\\')) { 2 } else { 1 };
    }
}

/// The end of the line that holds `at`, not minding quotes.
pub(super) fn line_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    memchr::memchr2(b'\n', b'\r', rest).map_or(bytes.len(), |end| at + end)
}

/// Past the spaces and tabs at `at`.
#[inline]
pub(super) fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// A table's name: `\,` and `\ ` lose their backslash.
pub(super) fn unescape_table(raw: &str) -> Cow<'_, str> {
    unescape(raw, |byte| matches!(byte, b',' | b' '))
}

/// A key or a tag's value: `\,`, `\ ` and `\=` lose their backslash.
pub(super) fn unescape_key(raw: &str) -> Cow<'_, str> {
    unescape(raw, |byte| matches!(byte, b',' | b' ' | b'='))
}

/// A string's text: `\"` and `\\` lose their backslash.
pub(super) fn unescape_string(raw: &str) -> Cow<'_, str> {
    unescape(raw, |byte| matches!(byte, b'"' | b'\\'))
}

fn unescape(raw: &str, escapable: impl Fn(u8) -> bool) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', raw.as_bytes()) else { return Cow::Borrowed(raw) };
    let mut text = String::with_capacity(raw.len());
    let (mut copied, mut at) = (0, first);
    while at < raw.len() {
        // A backslash and what it may escape are ASCII, so every cut is between characters.
        let escapes = raw.as_bytes().get(at + 1).is_some_and(|byte| escapable(*byte));
        if escapes {
            text.push_str(&raw[copied..at]);
            copied = at + 1;
        }
        let next = at + if escapes { 2 } else { 1 };
        let rest = raw.as_bytes().get(next..).unwrap_or_default();
        at = memchr::memchr(b'\\', rest).map_or(raw.len(), |backslash| next + backslash);
    }
    text.push_str(&raw[copied..]);
    Cow::Owned(text)
}

/// Whether text begins with a key. Most keys are short; two words tell without a call.
#[inline]
pub(super) fn begins_with(text: &[u8], key: &[u8]) -> bool {
    let Some(text) = text.get(..key.len()) else { return false };
    match (text.first_chunk::<8>(), key.first_chunk::<8>()) {
        (Some(left), Some(right)) if left == right => {
            key.len() <= 16 && text.last_chunk::<8>() == key.last_chunk::<8>()
                || key.len() > 16 && text[8..] == key[8..]
        }
        (Some(_), Some(_)) => false,
        _ => text == key,
    }
}
