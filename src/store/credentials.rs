//! Who we are to AWS: the standard variables, profiles and roles, as every AWS tool finds them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

use super::aws::{NO_CREDENTIALS, S3Config, Unobtainable};
use crate::model::{Code, Error, Result, clock::SystemClock};

/// Credentials that expire sooner than this are fetched anew.
const REFRESH_BEFORE: Duration = Duration::from_secs(5 * 60);

/// The region signed for where a server other than AWS does not care.
const REGION_OF_ENDPOINTS: &str = "us-east-1";

/// Finds endpoint, region and credentials by the standard AWS variables and profiles.
///
/// Errors: [`Code::BadRequest`] for a setting that is missing or malformed, [`Code::StoreUnavailable`]
/// when credentials cannot be had. No message holds a secret.
pub(super) async fn from_environment() -> Result<S3Config> {
    let profile_region = ProfileFileRegionProvider::new();
    let known = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new()).or_else(profile_region);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https());
    if variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL")).is_some() {
        // Without this the search for a region would go on to ask EC2, and wait for it.
        loader = loader.region(known.or_else(REGION_OF_ENDPOINTS));
    }
    let config = loader.load().await;
    let endpoint = endpoint(&config)?;
    let region = match (config.region(), &endpoint) {
        (Some(region), _) => region.to_string(),
        (None, Some(_)) => REGION_OF_ENDPOINTS.to_owned(),
        (None, None) => {
            return Err(bad("no AWS region: set AWS_REGION (or AWS_DEFAULT_REGION, or region in the profile)"));
        }
    };
    let provider = config.credentials_provider().ok_or_else(|| bad(NO_CREDENTIALS))?;
    let credentials = Arc::new(Chain::new(provider));
    credentials.current().await.map_err(|error| Error::new(Code::StoreUnavailable, error.to_string()))?;
    Ok(S3Config { endpoint, region, credentials })
}

#[allow(clippy::disallowed_methods, reason = "AWS has variables of its own, which its other tools read too")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// The S3 endpoint, by the usual order: variable for S3, variable for all, profile.
fn endpoint(config: &SdkConfig) -> Result<Option<String>> {
    let ignored = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value == "true");
    let of_s3 = variable("AWS_ENDPOINT_URL_S3").filter(|_| !ignored);
    let Some(endpoint) = of_s3.or_else(|| config.endpoint_url().map(str::to_owned)) else { return Ok(None) };
    check_endpoint(&endpoint).map(Some)
}

/// Checks an endpoint and cuts slashes from its end.
pub(super) fn check_endpoint(endpoint: &str) -> Result<String> {
    let endpoint = endpoint.trim().trim_end_matches('/');
    let parsed = url::Url::parse(endpoint)
        .map_err(|error| bad(format!("the S3 endpoint is not a URL ({error}): write http://host:port")))?;
    if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
        return Err(bad("the S3 endpoint must begin with http:// or https://"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(bad("the S3 endpoint holds credentials: pass them by the AWS variables"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(bad("the S3 endpoint has a query or a fragment"));
    }
    Ok(endpoint.to_owned())
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(Code::BadRequest, message)
}

/// The AWS provider chain as `object_store` wants it, with what it last gave kept until shortly
/// before that expires.
#[derive(Debug)]
struct Chain {
    provider: SharedCredentialsProvider,
    kept: Mutex<Option<Kept>>,
}

#[derive(Clone)]
struct Kept {
    credential: Arc<AwsCredential>,
    expires: Option<SystemTime>,
}

impl Kept {
    fn lasts(&self, margin: Duration) -> bool {
        self.expires.is_none_or(|expires| SystemClock::time() + margin < expires)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kept").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Chain {
    fn new(provider: SharedCredentialsProvider) -> Self {
        Chain { provider, kept: Mutex::default() }
    }

    /// Credentials that are valid now. Callers that come while they are fetched wait for the same.
    async fn current(&self) -> Result<Arc<AwsCredential>, Unobtainable> {
        let mut kept = self.kept.lock().await;
        if let Some(fresh) = kept.as_ref().filter(|kept| kept.lasts(REFRESH_BEFORE)) {
            return Ok(Arc::clone(&fresh.credential));
        }
        match self.provider.provide_credentials().await {
            Ok(credentials) => {
                let fresh = bridge(&credentials);
                *kept = Some(fresh.clone());
                Ok(fresh.credential)
            }
            // Better the last minutes of the old ones than none.
            Err(error) => match kept.as_ref().filter(|kept| kept.lasts(Duration::ZERO)) {
                Some(old) => Ok(Arc::clone(&old.credential)),
                None => Err(Unobtainable::new(&error)),
            },
        }
    }
}

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let current = self.current().await;
        current.map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })
    }
}

fn bridge(credentials: &Credentials) -> Kept {
    Kept {
        credential: Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }),
        expires: credentials.expiry(),
    }
}

/// The same credentials always.
#[cfg(test)]
pub(super) fn fixed(credentials: Credentials) -> object_store::aws::AwsCredentialProvider {
    Arc::new(Chain::new(SharedCredentialsProvider::new(credentials)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use aws_credential_types::provider::{self, future};

    use super::*;

    #[test]
    fn endpoints_are_checked() {
        assert_eq!(check_endpoint(" http://127.0.0.1:9000/ ").unwrap(), "http://127.0.0.1:9000");
        assert_eq!(check_endpoint("https://s3.example.com").unwrap(), "https://s3.example.com");
        for endpoint in ["localhost:9000", "ftp://host", "nonsense", "http://k:hunter2@host", "http://host/?hunter2"] {
            let error = check_endpoint(endpoint).unwrap_err();
            assert!(!error.message.contains("hunter2"), "{error}");
        }
    }

    /// Gives credentials of a certain life, and fails from the third time on.
    #[derive(Debug)]
    struct Counting {
        given: Arc<AtomicU64>,
        life: Duration,
    }

    impl ProvideCredentials for Counting {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.given.fetch_add(1, Ordering::SeqCst);
            future::ProvideCredentials::ready(match number {
                0 | 1 => {
                    let expires = Some(SystemTime::now() + self.life);
                    Ok(Credentials::new(format!("key{number}"), "hunter2", None, expires, "test"))
                }
                _ => Err(provider::error::CredentialsError::provider_error("hunter2")),
            })
        }
    }

    fn chain(life: Duration) -> (Chain, Arc<AtomicU64>) {
        let given = Arc::new(AtomicU64::new(0));
        let provider = SharedCredentialsProvider::new(Counting { given: Arc::clone(&given), life });
        (Chain::new(provider), given)
    }

    #[tokio::test]
    async fn credentials_are_kept_until_shortly_before_they_expire() {
        let (lasting, given) = chain(Duration::from_secs(3600));
        for _ in 0..3 {
            assert_eq!(lasting.current().await.unwrap().key_id, "key0");
        }
        assert_eq!(given.load(Ordering::SeqCst), 1);

        let (short, given) = chain(Duration::from_secs(60));
        assert_eq!(short.current().await.unwrap().key_id, "key0");
        assert_eq!(short.current().await.unwrap().key_id, "key1");
        assert_eq!(short.current().await.unwrap().key_id, "key1", "refused a new one: the old still lasts");
        assert_eq!(given.load(Ordering::SeqCst), 3);
        assert!(!format!("{short:?}").contains("hunter2"));

        let (dead, _) = chain(Duration::ZERO);
        let (_, _) = (dead.current().await, dead.current().await);
        let error = dead.get_credential().await.unwrap_err().to_string();
        assert!(error.contains("credentials provider failed") && !error.contains("hunter2"), "{error}");
    }
}
