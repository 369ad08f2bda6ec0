//! What an answer without a token means, in a reason, a permanence and a sentence with the way out.
//! Pure. HTTP status and OAuth2 `error` (RFC 6749, section 5.2) decide; Entra ID's AADSTS numbers only
//! find better words. Messages hold nothing that changes from one try to the next (no correlation
//! or trace ID, no time), so that an unchanged failure causes no new status.

use super::exchange::RequestError;
use super::http::{Answer, HttpError};
use super::{masking::printable, request::TokenRequest};
use crate::api::Reason;
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use oauth2::RequestTokenError;
use serde_json::Value;
use std::time::Duration;

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TokenFailure {
    /// The word for the condition.
    pub reason: Reason,
    /// Whether trying again can help.
    pub permanence: Permanence,
    /// What happened and what to do; free of secrets, the server's own words in it at most 200
    /// printable characters. The same for the same failure.
    pub message: String,
    /// Entra ID's name for this one request, to look it up in the sign-in logs. For logs only: it is
    /// another one at each try.
    pub correlation_id: Option<String>,
    /// Entra ID's error number.
    pub aadsts: Option<u64>,
}

/// How long a failure lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permanence {
    /// It may pass by itself.
    Temporary {
        /// Not before this has passed, if the server said so; at most a day.
        retry_after: Option<Duration>,
    },
    /// Not before the Secret, the spec or something at the provider changes.
    UntilChanged,
}

/// Servers that ask for more are asked again after this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

impl TokenFailure {
    /// A request that must not be sent as it is.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Reason::InvalidSpec, Permanence::UntilChanged, message)
    }

    fn new(reason: Reason, permanence: Permanence, message: impl Into<String>) -> Self {
        Self { reason, permanence, message: message.into(), correlation_id: None, aadsts: None }
    }
}

const TEMPORARY: Permanence = Permanence::Temporary { retry_after: None };

/// Sorts whatever went wrong with a request.
pub(super) fn of(request: &TokenRequest, error: &RequestError, now: Timestamp) -> TokenFailure {
    match error {
        RequestTokenError::Request(error) => without_success(request, error, now),
        RequestTokenError::Parse(_, body) => unusable(request, what_is_wrong(body)),
        RequestTokenError::ServerResponse(_) | RequestTokenError::Other(_) => {
            unusable(request, "it is not JSON")
        }
    }
}

/// A status of 200 that brings no sane token. Temporary, since maintenance pages look like this too.
pub(super) fn unusable(request: &TokenRequest, why: &str) -> TokenFailure {
    let message = format!("the answer of {} is no usable token: {why}; check tokenURL", host(request));
    TokenFailure::new(Reason::BadTokenResponse, TEMPORARY, message)
}

/// Whether the refusal may mean only that credentials are taken in another place.
pub(super) fn may_be_the_style(error: &RequestError) -> bool {
    let RequestTokenError::Request(HttpError::Answered(answer)) = error else { return false };
    match OAuthError::read(&answer.body.0) {
        Some(error) => matches!(error.error.as_str(), "invalid_client" | "invalid_request"),
        None => answer.status == 401,
    }
}

/// Of two refusals, by HTTP Basic and by form, the one that says more: the second, unless only
/// the first one knew the client.
pub(super) fn plainer(first: TokenFailure, second: TokenFailure) -> TokenFailure {
    if second.reason == Reason::TokenRefused { first } else { second }
}

fn without_success(request: &TokenRequest, error: &HttpError, now: Timestamp) -> TokenFailure {
    let host = host(request);
    match error {
        HttpError::Denied(refusal) => TokenFailure::new(
            Reason::EgressDenied,
            Permanence::UntilChanged,
            format!("token endpoint {host}: {refusal}"),
        ),
        HttpError::NoRoots(why) => TokenFailure::new(
            Reason::CANotFound,
            Permanence::UntilChanged,
            format!("token endpoint {host}: {why}"),
        ),
        HttpError::Unreachable(why) => TokenFailure::new(
            Reason::TokenEndpointUnavailable,
            TEMPORARY,
            format!("token endpoint {host} cannot be reached: {why}"),
        ),
        HttpError::Tls(reason, why) => {
            let way_out = match reason {
                Reason::CertificateUnknownIssuer => "; a private CA is given by caRef",
                Reason::NotTLS => "; check the port in tokenURL",
                _ => "",
            };
            TokenFailure::new(*reason, TEMPORARY, format!("token endpoint {host}: {why}{way_out}"))
        }
        HttpError::TooLarge => unusable(request, "it is larger than 64 KiB"),
        HttpError::Answered(answer) => refused(request, answer, now),
    }
}

fn refused(request: &TokenRequest, answer: &Answer, now: Timestamp) -> TokenFailure {
    let host = host(request);
    let status = answer.status;
    let retry_after = answer.retry_after.as_deref().and_then(|text| retry_after(text, now));
    let temporary = Permanence::Temporary { retry_after };
    match status {
        200..=299 => return unusable(request, &format!("it has status {status}")),
        300..=399 => {
            let target = answer.location.as_deref().and_then(|url| oauth2::url::Url::parse(url).ok());
            let target = target.and_then(|url| Some(format!(" to {}", shown(request, url.host_str()?))));
            let message = format!(
                "token endpoint {host} redirects{}, which is not followed because the secret would go along; correct tokenURL",
                target.unwrap_or_default()
            );
            return TokenFailure::new(Reason::TokenEndpointRedirects, Permanence::UntilChanged, message);
        }
        429 => {
            let message = format!("token endpoint {host} asks for fewer requests (status 429)");
            return TokenFailure::new(Reason::Throttled, temporary, message);
        }
        _ => {}
    }
    let error = OAuthError::read(&answer.body.0);
    let passing = error
        .as_ref()
        .is_some_and(|error| matches!(error.error.as_str(), "temporarily_unavailable" | "server_error"));
    let mut failure = if passing || matches!(status, 408 | 425 | 500..) {
        let message = format!("token endpoint {host} has a passing problem (status {status})");
        TokenFailure::new(Reason::TokenEndpointUnavailable, temporary, message)
    } else if let Some(error) = &error {
        let reason = error.reason();
        TokenFailure::new(reason, Permanence::UntilChanged, error.sentence(reason, request))
    } else {
        let message =
            format!("token endpoint {host} answers with status {status} and no OAuth2 error; check tokenURL");
        TokenFailure::new(Reason::TokenRefused, Permanence::UntilChanged, message)
    };
    if let Some(error) = error {
        failure.aadsts = error.number;
        failure.correlation_id = error.correlation_id;
    }
    failure
}

/// The error body of RFC 6749, section 5.2, with Entra ID's additions, as lenient as can be.
struct OAuthError {
    error: String,
    description: String,
    number: Option<u64>,
    correlation_id: Option<String>,
}

impl OAuthError {
    fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let description = text("error_description").unwrap_or_default().to_owned();
        let listed =
            body.get("error_codes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_u64);
        let numbers: Vec<u64> = listed.chain(number_in(&description)).collect();
        let known = numbers.iter().copied().find(|number| entra_reason(*number).is_some());
        let guid =
            |id: &&str| id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        Some(Self {
            error: text("error")?.to_owned(),
            number: known.or_else(|| numbers.first().copied()),
            correlation_id: text("correlation_id").filter(guid).map(str::to_owned),
            description,
        })
    }

    fn reason(&self) -> Reason {
        self.number.and_then(entra_reason).unwrap_or(match self.error.as_str() {
            "invalid_client" => Reason::InvalidClientSecret,
            "invalid_scope" => Reason::InvalidScope,
            // Google's, beyond the RFC.
            "deleted_client" => Reason::ClientNotFound,
            "disabled_client" => Reason::ClientDisabled,
            _ => Reason::TokenRefused,
        })
    }

    fn sentence(&self, reason: Reason, request: &TokenRequest) -> String {
        let host = host(request);
        let client = &request.client_id;
        let scopes = request.scopes.join(" ");
        let said = self.said(request);
        let entra = self.number.is_some();
        match reason {
            Reason::InvalidClientSecret if entra => format!(
                "{host} refuses the client secret of application {client} ({said}): often the secret's ID was pasted \
                 instead of its value; create a new one in the Entra admin center, App registrations > Certificates & \
                 secrets, and put its Value into the Secret"
            ),
            Reason::ClientSecretExpired => format!(
                "the client secret of application {client} has expired ({said}): create a new one in the Entra admin \
                 center, App registrations > Certificates & secrets, and put its Value into the Secret"
            ),
            Reason::ClientNotFound if entra => format!(
                "the tenant knows no application {client} ({said}): compare clientID and tenantID with the Entra admin \
                 center, App registrations > Overview; an application of another tenant needs that one's admin consent"
            ),
            Reason::ClientDisabled if entra => format!(
                "application {client} is disabled ({said}): switch it on in the Entra admin center, Enterprise \
                 applications > Properties > Enabled for users to sign-in"
            ),
            Reason::TenantNotFound => format!(
                "{host} knows no such tenant ({said}): compare tenantID with the Entra admin center, Overview > \
                 Tenant ID, and cloud with the service the tenant lives in"
            ),
            Reason::InvalidScope if entra => format!(
                "{host} refuses the scope {scopes} ({said}): an application needs a resource followed by /.default, \
                 for Exchange Online https://outlook.office365.com/.default"
            ),
            Reason::BlockedByPolicy => format!(
                "a Conditional Access policy blocks application {client} ({said}): the Entra admin center, Sign-in \
                 logs > Service principal sign-ins, shows which one"
            ),
            Reason::InvalidClientSecret => format!(
                "{host} refuses client {client} or its secret ({said}): compare clientID and the Secret with what the \
                 provider shows for this client"
            ),
            Reason::InvalidScope => format!(
                "{host} refuses the scope {scopes} ({said}): compare scopes with what the provider lists for this client"
            ),
            _ => {
                format!("{host} refuses client {client} ({said}): see what the provider permits this client")
            }
        }
    }

    /// What the server said: the number alone if it says everything, else its own words.
    fn said(&self, request: &TokenRequest) -> String {
        match self.number.filter(|number| entra_reason(*number).is_some()) {
            Some(number) => format!("AADSTS{number}"),
            None if self.description.is_empty() => shown(request, &self.error),
            None => shown(request, &format!("{}: {}", self.error, lasting(&self.description))),
        }
    }
}

/// The numbers that have a reason of their own, from
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.
fn entra_reason(number: u64) -> Option<Reason> {
    Some(match number {
        7_000_215 => Reason::InvalidClientSecret,
        7_000_222 => Reason::ClientSecretExpired,
        // No such application; known, but without a service principal in this tenant.
        700_016 | 7_000_229 => Reason::ClientNotFound,
        7_000_112 => Reason::ClientDisabled,
        90_002 | 900_023 => Reason::TenantNotFound,
        // Malformed; not `/.default`; a resource the tenant does not have.
        70_011 | 1_002_012 | 500_011 => Reason::InvalidScope,
        53_003 => Reason::BlockedByPolicy,
        _ => return None,
    })
}

fn number_in(description: &str) -> Option<u64> {
    let (_, after) = description.split_once("AADSTS")?;
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    after.get(..digits)?.parse().ok()
}

/// A description up to what Entra appends to it: trace and correlation ID and the time.
fn lasting(description: &str) -> &str {
    let end =
        ["Trace ID:", "Correlation ID:", "Timestamp:"].iter().filter_map(|mark| description.find(mark)).min();
    end.and_then(|end| description.get(..end)).unwrap_or(description).trim()
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

/// RFC 9110, section 10.2.3: seconds or a date.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let asked = text.trim().parse().map(Duration::from_secs).ok().or_else(|| {
        let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
        Duration::try_from(at.duration_since(now)).ok()
    })?;
    Some(asked.min(MAX_RETRY_AFTER))
}

/// Host, and port if it is not 443.
fn host(request: &TokenRequest) -> String {
    let host = request.token_url.host_str().unwrap_or_default();
    request.token_url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A server's words without our secrets, in whichever form we sent them.
fn shown(request: &TokenRequest, words: &str) -> String {
    let secret = request.client_secret.expose();
    let basic = STANDARD.encode(format!("{}:{}", form_encoded(&request.client_id), form_encoded(secret)));
    printable(words, &[secret, &basic])
}

fn form_encoded(text: &str) -> String {
    oauth2::url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
