//! Families of counters and histograms, one series for each set of labels.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::exposition::{Exposition, FamilyKind, labels};

/// Sets of labels a family keeps apart. What comes later is counted under `other`.
pub const MAXIMUM_SETS: usize = 1_000;

/// Upper bounds of the buckets, as CnosDB has them: microseconds, and in seconds as text.
const BUCKETS: [(u64, &str); 13] = [
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];

/// Series by their rendered labels.
struct Sets<T>(Mutex<BTreeMap<String, T>>);

impl<T: Default> Sets<T> {
    fn new() -> Self {
        Sets(Mutex::new(BTreeMap::new()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, set: &[(&'static str, &str)], change: impl FnOnce(&mut T)) {
        let mut series = self.lock();
        let mut key = labels(set);
        if series.len() >= MAXIMUM_SETS && !series.contains_key(&key) {
            let others: Vec<(&'static str, &str)> = set.iter().map(|(name, _)| (*name, "other")).collect();
            key = labels(&others);
        }
        change(series.entry(key).or_default());
    }
}

/// Numbers that only grow.
pub struct CounterFamily {
    name: &'static str,
    help: &'static str,
    sets: Sets<u64>,
}

impl CounterFamily {
    pub fn new(name: &'static str, help: &'static str) -> Self {
        CounterFamily { name, help, sets: Sets::new() }
    }

    pub fn add(&self, set: &[(&'static str, &str)], count: u64) {
        self.sets.update(set, |value| *value += count);
    }

    pub fn render(&self, page: &mut Exposition) {
        page.family(self.name, self.help, FamilyKind::Counter);
        for (labels, value) in self.sets.lock().iter() {
            page.sample(self.name, labels, value);
        }
    }
}

/// How often, how long in all, and how often within each bucket.
#[derive(Debug, Default)]
struct Histogram {
    count: u64,
    microseconds: u64,
    buckets: [u64; BUCKETS.len()],
}

/// Durations.
pub struct Histograms {
    name: &'static str,
    help: &'static str,
    sets: Sets<Histogram>,
}

impl Histograms {
    pub fn new(name: &'static str, help: &'static str) -> Self {
        Histograms { name, help, sets: Sets::new() }
    }

    pub fn observe(&self, set: &[(&'static str, &str)], took: Duration) {
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sets.update(set, |histogram| {
            histogram.count += 1;
            histogram.microseconds = histogram.microseconds.saturating_add(microseconds);
            if let Some(bucket) = BUCKETS.iter().position(|(bound, _)| microseconds <= *bound) {
                histogram.buckets[bucket] += 1;
            }
        });
    }

    pub fn render(&self, page: &mut Exposition) {
        page.family(self.name, self.help, FamilyKind::Histogram);
        let bucket_name = format!("{}_bucket", self.name);
        for (labels, histogram) in self.sets.lock().iter() {
            let separator = if labels.is_empty() { "" } else { "," };
            let mut within = 0;
            for ((_, bound), count) in BUCKETS.iter().zip(histogram.buckets) {
                within += count;
                page.sample(&bucket_name, &format!("{labels}{separator}le=\"{bound}\""), within);
            }
            page.sample(&bucket_name, &format!("{labels}{separator}le=\"+Inf\""), histogram.count);
            page.sample(&format!("{}_sum", self.name), labels, histogram.microseconds as f64 / 1e6);
            page.sample(&format!("{}_count", self.name), labels, histogram.count);
        }
    }
}
