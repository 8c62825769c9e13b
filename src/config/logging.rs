//! The log, on standard error. What clients sent begins no line of it and reaches no terminal as a command,
//! whatever the event says of its fields: one place sees to all of them.

use std::borrow::Cow;
use std::fmt::{self, Debug, Write as _};
use std::io::{self, IsTerminal, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use super::{LogFormat, Settings};
use crate::model::visible::{is_obeyed, visible};
use crate::model::{Code, Error, Result};

/// Begins to log as the settings say.
///
/// # Errors
/// The filter makes no sense.
pub fn init_logging(settings: &Settings) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| Error::new(Code::BadRequest, format!("log '{}' is not a filter: {error}", settings.log)))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    let begun = match settings.log_format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal();
            log.with_writer(io::stderr).with_ansi(colours).fmt_fields(VisibleFields).try_init()
        }
        LogFormat::Json => log.with_writer(|| VisibleJson(io::stderr())).json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| Error::internal(format!("the log could not be started: {error}")))
}

/// `message name=value name=value`, on one line.
struct VisibleFields;

impl<'writer> FormatFields<'writer> for VisibleFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Fields { writer, is_begun: false, outcome: Ok(()) };
        fields.record(&mut line);
        line.outcome
    }
}

struct Fields<'writer> {
    writer: Writer<'writer>,
    is_begun: bool,
    outcome: fmt::Result,
}

impl Fields<'_> {
    fn write(&mut self, name: &str, value: &str) -> fmt::Result {
        if std::mem::replace(&mut self.is_begun, true) {
            self.writer.write_char(' ')?;
        }
        match name {
            "message" => {}
            // Slanted, and a faint sign.
            _ if self.writer.has_ansi_escapes() => write!(self.writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?,
            _ => write!(self.writer, "{name}=")?,
        }
        self.writer.write_str(&visible(value))
    }
}

impl Visit for Fields<'_> {
    /// All kinds of values come here, texts with their quotes.
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Those tell where a record of another logging library came from.
        if self.outcome.is_ok() && !field.name().starts_with("log.") {
            self.outcome = self.write(field.name().trim_start_matches("r#"), &format!("{value:?}"));
        }
    }
}

/// Lines of JSON, in which the encoder leaves C1 controls and the like as they are. It writes an event at a time.
struct VisibleJson<W>(W);

impl<W: Write> Write for VisibleJson<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(visible_json(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The same JSON: what is replaced can only be within its strings.
fn visible_json(text: &str) -> Cow<'_, str> {
    let is_replaced = |character: char| is_obeyed(character) && character != '\n';
    if !text.contains(is_replaced) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            // All that are obeyed have four digits at most. Writing to a string does not fail.
            character if is_replaced(character) => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            character => out.push(character),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const HOSTILE: &str = "x\n2026-11-24 INFO forged \x1b[2J\u{9b}31m\x7f\u{2028}\u{202e}\r";

    /// An event whose fields hold a hostile text in every way that the code gives fields.
    fn say() {
        let error = Error::internal(HOSTILE);
        let span = tracing::info_span!("span", inside = %error);
        let _entered = span.enter();
        tracing::info!(%error, plain = HOSTILE, debug = ?error, optional = Some(HOSTILE), number = 7, "{HOSTILE}");
    }

    fn check(line: &str) {
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(line.ends_with('\n') && !line.trim_end_matches('\n').contains(is_obeyed), "{line:?}");
        assert!(line.matches("forged").count() >= 5 && line.contains('7'), "{line:?}");
    }

    #[test]
    fn clients_begin_no_line_of_the_log() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false);
        tracing::subscriber::with_default(log.fmt_fields(VisibleFields).finish(), say);
        let line = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        check(&line);
        assert!(line.contains("error=x\\n2026") && line.contains("plain=\"x\\n2026"), "{line}");
        assert!(line.contains("span{inside=x\\n"), "{line}");
    }

    #[test]
    fn lines_of_json_hold_nothing_that_a_terminal_obeys() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt().with_writer(move || VisibleJson(writer.clone())).json();
        tracing::subscriber::with_default(log.flatten_event(true).finish(), say);
        let line = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        check(&line);
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&parsed["plain"], &parsed["message"]), (&HOSTILE.into(), &HOSTILE.into()));
    }
}
