//! Names that users give: tenants, users, databases, tables, columns.

use super::error::{Code, Error, Result};

/// What some editors put in front of a text to say that it is UTF-8. It is no part of any name.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// The longest name, in bytes of UTF-8.
pub const MAXIMUM_NAME_BYTES: usize = 255;

/// Checks a name of a database, table, user or tenant. `what` begins the message ("Table name").
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let refuse = |why: &str| Err(Error::new(Code::SqlSyntax, format!("{what} {name:?} {why}")));
    if name.trim().is_empty() {
        return refuse("cannot be empty or contain only spaces");
    }
    if name.len() > MAXIMUM_NAME_BYTES {
        return refuse("is longer than 255 bytes");
    }
    if name.contains(['/', '\\', '\0']) {
        return refuse("contains one of the characters that are not supported in names: '/', '\\', NUL");
    }
    if name == "." || name == ".." {
        return refuse("is reserved");
    }
    if let Some(what) = unseen_character(name) {
        return refuse(what);
    }
    Ok(())
}

/// What is wrong with a new name that holds characters that nobody sees: a terminal obeys some of them, and others
/// make a name look like another one. Names that are there already keep theirs. The joiners U+200C and U+200D are
/// part of how some languages are written.
pub fn unseen_character(name: &str) -> Option<&'static str> {
    name.chars().find_map(|character| match character {
        character if character.is_control() => Some("contains a control character"),
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some("contains a mark of the direction of writing")
        }
        '\u{2028}' | '\u{2029}' => Some("contains a separator of lines"),
        '\u{00ad}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | BYTE_ORDER_MARK => {
            Some("contains a character that cannot be seen")
        }
        _ => None,
    })
}

/// A name cleaned for a folder: lower-case letters, digits, `-` and `_`, at most 40 of them. It is
/// for people who browse the bucket; only the id beside it counts.
pub fn folder_form(name: &str) -> String {
    let cleaned: String = name
        .chars()
        .map(|character| match character {
            'a'..='z' | '0'..='9' | '-' | '_' => character,
            'A'..='Z' => character.to_ascii_lowercase(),
            _ => '_',
        })
        .take(40)
        .collect();
    if cleaned.is_empty() { "_".to_owned() } else { cleaned }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_deceive_are_refused() {
        for character in
            ['\0', '\n', '\x1b', '\x7f', '\u{85}', '\u{9b}', '\u{ad}', '\u{61c}', '\u{200b}', '\u{200e}', '\u{200f}']
        {
            assert!(check_name("Name", &format!("a{character}b")).is_err(), "{character:?}");
        }
        for character in
            ['\u{2028}', '\u{2029}', '\u{202a}', '\u{202e}', '\u{2060}', '\u{2066}', '\u{2069}', '\u{feff}']
        {
            let error = check_name("Name", &format!("a{character}b")).unwrap_err();
            assert!(!error.message.contains(character), "{error}");
        }
        for name in ["a b", "Größe", "温度", "דלת", "نرم\u{200c}افزار", "क्\u{200d}ष", "a'b\"c", "%2e"]
        {
            assert_eq!(check_name("Name", name), Ok(()), "{name}");
        }
    }
}
