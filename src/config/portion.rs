//! How the total of memory follows from the machine, and a part of it from the total.

use super::size::render;

/// The total's share of the machine's memory, in percent. A quarter more is still less than all of it.
pub const TOTAL_PERCENT: u64 = 75;

/// How a part follows from the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion {
    /// Thousandths of the total.
    pub per_mille: u64,
    /// Never more bytes.
    pub most: u64,
    /// Whether it is held beside the others, or a bound within one of them.
    pub is_beside: bool,
}

impl Portion {
    pub fn of(self, total: u64) -> u64 {
        (total / 1_000 * self.per_mille).min(self.most)
    }

    /// As the default of a setting is shown.
    pub fn text(self) -> String {
        let (whole, tenth) = (self.per_mille / 10, self.per_mille % 10);
        let tenth = if tenth == 0 { String::new() } else { format!(".{tenth}") };
        let most = if self.most == u64::MAX { String::new() } else { format!(", at most {}", render(self.most)) };
        format!("{whole}{tenth}% of memory-bytes{most}")
    }
}

/// As the default of the total is shown.
pub fn text_of_total() -> String {
    format!("{TOTAL_PERCENT}% of what there is")
}
