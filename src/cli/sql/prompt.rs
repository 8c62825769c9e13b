//! The prompt: reads statements from a terminal and runs each when its `;` is there.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Instant;

use console::Term;

use super::editor::{Typed, read_line};
use super::history::{self, History};
use super::meta::{self, Meta};
use super::split::split;
use super::{Interrupted, Shell};
use crate::cli::output;
use crate::model::visible::{visible, visible_lines};
use crate::model::{Error, Result};

/// Whether the prompt goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Prompt,
    End,
}

struct Prompt {
    shell: Shell,
    terminal: Term,
    history: History,
    timing: bool,
    /// Lines of a statement that is not complete.
    begun: String,
}

/// Reads and runs until the end is typed.
pub(super) async fn run(shell: Shell, keep_history: bool) -> Result<ExitCode> {
    let file = if keep_history { history::path(|name| std::env::var(name).ok()) } else { None };
    let history = file.map_or_else(History::forgetful, History::open);
    // Rows may go to a file; what is typed is shown on the terminal all the same.
    let terminal = if std::io::stdout().is_terminal() { Term::stdout() } else { Term::stderr() };
    let mut prompt = Prompt { shell, terminal, history, timing: false, begun: String::new() };
    prompt.say(&format!("siltdb {} on {}\n\\? for help\n", env!("CARGO_PKG_VERSION"), prompt.shell.target))?;
    let outcome = prompt.converse().await;
    prompt.shell.target.close().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

impl Prompt {
    async fn converse(&mut self) -> Result<()> {
        loop {
            let typed = self.read();
            let next = match typed.map_err(|error| Error::internal(format!("the terminal is gone: {error}")))? {
                Typed::Ended => Next::End,
                Typed::Cancelled => {
                    self.begun.clear();
                    Next::Prompt
                }
                Typed::Line(line) => self.take(&line).await?,
            };
            if next == Next::End {
                return Ok(());
            }
        }
    }

    /// Waits for a line, without holding up what runs on the other threads.
    fn read(&self) -> std::io::Result<Typed> {
        let mark = if self.begun.is_empty() { "=>" } else { "->" };
        let prompt = format!("{}{mark} ", visible(&self.shell.database));
        tokio::task::block_in_place(|| read_line(&self.terminal, &prompt, self.history.entries()))
    }

    async fn take(&mut self, line: &str) -> Result<Next> {
        if self.begun.is_empty()
            && let Some(meta) = meta::parse(line)
        {
            self.remember(line)?;
            return self.obey(meta).await;
        }
        self.begun.push_str(line);
        let found = split(&self.begun);
        if found.complete.is_empty() && found.rest.is_none() {
            self.begun.clear();
            return Ok(Next::Prompt);
        }
        if found.complete.is_empty() {
            self.begun.push('\n');
            return Ok(Next::Prompt);
        }
        let entry = std::mem::take(&mut self.begun);
        self.remember(&entry)?;
        if let Some(rest) = found.rest {
            self.begun = rest.text + "\n";
        }
        for statement in found.complete {
            if !self.run(&statement.text).await? {
                break;
            }
        }
        Ok(Next::Prompt)
    }

    async fn obey(&mut self, meta: Meta) -> Result<Next> {
        match meta {
            Meta::Quit => return Ok(Next::End),
            Meta::Help => self.say(meta::HELP)?,
            Meta::Statement(sql) => {
                self.run(&sql).await?;
            }
            Meta::Connect(typed) => self.connect(&typed).await?,
            Meta::Timing => {
                self.timing = !self.timing;
                self.say(if self.timing { "Timing is on.\n" } else { "Timing is off.\n" })?;
            }
            Meta::Unknown(why) => self.say(&format!("{why}\n"))?,
        }
        Ok(Next::Prompt)
    }

    /// Uses another database, if there is one of that name.
    async fn connect(&mut self, typed: &str) -> Result<()> {
        match self.shell.look_for(typed).await {
            Ok(()) => {
                self.shell.database = meta::database_name(typed);
                Ok(())
            }
            Err(stop) => complain(stop),
        }
    }

    /// Runs a statement; whether it came to its end. Ctrl-C gives it up.
    async fn run(&mut self, sql: &str) -> Result<bool> {
        let began = Instant::now();
        let outcome = tokio::select! {
            outcome = self.shell.run_one(sql) => outcome,
            _ = tokio::signal::ctrl_c() => {
                self.say("Cancelled.\n")?;
                return Ok(false);
            }
        };
        let ended = outcome.is_ok();
        outcome.or_else(complain)?;
        if self.timing {
            self.say(&format!("Time: {:.3} ms\n", began.elapsed().as_secs_f64() * 1_000.0))?;
        }
        Ok(ended)
    }

    /// A history that cannot be written is told of once, and goes on in memory.
    fn remember(&mut self, entry: &str) -> Result<()> {
        match self.history.add(entry) {
            Ok(()) => Ok(()),
            Err(error) => self.say(&format!("The history cannot be kept: {error}\n")),
        }
    }

    fn say(&self, text: &str) -> Result<()> {
        let said = self.terminal.write_str(&visible_lines(text));
        said.map_err(|error| Error::internal(format!("the terminal is gone: {error}")))
    }
}

/// Says what failed; an error only where nothing can be said any more.
fn complain(stop: Interrupted) -> Result<()> {
    match stop {
        Interrupted::Left => Ok(()),
        Interrupted::Unprintable(error) => Err(error),
        Interrupted::Failed(failure) => {
            output::complain(&format!("error: {failure}"));
            Ok(())
        }
    }
}
