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
    if name.chars().any(char::is_control) {
        return refuse("contains a control character");
    }
    Ok(())
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
