//! One HTTPS request to a token endpoint: bounded in time and size, no redirect followed, no proxy
//! taken from the environment, and only to addresses that the egress policy admits. Knows nothing
//! of OAuth, and hands on a server's body only as bytes that print as their length.

use crate::domain::secret::Secret;
use crate::{api::Reason, domain::egress};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use url::{Host, Url};

/// From the name's resolution to the last byte of the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest body read. Real answers stay below 8 KiB.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// Clients kept, one for each CA bundle in use.
const MAX_CLIENTS: usize = 64;

/// What is sent.
pub(super) struct Post {
    /// `application/x-www-form-urlencoded`.
    pub form: String,
    /// `Authorization`, whole.
    pub authorization: Option<Secret>,
}

/// Sends requests; one reqwest client per CA bundle, since reading the system's roots takes
/// milliseconds. Connections are not kept: a token an hour gains nothing by it, and a connection the
/// server has closed meanwhile would only cause errors.
pub(super) struct Http {
    egress: Arc<egress::Policy>,
    timeout: Duration,
    clients: Mutex<HashMap<Option<String>, reqwest::Client>>,
}

/// Why there is no answer with status 200.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The egress policy refuses every address of the host.
    #[error(transparent)]
    Denied(egress::Refusal),
    /// There are no certificates to trust.
    #[error("{0}")]
    NoRoots(&'static str),
    /// Name, connection or time; the text is our own or the operating system's.
    #[error("{0}")]
    Unreachable(String),
    /// The TLS handshake failed.
    #[error("{1}")]
    Tls(Reason, &'static str),
    /// A status of 200 with more than [`MAX_BODY`].
    #[error("the answer is larger than {} KiB", MAX_BODY / 1024)]
    TooLarge,
    /// Any status but 200.
    #[error("the answer has status {}", .0.status)]
    Answered(Box<Answer>),
}

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    /// `Retry-After` as sent.
    pub retry_after: Option<String>,
    /// `Location` as sent.
    pub location: Option<String>,
    /// Its first [`MAX_BODY`] bytes.
    pub body: Body,
}

/// Bytes of a server, which may echo what it was sent: prints as its length.
pub(super) struct Body(pub Vec<u8>);

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Http {
    pub(super) fn new(egress: Arc<egress::Policy>, timeout: Duration) -> Self {
        Self { egress, timeout, clients: Mutex::default() }
    }

    /// Sends the request, trusting `ca_pem` or else the system's roots, and returns the body of an answer with
    /// status 200.
    pub(super) async fn send(
        &self,
        url: &Url,
        ca_pem: Option<&str>,
        post: Post,
    ) -> Result<Vec<u8>, HttpError> {
        let late =
            |_| HttpError::Unreachable(format!("no complete answer within {} s", self.timeout.as_secs()));
        tokio::time::timeout(self.timeout, self.exchange(url, ca_pem, post)).await.map_err(late)?
    }

    async fn exchange(&self, url: &Url, ca_pem: Option<&str>, post: Post) -> Result<Vec<u8>, HttpError> {
        let client = self.client(ca_pem)?;
        self.check_literal(url)?;
        let mut request = client
            .post(url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(post.form);
        if let Some(authorization) = post.authorization {
            request = request.header(AUTHORIZATION, authorization.expose());
        }
        let mut response = request.send().await.map_err(|error| transport(&error))?;
        let (body, read) = read_bounded(&mut response).await;
        if response.status() == reqwest::StatusCode::OK {
            return read.map(|()| body);
        }
        // A refusal is one whatever its body; what did arrive of it words the reason.
        let header = |name: HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        Err(HttpError::Answered(Box::new(Answer {
            status: response.status().as_u16(),
            retry_after: header(RETRY_AFTER),
            location: header(LOCATION),
            body: Body(body),
        })))
    }

    /// An address in the URL itself never passes through the resolver.
    fn check_literal(&self, url: &Url) -> Result<(), HttpError> {
        let address: IpAddr = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        self.egress.check(address).map_err(HttpError::Denied)
    }

    fn client(&self, ca_pem: Option<&str>) -> Result<reqwest::Client, HttpError> {
        let key = ca_pem.map(str::to_owned);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = build(ca_pem, Arc::clone(&self.egress))?;
        if clients.len() >= MAX_CLIENTS {
            clients.clear(); // bundles that were replaced; those in use come back at their next request
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

fn build(ca_pem: Option<&str>, egress: Arc<egress::Policy>) -> Result<reqwest::Client, HttpError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("mail-operator/", env!("CARGO_PKG_VERSION")))
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .pool_max_idle_per_host(0)
        .connect_timeout(TIMEOUT / 2) // leaves time for a second address
        .dns_resolver(PermittedAddresses { egress });
    if let Some(pem) = ca_pem {
        let unusable = HttpError::NoRoots("the CA bundle holds no usable PEM certificate");
        match reqwest::Certificate::from_pem_bundle(pem.as_bytes()) {
            Ok(roots) if !roots.is_empty() => builder = builder.tls_certs_only(roots),
            Ok(_) | Err(_) => return Err(unusable),
        }
    }
    builder.build().map_err(|_| {
        HttpError::NoRoots(match ca_pem {
            Some(_) => "the CA bundle holds a certificate that cannot be used",
            None => "the operator's image holds no system certificates",
        })
    })
}

async fn read_bounded(response: &mut reqwest::Response) -> (Vec<u8>, Result<(), HttpError>) {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let left = MAX_BODY - body.len();
                body.extend(chunk.iter().take(left));
                if chunk.len() > left {
                    return (body, Err(HttpError::TooLarge));
                }
            }
            Ok(None) => return (body, Ok(())),
            Err(error) => return (body, Err(transport(&error))),
        }
    }
}

/// Resolves names like the system does and keeps the addresses that the policy admits. The connection
/// is made to these very addresses, so that no second answer of the DNS can replace them.
struct PermittedAddresses {
    egress: Arc<egress::Policy>,
}

impl Resolve for PermittedAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = Arc::clone(&self.egress);
        Box::pin(async move {
            // Port 0 stands for the URL's.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(permitted(found.collect(), &egress)?.into_iter()) as Addrs)
        })
    }
}

/// The addresses the policy admits; its refusal if there were addresses and it admits none.
fn permitted(
    mut found: Vec<SocketAddr>,
    egress: &egress::Policy,
) -> Result<Vec<SocketAddr>, egress::Refusal> {
    let mut refusal = None;
    found.retain(|address| match egress.check(address.ip()) {
        Ok(()) => true,
        Err(refused) => {
            refusal.get_or_insert(refused);
            false
        }
    });
    match refusal {
        Some(refusal) if found.is_empty() => Err(refusal),
        _ => Ok(found),
    }
}

/// Sorts what reqwest reports by what lies at the bottom of it.
fn transport(error: &reqwest::Error) -> HttpError {
    let mut causes = std::iter::successors(Some(error as &(dyn Error + 'static)), |error| beneath(*error));
    let found = causes.find_map(|cause| {
        if let Some(refusal) = cause.downcast_ref::<egress::Refusal>() {
            return Some(HttpError::Denied(refusal.clone()));
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            let (reason, words) = tls_failure(tls);
            return Some(HttpError::Tls(reason, words));
        }
        let io = cause.downcast_ref::<io::Error>().filter(|io| io.get_ref().is_none_or(is_plain_text))?;
        Some(HttpError::Unreachable(io_failure(io)))
    });
    found.unwrap_or_else(|| {
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
        _ => super::masking::printable(&error.to_string(), &[]),
    }
}

fn tls_failure(error: &rustls::Error) -> (Reason, &'static str) {
    use rustls::{AlertDescription, CertificateError as Certificate, Error as Tls};
    match error {
        Tls::InvalidCertificate(certificate) => match certificate {
            // A bad signature is what a private CA that was made anew under its old name looks like.
            Certificate::UnknownIssuer | Certificate::BadSignature => {
                (Reason::CertificateUnknownIssuer, "its certificate is signed by nobody we know")
            }
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. } => {
                (Reason::CertificateExpired, "its certificate is no longer, or not yet, valid")
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                (Reason::CertificateNameMismatch, "its certificate is for another name")
            }
            _ => (Reason::CertificateInvalid, "its certificate cannot be accepted"),
        },
        Tls::InvalidMessage(_) => (Reason::NotTLS, "it speaks no TLS on this port"),
        Tls::PeerIncompatible(_) | Tls::AlertReceived(AlertDescription::ProtocolVersion) => {
            (Reason::TLSVersionTooOld, "it offers only TLS older than 1.2")
        }
        _ => (Reason::TLSHandshakeFailed, "the TLS handshake failed"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_several_addresses_only_the_permitted_ones_are_left() {
        let addresses =
            |list: &[&str]| list.iter().map(|address| address.parse().unwrap()).collect::<Vec<_>>();
        let policy = egress::Policy::default();
        for (found, left) in [
            (&["127.0.0.1:0", "198.51.100.7:0", "[::1]:0"][..], Some(&["198.51.100.7:0"][..])),
            (&["198.51.100.7:0", "[2001:db8::1]:0"], Some(&["198.51.100.7:0", "[2001:db8::1]:0"])),
            (&["169.254.169.254:0", "127.0.0.1:0"], None),
            (&[], Some(&[])),
        ] {
            assert_eq!(permitted(addresses(found), &policy).ok(), left.map(addresses), "{found:?}");
        }
    }
}
