//! What the benchmark is asked for.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::workload::Values;

/// Figures of SiltDB end to end, as Markdown. Nothing is asserted about them.
#[derive(Debug, Clone, Parser)]
#[command(name = "benches/run")]
pub struct Options {
    /// How much data.
    #[arg(long, value_enum, default_value = "full")]
    pub scale: Scale,
    /// One part instead of all; may be given several times.
    #[arg(long, value_enum)]
    pub only: Vec<Part>,
    /// Another `siltdb` than the one built with the benchmark.
    #[arg(long, value_name = "PATH")]
    pub server_binary: Option<PathBuf>,
    /// A further argument of `siltdb serve`, such as --server-argument=--log=warn.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub server_argument: Vec<String>,
    /// What the fields hold.
    #[arg(long, value_enum, default_value = "whole")]
    pub values: Values,
    /// Timed runs of each query, each over hosts and a window of its own.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
    /// Threads of DuckDB, and target partitions of DataFusion.
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// Let the DataFusion that is compared with filter while it reads, as SiltDB does; off by default there.
    #[arg(long)]
    pub pushdown: bool,
    /// Take answers as an Arrow stream instead of CSV.
    #[arg(long)]
    pub arrow: bool,
    /// Numbers of one-day files to plan over (default: 100 to 100000, or small ones).
    #[arg(long, value_delimiter = ',')]
    pub files: Vec<usize>,
    /// Numbers of tables of a database (default: 10,100,1000, or small ones).
    #[arg(long, value_delimiter = ',')]
    pub tables: Vec<usize>,
    /// Where stores are made, and removed again (default: the system's temporary folder).
    #[arg(long, value_name = "FOLDER")]
    pub directory: Option<PathBuf>,
    /// Write the report into a file too.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    pub bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    /// 100 hosts for an hour: to develop with.
    Small,
    /// 1,000 hosts for twelve hours: 4,320,000 rows.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    Ingest,
    Queries,
    Planning,
    Manifest,
}

impl Options {
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Single-line requests of each run.
    pub fn single_lines(&self) -> usize {
        if self.scale == Scale::Full { 50_000 } else { 2_000 }
    }

    /// Numbers of files to plan over.
    pub fn file_counts(&self) -> Vec<usize> {
        match self.scale {
            _ if !self.files.is_empty() => self.files.clone(),
            Scale::Full => vec![100, 1_000, 10_000, 100_000],
            Scale::Small => vec![50, 200],
        }
    }

    /// Numbers of tables to plan over.
    pub fn table_counts(&self) -> Vec<usize> {
        match self.scale {
            _ if !self.tables.is_empty() => self.tables.clone(),
            Scale::Full => vec![10, 100, 1_000],
            Scale::Small => vec![5, 20],
        }
    }
}
