//! One batch to its target: again while it may go better, in parts when a line of it is wrong.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::ack_tracker::Checkpoint;
use super::batcher::{LineBatch, Position};
use super::input::Batch;
use crate::cli::outcome::{CommandFailure, FailureKind, Points};
use crate::cli::target::Target;
use crate::model::time::WritePrecision;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Sends batches. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub target: Target,
    pub database: String,
    pub precision: WritePrecision,
    /// How long a batch is tried.
    pub retry_time: Duration,
    /// True when the run ends early: what is under way is finished, but not tried again.
    pub stopping: watch::Receiver<bool>,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Delivery {
    pub number: u64,
    /// The end of what is acknowledged.
    pub acknowledged: Checkpoint,
    /// Why that is not all of it.
    pub refusal: Option<RejectedLines>,
}

/// What was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RejectedLines {
    pub input: usize,
    /// The lines that it is about: one, if the failure is about one.
    pub start: Position,
    pub end: Position,
    pub failure: CommandFailure,
}

impl Sender {
    /// Sends a batch. A refused one is halved until the line is found that is wrong; what lies before
    /// it is acknowledged then.
    pub(super) async fn deliver(self, batch: Batch) -> Delivery {
        let mut delivery = Delivery {
            number: batch.number,
            acknowledged: Checkpoint { input: batch.input, place: batch.piece.start, rows: 0, stored: batch.stored },
            refusal: None,
        };
        let mut waiting = vec![batch.piece];
        while let Some(piece) = waiting.pop() {
            match self.send(&piece).await {
                Ok(()) => {
                    delivery.acknowledged.place = piece.end;
                    delivery.acknowledged.rows += piece.rows;
                }
                Err(failure) => match piece.halves().filter(|_| failure.kind == FailureKind::Refused) {
                    Some((first, second)) => waiting.extend([second, first]),
                    None => {
                        let refusal = RejectedLines { input: batch.input, start: piece.start, end: piece.end, failure };
                        delivery.refusal = Some(refusal);
                        break;
                    }
                },
            }
        }
        delivery
    }

    async fn send(&self, piece: &LineBatch) -> Result<(), CommandFailure> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut stopping = self.stopping.clone();
        loop {
            let points =
                Points { database: self.database.clone(), precision: self.precision, text: piece.text.clone() };
            let failure = match self.target.write(points).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let wait = failure.wait.unwrap_or(pause);
            if !failure.is_transient() || began.elapsed() + wait > self.retry_time {
                return Err(failure);
            }
            tracing::info!(%failure, ?wait, "a batch is tried again");
            tokio::select! {
                () = sleep(wait) => {}
                _ = stopping.wait_for(|stopping| *stopping) => return Err(failure),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl RejectedLines {
    /// The message, with lines as the input counts them, and not the batch.
    pub(super) fn message(&self, input: &str) -> String {
        let first = self.start.lines + 1;
        let last = self.end.lines.max(first);
        let place = if self.failure.kind == FailureKind::Refused {
            format!("line {first}")
        } else {
            format!("lines {first} to {last}")
        };
        let failure =
            CommandFailure { message: shifted(&self.failure.message, self.start.lines), ..self.failure.clone() };
        format!("{input}, {place}: {failure}")
    }
}

/// A message with so many lines added to the number in `line 3, column 5`.
fn shifted(message: &str, lines: u64) -> String {
    let Some(number_at) = message.find("line ").map(|at| at + "line ".len()) else { return message.to_owned() };
    let (before, rest) = message.split_at(number_at);
    let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    match rest[..digits].parse::<u64>() {
        Ok(number) if rest[digits..].starts_with(", column ") => {
            format!("{before}{}{}", number + lines, &rest[digits..])
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_count_lines_as_the_input_does() {
        assert_eq!(shifted("Error: line 2, column 7: x: 'line 1'", 40), "Error: line 42, column 7: x: 'line 1'");
        for message in ["no place", "line up", "online 5 users", "line 7"] {
            assert_eq!(shifted(message, 3), message);
        }
        let (start, end) = (Position { bytes: 90, lines: 10 }, Position { bytes: 99, lines: 11 });
        let failure = CommandFailure::new(FailureKind::Refused, "040004", "line 1, column 2: bad");
        let mut refusal = RejectedLines { input: 0, start, end, failure };
        assert_eq!(refusal.message("f.lp"), "f.lp, line 11: 040004 line 11, column 2: bad");
        refusal.failure = CommandFailure::new(FailureKind::Busy, "", "gone");
        refusal.end.lines = 20;
        assert_eq!(refusal.message("f.lp"), "f.lp, lines 11 to 20: gone");
    }
}
