//! The HTTP client with which the testbed asks its own servers.

use crate::error::{Error, Result};
use reqwest::{Certificate, Client, ClientBuilder};
use std::time::Duration;

/// A client that keeps no connection: a kept one is bound to the runtime that opened it, and servers are shared by
/// tests that each have a runtime of their own.
fn builder() -> ClientBuilder {
    // A second call finds the first one's choice, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().pool_max_idle_per_host(0).no_proxy().timeout(Duration::from_secs(30))
}

/// For servers without TLS.
pub(crate) fn plain() -> Result<Client> {
    builder().tls_certs_only([]).build().map_err(Error::http("making an HTTP client"))
}

/// For servers whose certificate comes from the authority in `ca_pem`.
pub(crate) fn trusting(ca_pem: &str) -> Result<Client> {
    build(builder(), ca_pem)
}

/// The same, but it keeps connections and waits as long as it takes: for what stands between a client and a server.
pub(crate) fn passing_on(ca_pem: &str) -> Result<Client> {
    build(Client::builder().no_proxy().http1_only().redirect(reqwest::redirect::Policy::none()), ca_pem)
}

fn build(builder: ClientBuilder, ca_pem: &str) -> Result<Client> {
    let attempt = "making an HTTP client";
    let ca = Certificate::from_pem(ca_pem.as_bytes()).map_err(Error::http(attempt))?;
    builder.tls_certs_only([ca]).build().map_err(Error::http(attempt))
}
