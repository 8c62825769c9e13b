//! Reads a line from a terminal, with editing and history.

use std::io;

use console::Term;

use super::line::{EditLine, KeyOutcome};

/// How a line ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    Line(String),
    Cancelled,
    Ended,
}

/// Shows `prompt` and waits for a line. `history` is oldest first.
///
/// # Errors
/// The terminal is gone.
pub(super) fn read_line(terminal: &Term, prompt: &str, history: &[String]) -> io::Result<Typed> {
    let mut line = EditLine::default();
    let mut recall = Recall { history, place: history.len(), kept: String::new() };
    loop {
        draw(terminal, prompt, &line)?;
        let typed = match line.press(terminal.read_key_raw()?) {
            KeyOutcome::Typing => continue,
            KeyOutcome::Older => {
                recall.go(&mut line, recall.place.checked_sub(1));
                continue;
            }
            KeyOutcome::Newer => {
                recall.go(&mut line, Some(recall.place + 1));
                continue;
            }
            KeyOutcome::Clear => {
                terminal.clear_screen()?;
                continue;
            }
            KeyOutcome::Entered => Typed::Line(line.text()),
            KeyOutcome::Cancelled => Typed::Cancelled,
            KeyOutcome::Ended => Typed::Ended,
        };
        terminal.write_line(if typed == Typed::Cancelled { "^C" } else { "" })?;
        return Ok(typed);
    }
}

/// A walk through the history, whose newest end is the line being typed.
struct Recall<'a> {
    history: &'a [String],
    place: usize,
    /// What was being typed when the walk began.
    kept: String,
}

impl Recall<'_> {
    fn go(&mut self, line: &mut EditLine, place: Option<usize>) {
        let Some(place) = place.filter(|place| *place <= self.history.len()) else { return };
        if self.place == self.history.len() {
            self.kept = line.text();
        }
        self.place = place;
        line.set(self.history.get(place).unwrap_or(&self.kept));
    }
}

fn draw(terminal: &Term, prompt: &str, line: &EditLine) -> io::Result<()> {
    let columns = usize::from(terminal.size().1);
    let (shown, cursor) = line.view(columns.saturating_sub(prompt.len()));
    // In one piece: what is drawn step by step flickers.
    let behind = prompt.len() + cursor;
    let forward = if behind > 0 { format!("\x1b[{behind}C") } else { String::new() };
    terminal.write_str(&format!("\r\x1b[K{prompt}{shown}\r{forward}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_walked_and_the_line_kept() {
        let history = ["one".to_owned(), "two".to_owned()];
        let mut recall = Recall { history: &history, place: 2, kept: String::new() };
        let mut line = EditLine::default();
        line.set("being typed");
        let mut walk = |place: Option<usize>| {
            recall.go(&mut line, place);
            (recall.place, line.text())
        };
        assert_eq!(walk(Some(3)), (2, "being typed".to_owned()));
        assert_eq!(walk(Some(1)), (1, "two".to_owned()));
        assert_eq!(walk(Some(0)), (0, "one".to_owned()));
        assert_eq!(walk(None), (0, "one".to_owned()));
        assert_eq!(walk(Some(1)), (1, "two".to_owned()));
        assert_eq!(walk(Some(2)), (2, "being typed".to_owned()));
    }
}
