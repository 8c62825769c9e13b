//! The place that a setting came from.

use std::fmt;

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingSource {
    /// The flag with this name, without its dashes.
    Flag(&'static str),
    /// The environment variable with this name.
    Variable(String),
    /// A line of the settings file.
    File {
        name: String,
        line: usize,
    },
    /// A file that holds this setting and nothing else.
    Whole(String),
    /// What it follows from, where nobody said it.
    Derived(String),
    Default,
}

impl fmt::Display for SettingSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingSource::Flag(name) => write!(formatter, "flag --{name}"),
            SettingSource::Variable(name) => write!(formatter, "environment variable {name}"),
            SettingSource::File { name, line } => write!(formatter, "file {name}, line {line}"),
            SettingSource::Whole(name) => write!(formatter, "file {name}"),
            SettingSource::Derived(origin) => formatter.write_str(origin),
            SettingSource::Default => formatter.write_str("default"),
        }
    }
}

impl SettingSource {
    /// Whether somebody said it.
    pub fn is_explicit(&self) -> bool {
        !matches!(self, SettingSource::Default | SettingSource::Derived(_))
    }
}
