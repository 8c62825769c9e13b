//! The statements SiltDB answers: one closed enum, and the parser that makes it from text.
//!
//! In: the text of one request. Out: a [`Statement`], or an error with line and column. Queries keep
//! sqlparser's tree; everything else becomes plain values here. What is not in the enum is refused by
//! name, so nothing reaches DataFusion that SiltDB did not mean to run.

mod database;
mod table;
mod words;

use datafusion::sql::sqlparser::{
    ast::Query,
    dialect::GenericDialect,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

use crate::model::{Code, ColumnKind, DatabaseOptions, Error, Result, limits::Limits};

use super::limits;
use words::{expect_end, peek_word, take, take_all};

/// The deepest nesting the parser follows.
const RECURSION_LIMIT: usize = 50;

/// A table as a statement names it: `table`, `database.table` or `tenant.database.table`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    pub tenant: Option<String>,
    pub database: Option<String>,
    pub table: String,
}

/// `INSERT [INTO] table [(columns)] source`.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    pub table: TableName,
    pub columns: Option<Vec<String>>,
    pub source: Box<Query>,
}

/// `EXPLAIN [ANALYZE] [VERBOSE] [FORMAT f] query`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    pub analyze: bool,
    pub verbose: bool,
    pub format: Option<String>,
    pub query: Box<Query>,
}

/// Everything a request can ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// An empty text, or only semicolons and comments.
    Nothing,
    CreateDatabase {
        name: String,
        options: DatabaseOptions,
        if_not_exists: bool,
    },
    DropDatabase {
        name: String,
        if_exists: bool,
    },
    CreateTable {
        table: TableName,
        columns: Vec<(String, ColumnKind)>,
        if_not_exists: bool,
    },
    DropTable {
        table: TableName,
        if_exists: bool,
    },
    Insert(Insert),
    ShowDatabases,
    ShowTables {
        database: Option<String>,
    },
    DescribeDatabase {
        name: String,
    },
    DescribeTable {
        table: TableName,
    },
    Query(Box<Query>),
    Explain(Explain),
}

/// Statements that CnosDB or SQL know and SiltDB does not run (yet), by their first word.
const KNOWN_UNSUPPORTED: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "BEGIN",
    "CALL",
    "CHECKSUM",
    "COMMIT",
    "COMPACT",
    "COPY",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DETACH",
    "EXECUTE",
    "EXPORT",
    "FETCH",
    "FLUSH",
    "GRANT",
    "KILL",
    "LOAD",
    "LOCK",
    "MERGE",
    "MOVE",
    "PREPARE",
    "RECOVER",
    "RELEASE",
    "RENAME",
    "REPLACE",
    "REPLICA",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SET",
    "START",
    "TABLE",
    "TRUNCATE",
    "UNLOAD",
    "UPDATE",
    "USE",
    "VACUUM",
];

/// Parses the one statement of a request, within the limits on its text and tree.
pub fn parse(sql: &str, limits: &Limits) -> Result<Statement> {
    limits::check_text(sql, limits)?;
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|error| syntax(ParserError::TokenizerError(error.to_string())))?;
    let mut statements: Vec<Vec<TokenWithSpan>> = tokens
        .split(|token| token.token == Token::SemiColon)
        .filter(|part| part.iter().any(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)))
        .map(<[TokenWithSpan]>::to_vec)
        .collect();
    if statements.len() > 1 {
        let message = format!("Multi-statement not allow, found num:{}, sql:{sql}", statements.len());
        return Err(Error::new(Code::MultipleStatements, message));
    }
    let Some(tokens) = statements.pop() else { return Ok(Statement::Nothing) };
    limits::check_tokens(&tokens)?;
    let mut parser = Parser::new(&dialect).with_recursion_limit(RECURSION_LIMIT).with_tokens_with_locations(tokens);
    let statement = parse_statement(&mut parser)?;
    expect_end(&parser)?;
    match &statement {
        Statement::Query(query) | Statement::Explain(Explain { query, .. }) => limits::check_query(query)?,
        Statement::Insert(insert) => limits::check_query(&insert.source)?,
        _ => {}
    }
    Ok(statement)
}

fn parse_statement(parser: &mut Parser) -> Result<Statement> {
    let Some(word) = peek_word(parser) else {
        if parser.peek_token_ref().token == Token::LParen {
            return parse_query(parser).map(Statement::Query);
        }
        return parser.expected("an SQL statement", parser.peek_token()).map_err(syntax);
    };
    match word.as_str() {
        "SELECT" | "WITH" | "VALUES" => parse_query(parser).map(Statement::Query),
        "INSERT" => parse_insert(parser),
        "EXPLAIN" => parse_explain(parser),
        "CREATE" => parse_create(parser),
        "DROP" => parse_drop(parser),
        "SHOW" => parse_show(parser),
        "DESCRIBE" | "DESC" => parse_describe(parser),
        other if KNOWN_UNSUPPORTED.contains(&other) => Err(not_implemented(&first_words(parser, 2))),
        _ => parser.expected("an SQL statement", parser.peek_token()).map_err(syntax),
    }
}

fn parse_query(parser: &mut Parser) -> Result<Box<Query>> {
    parser.parse_query().map_err(syntax)
}

fn parse_insert(parser: &mut Parser) -> Result<Statement> {
    take(parser, "INSERT");
    take(parser, "INTO");
    let table = words::table_name(parser)?;
    // A parenthesis opens a list of columns or a query.
    let query_follows = matches!(
        (&parser.peek_nth_token_ref(0).token, &parser.peek_nth_token_ref(1).token),
        (Token::LParen, Token::Word(word)) if word.quote_style.is_none()
            && ["SELECT", "WITH", "VALUES"].contains(&word.value.to_ascii_uppercase().as_str())
    );
    let columns = if parser.peek_token_ref().token == Token::LParen && !query_follows {
        Some(words::name_list(parser, |parser| words::name(parser, "a column name"))?)
    } else {
        None
    };
    Ok(Statement::Insert(Insert { table, columns, source: parse_query(parser)? }))
}

fn parse_explain(parser: &mut Parser) -> Result<Statement> {
    take(parser, "EXPLAIN");
    let analyze = take(parser, "ANALYZE");
    let verbose = take(parser, "VERBOSE");
    let format = if take(parser, "FORMAT") { Some(words::name(parser, "a format")?) } else { None };
    match parse_statement(parser)? {
        Statement::Query(query) => Ok(Statement::Explain(Explain { analyze, verbose, format, query })),
        _ => Err(not_implemented("explain non-query statement.")),
    }
}

fn parse_create(parser: &mut Parser) -> Result<Statement> {
    if take_all(parser, &["CREATE", "DATABASE"]) {
        return database::parse_create(parser);
    }
    if take_all(parser, &["CREATE", "TABLE"]) {
        return table::parse_create(parser);
    }
    Err(not_implemented(&first_words(parser, 3)))
}

fn parse_drop(parser: &mut Parser) -> Result<Statement> {
    if take_all(parser, &["DROP", "DATABASE"]) {
        return database::parse_drop(parser);
    }
    if take_all(parser, &["DROP", "TABLE"]) {
        let if_exists = take_all(parser, &["IF", "EXISTS"]);
        return Ok(Statement::DropTable { table: words::table_name(parser)?, if_exists });
    }
    Err(not_implemented(&first_words(parser, 2)))
}

fn parse_show(parser: &mut Parser) -> Result<Statement> {
    if take_all(parser, &["SHOW", "DATABASES"]) {
        return Ok(Statement::ShowDatabases);
    }
    if take_all(parser, &["SHOW", "TABLES"]) {
        let database = if take(parser, "ON") { Some(words::database_name(parser)?) } else { None };
        return Ok(Statement::ShowTables { database });
    }
    Err(not_implemented(&first_words(parser, 3)))
}

fn parse_describe(parser: &mut Parser) -> Result<Statement> {
    if !take(parser, "DESCRIBE") {
        take(parser, "DESC");
    }
    if take(parser, "DATABASE") {
        return Ok(Statement::DescribeDatabase { name: words::database_name(parser)? });
    }
    if take(parser, "TABLE") {
        return Ok(Statement::DescribeTable { table: words::table_name(parser)? });
    }
    parser.expected("DATABASE or TABLE", parser.peek_token()).map_err(syntax)
}

/// The next words as written, for a message.
fn first_words(parser: &Parser, count: usize) -> String {
    let words = (0..count).map_while(|index| match &parser.peek_nth_token_ref(index).token {
        Token::Word(word) => Some(word.value.to_ascii_uppercase()),
        _ => None,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The text does not parse.
fn syntax(error: ParserError) -> Error {
    Error::new(Code::SqlSyntax, error.to_string())
}

fn not_implemented(what: &str) -> Error {
    Error::new(Code::NotImplemented, format!("This feature is not implemented: {what}"))
}

fn semantic(message: impl std::fmt::Display) -> Error {
    Error::new(Code::Semantic, format!("Semantic error: {message}"))
}
