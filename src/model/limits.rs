//! Limits, each a setting with a default, each with a clear error.

use std::time::Duration;

/// What one request, one query, one database may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Bytes of a request's body as sent.
    pub write_body_bytes: usize,
    /// Bytes of a SQL request's body as sent.
    pub sql_body_bytes: usize,
    /// Bytes of a body after decoding its Content-Encoding.
    pub decoded_body_bytes: usize,
    /// Bytes of one line of line protocol.
    pub line_bytes: usize,
    pub tags_per_line: usize,
    pub fields_per_line: usize,
    pub columns_per_table: usize,
    pub tables_per_database: usize,
    /// Writes in flight at once.
    pub concurrent_writes: usize,
    /// Queries in flight at once.
    pub concurrent_queries: usize,
    /// Memory of the whole process, bytes; `usize::MAX` for what there is.
    pub memory_bytes: usize,
    /// Memory all queries together may hold, bytes.
    pub query_memory_bytes: usize,
    /// Bytes of temporary files a query may spill; 0 forbids spilling.
    pub query_spill_bytes: u64,
    /// The folder for them; empty for the system's folder of temporary files.
    pub query_spill_folder: String,
    pub query_time: Duration,
    /// Bytes of a SQL text.
    pub sql_text_bytes: usize,
    /// Live segments of a database before writes are asked to wait.
    pub live_segments: usize,
    /// Live segment bytes of a database before writes are asked to wait.
    pub live_segment_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            write_body_bytes: 32 << 20,
            sql_body_bytes: 16 << 20,
            decoded_body_bytes: 128 << 20,
            line_bytes: 1 << 20,
            tags_per_line: 64,
            fields_per_line: 1_024,
            columns_per_table: 4_096,
            tables_per_database: 10_000,
            concurrent_writes: 256,
            concurrent_queries: 32,
            memory_bytes: usize::MAX,
            query_memory_bytes: 512 << 20,
            query_spill_bytes: 4 << 30,
            query_spill_folder: String::new(),
            query_time: Duration::from_secs(30),
            sql_text_bytes: 256 << 10,
            live_segments: 1_000,
            live_segment_bytes: 256 << 20,
        }
    }
}
