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
    /// `ns`, `us`, `ms` or `s`, in any case; `n` and `u` as InfluxDB 1 writes them.
    pub fn parse(text: &str) -> Option<WritePrecision> {
        match text.to_ascii_lowercase().as_str() {
            "ns" | "n" => Some(WritePrecision::Nanosecond),
            "us" | "u" => Some(WritePrecision::Microsecond),
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

/// Year, month and day of the proleptic Gregorian calendar, `day` being the days since 1970-01-01.
/// After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": eras of 400 years, whose years
/// begin in March, so that the leap day comes last.
pub fn civil_from_days(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (day, expected) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_781, (2026, 11, 24)),
            (-719_468, (0, 3, 1)),
            (-719_529, (-1, 12, 31)),
            (2_932_896, (9999, 12, 31)),
            (2_932_897, (10_000, 1, 1)),
        ] {
            assert_eq!(civil_from_days(day), expected);
        }
    }

    #[test]
    fn every_day_of_two_eras_follows_the_one_before() {
        let length = |year: i64, month: i64| match month {
            2 if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut day) = civil_from_days(-719_468);
        for number in -719_468 + 1..146_097 {
            (year, month, day) = match day < length(year, month) {
                true => (year, month, day + 1),
                false if month < 12 => (year, month + 1, 1),
                false => (year + 1, 1, 1),
            };
            assert_eq!(civil_from_days(number), (year, month, day));
        }
    }
}
