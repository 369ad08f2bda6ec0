//! What an answer without a token means, in a reason, a permanence and a sentence with the way out.
//! Pure. HTTP status and OAuth `error` (RFC 6749, section 5.2) decide; Entra ID's AADSTS numbers only
//! find better words. Messages hold nothing that changes from one try to the next (no correlation
//! or trace ID, no time), so that an unchanged failure causes no new status.

use super::entra;
use super::exchange::RequestError;
use super::http::{Answer, HttpError};
use super::refusal::OAuthError;
use super::sent::Sent;
use crate::api::Reason;
use crate::domain::failure::{Peer, Permanence, Phase, tls_problem};
use crate::domain::verification::StageFailure;
use jiff::Timestamp;
use std::time::Duration;
use url::Url;

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TokenFailure {
    /// The word for the condition.
    pub reason: Reason,
    /// Whether trying again can help.
    pub permanence: Permanence,
    /// Not before this has passed, if the server said so; at most a day.
    pub retry_after: Option<Duration>,
    /// What happened and what to do; free of secrets, the server's own words in it at most 200
    /// printable characters. The same for the same failure.
    pub message: String,
    /// Entra ID's name for this one request, to look it up in the sign-in logs. For logs only: it is
    /// another one at each try.
    pub correlation_id: Option<String>,
    /// Entra ID's error number.
    pub aadsts: Option<u64>,
}

/// Servers that ask for more are asked again after this.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

impl TokenFailure {
    /// A request that must not be sent as it is.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Reason::InvalidSpec, Permanence::UntilChanged, message)
    }

    /// The exchange ended without a result, as it does when the process ends.
    pub(super) fn interrupted() -> Self {
        let message = "the token request was broken off; it is made again";
        Self::new(Reason::TokenEndpointUnavailable, Permanence::Temporary, message)
    }

    /// A failure with a sentence for an administrator, free of secrets.
    pub fn new(reason: Reason, permanence: Permanence, message: impl Into<String>) -> Self {
        Self {
            reason,
            permanence,
            retry_after: None,
            message: message.into(),
            correlation_id: None,
            aadsts: None,
        }
    }
}

impl From<TokenFailure> for StageFailure {
    fn from(failure: TokenFailure) -> Self {
        let TokenFailure { reason, permanence, retry_after, message, correlation_id: _, aadsts: _ } = failure;
        Self { reason, message, permanence, retry_after, phase: Phase::Auth, reply: None }
    }
}

/// Sorts whatever went wrong with a request.
pub(super) fn of(sent: &Sent<'_>, error: &RequestError, now: Timestamp) -> TokenFailure {
    match error {
        RequestError::Http(error) => without_success(sent, error, now),
        RequestError::NotAToken(why) => unusable(sent, why),
    }
}

/// A status of 200 that brings no sane token. Temporary, since maintenance pages look like this too.
pub(super) fn unusable(sent: &Sent<'_>, why: &str) -> TokenFailure {
    let message = format!("the answer of {} is no usable token: {why}; check tokenURL", sent.host());
    TokenFailure::new(Reason::BadTokenResponse, Permanence::Temporary, message)
}

/// Whether the refusal may mean only that credentials are taken in another place.
pub(super) fn may_be_the_style(error: &RequestError) -> bool {
    let RequestError::Http(HttpError::Answered(answer)) = error else { return false };
    match OAuthError::read(&answer.body.0) {
        // Entra ID says what it is about.
        Some(error) if error.number.is_some_and(entra::is_known) => false,
        Some(error) => matches!(error.error.as_str(), "invalid_client" | "invalid_request"),
        None => answer.status == 401,
    }
}

/// Of two refusals, by HTTP Basic and by form, the one that says more: the second, unless only
/// the first one knew the client.
pub(super) fn plainer(first: TokenFailure, second: TokenFailure) -> TokenFailure {
    if second.reason == Reason::TokenRefused { first } else { second }
}

fn without_success(sent: &Sent<'_>, error: &HttpError, now: Timestamp) -> TokenFailure {
    let host = sent.host();
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
        HttpError::ProxyDenied(refusal) => TokenFailure::new(
            Reason::EgressDenied,
            Permanence::UntilChanged,
            format!("proxy {}: {refusal}", sent.proxy()),
        ),
        HttpError::Unreachable(why) => {
            let through = sent.request.proxy.as_ref().map(|_| format!(" through proxy {}", sent.proxy()));
            TokenFailure::new(
                Reason::TokenEndpointUnavailable,
                Permanence::Temporary,
                format!("token endpoint {host} cannot be reached{}: {why}", through.unwrap_or_default()),
            )
        }
        HttpError::Tls { error, with_proxy } => {
            let proxy = sent.proxy();
            let peer = if *with_proxy { Peer::Proxy(&proxy) } else { Peer::TokenEndpoint(&host) };
            let (reason, message) = tls_problem(error, peer);
            TokenFailure::new(reason, Permanence::Temporary, message)
        }
        HttpError::Proxy(reason, permanence, why) => {
            let proxy = sent.proxy();
            let message = match reason {
                Reason::ProxyRefused => {
                    format!("proxy {proxy} does not connect us to token endpoint {host}: {why}")
                }
                _ => format!("proxy {proxy}: {why}"),
            };
            TokenFailure::new(*reason, *permanence, message)
        }
        HttpError::TooLarge => unusable(sent, "it is larger than 64 KiB"),
        HttpError::Answered(answer) => refused(sent, answer, now),
    }
}

fn refused(sent: &Sent<'_>, answer: &Answer, now: Timestamp) -> TokenFailure {
    let host = sent.host();
    let status = answer.status;
    let temporary = |reason, message| TokenFailure {
        retry_after: answer.retry_after.as_deref().and_then(|text| retry_after(text, now)),
        ..TokenFailure::new(reason, Permanence::Temporary, message)
    };
    match status {
        200..=299 => return unusable(sent, &format!("it has status {status}")),
        300..=399 => {
            let target = answer.location.as_deref().and_then(|url| Url::parse(url).ok());
            let target = target.and_then(|url| Some(format!(" to {}", sent.shown(url.host_str()?))));
            let message = format!(
                "token endpoint {host} redirects{}, which is not followed because the secret would go along; correct tokenURL",
                target.unwrap_or_default()
            );
            return TokenFailure::new(Reason::TokenEndpointRedirects, Permanence::UntilChanged, message);
        }
        429 => {
            let message = format!("token endpoint {host} asks for fewer requests (status 429)");
            return temporary(Reason::Throttled, message);
        }
        _ => {}
    }
    let error = OAuthError::read(&answer.body.0);
    let passing = error
        .as_ref()
        .is_some_and(|error| matches!(error.error.as_str(), "temporarily_unavailable" | "server_error"));
    let mut failure = if passing || matches!(status, 408 | 425 | 500..) {
        let message = format!("token endpoint {host} has a passing problem (status {status})");
        temporary(Reason::TokenEndpointUnavailable, message)
    } else if let Some(error) = &error {
        let reason = error.reason(sent);
        TokenFailure::new(reason, Permanence::UntilChanged, error.sentence(reason, sent))
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

/// RFC 9110, section 10.2.3: seconds or a date.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let asked = text.trim().parse().map(Duration::from_secs).ok().or_else(|| {
        let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
        Duration::try_from(at.duration_since(now)).ok()
    })?;
    Some(asked.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::http::Body;
    use super::*;
    use serde_json::json;

    const NOW: &str = "2026-11-24T06:00:00Z";

    #[test]
    fn retry_after_in_seconds_or_as_a_date() {
        for (text, seconds) in [
            ("120", Some(120)),
            (" 5 ", Some(5)),
            ("0", Some(0)),
            ("Tue, 24 Nov 2026 06:01:30 GMT", Some(90)),
            ("Tue, 24 Nov 2026 05:00:00 GMT", None),
            ("999999999999", Some(86_400)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let found = retry_after(text, NOW.parse().unwrap());
            assert_eq!(found, seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn status_and_error_decide_how_long_it_lasts() {
        let (temporary, held) = (Permanence::Temporary, Permanence::UntilChanged);
        for (status, error, reason, permanence) in [
            (307, "", Reason::TokenEndpointRedirects, held),
            (400, "invalid_client", Reason::InvalidClientSecret, held),
            (400, "invalid_grant", Reason::TokenRefused, held),
            (400, "unauthorized_client", Reason::TokenRefused, held),
            (400, "invalid_scope", Reason::InvalidScope, held),
            (400, "temporarily_unavailable", Reason::TokenEndpointUnavailable, temporary),
            (400, "server_error", Reason::TokenEndpointUnavailable, temporary),
            (401, "", Reason::TokenRefused, held),
            (403, "", Reason::TokenRefused, held),
            (404, "", Reason::TokenRefused, held),
            (408, "", Reason::TokenEndpointUnavailable, temporary),
            (425, "", Reason::TokenEndpointUnavailable, temporary),
            (429, "invalid_client", Reason::Throttled, temporary),
            (500, "", Reason::TokenEndpointUnavailable, temporary),
            (503, "invalid_client", Reason::TokenEndpointUnavailable, temporary),
        ] {
            let body = if error.is_empty() { "<html>".into() } else { json!({ "error": error }).to_string() };
            let answer = Answer {
                status,
                retry_after: Some("7".into()),
                location: Some("https://evil.example/\u{1b}[31m?x=y".into()),
                body: Body(body.into_bytes()),
            };
            let request = super::super::tests::example();
            let failure = refused(&Sent::new(&request), &answer, NOW.parse().unwrap());
            assert_eq!((failure.reason, failure.permanence), (reason, permanence), "{status} {error}");
            let asked = (permanence == temporary).then_some(Duration::from_secs(7));
            assert_eq!(failure.retry_after, asked, "{status} {error}");
        }
    }

    #[test]
    fn of_two_refusals_the_one_that_knows_the_client() {
        let failure = |reason| TokenFailure::new(reason, Permanence::UntilChanged, "");
        let (secret, refused) = (failure(Reason::InvalidClientSecret), failure(Reason::TokenRefused));
        assert_eq!(plainer(secret.clone(), refused.clone()), secret);
        assert_eq!(plainer(refused, secret.clone()), secret);
    }
}
