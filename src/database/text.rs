//! A database's state as the lines of a manifest: a head, and a line a table. The text of a table is
//! kept for as long as the table is, so that a commit that changes one of a thousand tables writes, and
//! its reader reads, no more than that one.

use std::sync::{Arc, OnceLock};

use super::{DatabaseState, Table};
use crate::ledger::LedgerState;

/// The text of a table, once it was needed. A copy of the table begins without: it is made to be
/// changed.
#[derive(Debug, Default)]
pub(super) struct Text(OnceLock<Arc<str>>);

impl Clone for Text {
    fn clone(&self) -> Self {
        Text::default()
    }
}

type Outcome<T> = Result<T, String>;

impl Table {
    /// `"name" {…}`, in one line.
    fn line(&self, name: &str) -> Outcome<Arc<str>> {
        if let Some(text) = self.text.0.get() {
            return Ok(text.clone());
        }
        let name = serde_json::to_string(name).map_err(|error| error.to_string())?;
        let table = serde_json::to_string(self).map_err(|error| error.to_string())?;
        let line: Arc<str> = format!("{name} {table}").into();
        Ok(self.text.0.get_or_init(|| line).clone())
    }
}

/// A table and its name from a line.
fn table(line: &str, before: Option<&DatabaseState>) -> Outcome<(String, Arc<Table>)> {
    let mut values = serde_json::Deserializer::from_str(line).into_iter::<String>();
    let name = values.next().ok_or("a table has no name")?.map_err(|error| error.to_string())?;
    let known = before.and_then(|before| before.tables.get(&name));
    if let Some(known) = known.filter(|known| known.text.0.get().is_some_and(|text| text.as_ref() == line)) {
        return Ok((name, known.clone()));
    }
    let rest = &line[values.byte_offset()..];
    let table: Table = serde_json::from_str(rest).map_err(|error| error.to_string())?;
    // Kept as it is: what a later version adds to it survives in tables that stay unchanged.
    table.text.0.get_or_init(|| line.into());
    Ok((name, Arc::new(table)))
}

impl LedgerState for DatabaseState {
    fn list_from(&self, _version: u64) -> u64 {
        self.floor
    }

    fn is_intermediate(&self) -> bool {
        self.frozen.is_some() || self.is_sealed()
    }

    fn encode(&self) -> Outcome<(String, Vec<Arc<str>>)> {
        let head = serde_json::to_string(self).map_err(|error| error.to_string())?;
        let lines = self.tables.iter().map(|(name, table)| table.line(name)).collect::<Outcome<_>>()?;
        Ok((head, lines))
    }

    fn decode(head: &str, lines: &[&str], before: Option<&Self>) -> Outcome<Self> {
        let mut state: DatabaseState = serde_json::from_str(head).map_err(|error| error.to_string())?;
        for line in lines {
            let (name, table) = table(line, before)?;
            if state.tables.insert(name, table).is_some() {
                return Err("two tables have the same name".to_owned());
            }
        }
        Ok(state)
    }
}
