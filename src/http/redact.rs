//! SQL without its secrets, for logs.

/// Parts of names whose values are secret.
const SECRET: [&str; 4] = ["password", "secret", "token", "access_key"];

/// Replaces by `'***'` every quoted text that follows a name holding a secret, with at most an
/// equals sign between: `PASSWORD = 'x'`, `secret_access_key='x'`.
pub fn redact(sql: &str) -> String {
    let mut redacted = String::with_capacity(sql.len());
    let mut rest = sql;
    let mut secret = false;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => quoted_length(rest, first),
            first if is_word(first) => rest.find(|character| !is_word(character)).unwrap_or(rest.len()),
            first => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        match first {
            '\'' if secret => {
                redacted.push_str("'***'");
                secret = false;
            }
            first if first.is_whitespace() || first == '=' => redacted.push_str(token),
            _ => {
                let name = token.to_ascii_lowercase();
                let named = first != '\'' && SECRET.iter().any(|secret| name.contains(secret));
                // A quoted "value" after a secret's name is a value, too.
                redacted.push_str(if secret && first == '"' { "'***'" } else { token });
                secret = named;
            }
        }
        rest = after;
    }
    redacted
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Bytes of a quoted text with its quotes; a doubled quote stands for itself. Without its end, all.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((place, character)) = characters.next() {
        if character != quote {
            continue;
        }
        match characters.peek() {
            Some((_, next)) if *next == quote => {
                characters.next();
            }
            _ => return place + quote.len_utf8(),
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn secrets_are_not_logged() {
        let cases = [
            ("ALTER USER u SET PASSWORD = 'p''w'", "ALTER USER u SET PASSWORD = '***'"),
            ("create user u with password='x', comment='y'", "create user u with password='***', comment='y'"),
            ("CREATE USER u WITH hash_password  =  'x", "CREATE USER u WITH hash_password  =  '***'"),
            ("PASSWORD \"x\"", "PASSWORD '***'"),
            (
                "COPY INTO 's3://b' CONNECTION = (secret_key = 'k', region = 'r')",
                "COPY INTO 's3://b' CONNECTION = (secret_key = '***', region = 'r')",
            ),
            ("SELECT 'password', \"a\" FROM t -- ä", "SELECT 'password', \"a\" FROM t -- ä"),
            ("SELECT password FROM t WHERE a = 'x'", "SELECT password FROM t WHERE a = 'x'"),
            ("password", "password"),
            ("", ""),
        ];
        for (sql, expected) in cases {
            assert_eq!(redact(sql), expected);
        }
    }
}
