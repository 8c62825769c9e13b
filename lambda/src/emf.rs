//! One line of metrics for each invocation, in CloudWatch's embedded metric format: what it asked of
//! the object store, and how long it took.

use std::io::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use siltdb::store::{Cost, Store};

/// Names a metric and reads it.
type Metric = (&'static str, &'static str, fn(&Cost) -> u64);

const METRICS: [Metric; 6] = [
    ("StorePuts", "Count", |cost| cost.puts),
    ("StoreGets", "Count", |cost| cost.gets),
    ("StoreLists", "Count", |cost| cost.lists),
    ("StoreDeletes", "Count", |cost| cost.deletes),
    ("StoreBytesRead", "Bytes", |cost| cost.bytes_read),
    ("StoreBytesWritten", "Bytes", |cost| cost.bytes_written),
];

/// Where the store's counters stood when an invocation began.
pub struct InvocationMetrics<'a> {
    store: &'a Store,
    before: Cost,
    began: Instant,
}

impl<'a> InvocationMetrics<'a> {
    pub fn begin(store: &'a Store) -> InvocationMetrics<'a> {
        InvocationMetrics { store, before: store.totals().snapshot(), began: Instant::now() }
    }

    /// Prints the line, unless the log leaves out `siltdb::metrics`.
    pub fn end(self, kind: &str) {
        if !tracing::enabled!(target: "siltdb::metrics", tracing::Level::INFO) {
            return;
        }
        let line = line(kind, &(self.store.totals().snapshot() - self.before), self.began.elapsed().as_secs_f64());
        // Whoever reads metrics may be gone; the answer was given.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

fn line(kind: &str, cost: &Cost, seconds: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut declared: Vec<_> = METRICS.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
    declared.push(json!({"Name": "Seconds", "Unit": "Seconds"}));
    let mut line = json!({
        "_aws": {
            "Timestamp": u64::try_from(now).unwrap_or_default(),
            "CloudWatchMetrics": [{"Namespace": "SiltDB", "Dimensions": [["Function", "Kind"]], "Metrics": declared}],
        },
        "Function": std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
        "Kind": kind,
        "Seconds": seconds,
    });
    for (name, _, read) in METRICS {
        line[name] = read(cost).into();
    }
    line.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_that_is_declared_has_its_value() {
        let cost = Cost { puts: 1, gets: 2, lists: 3, deletes: 4, bytes_read: 5, bytes_written: 6 };
        let line: serde_json::Value = serde_json::from_str(&line("write", &cost, 0.5)).unwrap();
        let declared = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        let values: Vec<f64> =
            declared.iter().map(|metric| line[metric["Name"].as_str().unwrap()].as_f64().unwrap()).collect();
        assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5]);
        assert_eq!(line["Kind"], "write");
    }
}
