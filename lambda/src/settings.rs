//! The server's settings, from the environment, made to fit a function.

use siltdb::config::{self, LogFormat, Resolved, Settings};
use siltdb::model::{Code, Error, Result};

use crate::secrets;

/// The largest body a request may have. The platform refuses events over 6 MiB, and a body that is not
/// text arrives base64-coded, as 4/3 of its size: what is over this limit and still comes through gets
/// an answer of ours.
const BODY_BYTES: usize = 4 << 20;
/// What is left in a function's temporary folder of 512 MiB when others use a part.
const SPILL_BYTES: u64 = 384 << 20;

/// Reads the settings, and fetches those secrets that the environment only names.
///
/// # Errors
/// A setting that does not make sense, a store that is not named, a secret that cannot be had.
pub async fn from_environment() -> Result<Settings> {
    let fetched = secrets::fetch_all(|name| std::env::var(name).ok()).await?;
    let variable = |name: &str| fetched.get(name).cloned().or_else(|| std::env::var(name).ok());
    let resolved = config::resolve(|_| None, variable, None)?;
    if !resolved.is_said("store") {
        let message = "SILTDB_STORE is not set: a function keeps nothing, so it needs a bucket (s3://bucket/prefix)";
        return Err(Error::new(Code::BadRequest, message));
    }
    Ok(fit(&resolved, memory()))
}

/// The function's memory in bytes.
fn memory() -> usize {
    let megabytes = std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").ok().and_then(|text| text.parse().ok());
    megabytes.unwrap_or(512_usize) << 20
}

/// What nobody has said takes a share of the memory, the server's default at most.
fn fit(resolved: &Resolved, memory: usize) -> Settings {
    let mut settings = resolved.settings.clone();
    let said = |flag: &str| resolved.is_said(flag);
    let limit = |flag: &str, value: &mut usize, most: usize| {
        if !said(flag) {
            *value = (*value).min(most);
        }
    };
    let limit_large = |flag: &str, value: &mut u64, most: u64| {
        if !said(flag) {
            *value = (*value).min(most);
        }
    };
    limit("query-memory-bytes", &mut settings.limits.query_memory_bytes, memory / 5 * 2);
    limit("decoded-body-bytes", &mut settings.limits.decoded_body_bytes, memory / 8);
    limit("body-memory-bytes", &mut settings.http.body_memory_bytes, memory / 4);
    limit("result-buffer-bytes", &mut settings.http.result_buffer_bytes, memory / 32);
    limit_large("tail-cache-bytes", &mut settings.tail_cache_bytes, memory as u64 / 8);
    limit_large("footer-cache-bytes", &mut settings.footer_cache_bytes, memory as u64 / 16);
    limit_large("query-spill-bytes", &mut settings.limits.query_spill_bytes, SPILL_BYTES);
    if !said("log-format") {
        settings.log_format = LogFormat::Json;
    }
    // More cannot come, whatever the settings say.
    for bytes in [&mut settings.limits.write_body_bytes, &mut settings.limits.sql_body_bytes] {
        *bytes = (*bytes).min(BODY_BYTES);
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(variables: &[(&str, &str)]) -> Settings {
        let find = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, text)| (*text).to_owned());
        fit(&config::resolve(|_| None, find, None).unwrap(), 256 << 20)
    }

    #[test]
    fn what_is_not_said_fits_the_memory() {
        let settings = fitted(&[]);
        let held = settings.limits.query_memory_bytes
            + settings.http.body_memory_bytes
            + settings.tail_cache_bytes as usize
            + settings.footer_cache_bytes as usize;
        assert!(held <= 240 << 20, "{held}");
        assert_eq!(settings.log_format, LogFormat::Json);
        assert_eq!((settings.limits.write_body_bytes, settings.limits.sql_body_bytes), (4 << 20, 4 << 20));
    }

    #[test]
    fn what_is_said_counts() {
        let settings = fitted(&[
            ("SILTDB_QUERY_MEMORY_BYTES", "1GiB"),
            ("SILTDB_LOG_FORMAT", "text"),
            ("SILTDB_WRITE_BODY_BYTES", "32MiB"),
            ("SILTDB_SQL_BODY_BYTES", "1KiB"),
        ]);
        assert_eq!(settings.limits.query_memory_bytes, 1 << 30);
        assert_eq!(settings.log_format, LogFormat::Text);
        assert_eq!((settings.limits.write_body_bytes, settings.limits.sql_body_bytes), (4 << 20, 1 << 10));
    }
}
