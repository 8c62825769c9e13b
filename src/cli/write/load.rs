//! The run: a thread reads and cuts, batches are in flight, acknowledgements are put in order.

use futures::StreamExt;
use futures::stream;
use tokio::sync::{mpsc, watch};

use super::ack_tracker::{Checkpoint, Tracker};
use super::bar::Bar;
use super::batcher::{BatchLimits, Position};
use super::input::{Batch, Input, Unreadable, read_all};
use super::progress::Progress;
use super::send::{Delivery, RejectedLines, Sender};
use crate::model::{Error, Result};

/// Batches that are read ahead of those in flight.
const READ_AHEAD: usize = 1;

/// What is to be written.
#[derive(Debug)]
pub(super) struct Plan {
    /// The inputs, and how many bytes of each are written already.
    pub inputs: Vec<(Input, u64)>,
    pub most: BatchLimits,
    /// Batches in flight.
    pub concurrency: usize,
}

/// Why a run ended before its inputs did.
#[derive(Debug)]
pub(super) enum StopReason {
    Refused(RejectedLines),
    Unreadable(Unreadable),
    /// Asked to by a signal.
    Interrupted,
    /// The progress cannot be kept, or a fault of ours.
    Failed(Error),
}

/// What a run has come to.
#[derive(Debug)]
pub(super) struct LoadOutcome {
    /// The input up to which, and the place in it, everything is acknowledged.
    pub input: usize,
    pub reached: u64,
    pub halt: Option<StopReason>,
}

/// A run under way.
pub(super) struct Load<'a> {
    plan: &'a Plan,
    bar: &'a mut Bar,
    progress: Option<&'a mut Progress>,
    tracker: Tracker,
    /// How far each input is acknowledged by now.
    reached: Vec<u64>,
    /// The input that the last acknowledged batch is of.
    input: usize,
    halt: Option<StopReason>,
}

impl<'a> Load<'a> {
    pub(super) fn new(plan: &'a Plan, bar: &'a mut Bar, progress: Option<&'a mut Progress>) -> Load<'a> {
        let reached = plan.inputs.iter().map(|(_, skip)| *skip).collect();
        Load { plan, bar, progress, tracker: Tracker::default(), reached, input: 0, halt: None }
    }

    /// Writes until the inputs end or something fails. What is in flight then is waited for, but not
    /// tried again.
    pub(super) async fn run(mut self, sender: Sender, stop: watch::Sender<bool>) -> LoadOutcome {
        let (give, take) = mpsc::channel(READ_AHEAD);
        let (inputs, most) = (self.plan.inputs.clone(), self.plan.most);
        tokio::task::spawn_blocking(move || read_all(&inputs, most, &give));
        let stopping = stop.subscribe();
        let batches = stream::unfold((take, stopping), |(mut take, mut stopping)| async move {
            let next = tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => None,
                next = take.recv() => next,
            };
            next.map(|batch| (batch, (take, stopping)))
        });
        let deliveries = batches.map(|batch| deliver(&sender, batch)).buffer_unordered(self.plan.concurrency);
        let mut deliveries = std::pin::pin!(deliveries);
        loop {
            let next = tokio::select! {
                next = deliveries.next() => next,
                _ = tokio::signal::ctrl_c() => {
                    if self.halt.is_some() {
                        // Asked a second time: at once. What is acknowledged is on record.
                        std::process::exit(130);
                    }
                    self.halt(StopReason::Interrupted, &stop);
                    continue;
                }
            };
            match next {
                None => return self.outcome(),
                Some(Err(halt)) => self.halt(halt, &stop),
                Some(Ok(delivery)) => self.take(delivery, &stop),
            }
        }
    }

    /// The first reason counts, and of refusals the one that comes first in the inputs.
    fn halt(&mut self, halt: StopReason, stop: &watch::Sender<bool>) {
        // What was only not tried again is not the reason.
        let place = |refusal: &RejectedLines| (refusal.failure.is_transient(), refusal.input, refusal.start.bytes);
        let earlier = match (&self.halt, &halt) {
            (None, _) => true,
            (Some(StopReason::Refused(known)), StopReason::Refused(new)) => place(new) < place(known),
            _ => false,
        };
        if earlier {
            self.halt = Some(halt);
        }
        stop.send_replace(true);
    }

    fn take(&mut self, delivery: Delivery, stop: &watch::Sender<bool>) {
        let Some(refusal) = delivery.refusal else {
            let marks = self.tracker.acknowledge(delivery.number, delivery.acknowledged);
            if let Err(error) = self.reach(&marks) {
                self.halt(StopReason::Failed(error), stop);
            }
            return;
        };
        if delivery.acknowledged.place != refusal.start || delivery.acknowledged.rows > 0 {
            self.tracker.acknowledge_part(delivery.number, delivery.acknowledged);
        }
        self.halt(StopReason::Refused(refusal), stop);
    }

    /// Everything up to these marks, one after the other, is acknowledged.
    fn reach(&mut self, marks: &[Checkpoint]) -> Result<()> {
        for mark in marks {
            let text = mark.place.bytes.saturating_sub(self.reached[mark.input]);
            let before: u64 = self.plan.inputs[..mark.input].iter().filter_map(|(input, _)| input.size()).sum();
            self.bar.advance(mark.rows, text, before + mark.stored);
            self.note(mark.input, mark.place);
        }
        match &self.progress {
            Some(progress) if !marks.is_empty() => progress.save(),
            _ => Ok(()),
        }
    }

    fn note(&mut self, input: usize, place: Position) {
        (self.input, self.reached[input]) = (input, place.bytes);
        if let Some(progress) = &mut self.progress {
            progress.note(&self.plan.inputs[input].0.key(), place);
        }
    }

    fn outcome(mut self) -> LoadOutcome {
        if let Some(part) = self.tracker.last_part()
            && let Err(error) = self.reach(&[part])
        {
            self.halt = Some(StopReason::Failed(error));
        }
        LoadOutcome { input: self.input, reached: self.reached[self.input], halt: self.halt }
    }
}

/// Each batch in a task of its own, so that one is parsed or compressed while others are.
fn deliver(
    sender: &Sender,
    batch: Result<Batch, Unreadable>,
) -> impl Future<Output = Result<Delivery, StopReason>> + use<> {
    let sent = batch.map(|batch| tokio::spawn(sender.clone().deliver(batch)));
    async move {
        match sent {
            Err(unreadable) => Err(StopReason::Unreadable(unreadable)),
            Ok(task) => {
                task.await.map_err(|error| StopReason::Failed(Error::internal(format!("a write ended: {error}"))))
            }
        }
    }
}
