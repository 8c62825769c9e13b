//! SQL without its secrets, for logs.

/// Parts of names whose values are secret. `IDENTIFIED BY` is followed by one, too.
const SECRET: [&str; 5] = ["password", "secret", "token", "access_key", "identified"];
/// Words that may stand between such a name and its value.
const BETWEEN: [&str; 9] = ["as", "by", "default", "encrypted", "hash", "is", "like", "to", "with"];
/// What is written in the place of a secret.
const HIDDEN: &str = "'***'";
/// Letters of a statement's first word; what is longer is none of SQL's.
const KIND_LETTERS: usize = 16;

/// What kind of statement it is: its first word, such as `SELECT`; `?` where that is no word.
pub fn kind(sql: &str) -> String {
    let mut rest = sql;
    while let Some(token) = Token::first(rest) {
        match token.kind {
            Kind::Blank | Kind::Comment => rest = &rest[token.length..],
            Kind::Word if token.length <= KIND_LETTERS && rest[..token.length].is_ascii() => {
                return rest[..token.length].to_ascii_uppercase();
            }
            _ => break,
        }
    }
    "?".to_owned()
}

/// Replaces by `'***'` every literal that follows a name holding a secret, up to the next word or comma:
/// `PASSWORD = 'x'`, `secret_access_key = $$x$$`, `IDENTIFIED BY E'x'`; and what comments say.
pub fn redact(sql: &str) -> String {
    let mut redacted = String::with_capacity(sql.len());
    let mut rest = sql;
    // Whether a secret may come, and whether an equals sign announced it.
    let (mut secret, mut equals) = (false, false);
    while let Some(token) = Token::first(rest) {
        let (text, after) = rest.split_at(token.length);
        match token.kind {
            Kind::Comment => redacted.push_str("/* … */"),
            // A quoted "value" after a secret's name is a value, too, and so is a bare one after a sign.
            Kind::Literal | Kind::Name if secret => {
                redacted.push_str(HIDDEN);
                equals = false;
            }
            Kind::Word if secret && equals => {
                redacted.push_str(HIDDEN);
                secret = false;
            }
            Kind::Word | Kind::Name => {
                redacted.push_str(text);
                let name = text.to_lowercase();
                let names_secret = SECRET.iter().any(|secret| name.contains(secret));
                secret = names_secret || secret && BETWEEN.contains(&name.as_str());
                equals = false;
            }
            Kind::Blank | Kind::Literal => redacted.push_str(text),
            Kind::Sign => {
                redacted.push_str(text);
                secret &= !matches!(text, "," | ";" | ")");
                equals = text == "=";
            }
        }
        rest = after;
    }
    redacted
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blank,
    Comment,
    Word,
    /// In double quotes.
    Name,
    /// A text in any of the forms there are, or a number.
    Literal,
    /// One character that is nothing of the others.
    Sign,
}

struct Token {
    kind: Kind,
    /// Bytes, at least one.
    length: usize,
}

impl Token {
    /// The token that a text begins with; `None` for an empty text.
    fn first(text: &str) -> Option<Token> {
        let first = text.chars().next()?;
        let until = |is_part: fn(char) -> bool| text.find(|each| !is_part(each)).unwrap_or(text.len());
        let (kind, length) = match first {
            _ if text.starts_with("--") => (Kind::Comment, text.find('\n').unwrap_or(text.len())),
            _ if text.starts_with("/*") => (Kind::Comment, text.find("*/").map_or(text.len(), |end| end + 2)),
            '\'' => (Kind::Literal, quoted_length(text, '\'', false)),
            '"' => (Kind::Name, quoted_length(text, '"', false)),
            '$' => match dollar_length(text) {
                Some(length) => (Kind::Literal, length),
                None => (Kind::Sign, 1),
            },
            first if first.is_whitespace() => (Kind::Blank, until(char::is_whitespace)),
            first if first.is_ascii_digit() => (Kind::Literal, until(is_word)),
            first if is_word(first) => {
                let length = until(is_word);
                match text[length..].chars().next() {
                    // E'x', N'x', X'x' and the like.
                    Some('\'') if length <= 2 => {
                        let escapes = text[..length].eq_ignore_ascii_case("e");
                        (Kind::Literal, length + quoted_length(&text[length..], '\'', escapes))
                    }
                    _ => (Kind::Word, length),
                }
            }
            first => (Kind::Sign, first.len_utf8()),
        };
        Some(Token { kind, length })
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Bytes of a quoted text with its quotes; a doubled quote stands for itself, and with `escapes` one behind a
/// backslash. Without its end, all.
fn quoted_length(text: &str, quote: char, escapes: bool) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((place, character)) = characters.next() {
        if escapes && character == '\\' {
            characters.next();
        } else if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return place + quote.len_utf8();
        }
    }
    text.len()
}

/// Bytes of a text between `$$` or `$tag$` twice; without its end, all. `None` for a lone sign.
fn dollar_length(text: &str) -> Option<usize> {
    let tag = text[1..].find(|each| !is_word(each)).filter(|tag| text[1 + tag..].starts_with('$'))?;
    let mark = &text[..tag + 2];
    let inside = &text[mark.len()..];
    Some(inside.find(mark).map_or(text.len(), |end| 2 * mark.len() + end))
}

#[cfg(test)]
mod tests {
    use super::{kind, redact};

    #[test]
    fn secrets_are_not_logged() {
        let cases = [
            ("ALTER USER u SET PASSWORD = 'p''w'", "ALTER USER u SET PASSWORD = '***'"),
            ("create user u with password='x', comment='y'", "create user u with password='***', comment='y'"),
            ("CREATE USER u WITH hash_password  =  'x", "CREATE USER u WITH hash_password  =  '***'"),
            ("PASSWORD \"x\"", "PASSWORD '***'"),
            ("PASSWORD=$$x, 'y'$$, a = 'b'", "PASSWORD='***', a = 'b'"),
            ("PASSWORD $t$x$$ y$t$ z", "PASSWORD '***' z"),
            ("PASSWORD = $$never ends", "PASSWORD = '***'"),
            ("password = E'x\\'y' OR n = 'z'", "password = '***' OR n = 'z'"),
            ("CREATE USER u IDENTIFIED BY 'x' WITH a = 'b'", "CREATE USER u IDENTIFIED BY '***' WITH a = 'b'"),
            ("PASSWORD /* not 'this' */ = 'x' 'y'", "PASSWORD /* … */ = '***' '***'"),
            ("SELECT 1 -- my password is x\n, 2", "SELECT 1 /* … */\n, 2"),
            ("SET TOKEN TO 12345; SELECT 'a'", "SET TOKEN TO '***'; SELECT 'a'"),
            ("password = hunter2 OR a = b", "password = '***' OR a = b"),
            (
                "COPY INTO 's3://b' CONNECTION = (secret_key = 'k', region = 'r')",
                "COPY INTO 's3://b' CONNECTION = (secret_key = '***', region = 'r')",
            ),
            ("SELECT 'password', \"a\" FROM t", "SELECT 'password', \"a\" FROM t"),
            ("SELECT password FROM t WHERE a = 'x' AND b = $1", "SELECT password FROM t WHERE a = 'x' AND b = $1"),
            ("password", "password"),
            ("ä $ 'ü", "ä $ 'ü"),
            ("", ""),
        ];
        for (sql, expected) in cases {
            assert_eq!(redact(sql), expected);
        }
    }

    #[test]
    fn a_kind_is_the_first_word() {
        for (sql, expected) in [
            ("select 'x'", "SELECT"),
            (" /* hunter2 */ -- x\n Explain SELECT", "EXPLAIN"),
            ("'hunter2'", "?"),
            ("(select 1)", "?"),
            ("averyverylongword_hunter2 x", "?"),
            ("", "?"),
        ] {
            assert_eq!(kind(sql), expected, "{sql}");
        }
    }
}
