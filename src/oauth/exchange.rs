//! Trades a client's credentials for a token: the oauth2 crate builds the request and reads the answer,
//! our own client carries it, and what comes back is believed only if it is a sane token.

use super::claims::{self, TokenClaims};
use super::failure::{self, TokenFailure};
use super::http::{Http, HttpError};
use super::request::{ClientAuthentication, Proof, RESERVED_PARAMETERS, TokenRequest};
use crate::domain::secret::Secret;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use oauth2::basic::{BasicClient, BasicRequestTokenError, BasicTokenResponse, BasicTokenType};
use oauth2::{
    AsyncHttpClient, AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, Scope, TokenResponse,
    TokenUrl,
};
use std::time::Duration;

/// An access token as its provider issued it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What the mail server wants to see: visible ASCII.
    pub access_token: Secret,
    /// Counted from before the request was sent, hence never later than the provider means.
    pub expires_at: Timestamp,
    /// What it says about itself.
    pub claims: TokenClaims,
}

/// A lifetime beyond this is taken for a mistake (a date in place of a duration, milliseconds).
const MAX_LIFETIME: Duration = Duration::from_hours(366 * 24);

/// What the oauth2 crate reports. Never printed: a body that does not parse is in it.
pub(super) type RequestError = BasicRequestTokenError<HttpError>;

/// Where the credentials go in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Basic,
    Body,
}

/// Asks for a token. `known` is the style that worked before, and comes back with the token.
pub(super) async fn mint(
    http: &Http,
    request: &TokenRequest,
    known: Option<Style>,
    now: Timestamp,
) -> Result<(Token, Style), TokenFailure> {
    check(request)?;
    let Proof::Secret { secret, placement } = &request.proof else {
        return Err(TokenFailure::invalid("only clients with a secret are known so far"));
    };
    let (style, other) = match (placement, known) {
        (ClientAuthentication::RequestBody, _) => (Style::Body, None),
        (ClientAuthentication::Detect, Some(style)) => (style, None),
        (ClientAuthentication::Detect, None) => (Style::Basic, Some(Style::Body)),
    };
    let error = match ask(http, request, secret, style).await {
        Ok(response) => return Ok((believe(request, &response, now)?, style)),
        Err(error) => error,
    };
    let refused = failure::of(request, &error, now);
    let Some(other) = other.filter(|_| failure::may_be_the_style(&error)) else { return Err(refused) };
    match ask(http, request, secret, other).await {
        Ok(response) => Ok((believe(request, &response, now)?, other)),
        Err(error) => Err(failure::plainer(refused, failure::of(request, &error, now))),
    }
}

/// What would send a secret astray or a parameter twice, should validation not have caught it.
fn check(request: &TokenRequest) -> Result<(), TokenFailure> {
    let url = &request.token_url;
    if url.scheme() != "https" {
        return Err(TokenFailure::invalid(
            "tokenURL must begin with https://, since it gets the client secret",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TokenFailure::invalid("tokenURL must not hold a user name or password"));
    }
    let reserved = RESERVED_PARAMETERS.iter().find(|name| request.parameters.contains_key(**name));
    reserved.map_or(Ok(()), |name| {
        Err(TokenFailure::invalid(format!("parameters must not hold {name}: it is sent anyway")))
    })
}

async fn ask(
    http: &Http,
    request: &TokenRequest,
    secret: &Secret,
    style: Style,
) -> Result<BasicTokenResponse, RequestError> {
    // The crate's copies of the secret are not wiped; they live as long as this request.
    let client = BasicClient::new(ClientId::new(request.client_id.clone()))
        .set_client_secret(ClientSecret::new(secret.expose().to_owned()))
        .set_token_uri(TokenUrl::from_url(request.token_url.clone()))
        .set_auth_type(match style {
            Style::Basic => AuthType::BasicAuth,
            Style::Body => AuthType::RequestBody,
        });
    let mut grant =
        client.exchange_client_credentials().add_scopes(request.scopes.iter().cloned().map(Scope::new));
    for (name, value) in &request.parameters {
        grant = grant.add_extra_param(name, value);
    }
    grant.request_async(&Carrier { http, ca_pem: request.ca_pem.as_deref() }).await
}

/// Our client as the oauth2 crate wants it. A closure would do, but for its future the compiler cannot
/// prove `Send` at the place of use (rust-lang/rust#96865); the boxed type says it.
struct Carrier<'a> {
    http: &'a Http,
    ca_pem: Option<&'a str>,
}

impl<'c> AsyncHttpClient<'c> for Carrier<'_> {
    type Error = HttpError;
    type Future = BoxFuture<'c, Result<HttpResponse, HttpError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.http.send(self.ca_pem, request))
    }
}

/// Accepts an answer as a token, or says why not (RFC 6749, section 5.1).
pub(super) fn believe(
    request: &TokenRequest,
    response: &BasicTokenResponse,
    now: Timestamp,
) -> Result<Token, TokenFailure> {
    let unusable = |why: &str| Err(failure::unusable(request, why));
    let text = response.access_token().secret();
    if *response.token_type() != BasicTokenType::Bearer {
        return unusable("its token_type is not Bearer");
    }
    // RFC 6750, section 2.1; a control character in it would end the SASL message it becomes part of.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return unusable("its access_token is empty or not visible ASCII");
    }
    let Some(lifetime) = response.expires_in() else { return unusable("it has no expires_in") };
    if lifetime < super::MINIMUM_LEFT || lifetime > MAX_LIFETIME {
        return unusable("its expires_in is below a minute or beyond a year");
    }
    let expires_at =
        SignedDuration::try_from(lifetime).ok().and_then(|lifetime| now.checked_add(lifetime).ok());
    let Some(expires_at) = expires_at else { return unusable("its expires_in is absurd") };
    Ok(Token { access_token: Secret::new(text.as_str()), expires_at, claims: claims::inspect(text) })
}
