//! Whether a LIST shows every segment that it has to.

use std::fmt;

use crate::model::paths::SegmentName;

/// A segment that another one vouches for, and that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub epoch: u64,
    pub writer: u64,
    /// The smallest number that is missing in the run.
    pub number: u32,
    /// How many are missing in the run.
    pub count: usize,
}

impl fmt::Display for Gap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gap { epoch, writer, number, .. } = self;
        write!(formatter, "{epoch:020}.w.*-{writer:016x}-*-{number:08x}-*.wal")?;
        if self.count > 1 { write!(formatter, " and {} more of this writer", self.count - 1) } else { Ok(()) }
    }
}

/// What one writer has put into one epoch.
struct Run {
    epoch: u64,
    writer: u64,
    /// Smaller numbers must all be there.
    before: u32,
    numbers: Vec<u32>,
}

/// The first run among `names` that lacks a segment. Names of one epoch must all be given, or none.
///
/// A LIST of several pages, or of a folder, is not of one moment: it may show a segment and lack one that
/// landed before. Then a LIST that begins later shows both.
pub fn first_gap<'a>(names: impl IntoIterator<Item = &'a SegmentName>) -> Option<Gap> {
    let mut runs: Vec<Run> = Vec::new();
    for name in names {
        let Some(place) = name.place else { continue };
        let (epoch, writer) = (name.order.epoch, name.order.writer);
        // There are few, and mostly the last one is it.
        let known = runs.iter().rposition(|run| run.epoch == epoch && run.writer == writer);
        let index = known.unwrap_or(runs.len());
        if index == runs.len() {
            runs.push(Run { epoch, writer, before: 0, numbers: Vec::new() });
        }
        let run = &mut runs[index];
        run.before = run.before.max(place.before);
        run.numbers.push(place.number);
    }
    runs.into_iter().find_map(gap_of)
}

fn gap_of(run: Run) -> Option<Gap> {
    let Run { epoch, writer, before, mut numbers } = run;
    numbers.sort_unstable();
    numbers.dedup();
    let there = numbers.partition_point(|number| *number < before);
    let mut expected = 0..before;
    let number = expected.find(|number| numbers.get(*number as usize) != Some(number))?;
    Some(Gap { epoch, writer, number, count: before as usize - there })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OrderKey;
    use crate::model::paths::RunPosition;

    fn name(epoch: u64, writer: u64, place: Option<(u32, u32)>) -> SegmentName {
        let place = place.map(|(number, before)| RunPosition { number, before });
        SegmentName { order: OrderKey { epoch, clock: 1, writer }, tables: 1, place }
    }

    #[test]
    fn what_a_later_segment_vouches_for_is_missed() {
        let whole = [(0, 0), (1, 1), (2, 1), (3, 3), (4, 4)].map(|place| name(5, 7, Some(place)));
        assert_eq!(first_gap(&whole), None);
        for missing in 0..5 {
            let rest = whole.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, name)| name);
            let found = first_gap(rest);
            match missing {
                // Nobody vouches for the last one yet.
                4 => assert_eq!(found, None),
                _ => assert_eq!(found, Some(Gap { epoch: 5, writer: 7, number: missing as u32, count: 1 })),
            }
        }
        assert_eq!(first_gap(&whole[4..]), Some(Gap { epoch: 5, writer: 7, number: 0, count: 4 }));
    }

    #[test]
    fn runs_are_told_apart_and_old_names_say_nothing() {
        let names = [name(5, 7, Some((0, 0))), name(5, 8, Some((1, 0))), name(6, 7, Some((0, 0))), name(5, 9, None)];
        assert_eq!(first_gap(&names), None);
        let gap = first_gap(&[name(5, 8, Some((2, 1))), name(5, 7, Some((0, 0)))]).unwrap();
        assert_eq!((gap.writer, gap.number, gap.count), (8, 0, 1));
        assert_eq!(gap.to_string(), "00000000000000000005.w.*-0000000000000008-*-00000000-*.wal");
    }
}
