//! Dates and times of day as text (ISO 8601, proleptic Gregorian calendar).

use crate::model::time::civil_from_days;

/// How many digits of a second are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fraction {
    /// Always nine.
    Nine,
    /// None, three, six or nine: as few as keep the value.
    AsNeeded,
}

fn push_two(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
}

/// Appends `width` digits of `value`.
fn push_digits(out: &mut Vec<u8>, value: u32, width: usize) {
    let mut digits = [b'0'; 9];
    let mut rest = value;
    for digit in digits[..width].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[..width]);
}

/// Appends a date, `2022-10-19`, given in days since 1970-01-01. Years outside of 0 to 9999 carry a sign.
pub fn push_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil_from_days(days);
    match u32::try_from(year) {
        Ok(year @ 0..=9_999) => push_digits(out, year, 4),
        _ => {
            out.push(if year < 0 { b'-' } else { b'+' });
            out.extend_from_slice(format!("{:04}", year.unsigned_abs()).as_bytes());
        }
    }
    out.push(b'-');
    push_two(out, month as u32);
    out.push(b'-');
    push_two(out, day as u32);
}

/// Appends a moment, `2022-10-19T01:40:00.000000000`, given in ticks since 1970, without a zone.
/// `per_second` is one of 1, 1,000, 1,000,000 and 1,000,000,000.
pub fn push_timestamp(out: &mut Vec<u8>, ticks: i64, per_second: i64, fraction: Fraction) {
    let seconds = ticks.div_euclid(per_second);
    let nanoseconds = (ticks.rem_euclid(per_second) * (1_000_000_000 / per_second)) as u32;
    push_date(out, seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400) as u32;
    out.push(b'T');
    push_two(out, second / 3_600);
    out.push(b':');
    push_two(out, second / 60 % 60);
    out.push(b':');
    push_two(out, second % 60);
    let (value, width) = match fraction {
        Fraction::Nine => (nanoseconds, 9),
        Fraction::AsNeeded if nanoseconds == 0 => return,
        Fraction::AsNeeded if nanoseconds.is_multiple_of(1_000_000) => (nanoseconds / 1_000_000, 3),
        Fraction::AsNeeded if nanoseconds.is_multiple_of(1_000) => (nanoseconds / 1_000, 6),
        Fraction::AsNeeded => (nanoseconds, 9),
    };
    out.push(b'.');
    push_digits(out, value, width);
}

/// An interval as it is kept: parts that do not convert into each other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Interval {
    pub years: i32,
    pub months: i32,
    pub days: i32,
    pub nanoseconds: i64,
}

impl Interval {
    /// In CnosDB's words: `0 years 1 mons 3 days 22 hours 0 mins 0.000000000 secs`. `digits` is how
    /// many digits of a second the type keeps.
    pub fn words(self, digits: usize) -> String {
        let magnitude = self.nanoseconds.unsigned_abs();
        let (seconds, below) = (magnitude / 1_000_000_000, magnitude % 1_000_000_000);
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let sign = if self.nanoseconds < 0 { "-" } else { "" };
        let mark = |value: u64| if value == 0 { "" } else { sign };
        let fraction = &format!("{below:09}")[..digits.min(9)];
        format!(
            "{} years {} mons {} days {}{hours} hours {}{minutes} mins {}{seconds}.{fraction} secs",
            self.years,
            self.months,
            self.days,
            mark(hours),
            mark(minutes),
            mark(seconds + below),
        )
    }
}
