//! What lies in a log besides what the newest manifest needs: whether the numbers are one line without a gap,
//! what strays beside it, and which segments came too late.

use std::fmt::Display;

use futures::{StreamExt, TryStreamExt, stream};

use super::CheckReport;
use crate::database::DatabaseState;
use crate::engine::{Engine, databases::DatabaseHandle};
use crate::ledger::{Listing, ManifestHeader};
use crate::model::paths::{self, LogName};
use crate::model::{Code, Result};
use crate::store::ListEntry;

/// Manifests read at once.
const FETCHES: usize = 16;

/// What manifests that are not in the line of the newest one are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Aside {
    /// Of the history, with a gap above them.
    cut_off: Vec<u64>,
    /// Not of the history, and one builds on another.
    forked: Vec<u64>,
    /// Not of the history, alone.
    strays: Vec<u64>,
}

impl Engine {
    pub(super) async fn check_log(
        &self,
        handle: &DatabaseHandle,
        listing: &Listing<DatabaseState>,
        report: &mut CheckReport,
    ) -> Result<()> {
        let prefix = paths::log_prefix(handle.root());
        let log = self.inner.store.list(&prefix, None).await?;
        let named: Vec<(LogName, &ListEntry)> =
            log.iter().filter_map(|entry| Some((LogName::parse(entry.path.strip_prefix(&prefix)?)?, entry))).collect();
        let newest = listing.manifest.version;
        let numbers = named.iter().filter_map(|(name, _)| match name {
            // Later ones are of commits meanwhile.
            LogName::Manifest(number) => Some(*number).filter(|number| *number <= newest),
            LogName::Segment(_) => None,
        });
        let heads = self.heads(handle, numbers.collect(), report).await?;
        describe(handle.root(), &aside(&heads), report);
        let late = late_segments(&named, listing.manifest.state.floor);
        if late > 0 {
            report.notes.push(format!(
                "{prefix}: {late} segments landed after their epochs had been sealed: nobody was told that they are \
                 stored, unless by a process that was wrong; collection removes them"
            ));
        }
        Ok(())
    }

    /// The first lines of these manifests, in ascending order, as far down as they can be read.
    async fn heads(
        &self,
        handle: &DatabaseHandle,
        numbers: Vec<u64>,
        report: &mut CheckReport,
    ) -> Result<Vec<ManifestHeader>> {
        let read = |number| async move {
            match handle.ledger.head(&self.inner.store, number).await {
                Err(error) if error.code != Code::Corrupt => Err(error),
                read => Ok(read),
            }
        };
        let read: Vec<_> = stream::iter(numbers.into_iter().rev()).map(read).buffered(FETCHES).try_collect().await?;
        let mut heads = Vec::new();
        for head in read {
            match head {
                Ok(Some(head)) => heads.push(head),
                // The collector is at work, and deletes the smallest first.
                Ok(None) => break,
                Err(error) => {
                    report.problems.push(error.to_string());
                    break;
                }
            }
        }
        heads.reverse();
        Ok(heads)
    }
}

/// Which manifests do not belong to the line that ends with the last one.
fn aside(heads: &[ManifestHeader]) -> Aside {
    let mut found = Aside::default();
    let follows =
        |pair: &[ManifestHeader]| pair[1].version == pair[0].version + 1 && pair[1].parent == Some(pair[0].commit);
    let begin = heads.windows(2).rposition(|pair| !follows(pair)).map_or(0, |position| position + 1);
    let (others, line) = heads.split_at(begin);
    let Some(first) = line.first() else { return found };
    for (position, head) in others.iter().enumerate() {
        let linked = |pair: Option<&[ManifestHeader]>| pair.is_some_and(follows);
        let above = others.get(position..position + 2);
        let below = position.checked_sub(1).and_then(|before| others.get(before..=position));
        if first.remembers(head.version, head.commit) == Some(true) {
            found.cut_off.push(head.version);
        } else if linked(above) || linked(below) {
            found.forked.push(head.version);
        } else {
            found.strays.push(head.version);
        }
    }
    found
}

fn describe(root: &str, aside: &Aside, report: &mut CheckReport) {
    let prefix = paths::log_prefix(root);
    if let Some(last) = aside.cut_off.last() {
        report.problems.push(format!(
            "{prefix}: manifest {} is missing in the midst of the history: somebody other than SiltDB has deleted it",
            last + 1
        ));
    }
    if !aside.forked.is_empty() {
        report.problems.push(format!(
            "{prefix}: manifests {} are not part of the history, but build on one another: some process took a stray \
             manifest for the newest one, and what it acknowledged from then on is lost",
            listed(&aside.forked)
        ));
    }
    if !aside.strays.is_empty() {
        report.notes.push(format!(
            "{prefix}: manifests {} are not part of the history: a process that had slept made them in numbers that \
             were free again; nothing reads them, and collection removes them",
            listed(&aside.strays)
        ));
    }
}

fn listed(numbers: &[impl Display]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Segments below the floor that are younger than the manifest that sealed the last of their epochs, and so has the
/// number of the floor; 0 where that is no longer there.
fn late_segments(log: &[(LogName, &ListEntry)], floor: u64) -> usize {
    let sealed = log.iter().find(|(name, _)| *name == LogName::Manifest(floor)).map(|(_, entry)| entry.modified);
    let Some(sealed) = sealed else { return 0 };
    let is_late = |(name, entry): &&(LogName, &ListEntry)| match name {
        LogName::Segment(name) => name.order.epoch < floor && entry.modified > sealed,
        LogName::Manifest(_) => false,
    };
    log.iter().filter(is_late).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: u64, commit: u128, parent: u128) -> ManifestHeader {
        let text = format!(
            "{{\"version\":{version},\"commit\":\"{commit:032x}\",\"parent\":\"{parent:032x}\",\"kind\":\"\",\
             \"recent\":[[8,\"{:032x}\"]]}}",
            8
        );
        serde_json::from_str(&text).unwrap()
    }

    fn line(versions: std::ops::RangeInclusive<u64>) -> Vec<ManifestHeader> {
        versions.map(|version| head(version, u128::from(version), u128::from(version) - 1)).collect()
    }

    #[test]
    fn islands_are_told_apart() {
        assert_eq!(aside(&line(5..=9)), Aside::default());
        assert_eq!(aside(&[]), Aside::default());
        // Number 9 is missing.
        let cut: Vec<ManifestHeader> = line(8..=8).into_iter().chain(line(10..=12)).collect();
        assert_eq!(aside(&cut), Aside { cut_off: vec![8], ..Aside::default() });
        let stray = [head(2, 77, 1)];
        let strays: Vec<ManifestHeader> = stray.into_iter().chain(line(10..=12)).collect();
        assert_eq!(aside(&strays), Aside { strays: vec![2], ..Aside::default() });
        let next_to_it: Vec<ManifestHeader> = [head(9, 77, 8)].into_iter().chain(line(10..=12)).collect();
        assert_eq!(aside(&next_to_it), Aside { strays: vec![9], ..Aside::default() });
        let fork = [head(2, 77, 1), head(3, 78, 77), head(5, 79, 4)];
        let forked: Vec<ManifestHeader> = fork.into_iter().chain(line(10..=12)).collect();
        assert_eq!(aside(&forked), Aside { forked: vec![2, 3], strays: vec![5], ..Aside::default() });
    }
}
