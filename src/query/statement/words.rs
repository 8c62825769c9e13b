//! Words and names on sqlparser's tokens. Unquoted names are lower-cased, double quotes and backticks
//! keep the case; names of databases may also be single-quoted.

use datafusion::sql::sqlparser::{
    parser::Parser,
    tokenizer::{Token, TokenWithSpan},
};

use crate::model::{Error, Result, names::check_name};

use super::{TableName, syntax};

/// The next token in capitals, if it is a word without quotes.
pub(super) fn peek_word(parser: &Parser) -> Option<String> {
    unquoted(&parser.peek_token_ref().token)
}

fn unquoted(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_uppercase()),
        _ => None,
    }
}

/// Consumes the next word if it is `expected` (in capitals), in any case.
pub(super) fn take(parser: &mut Parser, expected: &str) -> bool {
    let found = peek_word(parser).is_some_and(|word| word == expected);
    if found {
        parser.next_token();
    }
    found
}

/// Consumes the next words if they are all as expected, else none of them.
pub(super) fn take_all(parser: &mut Parser, expected: &[&str]) -> bool {
    let found = expected
        .iter()
        .enumerate()
        .all(|(index, word)| unquoted(&parser.peek_nth_token_ref(index).token).is_some_and(|next| next == *word));
    if found {
        expected.iter().for_each(|_| {
            parser.next_token();
        });
    }
    found
}

/// Nothing may follow.
pub(super) fn expect_end(parser: &Parser) -> Result<()> {
    let next = parser.peek_token();
    if next.token == Token::EOF { Ok(()) } else { parser.expected("end of statement", next).map_err(syntax) }
}

/// Consumes `token` or says that it was expected.
pub(super) fn expect(parser: &mut Parser, token: &Token) -> Result<()> {
    if parser.consume_token(token) {
        return Ok(());
    }
    parser.expected(&token.to_string(), parser.peek_token()).map_err(syntax)
}

/// The name a token spells, `None` for tokens that are no names.
fn spelled(token: &TokenWithSpan) -> Option<String> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_lowercase()),
        Token::Word(word) => Some(word.value.clone()),
        _ => None,
    }
}

/// A name; `what` says in the error which one was expected.
pub(super) fn name(parser: &mut Parser, what: &str) -> Result<String> {
    let token = parser.next_token();
    match spelled(&token) {
        Some(name) => Ok(name),
        None => parser.expected(what, token).map_err(syntax),
    }
}

/// The name of a new column.
pub(super) fn new_column_name(parser: &mut Parser, what: &str) -> Result<String> {
    let name = name(parser, what)?;
    check_new_name(parser, "Column name", &name)?;
    Ok(name)
}

/// Checks the new name that has just been read, and says where it is. `what` begins the message.
pub(super) fn check_new_name(parser: &Parser, what: &str, name: &str) -> Result<()> {
    check_name(what, name).map_err(|error| {
        let place = parser.get_current_token().span.start;
        Error { message: format!("{}{place}", error.message), ..error }
    })
}

/// A name of a database, which may be single-quoted.
pub(super) fn database_name(parser: &mut Parser) -> Result<String> {
    let token = parser.next_token();
    match (spelled(&token), &token.token) {
        (Some(name), _) => Ok(name),
        (None, Token::SingleQuotedString(name)) => Ok(name.clone()),
        _ => parser.expected("a database name", token).map_err(syntax),
    }
}

/// `table`, `database.table` or `tenant.database.table`.
pub(super) fn table_name(parser: &mut Parser) -> Result<TableName> {
    let mut parts = vec![name(parser, "a table name")?];
    while parts.len() < 3 && parser.consume_token(&Token::Period) {
        parts.push(name(parser, "a table name")?);
    }
    let table = parts.pop().unwrap_or_default();
    let database = parts.pop();
    Ok(TableName { tenant: parts.pop(), database, table })
}

/// `(name, name, …)`, at least one, each read by `read`.
pub(super) fn name_list(
    parser: &mut Parser,
    mut read: impl FnMut(&mut Parser) -> Result<String>,
) -> Result<Vec<String>> {
    expect(parser, &Token::LParen)?;
    let mut names = vec![read(parser)?];
    while parser.consume_token(&Token::Comma) {
        names.push(read(parser)?);
    }
    expect(parser, &Token::RParen)?;
    Ok(names)
}
