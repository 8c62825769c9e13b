//! What a prompt takes beside SQL: lines that begin with a backslash.

/// A command of the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meta {
    Quit,
    Help,
    /// Runs SQL under a shorter name.
    Statement(String),
    /// Uses another database.
    Connect(String),
    /// Shows how long each statement takes, or no longer.
    Timing,
    /// None of ours; the reason why.
    Unknown(String),
}

/// What `\?` answers.
pub(super) const HELP: &str = "\
SQL ends with a semicolon and may take several lines. Ctrl-C cancels, Ctrl-D ends.
  \\d              the tables of the database
  \\d TABLE        the columns of a table
  \\l              the databases
  \\c DATABASE     use another database
  \\timing         show how long each statement takes, or no longer
  \\?              this
  \\q              end
";

/// Reads a line as a command; `None` when it is none.
pub(super) fn parse(line: &str) -> Option<Meta> {
    let words = line.trim().strip_prefix('\\')?.trim_end_matches([';', ' ']);
    let (name, argument) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    let argument = argument.trim();
    Some(match (name, argument) {
        ("q", "") => Meta::Quit,
        ("?" | "h", "") => Meta::Help,
        ("d", "") => Meta::Statement("SHOW TABLES".to_owned()),
        ("d", table) => Meta::Statement(format!("DESCRIBE TABLE {table}")),
        ("l", "") => Meta::Statement("SHOW DATABASES".to_owned()),
        ("c", "") => Meta::Unknown("\\c takes the name of a database".to_owned()),
        ("c", database) => Meta::Connect(database.to_owned()),
        ("timing", "") => Meta::Timing,
        _ => Meta::Unknown(format!("\\{words} is not a command; \\? lists them")),
    })
}

/// The name as SQL takes it and as a server is told it: quotes keep its case, without them it has none.
pub(super) fn database_name(typed: &str) -> String {
    match typed.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => typed.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let sql = |text: &str| Some(Meta::Statement(text.to_owned()));
        assert_eq!(parse("SELECT '\\q'"), None);
        assert_eq!(parse(" \\q; "), Some(Meta::Quit));
        assert_eq!(parse("\\d"), sql("SHOW TABLES"));
        assert_eq!(parse("\\d  \"Air Q\""), sql("DESCRIBE TABLE \"Air Q\""));
        assert_eq!(parse("\\l"), sql("SHOW DATABASES"));
        assert_eq!(parse("\\c air"), Some(Meta::Connect("air".to_owned())));
        assert_eq!(parse("\\timing"), Some(Meta::Timing));
        for line in ["\\", "\\c", "\\x y", "\\q now"] {
            assert!(matches!(parse(line), Some(Meta::Unknown(_))), "{line}");
        }
        assert_eq!((database_name("Air"), database_name("\"A\"\"b\"")), ("air".to_owned(), "A\"b".to_owned()));
    }
}
