//! Who asks, and in which tenant.

use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, SecretString};

use super::App;
use super::access_log::RequestFacts;
use super::budget::Holder;
use super::connections::network;
use super::extensions::PreAuthenticated;
use super::logins::LoginRefusal;
use super::parameters::Parameters;
use crate::engine::User;
use crate::model::{Code, Error, Result, TenantId};

/// Base64 with or without its padding: clients leave it away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An authenticated user in a tenant.
#[derive(Debug, Clone)]
pub struct Principal {
    pub user: User,
    pub tenant: TenantId,
    /// With whom its bodies count.
    pub holder: Holder,
}

/// What a request says of its sender, not yet examined.
#[derive(Debug, Clone, Copy)]
pub enum Credentials<'a> {
    /// The `Authorization` header.
    Header(&'a HeaderValue),
    Vouched,
}

/// Who a request says it is from.
///
/// # Errors
/// [`Code::MissingAuthorization`].
pub fn claim(parts: &Parts) -> Result<Credentials<'_>> {
    if parts.extensions.get::<PreAuthenticated>().is_some() {
        return Ok(Credentials::Vouched);
    }
    match parts.headers.get(AUTHORIZATION) {
        Some(header) => Ok(Credentials::Header(header)),
        None => {
            let message =
                "Missing request header \"authorization\": send Basic credentials, as curl -u user:password does";
            Err(Error::new(Code::MissingAuthorization, message))
        }
    }
}

/// Authenticates.
///
/// # Errors
/// [`Code::MalformedAuthorization`]; [`Code::AccessDenied`] for an unknown user, a wrong password
/// and an unknown tenant alike; [`Code::Unavailable`] when too many passwords wait to be checked.
pub async fn authorize(
    app: &App,
    claim: Credentials<'_>,
    parameters: &Parameters,
    facts: &RequestFacts,
) -> Result<Principal> {
    let user = authenticate(app, claim, facts).await?;
    let tenant = app.engine().tenant(&user, &parameters.tenant).await?;
    facts.identified(&user.name, &parameters.tenant);
    let holder = Holder { user: user.id, peer: facts.peer().map(network) };
    Ok(Principal { user, tenant, holder })
}

/// The user, in whatever tenant.
///
/// # Errors
/// As [`identify`].
pub async fn authenticate(app: &App, claim: Credentials<'_>, facts: &RequestFacts) -> Result<User> {
    let header = match claim {
        Credentials::Vouched => return app.engine().root().await,
        Credentials::Header(header) => header,
    };
    let (name, password) = credentials(header)?;
    let found = app.engine().authenticate_from(facts.peer().map(network), &name, password.expose_secret()).await;
    match found.as_ref().map_err(|error| error.code) {
        Err(Code::AccessDenied) => app.inner.logins.refused(LoginRefusal::Wrong, &name, facts.peer()),
        Err(Code::Unavailable) => app.inner.logins.refused(LoginRefusal::Busy, &name, facts.peer()),
        Ok(_) => facts.authenticated(),
        Err(_) => {}
    }
    found
}

/// User and password of `Basic base64(user:password)` (RFC 7617). The header is never repeated in
/// an error.
fn credentials(authorization: &HeaderValue) -> Result<(String, SecretString)> {
    let malformed = |why: &str| {
        Error::new(Code::MalformedAuthorization, format!("Parse auth, malformed basic auth encoding: {why}"))
    };
    let text = authorization.to_str().map_err(|_| malformed("not ASCII"))?;
    let (scheme, encoded) = text.trim().split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("Basic") {
        return Err(malformed("the scheme is not Basic"));
    }
    let decoded = BASE64.decode(encoded.trim()).map_err(|_| malformed("not Base64"))?;
    let decoded = String::from_utf8(decoded).map_err(|_| malformed("not UTF-8"))?;
    let (user, password) = decoded.split_once(':').ok_or_else(|| malformed("no colon between user and password"))?;
    Ok((user.to_owned(), SecretString::from(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Option<(String, String)> {
        let parsed = credentials(&HeaderValue::from_bytes(header.as_bytes()).unwrap());
        match parsed {
            Ok((user, password)) => Some((user, password.expose_secret().to_owned())),
            Err(error) => {
                assert_eq!(error.code, Code::MalformedAuthorization);
                assert!(error.message.starts_with("Parse auth, malformed basic auth encoding: "));
                None
            }
        }
    }

    #[test]
    fn basic_credentials() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(parse("Basic cm9vdDo="), pair("root", ""));
        assert_eq!(parse("basic cm9vdDphOmI"), pair("root", "a:b"));
        for header in
            ["Bearer x", "Basic", "Basic !", "Basic cm9vdA==", "cm9vdDo=", "Basic /////w==", "Basic cm9vdDo\u{e4}"]
        {
            assert_eq!(parse(header), None, "{header}");
        }
    }
}
