//! The server's settings, from the environment, made to fit a function.

use siltdb::config::{self, LogFormat, Machine, Resolved, Settings};
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
    let resolved = config::resolve(|_| None, variable, None, &memory())?;
    if !resolved.is_said("store") {
        let message = "SILTDB_STORE is not set: a function keeps nothing, so it needs a bucket (s3://bucket/prefix)";
        return Err(Error::new(Code::BadRequest, message));
    }
    Ok(fit(&resolved))
}

/// The function's memory.
fn memory() -> Machine {
    let megabytes = std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").ok().and_then(|text| text.parse().ok());
    Machine::function(megabytes.unwrap_or(512_u64) << 20)
}

/// What nobody has said is what suits a function. Sizes of memory follow from that of the function already.
fn fit(resolved: &Resolved) -> Settings {
    let mut settings = resolved.settings.clone();
    let said = |flag: &str| resolved.is_said(flag);
    if !said("query-spill-bytes") {
        settings.limits.query_spill_bytes = settings.limits.query_spill_bytes.min(SPILL_BYTES);
    }
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
        fit(&config::resolve(|_| None, find, None, &Machine::function(256 << 20)).unwrap())
    }

    #[test]
    fn what_is_not_said_fits_the_memory() {
        let settings = fitted(&[]);
        let held = settings.limits.query_memory_bytes
            + settings.http.body_memory_bytes
            + settings.tail_cache_bytes as usize
            + settings.footer_cache_bytes as usize;
        assert!(held <= settings.limits.memory_bytes && settings.limits.memory_bytes <= 192 << 20, "{held}");
        assert_eq!(settings.log_format, LogFormat::Json);
        assert_eq!((settings.limits.write_body_bytes, settings.limits.sql_body_bytes), (4 << 20, 4 << 20));
    }

    #[test]
    fn what_is_said_counts() {
        let settings = fitted(&[
            ("SILTDB_QUERY_MEMORY_BYTES", "128MiB"),
            ("SILTDB_LOG_FORMAT", "text"),
            ("SILTDB_WRITE_BODY_BYTES", "32MiB"),
            ("SILTDB_SQL_BODY_BYTES", "1KiB"),
        ]);
        assert_eq!(settings.limits.query_memory_bytes, 128 << 20);
        assert_eq!(settings.log_format, LogFormat::Text);
        assert_eq!((settings.limits.write_body_bytes, settings.limits.sql_body_bytes), (4 << 20, 1 << 10));
    }
}
