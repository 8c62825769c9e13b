//! Buckets on the S3 server that the environment names.

use crate::client::{Request, send};
use crate::server::Target;

/// A new bucket on the S3 server that the environment names; `None`, with a word about it, without.
pub async fn bucket(name: &str) -> Option<Target> {
    let Ok(endpoint) = std::env::var("SILTDB_TEST_S3_ENDPOINT") else {
        eprintln!("SILTDB_TEST_S3_ENDPOINT is not set: not run on S3 (tests/run sets it)");
        return None;
    };
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let bucket = format!("siltdb-{name}-{}", std::process::id());
    let created = send(&address, &Request::new("PUT", &format!("/{bucket}"), "")).await.expect("an S3 server");
    assert_eq!(created.status, 200, "{}", created.text());
    let environment = [
        ("AWS_ENDPOINT_URL_S3", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
    ];
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Some(Target { store: format!("s3://{bucket}/some/prefix"), environment })
}
