//! Time: how fine a database keeps it, how clients write it.

use arrow::datatypes::TimeUnit;
use serde::{Deserialize, Serialize};

use super::error::{Code, Error, Result};

/// The unit of a database's time column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub enum Precision {
    #[default]
    #[serde(rename = "ns")]
    Nanosecond,
    #[serde(rename = "us")]
    Microsecond,
    #[serde(rename = "ms")]
    Millisecond,
}

impl Precision {
    /// `ns`, `us` or `ms`, in any case.
    pub fn parse(text: &str) -> Option<Precision> {
        match text.to_ascii_lowercase().as_str() {
            "ns" => Some(Precision::Nanosecond),
            "us" => Some(Precision::Microsecond),
            "ms" => Some(Precision::Millisecond),
            _ => None,
        }
    }

    /// As `DESCRIBE DATABASE` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Nanosecond => "NS",
            Precision::Microsecond => "US",
            Precision::Millisecond => "MS",
        }
    }

    pub fn time_unit(self) -> TimeUnit {
        match self {
            Precision::Nanosecond => TimeUnit::Nanosecond,
            Precision::Microsecond => TimeUnit::Microsecond,
            Precision::Millisecond => TimeUnit::Millisecond,
        }
    }

    /// Ticks of this precision in one second.
    pub fn ticks_per_second(self) -> i64 {
        match self {
            Precision::Nanosecond => 1_000_000_000,
            Precision::Microsecond => 1_000_000,
            Precision::Millisecond => 1_000,
        }
    }

    /// Ticks of this precision in one UTC day.
    pub fn ticks_per_day(self) -> i64 {
        self.ticks_per_second() * 86_400
    }

    /// Nanoseconds since the epoch as ticks of this precision (truncated towards the past).
    pub fn from_nanoseconds(self, nanoseconds: i64) -> i64 {
        nanoseconds.div_euclid(1_000_000_000 / self.ticks_per_second())
    }
}

/// The unit of the timestamps of one write request: a [`Precision`] or whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WritePrecision {
    #[default]
    Nanosecond,
    Microsecond,
    Millisecond,
    Second,
}

impl WritePrecision {
    /// `ns`, `us`, `ms` or `s`, in any case.
    pub fn parse(text: &str) -> Option<WritePrecision> {
        match text.to_ascii_lowercase().as_str() {
            "ns" => Some(WritePrecision::Nanosecond),
            "us" => Some(WritePrecision::Microsecond),
            "ms" => Some(WritePrecision::Millisecond),
            "s" => Some(WritePrecision::Second),
            _ => None,
        }
    }

    fn ticks_per_second(self) -> i64 {
        match self {
            WritePrecision::Nanosecond => 1_000_000_000,
            WritePrecision::Microsecond => 1_000_000,
            WritePrecision::Millisecond => 1_000,
            WritePrecision::Second => 1,
        }
    }

    /// A client's timestamp in the database's precision, truncated towards zero as CnosDB does.
    /// `None` when it does not fit in 64 bits.
    pub fn convert(self, value: i64, to: Precision) -> Option<i64> {
        let (from, to) = (self.ticks_per_second(), to.ticks_per_second());
        if to >= from { value.checked_mul(to / from) } else { Some(value / (from / to)) }
    }
}

/// Parses a duration as `CREATE DATABASE … WITH TTL` takes it: `inf` (none), a bare number of
/// days, or humantime's words (`30d`, `2y1M`).
pub fn parse_ttl(text: &str) -> Result<Option<std::time::Duration>> {
    let trimmed = text.trim();
    if trimmed.eq_ignore_ascii_case("inf") {
        return Ok(None);
    }
    if let Ok(days) = trimmed.parse::<u64>() {
        let seconds = days.checked_mul(86_400).ok_or_else(|| {
            Error::new(Code::Semantic, format!("Semantic error: duration of {days} days is too long"))
        })?;
        return Ok(Some(std::time::Duration::from_secs(seconds)));
    }
    humantime::parse_duration(trimmed).map(Some).map_err(|error| {
        Error::new(
            Code::Semantic,
            format!("Semantic error: '{text}' is not a duration ('inf', days as a number, or like '30d'): {error}"),
        )
    })
}

/// A duration as CnosDB shows it (`10days`, `3months 8days 16h 19m 12s`), `INF` for none.
pub fn render_ttl(ttl: Option<std::time::Duration>) -> String {
    match ttl {
        None => "INF".to_owned(),
        Some(duration) => humantime::format_duration(duration).to_string(),
    }
}
