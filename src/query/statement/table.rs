//! `CREATE TABLE t (field TYPE [CODEC(c)], …, [TAGS(a, b)])`.

use datafusion::sql::sqlparser::{parser::Parser, tokenizer::Token};

use crate::model::{Code, ColumnKind, Error, FieldType, Result, schema::TIME_COLUMN};

use super::{
    Statement, not_implemented, semantic, syntax,
    words::{self, expect, name, peek_word, take, take_all},
};

/// What follows `CREATE TABLE`. Tags come before fields, as `DESCRIBE TABLE` shows them.
pub(super) fn parse_create(parser: &mut Parser) -> Result<Statement> {
    let if_not_exists = take_all(parser, &["IF", "NOT", "EXISTS"]);
    let table = words::table_name(parser)?;
    words::check_new_name(parser, "Table name", &table.table)?;
    let mut tags = Vec::new();
    let mut fields = Vec::new();
    expect(parser, &Token::LParen)?;
    loop {
        if is_tag_list(parser) {
            take(parser, "TAGS");
            tags.extend(words::name_list(parser, |parser| words::new_column_name(parser, "a tag name"))?);
        } else {
            fields.push(parse_field(parser)?);
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    expect(parser, &Token::RParen)?;
    if fields.is_empty() {
        return Err(Error::new(Code::NoField, "Semantic error: There must be at least one field column."));
    }
    let mut columns: Vec<(String, ColumnKind)> = tags.into_iter().map(|tag| (tag, ColumnKind::Tag)).collect();
    columns.extend(fields);
    check_columns(&table.table, &columns)?;
    Ok(Statement::CreateTable { table, columns, if_not_exists })
}

fn is_tag_list(parser: &Parser) -> bool {
    peek_word(parser).is_some_and(|word| word == "TAGS") && parser.peek_nth_token_ref(1).token == Token::LParen
}

fn parse_field(parser: &mut Parser) -> Result<(String, ColumnKind)> {
    let field = words::new_column_name(parser, "a column name")?;
    let token = parser.next_token();
    let type_name = match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => return parser.expected("a column type", token).map_err(syntax),
    };
    let field_type = match type_name.as_str() {
        "BIGINT" if take(parser, "UNSIGNED") => FieldType::BigIntUnsigned,
        "BIGINT" => FieldType::BigInt,
        "DOUBLE" => FieldType::Double,
        "STRING" => FieldType::String,
        "BOOLEAN" => FieldType::Boolean,
        "TIMESTAMP" => return Err(column_exists(TIME_COLUMN, "")),
        "GEOMETRY" => return Err(not_implemented("columns of type GEOMETRY")),
        _ => {
            let expected = "a column type (BIGINT, BIGINT UNSIGNED, DOUBLE, STRING, BOOLEAN)";
            return parser.expected(expected, token).map_err(syntax);
        }
    };
    if take(parser, "CODEC") {
        parse_codec(parser, field_type)?;
    }
    Ok((field, ColumnKind::Field(field_type)))
}

/// `(name)`. CnosDB's codecs are accepted where CnosDB takes them; how values are encoded in Parquet
/// is chosen from the values.
fn parse_codec(parser: &mut Parser, field_type: FieldType) -> Result<()> {
    expect(parser, &Token::LParen)?;
    let codec = name(parser, "a codec")?.to_ascii_uppercase();
    expect(parser, &Token::RParen)?;
    let allowed: &[&str] = match field_type {
        FieldType::BigInt | FieldType::BigIntUnsigned => &["DELTA", "DELTATS", "QUANTILE"],
        FieldType::Double => &["GORILLA", "QUANTILE"],
        FieldType::String => &["GZIP", "BZIP", "ZSTD", "SNAPPY", "ZLIB"],
        FieldType::Boolean => &["BITPACK"],
    };
    if ["DEFAULT", "NULL"].contains(&codec.as_str()) || allowed.contains(&codec.as_str()) {
        return Ok(());
    }
    Err(semantic(format!("Unsupported encoding type {codec} for {}", field_type.sql_name())))
}

fn check_columns(table: &str, columns: &[(String, ColumnKind)]) -> Result<()> {
    for (index, (column, _)) in columns.iter().enumerate() {
        if column == TIME_COLUMN || columns[..index].iter().any(|(earlier, _)| earlier == column) {
            return Err(column_exists(column, table));
        }
    }
    Ok(())
}

fn column_exists(column: &str, table: &str) -> Error {
    let place = if table.is_empty() { String::new() } else { format!(" in table {table}") };
    Error::new(Code::ColumnExists, format!("Semantic error: column {column} already exists{place}"))
}
