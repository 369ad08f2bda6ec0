//! One exchange: the oauth2 crate builds the request of a grant with the client's proof and reads the answer, our
//! own client carries it, and what comes back is believed only if it is a sane token. Only the grant of RFC 7523 is
//! written here, since the crate does not know it.

use super::assertion::{Algorithm, Key, ServiceAccount};
use super::claims::{self, TokenClaims};
use super::failure::{self, TokenFailure};
use super::http::{Http, HttpError, Post, Route};
use super::request::{ClientAuthentication, Grant, Proof, RESERVED_PARAMETERS, TokenRequest};
use super::sent::Sent;
use crate::api::Reason;
use crate::domain::failure::Permanence;
use crate::domain::secret::Secret;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use oauth2::basic::{BasicClient, BasicRequestTokenError, BasicTokenResponse, BasicTokenType};
use oauth2::{
    AsyncHttpClient, AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, RefreshToken, Scope,
    TokenResponse, TokenUrl,
};
use serde_json::{Map, Value};
use std::time::Duration;
use url::form_urlencoded;

/// An access token as its provider issued it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What the mail server wants to see: visible ASCII.
    pub access_token: Secret,
    /// Counted from before the request was sent, hence never later than the provider means.
    pub expires_at: Timestamp,
    /// What it says about itself.
    pub claims: TokenClaims,
    /// The provider has issued another refresh token than the stored one. It is used from memory, and lost when
    /// the process ends: somebody has to store a new one.
    pub refresh_token_replaced: bool,
}

/// A lifetime beyond this is taken for a mistake (a date in place of a duration, milliseconds).
const MAX_LIFETIME: Duration = Duration::from_hours(366 * 24);

/// RFC 7523, section 2.1.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// RFC 7523, section 2.2.
const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What Gmail's SMTP wants to see, from <https://developers.google.com/workspace/gmail/imap/xoauth2-protocol>.
const GOOGLE_MAIL_SCOPE: &str = "https://mail.google.com/";

/// Why there is no token.
#[derive(Debug)]
pub(super) enum RequestError {
    /// No answer with status 200.
    Http(HttpError),
    /// One that is no token; completes "the answer is no usable token: …".
    NotAToken(&'static str),
}

/// How the client proves itself in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// HTTP Basic.
    Basic,
    /// In the form; also where there is nothing to prove.
    Body,
    /// By a statement signed so.
    Signed(Algorithm),
}

/// A proof ready for use.
enum Ready<'a> {
    Nothing,
    Secret(&'a Secret, ClientAuthentication),
    Key(Key),
    Assertion(Secret),
}

impl Ready<'_> {
    /// In the order to try them. Which one a provider takes, nothing in the protocol tells.
    fn styles(&self) -> Vec<Style> {
        match self {
            Self::Nothing | Self::Assertion(_) | Self::Secret(_, ClientAuthentication::RequestBody) => {
                vec![Style::Body]
            }
            Self::Secret(_, ClientAuthentication::Detect) => vec![Style::Basic, Style::Body],
            Self::Key(key) => {
                key.algorithms(&Algorithm::FOR_CLIENTS).into_iter().map(Style::Signed).collect()
            }
        }
    }
}

/// Asks for a token. `known` is the style that worked before, and comes back with the token. `replacement` takes
/// the place of the stored refresh token, and is kept up to date whatever else the answer is good for.
pub(super) async fn mint(
    http: &Http,
    request: &TokenRequest,
    known: Option<Style>,
    replacement: &mut Option<Secret>,
    now: Timestamp,
) -> Result<(Token, Style), TokenFailure> {
    check(request)?;
    let mut sent = Sent::new(request);
    let ready = match &request.proof {
        Proof::None => Ready::Nothing,
        Proof::Secret { secret, placement } => Ready::Secret(secret, *placement),
        Proof::Certificate { chain_pem, key_pem } => Ready::Key(Key::of_certificate(chain_pem, key_pem)?),
        Proof::Federated(source) => Ready::Assertion((source.0)().await?),
    };
    let grant = Granted::of(request, replacement.clone(), &mut sent)?;
    let mut styles = ready.styles();
    if let Some(known) = known.filter(|known| styles.contains(known)) {
        styles = vec![known];
    }
    let route =
        Route { url: &request.token_url, ca_pem: request.ca_pem.as_deref(), proxy: request.proxy.as_ref() };
    let carrier = Carrier { http, route };
    let mut refused: Option<TokenFailure> = None;
    for (at, style) in styles.iter().enumerate() {
        let error = match ask(&carrier, &grant, &ready, *style, now, &mut sent).await? {
            Ok(answer) => {
                keep(&grant, &answer, replacement);
                return Ok((believe(&sent, &answer, replacement.is_some(), now)?, *style));
            }
            Err(error) => error,
        };
        let is_last = at + 1 == styles.len() || !failure::may_be_the_style(&error);
        let this = failure::of(&sent, &error, now);
        refused = Some(match refused {
            None => this,
            Some(first) => failure::plainer(first, this),
        });
        if is_last {
            break;
        }
    }
    if refused.as_ref().is_some_and(|refused| refused.reason == Reason::RefreshTokenInvalid) {
        *replacement = None; // the stored one may be newer by now, or still good
    }
    // A key that can sign in no way we know was refused when it was read.
    Err(refused.unwrap_or_else(|| TokenFailure::invalid("the client's key can sign no statement")))
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

/// A grant ready for use.
enum Granted<'a> {
    ClientCredentials,
    RefreshToken { stored: &'a Secret, current: Secret },
    JWTBearer { account: Box<ServiceAccount>, subject: &'a str },
}

impl<'a> Granted<'a> {
    fn of(
        request: &'a TokenRequest,
        replacement: Option<Secret>,
        sent: &mut Sent<'_>,
    ) -> Result<Self, TokenFailure> {
        Ok(match &request.grant {
            Grant::ClientCredentials => Self::ClientCredentials,
            Grant::RefreshToken(stored) => {
                let current = replacement.unwrap_or_else(|| stored.clone());
                sent.hide(&current);
                Self::RefreshToken { stored, current }
            }
            Grant::JWTBearer { key_file, subject } => {
                let account = Box::new(ServiceAccount::read(key_file)?);
                sent.speaks_for(&account);
                Self::JWTBearer { account, subject }
            }
        })
    }
}

/// Sends grant, proof, scopes and parameters. The outer failure is one before anything was sent.
async fn ask(
    carrier: &Carrier<'_>,
    grant: &Granted<'_>,
    ready: &Ready<'_>,
    style: Style,
    now: Timestamp,
    sent: &mut Sent<'_>,
) -> Result<Result<BasicTokenResponse, RequestError>, TokenFailure> {
    let request = sent.request;
    let mut fields: Vec<(&str, String)> =
        request.parameters.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    if let Some(assertion) = assertion(request, ready, style, now, sent)? {
        fields.push(("client_assertion_type", CLIENT_ASSERTION.into()));
        fields.push(("client_assertion", assertion.expose().to_owned()));
        sent.hide(&assertion);
    }
    // The crate's copies of secrets are not wiped; they live as long as this request.
    let mut client = BasicClient::new(ClientId::new(request.client_id.clone()))
        .set_token_uri(TokenUrl::from_url(request.token_url.clone()))
        .set_auth_type(if style == Style::Basic { AuthType::BasicAuth } else { AuthType::RequestBody });
    if let Ready::Secret(secret, _) = ready {
        client = client.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
    }
    let scopes = request.scopes.iter().cloned().map(Scope::new);
    let answered = match grant {
        Granted::ClientCredentials => {
            let mut asking = client.exchange_client_credentials().add_scopes(scopes);
            for (name, value) in fields {
                asking = asking.add_extra_param(name, value);
            }
            asking.request_async(carrier).await
        }
        Granted::RefreshToken { current, .. } => {
            let token = RefreshToken::new(current.expose().to_owned());
            let mut asking = client.exchange_refresh_token(&token).add_scopes(scopes);
            for (name, value) in fields {
                asking = asking.add_extra_param(name, value);
            }
            asking.request_async(carrier).await
        }
        Granted::JWTBearer { account, subject } => {
            fields.extend(bearer_fields(account, subject, now, sent)?);
            let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            return Ok(carrier.send(Post { form, authorization: None }).await.and_then(|body| read(&body)));
        }
    };
    Ok(answered.map_err(RequestError::from))
}

/// The statement that proves the client in this style, if it proves itself by one.
fn assertion(
    request: &TokenRequest,
    ready: &Ready<'_>,
    style: Style,
    now: Timestamp,
    sent: &mut Sent<'_>,
) -> Result<Option<Secret>, TokenFailure> {
    match (ready, style) {
        (Ready::Key(key), Style::Signed(algorithm)) => {
            sent.signed_with(key);
            prove(request, key, algorithm, now).map(Some)
        }
        (Ready::Assertion(assertion), _) => {
            sent.brought(assertion);
            Ok(Some(assertion.clone()))
        }
        _ => Ok(None),
    }
}

/// What the grant of RFC 7523 adds to the form.
fn bearer_fields(
    account: &ServiceAccount,
    subject: &str,
    now: Timestamp,
    sent: &mut Sent<'_>,
) -> Result<Vec<(&'static str, String)>, TokenFailure> {
    let request = sent.request;
    let is_google = is_google(request);
    let mut scope = request.scopes.join(" ");
    if scope.is_empty() && is_google {
        GOOGLE_MAIL_SCOPE.clone_into(&mut scope);
    }
    let assertion = speak(request, account, subject, &scope, now)?;
    sent.hide(&assertion);
    let mut fields =
        vec![("grant_type", JWT_BEARER.to_owned()), ("assertion", assertion.expose().to_owned())];
    if !request.client_id.is_empty() {
        fields.push(("client_id", request.client_id.clone()));
    }
    // Google looks for scopes in the statement only.
    if !scope.is_empty() && !is_google {
        fields.push(("scope", scope));
    }
    Ok(fields)
}

/// Our client as the oauth2 crate wants it. A closure would do, but for its future the compiler cannot
/// prove `Send` at the place of use (rust-lang/rust#96865); the boxed type says it.
struct Carrier<'a> {
    http: &'a Http,
    route: Route<'a>,
}

impl Carrier<'_> {
    async fn send(&self, post: Post) -> Result<Vec<u8>, RequestError> {
        self.http.send(self.route, post).await.map_err(RequestError::Http)
    }
}

impl<'c> AsyncHttpClient<'c> for Carrier<'_> {
    type Error = HttpError;
    type Future = BoxFuture<'c, Result<HttpResponse, HttpError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            let authorization = authorization.map(Secret::new);
            let form = String::from_utf8(request.into_body()).unwrap_or_default(); // percent-encoded
            self.http.send(self.route, Post { form, authorization }).await.map(HttpResponse::new)
        })
    }
}

impl From<BasicRequestTokenError<HttpError>> for RequestError {
    fn from(error: BasicRequestTokenError<HttpError>) -> Self {
        match error {
            BasicRequestTokenError::Request(error) => Self::Http(error),
            BasicRequestTokenError::Parse(_, body) => Self::NotAToken(what_is_wrong(&body)),
            BasicRequestTokenError::ServerResponse(_) | BasicRequestTokenError::Other(_) => {
                Self::NotAToken("it is not JSON")
            }
        }
    }
}

/// RFC 6749, section 2.3.1: both parts form-encoded before they are joined.
pub(super) fn basic(client_id: &str, secret: &Secret) -> Secret {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    Secret::new(STANDARD.encode(format!("{}:{}", encoded(client_id), encoded(secret.expose()))))
}

/// The client's statement that it is who it says (OpenID Connect Core, section 9).
fn prove(
    request: &TokenRequest,
    key: &Key,
    algorithm: Algorithm,
    now: Timestamp,
) -> Result<Secret, TokenFailure> {
    let claims = claim([
        ("iss", request.client_id.as_str()),
        ("sub", request.client_id.as_str()),
        ("aud", request.token_url.as_str()),
    ]);
    key.sign(algorithm, claims, now).ok_or_else(|| {
        let message = "the client's key could not sign; make a new certificate and key";
        TokenFailure::new(Reason::ClientCertificateInvalid, Permanence::UntilChanged, message)
    })
}

/// A service account's statement in the name of a mailbox.
fn speak(
    request: &TokenRequest,
    account: &ServiceAccount,
    subject: &str,
    scope: &str,
    now: Timestamp,
) -> Result<Secret, TokenFailure> {
    let mut claims =
        claim([("iss", account.email.as_str()), ("sub", subject), ("aud", request.token_url.as_str())]);
    if !scope.is_empty() {
        claims.insert("scope".into(), scope.into());
    }
    let algorithm = account.key.algorithms(&Algorithm::FOR_SERVICE_ACCOUNTS).first().copied();
    algorithm.and_then(|algorithm| account.key.sign(algorithm, claims, now)).ok_or_else(|| {
        let message = "the service account's key could not sign; make a new one";
        TokenFailure::new(Reason::ServiceAccountKeyInvalid, Permanence::UntilChanged, message)
    })
}

fn claim<const N: usize>(claims: [(&str, &str); N]) -> Map<String, Value> {
    claims.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// Whether the endpoint is Google's.
pub(super) fn is_google(request: &TokenRequest) -> bool {
    request.token_url.host_str().is_some_and(|host| {
        ["googleapis.com", "google.com"].iter().any(|domain| {
            host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
    })
}

/// RFC 6749, section 5.1.
pub(super) fn read(body: &[u8]) -> Result<BasicTokenResponse, RequestError> {
    serde_json::from_slice(body).map_err(|_| RequestError::NotAToken(what_is_wrong(body)))
}

/// Says what keeps a body of status 200 from being a token, in words of our own: serde's would
/// quote from the body.
fn what_is_wrong(body: &[u8]) -> &'static str {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return "it is not JSON" };
    let is_text = |name: &str| body.get(name).is_some_and(Value::is_string);
    if !body.is_object() {
        "it is no JSON object"
    } else if body.get("error").is_some() {
        "it is an error with status 200"
    } else if !is_text("access_token") {
        "it has no access_token"
    } else if !is_text("token_type") {
        "it has no token_type"
    } else {
        "a field has the wrong type, most likely expires_in, which has to be a number of seconds"
    }
}

/// Keeps the refresh token that an answer brings in place of the one it was asked with.
fn keep(grant: &Granted<'_>, answer: &BasicTokenResponse, replacement: &mut Option<Secret>) {
    let Granted::RefreshToken { stored, .. } = grant else { return };
    let issued = answer.refresh_token().map(|issued| issued.secret().as_str());
    match issued.filter(|issued| !issued.is_empty()) {
        Some(issued) if issued == stored.expose() => *replacement = None,
        Some(issued) => *replacement = Some(Secret::new(issued)),
        None => {}
    }
}

/// Accepts an answer as a token, or says why not (RFC 6749, section 5.1).
pub(super) fn believe(
    sent: &Sent<'_>,
    answer: &BasicTokenResponse,
    refresh_token_replaced: bool,
    now: Timestamp,
) -> Result<Token, TokenFailure> {
    let unusable = |why: &str| Err(failure::unusable(sent, why));
    let text = Secret::new(answer.access_token().secret().as_str());
    if *answer.token_type() != BasicTokenType::Bearer {
        return unusable("its token_type is not Bearer");
    }
    // RFC 6750, section 2.1; a control character in it would end the SASL message it becomes part of.
    if text.is_empty() || !text.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return unusable("its access_token is empty or not visible ASCII");
    }
    let Some(lifetime) = answer.expires_in() else { return unusable("it has no expires_in") };
    if lifetime < super::MINIMUM_LEFT || lifetime > MAX_LIFETIME {
        return unusable("its expires_in is below a minute or beyond a year");
    }
    let expires_at =
        SignedDuration::try_from(lifetime).ok().and_then(|lifetime| now.checked_add(lifetime).ok());
    let Some(expires_at) = expires_at else { return unusable("its expires_in is absurd") };
    let claims = claims::inspect(text.expose(), &sent.mask);
    Ok(Token { access_token: text, expires_at, claims, refresh_token_replaced })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::oauth::tests::example;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use mail_operator_testbed::client_keys::{Algorithm as KeyAlgorithm, Form, private_key};
    use serde_json::json;

    /// The form's fields for a service account at this endpoint, and the scope in its statement.
    fn fields(token_url: &str, scopes: &[&str]) -> (Vec<(&'static str, String)>, Value) {
        let key = private_key(KeyAlgorithm::P256, Form::Pkcs8).unwrap().0;
        let file = json!({ "client_email": "a@b", "private_key": key }).to_string();
        let request = TokenRequest {
            token_url: token_url.parse().unwrap(),
            client_id: String::new(),
            grant: Grant::JWTBearer { key_file: Secret::new(file), subject: "m@c".into() },
            proof: Proof::None,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            ..example()
        };
        let mut sent = Sent::new(&request);
        let Granted::JWTBearer { account, subject } = Granted::of(&request, None, &mut sent).unwrap() else {
            unreachable!()
        };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let fields = bearer_fields(&account, subject, now, &mut sent).unwrap();
        let assertion = &fields.iter().find(|(name, _)| *name == "assertion").unwrap().1;
        let claims = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let scope = claims.get("scope").cloned().unwrap_or_default();
        (fields, scope)
    }

    #[test]
    fn google_reads_the_scope_in_the_statement_and_mail_is_the_default() {
        for (url, scopes, in_statement, in_form) in [
            ("https://oauth2.googleapis.com/token", &[][..], json!("https://mail.google.com/"), None),
            ("https://oauth2.googleapis.com/token", &["a", "b"], json!("a b"), None),
            ("https://login.example/token", &[], Value::Null, None),
            ("https://login.example/token", &["a", "b"], json!("a b"), Some("a b")),
            ("https://evilgoogleapis.com/token", &[], Value::Null, None),
        ] {
            let (fields, scope) = fields(url, scopes);
            let found = fields.iter().find(|(name, _)| *name == "scope").map(|(_, value)| value.as_str());
            assert_eq!((scope, found), (in_statement, in_form), "{url}");
        }
    }
}
