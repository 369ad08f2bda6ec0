//! One HTTPS request to a token endpoint: bounded in time and size, no redirect followed, no proxy but the one that
//! is asked for, and only to addresses that the egress policy admits. Knows nothing of OAuth, and hands on a
//! server's body only as bytes that print as their length.

use super::addresses::{self, PermittedAddresses};
use super::proxied;
use super::request::{Fingerprint, Proxy};
use super::transport;
use crate::api::Reason;
use crate::domain::egress;
use crate::domain::failure::Permanence;
use crate::domain::secret::Secret;
use crate::smtp::tls;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use url::Url;

/// From the name's resolution to the last byte of the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest body read. Real answers stay below 8 KiB.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// Clients kept, one for each CA bundle and proxy in use.
const MAX_CLIENTS: usize = 64;

/// Where a request goes.
#[derive(Clone, Copy)]
pub(super) struct Route<'a> {
    pub url: &'a Url,
    /// Trusted instead of the system's roots.
    pub ca_pem: Option<&'a str>,
    pub proxy: Option<&'a Proxy>,
}

/// What is sent.
pub(super) struct Post {
    /// `application/x-www-form-urlencoded`.
    pub form: String,
    /// `Authorization`, whole.
    pub authorization: Option<Secret>,
}

/// Sends requests; one reqwest client per CA bundle and proxy, since reading the system's roots takes
/// milliseconds. Connections are not kept: a token an hour gains nothing by it, and a connection the
/// server has closed meanwhile would only cause errors.
pub(super) struct Http {
    egress: Arc<egress::Policy>,
    timeout: Duration,
    clients: Mutex<HashMap<ClientKey, reqwest::Client>>,
}

#[derive(PartialEq, Eq, Hash)]
struct ClientKey {
    ca_pem: Option<String>,
    proxy: Option<(Url, Fingerprint)>,
}

/// Why there is no answer with status 200.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The egress policy refuses the host.
    #[error(transparent)]
    Denied(egress::Refusal),
    /// The egress policy refuses the proxy.
    #[error(transparent)]
    ProxyDenied(egress::Refusal),
    /// There are no certificates to trust.
    #[error("{0}")]
    NoRoots(String),
    /// Name, connection or time; the text is our own or the operating system's.
    #[error("{0}")]
    Unreachable(String),
    /// The TLS handshake failed, with the endpoint or with the proxy.
    #[error("the TLS handshake failed")]
    Tls { error: rustls::Error, with_proxy: bool },
    /// The proxy does not do what it is for; the text is our own.
    #[error("{2}")]
    Proxy(Reason, Permanence, String),
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

    /// Sends the request and returns the body of an answer with status 200.
    pub(super) async fn send(&self, route: Route<'_>, post: Post) -> Result<Vec<u8>, HttpError> {
        let late =
            |_| HttpError::Unreachable(format!("no complete answer within {} s", self.timeout.as_secs()));
        tokio::time::timeout(self.timeout, self.exchange(route, post)).await.map_err(late)?
    }

    async fn exchange(&self, route: Route<'_>, post: Post) -> Result<Vec<u8>, HttpError> {
        let client = self.client(route)?;
        match route.proxy {
            None => addresses::check_literal(route.url, &self.egress).map_err(HttpError::Denied)?,
            Some(proxy) => addresses::check_proxied(route.url, &proxy.url, &self.egress).await?,
        }
        let mut request = client
            .post(route.url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(post.form);
        if let Some(authorization) = post.authorization {
            request = request.header(AUTHORIZATION, authorization.expose());
        }
        let mut response = request.send().await.map_err(|error| transport::sort(&error))?;
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

    fn client(&self, route: Route<'_>) -> Result<reqwest::Client, HttpError> {
        let key = ClientKey {
            ca_pem: route.ca_pem.map(str::to_owned),
            proxy: route.proxy.map(|proxy| {
                let login = proxy.credentials.as_ref();
                let login = login.map(|(name, password)| [name.as_str(), password.expose()]);
                (proxy.url.clone(), Fingerprint::of(login.into_iter().flatten()))
            }),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = build(route, Arc::clone(&self.egress))?;
        if clients.len() >= MAX_CLIENTS {
            clients.clear(); // those of bundles that were replaced; the others come back with their next request
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

fn build(route: Route<'_>, egress: Arc<egress::Policy>) -> Result<reqwest::Client, HttpError> {
    let no_roots = |error: tls::TlsSettingsError| HttpError::NoRoots(error.to_string());
    let roots = match route.ca_pem {
        Some(pem) => tls::bundled_roots(pem.as_bytes()).map_err(no_roots)?,
        None => tls::system_roots(),
    };
    if roots.is_empty() {
        return Err(HttpError::NoRoots("the operator's image holds no system certificates".to_owned()));
    }
    let unusable = || HttpError::Unreachable("an HTTP client cannot be set up for it".to_owned());
    let settings = match route.proxy.filter(|proxy| proxy.url.scheme() == "https") {
        None => tls::client_config(roots, tls::MinVersion::Tls12, None).map_err(no_roots)?,
        Some(proxy) => proxied::settings(&proxy.url, tls::system_roots(), roots).ok_or_else(unusable)?,
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("mail-operator/", env!("CARGO_PKG_VERSION")))
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy() // none from the environment
        .referer(false)
        .pool_max_idle_per_host(0)
        .connect_timeout(TIMEOUT / 2) // leaves time for a second address
        .tls_backend_preconfigured(Arc::unwrap_or_clone(settings))
        .dns_resolver(PermittedAddresses { egress });
    if let Some(proxy) = route.proxy {
        builder = builder.proxy(proxied::client_proxy(proxy).ok_or_else(unusable)?);
    }
    builder.build().map_err(|_| unusable())
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
            Err(error) => return (body, Err(transport::sort(&error))),
        }
    }
}
