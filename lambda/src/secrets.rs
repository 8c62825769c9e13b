//! Settings that name a secret instead of holding it: the ARN of an SSM parameter or of a Secrets
//! Manager secret. What it holds is fetched once, at the start.
//!
//! By a signed request of our own: the two clients of AWS's SDK are a large part of a megabyte each,
//! and the signer is here anyway, for S3's credentials.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use serde_json::{Value, json};
use siltdb::config::{SETTINGS, Scope};
use siltdb::model::{Code, Error, Result};

const CONNECT_TIME: Duration = Duration::from_secs(2);
const TIME: Duration = Duration::from_secs(5);

/// The secret settings whose variables hold an ARN, with what those name.
///
/// # Errors
/// The ARN makes no sense, or the secret cannot be had. No message holds it.
pub async fn fetch_all(variable: impl Fn(&str) -> Option<String>) -> Result<HashMap<String, String>> {
    let mut fetched = HashMap::new();
    let mut config = None;
    for setting in SETTINGS.iter().filter(|setting| setting.scope == Scope::Secret) {
        let name = setting.variable();
        let Some(text) = variable(&name) else { continue };
        let Some(reference) = Reference::parse(&text).map_err(|why| mistaken(&name, why))? else { continue };
        let config = match &config {
            Some(config) => config,
            None => config.insert(aws_config().await),
        };
        let fail =
            |why: String| Error::new(Code::Unavailable, format!("{name}: {} cannot be had: {why}", reference.arn));
        let secret = reference.fetch(config).await.map_err(fail)?;
        fetched.insert(name, secret);
    }
    Ok(fetched)
}

/// The text is not repeated: it may be a password.
fn mistaken(name: &str, why: &str) -> Error {
    Error::new(Code::BadRequest, format!("{name} begins with arn: and {why}"))
}

async fn aws_config() -> SdkConfig {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    // Without a region of its own the search for one would ask EC2, and wait for it. The ARN's counts.
    aws_config::defaults(BehaviorVersion::latest()).http_client(http).region(Region::new("us-east-1")).load().await
}

/// A service that keeps secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Parameters,
    Secrets,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Parameters => "ssm",
            Service::Secrets => "secretsmanager",
        }
    }

    fn endpoint_variable(self) -> &'static str {
        match self {
            Service::Parameters => "AWS_ENDPOINT_URL_SSM",
            Service::Secrets => "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        }
    }

    fn action(self) -> &'static str {
        match self {
            Service::Parameters => "AmazonSSM.GetParameter",
            Service::Secrets => "secretsmanager.GetSecretValue",
        }
    }
}

/// `arn:aws:ssm:REGION:ACCOUNT:parameter/NAME` or `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME`.
#[derive(Debug, PartialEq, Eq)]
struct Reference<'a> {
    arn: &'a str,
    service: Service,
    region: &'a str,
    suffix: &'static str,
}

impl<'a> Reference<'a> {
    /// `None` for a text that is no ARN, and so is the secret itself.
    ///
    /// Errors: an ARN of something else, or a mistyped one. It is not to become the password.
    fn parse(text: &'a str) -> Result<Option<Reference<'a>>, &'static str> {
        if !text.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("arn:")) {
            return Ok(None);
        }
        let why = "is neither arn:aws:ssm:REGION:ACCOUNT:parameter/NAME nor \
                   arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME";
        Reference::of_arn(text).map(Some).ok_or(why)
    }

    fn of_arn(text: &'a str) -> Option<Reference<'a>> {
        let mut parts = text.splitn(6, ':');
        let (scheme, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, _account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let is_named = |kind| resource.strip_prefix(kind).is_some_and(|name| !name.is_empty());
        let service = match service {
            "ssm" if is_named("parameter/") => Service::Parameters,
            "secretsmanager" if is_named("secret:") => Service::Secrets,
            _ => return None,
        };
        let suffix = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        let is_arn = scheme == "arn" && partition.starts_with("aws") && !region.is_empty();
        is_arn.then_some(Reference { arn: text, service, region, suffix })
    }

    fn endpoint(&self, config: &SdkConfig) -> String {
        let own = std::env::var(self.service.endpoint_variable()).ok().filter(|url| !url.is_empty());
        let set = own.or_else(|| config.endpoint_url().map(str::to_owned));
        let aws = || format!("https://{}.{}.{}", self.service.name(), self.region, self.suffix);
        format!("{}/", set.unwrap_or_else(aws).trim_end_matches('/'))
    }

    /// The secret.
    async fn fetch(&self, config: &SdkConfig) -> Result<String, String> {
        let question = match self.service {
            Service::Parameters => json!({"Name": self.arn, "WithDecryption": true}),
            Service::Secrets => json!({"SecretId": self.arn}),
        };
        let answer = self.ask(config, question.to_string()).await?;
        let secret = match self.service {
            Service::Parameters => answer["Parameter"]["Value"].as_str(),
            Service::Secrets => answer["SecretString"].as_str(),
        };
        secret.map(str::to_owned).ok_or_else(|| "it holds no text".to_owned())
    }

    async fn ask(&self, config: &SdkConfig, body: String) -> Result<Value, String> {
        let client = reqwest::Client::builder().connect_timeout(CONNECT_TIME).timeout(TIME).build();
        let client = client.map_err(|error| error.to_string())?;
        let mut request = http::Request::builder()
            .method("POST")
            .uri(self.endpoint(config))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", self.service.action())
            .body(body)
            .map_err(|error| error.to_string())?;
        self.sign(config, &mut request).await?;
        let request = reqwest::Request::try_from(request).map_err(|error| error.to_string())?;
        let answer = client.execute(request).await.map_err(|error| error.without_url().to_string())?;
        let status = answer.status();
        let text = answer.bytes().await.map_err(|error| error.without_url().to_string())?;
        if status.is_success() {
            return serde_json::from_slice(&text).map_err(|_| "the answer is not JSON".to_owned());
        }
        // What it says is an error's name and text, and no secret.
        Err(format!("{} answered {status} {}", self.service.name(), String::from_utf8_lossy(&text)))
    }

    async fn sign(&self, config: &SdkConfig, request: &mut http::Request<String>) -> Result<(), String> {
        let provider = config.credentials_provider().ok_or("there are no AWS credentials")?;
        let credentials = provider.provide_credentials().await.map_err(|_| "there are no AWS credentials")?;
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service.name())
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let instructions = {
            let texts =
                request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
            let body = SignableBody::Bytes(request.body().as_bytes());
            let signable = SignableRequest::new("POST", request.uri().to_string(), texts, body);
            let signed = sign(signable.map_err(|error| error.to_string())?, &parameters);
            signed.map_err(|error| error.to_string())?.into_parts().0
        };
        instructions.apply_to_request_http1x(request);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_the_two_services_are_told_from_secrets() {
        let parse = |text| Reference::parse(text).unwrap().unwrap();
        let parameter = parse("arn:aws:ssm:eu-central-1:123456789012:parameter/silt/root");
        assert_eq!((parameter.service, parameter.region), (Service::Parameters, "eu-central-1"));
        let secret = parse("arn:aws-cn:secretsmanager:cn-north-1:1:secret:silt-Ab12Cd");
        assert_eq!((secret.service, secret.suffix), (Service::Secrets, "amazonaws.com.cn"));
        for text in ["hunter2", "", "arn", "änn:x", "my arn:aws:ssm:r:1:parameter/x"] {
            assert_eq!(Reference::parse(text), Ok(None), "{text}");
        }
    }

    #[tokio::test]
    async fn an_arn_that_is_no_reference_is_not_a_password() {
        for text in [
            "arn:",
            "arn:aws:s3:::bucket",
            "arn:aws:ssm::1:parameter/x",
            "arn:aws:ssm:r:1:document/x",
            "arn:aws:ssm:r:1:parameter",
            "arn:aws:ssm:r:1:parameter/",
            "arn:aws:secretsmanager:r:1:secret:",
            "ARN:aws:ssm:r:1:parameter/x",
        ] {
            let error = fetch_all(|name| (name == "SILTDB_ROOT_PASSWORD").then(|| text.to_owned())).await.unwrap_err();
            assert!(error.message.starts_with("SILTDB_ROOT_PASSWORD begins with arn: and is neither"), "{error}");
            assert!(text == "arn:" || !error.message.contains(text), "{error}");
        }
    }
}
