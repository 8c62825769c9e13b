//! The beginning: whether there is a store, and making a new one where nothing is.

use std::sync::atomic::Ordering;

use super::Engine;
use crate::catalog::CatalogState;
use crate::model::paths;
use crate::model::{Code, DatabaseOptions, Error, Result, TenantId};
use crate::store::{self, Glance};

/// What to do where no store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Make one, if the place is empty.
    Make,
    /// Say so. Nothing is written.
    Fail,
}

/// What a place without a catalog holds.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// Nothing, or what a start that was broken off has left.
    Empty,
    /// Somebody else's objects, such as this one.
    Foreign(&'a str),
    /// A store's data, such as this object, whose catalog is gone.
    Orphaned(&'a str),
}

impl Engine {
    /// Makes sure, once, that there is a store with a catalog and that it can be relied on.
    ///
    /// Errors: [`Code::NoStore`] where there is none, and none is made; [`Code::Corrupt`] for a store that has
    /// lost its catalog; those of the store.
    pub(super) async fn begin(&self, missing: Missing) -> Result<()> {
        let begin = || async {
            // Asked at the same time: to look for a catalog does no harm, whatever the store is like.
            let (store, catalog) = (&self.inner.store, &self.inner.catalog);
            let (proven, found) = futures::join!(store::probe::is_proven(store), catalog.open(store));
            let (proven, found) = (proven?, found?.is_some() || !self.is_to_be_made(missing).await?);
            if !proven {
                store::probe::probe_once(store).await?;
            }
            if !found {
                self.begin_catalog().await?;
            }
            Ok(())
        };
        self.inner.begun.get_or_try_init(begin).await.copied()
    }

    /// Whether the process has made the store anew.
    pub fn has_made_store(&self) -> bool {
        self.inner.made.load(Ordering::Relaxed)
    }

    /// Whether a place in which no catalog was found is to become a store. `false`: by now there is a catalog.
    async fn is_to_be_made(&self, missing: Missing) -> Result<bool> {
        let store = &self.inner.store;
        // A store in memory is always new, and file lists nothing behind.
        let makes = missing == Missing::Make || store.is_in_memory();
        let seen = store.glance().await?;
        let place = place(&seen);
        if place == Place::Empty && makes {
            return Ok(true);
        }
        // Another process may have made the store in the meantime.
        if self.inner.catalog.try_load(store).await?.is_some() {
            return Ok(false);
        }
        let url = store.url();
        Err(match place {
            Place::Empty => store::no_store(url),
            Place::Foreign(object) if makes => Error::new(
                Code::NoStore,
                format!(
                    "{url} is not empty and no SiltDB store (it holds {object}): a new store is only made in a place \
                     of its own; name an empty folder or prefix"
                ),
            ),
            Place::Foreign(object) => {
                let none = store::no_store(url).message;
                Error::new(Code::NoStore, format!("{none}, but only in an empty place, and this one holds {object}"))
            }
            Place::Orphaned(object) => Error::new(
                Code::Corrupt,
                format!(
                    "{url} holds data (such as {object}) but no catalog (sys/log is missing): restore sys/ from where \
                     the rest came from; to begin anew, name an empty place; nothing was changed"
                ),
            ),
        })
    }

    /// Creates tenant, database and user of an empty store.
    async fn begin_catalog(&self) -> Result<()> {
        let store = &self.inner.store;
        if self.inner.catalog.try_load(store).await?.is_some() {
            return Ok(());
        }
        let public = self.begin_database(TenantId(1), DatabaseOptions::default()).await?;
        if self.inner.catalog.begin(store, "begin", CatalogState::first(public)).await? {
            self.inner.made.store(true, Ordering::Relaxed);
        } else {
            // Another process came first; its catalog counts.
            self.inner.catalog.load(store).await?;
        }
        Ok(())
    }
}

fn place(seen: &Glance) -> Place<'_> {
    let kept: Vec<&str> =
        seen.paths.iter().map(String::as_str).filter(|path| !paths::may_precede_store(path)).collect();
    if let Some(foreign) = kept.iter().find(|path| !paths::is_below_store(path)) {
        return Place::Foreign(foreign);
    }
    match (kept.first(), seen.paths.first().filter(|_| seen.more)) {
        (Some(object), _) => Place::Orphaned(object),
        // More than starts ever leave, and folders of nothing but folders count as well.
        (None, Some(object)) => Place::Orphaned(object),
        (None, None) if seen.more => Place::Foreign("many folders"),
        (None, None) => Place::Empty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(paths: &[&str], more: bool) -> Glance {
        Glance { paths: paths.iter().map(|path| (*path).to_owned()).collect(), more }
    }

    #[test]
    fn only_an_empty_place_becomes_a_store() {
        let first = "t/1/d/7/log/00000000000000000001.m";
        let second = "t/1/d/7/log/00000000000000000002.m";
        let segment = "t/1/d/7/log/00000000000000000001.w.0000000000001234-00000000000000aa-00000001.wal";
        let cases = [
            (seen(&[], false), Place::Empty),
            (seen(&["sys/probe/1", "sys/probe/run-1-race-0"], false), Place::Empty),
            (seen(&[first, "t/1/d/7/HINT", "t/1/d/8/log/00000000000000000001.m"], false), Place::Empty),
            (seen(&[first, second], false), Place::Orphaned(second)),
            (seen(&["sys/HINT"], false), Place::Orphaned("sys/HINT")),
            (seen(&[segment], false), Place::Orphaned(segment)),
            (seen(&["t/1/d/7/data/x~1/day=2026-11-24/1.parquet"], true), {
                Place::Orphaned("t/1/d/7/data/x~1/day=2026-11-24/1.parquet")
            }),
            (seen(&[first], true), Place::Orphaned(first)),
            (seen(&["notes.txt"], false), Place::Foreign("notes.txt")),
            (seen(&[segment, "t/x/y"], false), Place::Foreign("t/x/y")),
            (seen(&["system/x"], true), Place::Foreign("system/x")),
            (seen(&[], true), Place::Foreign("many folders")),
        ];
        for (seen, expected) in cases {
            assert_eq!(place(&seen), expected, "{seen:?}");
        }
    }
}
