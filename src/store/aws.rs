//! What an S3 client is made from, and why it may have no credentials.

use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use object_store::aws::AwsCredentialProvider;

pub(super) const NO_CREDENTIALS: &str = "no AWS credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
                              or AWS_PROFILE, or run under a role";

/// How to reach a bucket.
#[derive(Debug)]
pub(super) struct S3Config {
    /// A server other than AWS, as a URL; its buckets are addressed by path.
    pub endpoint: Option<String>,
    pub region: String,
    pub credentials: AwsCredentialProvider,
}

/// Why there are no credentials. The chain's own texts stay out: they may quote what a credential
/// process printed.
#[derive(Debug)]
pub(super) struct Unobtainable(&'static str);

impl Unobtainable {
    pub(super) fn new(error: &CredentialsError) -> Self {
        Unobtainable(match error {
            CredentialsError::CredentialsNotLoaded(_) => NO_CREDENTIALS,
            CredentialsError::ProviderTimedOut(_) => "the AWS credentials provider did not answer in time",
            CredentialsError::InvalidConfiguration(_) => {
                "the AWS configuration is invalid: check AWS_PROFILE, the profile and credentials files, and the role"
            }
            CredentialsError::ProviderError(_) => {
                "the AWS credentials provider failed: check the profile, the role and its right to be assumed"
            }
            _ => "the AWS credentials could not be loaded",
        })
    }
}

impl fmt::Display for Unobtainable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for Unobtainable {}
