//! What lies at the bottom of a request that brought no answer.

use super::http::HttpError;
use crate::api::Reason;
use crate::domain::egress;
use crate::domain::failure::Permanence;
use crate::domain::masking::Mask;
use std::error::Error;
use std::io;

/// Sorts what reqwest reports.
pub(super) fn sort(error: &reqwest::Error) -> HttpError {
    let causes = std::iter::successors(Some(error as &(dyn Error + 'static)), |error| beneath(*error));
    let mut proxy = None;
    for cause in causes {
        if let Some(refusal) = cause.downcast_ref::<egress::Refusal>() {
            let refusal = refusal.clone();
            return if proxy.is_some() {
                HttpError::ProxyDenied(refusal)
            } else {
                HttpError::Denied(refusal)
            };
        }
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return HttpError::Tls { error: error.clone(), with_proxy: proxy.is_some() };
        }
        proxy = proxy.or_else(|| with_proxy(&cause.to_string()));
        let io = cause.downcast_ref::<io::Error>().filter(|io| io.get_ref().is_none_or(is_plain_text));
        match (io, &proxy) {
            (Some(io), Some(_)) => return unavailable(&io_failure(io)),
            (Some(io), None) => return HttpError::Unreachable(io_failure(io)),
            (None, _) => {}
        }
    }
    proxy.unwrap_or_else(|| {
        HttpError::Unreachable(
            if error.is_timeout() {
                "no answer to the connection attempt"
            } else {
                "the connection broke before the answer was complete"
            }
            .to_owned(),
        )
    })
}

fn unavailable(why: &str) -> HttpError {
    HttpError::Proxy(Reason::ProxyUnavailable, Permanence::Temporary, format!("{why}; check proxy.url"))
}

/// What went wrong with a proxy. hyper-util keeps the types of these errors to itself, so their words have to do;
/// a test per word holds them.
fn with_proxy(words: &str) -> Option<HttpError> {
    let what = words.strip_prefix("tunnel error: ").or_else(|| words.strip_prefix("SOCKS error: "))?;
    let refused = |permanence, why: &str| HttpError::Proxy(Reason::ProxyRefused, permanence, why.to_owned());
    Some(match what {
        "proxy authorization required"
        | "credentials not accepted"
        | "server does not support user/pass authentication" => HttpError::Proxy(
            Reason::ProxyAuthenticationFailed,
            Permanence::UntilChanged,
            "it does not accept the user name and password, or wants some; correct the Secret of \
             proxy.credentialsSecretRef"
                .to_owned(),
        ),
        "failed to create underlying connection" => unavailable("it cannot be connected to"),
        "unexpected end of file" | "io error establishing tunnel" | "io error during SOCKS handshake" => {
            unavailable("it closed the connection")
        }
        "unsuccessful" => refused(Permanence::Temporary, "it answered CONNECT with neither 200 nor 407"),
        "connection not allowed" | "command not supported" => {
            refused(Permanence::UntilChanged, &format!("it says: {what}"))
        }
        "general server failure"
        | "network unreachable"
        | "host unreachable"
        | "connection refused"
        | "ttl expired"
        | "address type not supported" => refused(Permanence::Temporary, &format!("it says: {what}")),
        _ => unavailable("it does not speak what the scheme of proxy.url says"),
    })
}

/// The next cause. `io::Error` passes over the error it wraps, which is the one that counts.
fn beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// Whether an `io::Error` wraps words only: the resolver's answer, not an error of a type of its own.
fn is_plain_text(wrapped: &(dyn Error + Send + Sync + 'static)) -> bool {
    !wrapped.is::<rustls::Error>() && !wrapped.is::<io::Error>() && wrapped.source().is_none()
}

fn io_failure(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => "no answer to the connection attempt".to_owned(),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        _ => Mask::default().line(&error.to_string()),
    }
}
