//! How far a load is: a bar for a person at a terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, HumanCount, ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(250);

/// What has been written, and the bar that shows it.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    began: Instant,
    rows: u64,
    bytes: u64,
}

impl Bar {
    /// Begins. `total` is the size of all inputs as stored, where it is known; a bar without it has no
    /// end. Nothing is drawn where nobody sees it.
    pub(super) fn begin(total: Option<u64>) -> Bar {
        let bar = match total {
            _ if !std::io::stderr().is_terminal() => ProgressBar::hidden(),
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let template = match total {
            Some(_) => "{wide_bar} {bytes}/{total_bytes}  {msg}  {eta} left",
            None => "{spinner} {bytes}  {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Bar { bar, began: Instant::now(), rows: 0, bytes: 0 }
    }

    /// More is acknowledged: points, bytes of text, and the place in the inputs as stored.
    pub(super) fn advance(&mut self, rows: u64, bytes: u64, stored: u64) {
        self.rows += rows;
        self.bytes += bytes;
        self.bar.set_position(self.bar.position().max(stored));
        self.bar.set_message(format!("{} points, {}/s", HumanCount(self.rows), HumanCount(self.rate())));
    }

    fn rate(&self) -> u64 {
        // Part of a point a second is of no interest.
        (self.rows as f64 / self.began.elapsed().as_secs_f64().max(1e-3)) as u64
    }

    /// Takes the bar away and says what was written.
    pub(super) fn end(&self) -> String {
        self.bar.finish_and_clear();
        format!(
            "{} points ({}) written in {:.1} s, {} a second",
            HumanCount(self.rows),
            BinaryBytes(self.bytes),
            self.began.elapsed().as_secs_f64(),
            HumanCount(self.rate())
        )
    }
}
