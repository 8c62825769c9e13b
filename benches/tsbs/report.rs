//! The report: Markdown, gathered and printed at the end. And what every file of the benchmark uses.

use std::fmt::Display;
use std::time::Instant;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Tells on standard error what is going on.
pub fn progress(what: impl Display) {
    eprintln!("benchmark: {what}");
}

#[derive(Debug, Default)]
pub struct Report {
    text: String,
    wrong: bool,
}

impl Report {
    pub fn heading(&mut self, level: usize, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&format!("{} {text}\n", "#".repeat(level)));
    }

    pub fn paragraph(&mut self, text: &str) {
        self.text.push_str(&format!("\n{text}\n"));
    }

    pub fn table(&mut self, table: &Table) {
        self.text.push_str(&format!("\n{}", table.text));
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Marks that something measured was not right.
    pub fn set_wrong(&mut self) {
        self.wrong = true;
    }

    pub fn is_wrong(&self) -> bool {
        self.wrong
    }
}

/// A table; all columns but the first are numbers.
#[derive(Debug)]
pub struct Table {
    text: String,
}

impl Table {
    pub fn new(columns: &[&str]) -> Table {
        let rule = format!("|---|{}\n", "---:|".repeat(columns.len().saturating_sub(1)));
        Table { text: format!("| {} |\n{rule}", columns.join(" | ")) }
    }

    pub fn row(&mut self, cells: &[String]) {
        self.text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
}

/// A number with about three digits that count.
pub fn short(number: f64) -> String {
    match number.abs() {
        size if !size.is_finite() => "–".to_owned(),
        size if size >= 100.0 => thousands(number.round() as u64),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

/// A whole number with commas.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub fn mebibytes(bytes: u64) -> String {
    short(bytes as f64 / f64::from(1 << 20))
}

pub fn milliseconds(seconds: f64) -> String {
    short(seconds * 1e3)
}

/// Sorted numbers, to take quantiles of.
#[derive(Debug, Clone, Default)]
pub struct Sorted(Vec<f64>);

impl Sorted {
    pub fn new(mut numbers: Vec<f64>) -> Sorted {
        numbers.sort_by(f64::total_cmp);
        Sorted(numbers)
    }

    /// The value that a share of all is not above. NaN of nothing.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    pub fn max(&self) -> f64 {
        self.quantile(1.0)
    }
}

/// CPU and wall seconds of several runs of one thing.
#[derive(Debug, Clone, Default)]
pub struct Timings {
    pub cpu: Sorted,
    pub wall: Sorted,
}

impl Timings {
    /// From pairs of CPU and wall seconds.
    pub fn new(runs: &[(f64, f64)]) -> Timings {
        let (cpu, wall) = runs.iter().copied().unzip();
        Timings { cpu: Sorted::new(cpu), wall: Sorted::new(wall) }
    }

    /// Medians in milliseconds, CPU / wall.
    pub fn medians(&self) -> String {
        format!("{} / {}", milliseconds(self.cpu.median()), milliseconds(self.wall.median()))
    }

    /// The smallest in milliseconds, CPU / wall.
    pub fn minima(&self) -> String {
        format!("{} / {}", milliseconds(self.cpu.min()), milliseconds(self.wall.min()))
    }
}

/// Seconds since then.
pub fn since(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64()
}
