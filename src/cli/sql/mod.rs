//! `siltdb sql`: statements from the command line, a file, standard input, or a prompt.
//!
//! In: SQL. Out: rows on standard output, failures on standard error. Invariants: statements run one
//! after the other, and none after one that failed, unless a person at the prompt says so.

mod editor;
mod history;
mod line;
mod meta;
mod prompt;
mod split;

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::outcome::Interrupted;
use super::output::{Document, complain};
use super::target::{Target, database_of, options};
use super::{format_of, format_option, usage_error};
use crate::config::Settings;
use crate::format::Format;
use crate::model::Result;
use crate::model::names::BYTE_ORDER_MARK;
use split::StatementText;

/// The command with its options.
pub(super) fn command() -> Command {
    let file = "Run the statements of a file, separated by ';' (- is standard input)";
    options(Command::new("sql").about("Run SQL: statements given here, in a file or on standard input, or at a prompt"))
        .arg(Arg::new("statement").value_name("SQL").help("The statements, separated by ';'"))
        .arg(Arg::new("file").short('f').long("file").value_name("FILE").help(file).conflicts_with("statement"))
        .arg(format_option().help("How rows are printed [default: table on a terminal, otherwise csv]"))
        .arg(
            Arg::new("no-history")
                .long("no-history")
                .action(ArgAction::SetTrue)
                .help("Neither read nor write the history of the prompt"),
        )
}

/// Runs what was given, or a prompt.
pub(super) async fn run(settings: &Settings, matches: &ArgMatches) -> Result<ExitCode> {
    let default_format = if std::io::stdout().is_terminal() { Format::Table } else { Format::Csv };
    let format = format_of(matches).unwrap_or(default_format);
    let given = given(matches)?;
    let shell = Shell { target: Target::open(settings, matches).await?, database: database_of(matches), format };
    match given {
        Some(text) => {
            let outcome = shell.run_all(&split::split(&text).all()).await;
            shell.target.close().await;
            outcome
        }
        None => prompt::run(shell, !matches.get_flag("no-history")).await,
    }
}

/// The statements that were given, without the mark that some editors put in front of a text; `None` when
/// they are to be typed.
fn given(matches: &ArgMatches) -> Result<Option<String>> {
    let mut text = read_given(matches)?;
    if let Some(text) = &mut text
        && text.starts_with(BYTE_ORDER_MARK)
    {
        text.remove(0);
    }
    Ok(text)
}

fn read_given(matches: &ArgMatches) -> Result<Option<String>> {
    if let Some(text) = matches.get_one::<String>("statement") {
        return Ok(Some(text.clone()));
    }
    match matches.get_one::<String>("file").map(String::as_str) {
        Some(name) if name != "-" => {
            let text = std::fs::read_to_string(name);
            text.map(Some).map_err(|error| usage_error(format!("{name} cannot be read: {error}")))
        }
        None if std::io::stdin().is_terminal() => Ok(None),
        _ => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| usage_error(format!("standard input cannot be read: {error}")))?;
            Ok(Some(text))
        }
    }
}

/// Where statements go, and how their rows come back.
struct Shell {
    target: Target,
    database: String,
    format: Format,
}

impl Shell {
    async fn run_one(&self, sql: &str) -> Result<(), Interrupted> {
        self.target.query(&self.database, sql, self.format, Document::new()).await
    }

    /// Whether there is a database of that name, as SQL writes it.
    async fn look_for(&self, database: &str) -> Result<(), Interrupted> {
        let sql = format!("DESCRIBE DATABASE {database}");
        self.target.query(&self.database, &sql, Format::Csv, Document::unseen()).await
    }

    /// Runs statements up to the first that fails.
    async fn run_all(&self, statements: &[StatementText]) -> Result<ExitCode> {
        for (number, statement) in statements.iter().enumerate() {
            match self.run_one(&statement.text).await {
                Ok(()) => {}
                Err(Interrupted::Left) => return Ok(ExitCode::SUCCESS),
                Err(Interrupted::Unprintable(error)) => return Err(error),
                Err(Interrupted::Failed(failure)) if statements.len() == 1 => {
                    complain(&format!("siltdb: {failure}"));
                    return Ok(ExitCode::FAILURE);
                }
                Err(Interrupted::Failed(failure)) => {
                    let (number, count, line) = (number + 1, statements.len(), statement.line);
                    complain(&format!("siltdb: statement {number} of {count}, line {line}: {failure}"));
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
