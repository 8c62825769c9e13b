//! `CREATE DATABASE` and `DROP DATABASE`: options separated by spaces, `=` optional.

use datafusion::sql::sqlparser::{parser::Parser, tokenizer::Token};

use crate::model::{DatabaseOptions, Precision, Result, time::parse_ttl};

use super::{
    Statement, not_implemented, semantic, syntax,
    words::{check_new_name, database_name, peek_word, take, take_all},
};

/// What follows `CREATE DATABASE`.
pub(super) fn parse_create(parser: &mut Parser) -> Result<Statement> {
    let if_not_exists = take_all(parser, &["IF", "NOT", "EXISTS"]);
    let name = database_name(parser)?;
    check_new_name(parser, "Database name", &name)?;
    let mut options = DatabaseOptions::default();
    if take(parser, "WITH") {
        parse_option(parser, &mut options)?;
        while parser.consume_token(&Token::Comma) || peek_word(parser).is_some() {
            parse_option(parser, &mut options)?;
        }
    }
    Ok(Statement::CreateDatabase { name, options, if_not_exists })
}

/// What follows `DROP DATABASE`.
pub(super) fn parse_drop(parser: &mut Parser) -> Result<Statement> {
    let if_exists = take_all(parser, &["IF", "EXISTS"]);
    let name = database_name(parser)?;
    if take(parser, "AFTER") {
        return Err(not_implemented("DROP DATABASE … AFTER"));
    }
    Ok(Statement::DropDatabase { name, if_exists })
}

fn parse_option(parser: &mut Parser, options: &mut DatabaseOptions) -> Result<()> {
    let token = parser.next_token();
    let option = match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => return parser.expected("a database option", token).map_err(syntax),
    };
    if !OPTIONS.contains(&option.as_str()) {
        let expected = format!("a database option ({})", OPTIONS.join(", "));
        return parser.expected(&expected, token).map_err(syntax);
    }
    let _optional = parser.consume_token(&Token::Eq);
    let text = option_value(parser)?;
    match option.as_str() {
        "TTL" => options.ttl = parse_ttl(&text)?,
        "SHARD" => options.shard = number(&option, &text)?,
        "VNODE_DURATION" => options.vnode_duration = parse_ttl(&text)?,
        "REPLICA" => options.replica = number(&option, &text)?,
        "PRECISION" => options.precision = precision(&text)?,
        "MAX_MEMCACHE_SIZE" => options.max_memcache_size = bytes(&option, &text)?,
        "MEMCACHE_PARTITIONS" => options.memcache_partitions = number(&option, &text)?,
        "WAL_MAX_FILE_SIZE" => options.wal_max_file_size = bytes(&option, &text)?,
        "WAL_SYNC" => options.wal_sync = boolean(&option, &text)?,
        "STRICT_WRITE" => options.strict_write = boolean(&option, &text)?,
        _ => options.max_cache_readers = number(&option, &text)?,
    }
    Ok(())
}

const OPTIONS: [&str; 11] = [
    "TTL",
    "SHARD",
    "VNODE_DURATION",
    "REPLICA",
    "PRECISION",
    "MAX_MEMCACHE_SIZE",
    "MEMCACHE_PARTITIONS",
    "WAL_MAX_FILE_SIZE",
    "WAL_SYNC",
    "STRICT_WRITE",
    "MAX_CACHE_READERS",
];

/// A string, a number or `true` / `false`, as text.
fn option_value(parser: &mut Parser) -> Result<String> {
    let token = parser.next_token();
    match &token.token {
        Token::SingleQuotedString(text) | Token::Number(text, _) => Ok(text.clone()),
        Token::Word(word) if ["true", "false"].contains(&word.value.to_ascii_lowercase().as_str()) => {
            Ok(word.value.clone())
        }
        _ => parser.expected("a value of the option", token).map_err(syntax),
    }
}

fn number(option: &str, text: &str) -> Result<u64> {
    text.trim().parse().map_err(|_| semantic(format!("{option} takes a whole number, not '{text}'")))
}

fn boolean(option: &str, text: &str) -> Result<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(semantic(format!("{option} takes 'true' or 'false', not '{text}'"))),
    }
}

fn precision(text: &str) -> Result<Precision> {
    Precision::parse(text.trim()).ok_or_else(|| semantic(format!("PRECISION takes 'ms', 'us' or 'ns', not '{text}'")))
}

/// Bytes: a bare number, or with a unit; `MiB` is binary, `M` and `MB` are decimal.
fn bytes(option: &str, text: &str) -> Result<u64> {
    let refuse = || semantic(format!("{option} takes a size like '128MiB' or '300M', not '{text}'"));
    let trimmed = text.trim();
    let split =
        trimmed.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" | "ki" => 1 << 10,
        "mib" | "mi" => 1 << 20,
        "gib" | "gi" => 1 << 30,
        "tib" | "ti" => 1 << 40,
        _ => return Err(refuse()),
    };
    if let Ok(whole) = digits.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(refuse);
    }
    let value = digits.parse::<f64>().map_err(|_| refuse())? * factor as f64;
    if value.is_finite() && value < u64::MAX as f64 { Ok(value as u64) } else { Err(refuse()) }
}
