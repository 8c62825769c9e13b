//! Every option of DataFusion with what it is here and why, and nothing else: the session is made from
//! this table, and a test fails for an option that it does not name. So an option that a newer DataFusion
//! brings is looked at before it decides what a query answers.
//!
//! An option that may change an answer is written down as a value even where it is DataFusion's own
//! default, so that a new default changes nothing by itself. The option's code was read in 55.2 with the
//! reports of wrong answers about it; numbers are those of DataFusion's issues.

use datafusion::{common::Result, prelude::SessionConfig};

mod table;

pub use table::OPTIONS;

/// What becomes of one option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionChoice {
    /// This value, as DataFusion reads it.
    Is(&'static str),
    /// DataFusion's default: it changes no answer, or nothing here uses it.
    Default,
    /// Set for each session by [`super::context`], or for each statement by [`super::run`].
    BySession,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Decision {
    /// As DataFusion names it, without `datafusion.`.
    pub option: &'static str,
    pub setting: OptionChoice,
    pub why: &'static str,
}

/// A configuration as the table says.
///
/// Errors: an option that DataFusion does not know, or a value that it does not take.
pub fn configuration() -> Result<SessionConfig> {
    let mut config = SessionConfig::new();
    for decision in OPTIONS {
        if let OptionChoice::Is(value) = decision.setting {
            let set = config.options_mut().set(&format!("datafusion.{}", decision.option), value);
            set.map_err(|error| error.context(format!("it was to be set because: {}", decision.why)))?;
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::config::ConfigOptions;

    use super::*;

    #[test]
    fn every_option_of_datafusion_is_decided_once() {
        let known: BTreeSet<String> = ConfigOptions::new().entries().into_iter().map(|entry| entry.key).collect();
        let named: Vec<String> = OPTIONS.iter().map(|row| format!("datafusion.{}", row.option)).collect();
        let decided: BTreeSet<String> = named.iter().cloned().collect();
        let undecided: Vec<&String> = known.difference(&decided).collect();
        let gone: Vec<&String> = decided.difference(&known).collect();
        assert!(undecided.is_empty(), "decide these in query/options/table.rs: {undecided:#?}");
        assert!(gone.is_empty(), "DataFusion has no such options: {gone:#?}");
        assert_eq!(named.len(), decided.len(), "an option is decided twice");
        assert!(OPTIONS.iter().all(|row| !row.why.is_empty()), "every decision has a reason");
    }

    #[test]
    fn the_configuration_is_what_the_table_says() {
        let config = configuration().unwrap();
        let entries = config.options().entries();
        for row in OPTIONS {
            let OptionChoice::Is(value) = row.setting else { continue };
            let key = format!("datafusion.{}", row.option);
            let found = entries.iter().find(|entry| entry.key == key).unwrap();
            assert_eq!(found.value.as_deref(), Some(value), "{key}");
        }
    }
}
