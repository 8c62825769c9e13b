//! The data: like the Time Series Benchmark Suite's "cpu-only", always the same. Each host walks at
//! random with a seed of its own, so that rows can be made by tick, as they are sent, or by host, as the
//! ideal file holds them.

use std::fmt::Write;
use std::ops::Range;

use clap::ValueEnum;
use hyper::body::Bytes;

use crate::options::Scale;

/// 2016-01-01T00:00:00Z.
pub const START_SECONDS: i64 = 1_451_606_400;
/// Seconds from tick to tick.
pub const STEP_SECONDS: i64 = 10;
pub const NANOSECONDS: i64 = 1_000_000_000;

pub const TAGS: [&str; 10] = [
    "hostname",
    "region",
    "datacenter",
    "rack",
    "os",
    "arch",
    "team",
    "service",
    "service_version",
    "service_environment",
];
pub const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

/// A field walks from 0 to this, in hundredths.
const MOST: i64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Values {
    /// `58i`
    Whole,
    /// `58`, a floating-point number
    Rounded,
    /// `58.13`
    Float,
}

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    pub hosts: usize,
    pub ticks: usize,
    pub values: Values,
}

impl Workload {
    pub fn new(scale: Scale, values: Values) -> Workload {
        let (hosts, hours) = if scale == Scale::Full { (1_000, 12) } else { (100, 1) };
        Workload { hosts, ticks: hours * 360, values }
    }

    pub fn rows(&self) -> usize {
        self.hosts * self.ticks
    }

    pub fn seconds(&self) -> i64 {
        self.ticks as i64 * STEP_SECONDS
    }

    /// Bodies of `lines` lines, at most `most` of them, all hosts of a tick before those of the next.
    pub fn bodies(&self, ticks: Range<usize>, lines: usize, most: usize) -> Vec<Bytes> {
        let mut hosts: Vec<Host> = (0..self.hosts).map(Host::new).collect();
        let mut bodies = Vec::new();
        let mut body = String::with_capacity(lines * 400);
        let mut held = 0;
        for tick in 0..ticks.end {
            for host in &mut hosts {
                let values = host.step();
                if tick < ticks.start {
                    continue;
                }
                self.line(&mut body, host, &values, tick);
                held += 1;
                if held == lines {
                    bodies.push(Bytes::copy_from_slice(body.as_bytes()));
                    body.clear();
                    held = 0;
                    if bodies.len() == most {
                        return bodies;
                    }
                }
            }
        }
        if held > 0 {
            bodies.push(Bytes::copy_from_slice(body.as_bytes()));
        }
        bodies
    }

    fn line(&self, body: &mut String, host: &Host, values: &[i64; FIELDS.len()], tick: usize) {
        body.push_str("cpu");
        for (name, value) in TAGS.iter().zip(&host.tags) {
            body.extend([",", name, "=", value]);
        }
        for (position, (name, value)) in FIELDS.iter().zip(values).enumerate() {
            body.push(if position == 0 { ' ' } else { ',' });
            let (whole, part) = (value / 100, value % 100);
            // Writing into a String does not fail.
            let _ = match self.values {
                Values::Whole => write!(body, "{name}={whole}i"),
                Values::Rounded => write!(body, "{name}={whole}"),
                Values::Float => write!(body, "{name}={whole}.{part:02}"),
            };
        }
        let _ = writeln!(body, " {}", time(tick));
    }
}

/// The time of a tick, nanoseconds since 1970.
pub fn time(tick: usize) -> i64 {
    (START_SECONDS + tick as i64 * STEP_SECONDS) * NANOSECONDS
}

/// A host, its tags and where its fields stand.
pub struct Host {
    pub tags: [String; TAGS.len()],
    fields: [i64; FIELDS.len()],
    random: Random,
}

impl Host {
    pub fn new(number: usize) -> Host {
        const REGIONS: [(&str, usize); 9] = [
            ("us-east-1", 5),
            ("us-west-1", 2),
            ("us-west-2", 3),
            ("eu-west-1", 3),
            ("eu-central-1", 2),
            ("ap-southeast-1", 2),
            ("ap-southeast-2", 2),
            ("ap-northeast-1", 2),
            ("sa-east-1", 3),
        ];
        const OS: [&str; 3] = ["Ubuntu15.10", "Ubuntu16.10", "Ubuntu16.04LTS"];
        const TEAMS: [&str; 4] = ["SF", "NYC", "LON", "CHI"];
        const ENVIRONMENTS: [&str; 3] = ["production", "staging", "test"];
        let mut random = Random(number as u64 + 1);
        let (region, zones) = REGIONS[random.below(REGIONS.len())];
        let zone = (b'a' + random.below(zones) as u8) as char;
        let tags = [
            format!("host_{number}"),
            region.to_owned(),
            format!("{region}{zone}"),
            random.below(100).to_string(),
            OS[random.below(OS.len())].to_owned(),
            ["x64", "x86"][random.below(2)].to_owned(),
            TEAMS[random.below(TEAMS.len())].to_owned(),
            random.below(20).to_string(),
            random.below(2).to_string(),
            ENVIRONMENTS[random.below(ENVIRONMENTS.len())].to_owned(),
        ];
        let fields = std::array::from_fn(|_| random.below(MOST as usize + 1) as i64);
        Host { tags, fields, random }
    }

    /// The fields at the next tick, in hundredths.
    pub fn step(&mut self) -> [i64; FIELDS.len()] {
        let now = self.fields;
        for field in &mut self.fields {
            *field = (*field + self.random.step()).clamp(0, MOST);
        }
        now
    }
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// About normal, with a deviation of about one: the sum of four draws, in hundredths.
    fn step(&mut self) -> i64 {
        let drawn = self.next();
        (0..4).map(|part| ((((drawn >> (part * 16)) & 0xffff) * 201) >> 16) as i64).sum::<i64>() - 400
    }
}
