//! What this process counts about itself, in the text that Prometheus reads.
//!
//! In: events of requests, readings taken elsewhere when someone looks. Out: text exposition format
//! 0.0.4. Invariants: a family never has more than [`MAXIMUM_SETS`] sets of labels, whatever names
//! clients invent; label values are escaped. Never: who serves the page, what the numbers cost.
//!
//! Families that CnosDB has keep its names and labels, so that its dashboards work.

mod exposition;
mod family;
mod process;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use exposition::{CONTENT_TYPE, Exposition, FamilyKind};
pub use family::MAXIMUM_SETS;
use family::{CounterFamily, Histograms};
pub use process::{ProcessMemory, Resident};

/// Who asked for what: the labels of the families about requests.
#[derive(Debug, Clone, Copy)]
pub struct CallerLabels<'a> {
    pub tenant: &'a str,
    pub user: &'a str,
    /// Only where the route is about one database, and that exists.
    pub database: Option<&'a str>,
    /// The path without its leading slash.
    pub api: &'a str,
}

/// A number read at the moment someone looks, such as the size of a cache.
#[derive(Debug, Clone)]
pub struct GaugeReading {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: FamilyKind,
    pub labels: Vec<(&'static str, &'static str)>,
    pub value: u64,
}

/// All families about requests.
pub struct Metrics {
    host: String,
    queries: CounterFamily,
    writes: CounterFamily,
    data_in: CounterFamily,
    data_out: CounterFamily,
    query_seconds: Histograms,
    write_seconds: Histograms,
    flow: CounterFamily,
    response_seconds: Histograms,
    responses: CounterFamily,
}

impl Metrics {
    /// `host` is the address that is listened on.
    pub fn new(host: &str) -> Metrics {
        Metrics {
            host: host.to_owned(),
            queries: CounterFamily::new("http_queries", "SQL requests"),
            writes: CounterFamily::new("http_writes", "Write requests"),
            data_in: CounterFamily::new("http_data_in", "Bytes of request bodies as sent"),
            data_out: CounterFamily::new("http_data_out", "Bytes of result bodies as sent"),
            query_seconds: Histograms::new("http_query_duration_seconds", "Time until a SQL request was answered"),
            write_seconds: Histograms::new("http_write_duration_seconds", "Time until a write request was answered"),
            flow: CounterFamily::new("http_flow", "Bytes of all bodies, in and out"),
            response_seconds: Histograms::new("http_response_time_seconds", "Time until any request was answered"),
            responses: CounterFamily::new("siltdb_http_responses_total", "Answers by status"),
        }
    }

    fn labels<'a>(&'a self, caller: &CallerLabels<'a>) -> Vec<(&'static str, &'a str)> {
        let mut labels = vec![("tenant", caller.tenant), ("user", caller.user)];
        labels.extend(caller.database.map(|database| ("database", database)));
        labels.extend([("host", self.host.as_str()), ("api", caller.api)]);
        labels
    }

    /// A SQL request was answered.
    pub fn query(&self, caller: &CallerLabels<'_>, took: Duration) {
        self.queries.add(&self.labels(caller), 1);
        self.query_seconds.observe(&self.labels(caller), took);
    }

    /// A write was answered.
    pub fn write(&self, caller: &CallerLabels<'_>, took: Duration) {
        self.writes.add(&self.labels(caller), 1);
        self.write_seconds.observe(&self.labels(caller), took);
    }

    /// Bytes of a request's and its answer's body, of a caller whose credentials were right.
    pub fn data(&self, caller: &CallerLabels<'_>, bytes_in: u64, bytes_out: u64) {
        self.data_in.add(&self.labels(caller), bytes_in);
        self.data_out.add(&self.labels(caller), bytes_out);
    }

    /// Any request was answered; `bytes` of both bodies. `api` must be one of a fixed few.
    pub fn request(&self, api: &str, status: u16, bytes: u64, took: Duration) {
        let labels = [("host", self.host.as_str()), ("api", api)];
        self.flow.add(&labels, bytes);
        self.response_seconds.observe(&labels, took);
        self.responses.add(&[("api", api), ("status", &status.to_string())], 1);
    }

    /// The whole page. `readings` of one name must follow each other.
    pub fn render(&self, readings: &[GaugeReading]) -> String {
        let mut page = Exposition::default();
        for counters in [&self.queries, &self.writes, &self.data_in, &self.data_out, &self.flow, &self.responses] {
            counters.render(&mut page);
        }
        for histograms in [&self.query_seconds, &self.write_seconds, &self.response_seconds] {
            histograms.render(&mut page);
        }
        let mut last = "";
        for reading in readings {
            if reading.name != last {
                page.family(reading.name, reading.help, reading.kind);
                last = reading.name;
            }
            page.sample(reading.name, &exposition::labels(&reading.labels), reading.value);
        }
        page.into_text()
    }
}
