//! What a token request through a proxy needs of the HTTP client: the proxy with its login, and TLS settings that
//! tell the proxy's certificate from the endpoint's.

use super::request::Proxy;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;
use url::Url;

/// The proxy as the client takes it. `None` if its URL is none that the client knows.
pub(super) fn client_proxy(proxy: &Proxy) -> Option<reqwest::Proxy> {
    let mut url = proxy.url.clone();
    if let Some((name, password)) = &proxy.credentials {
        // Only from the URL does the client take them for SOCKS. The url crate encodes what needs it, but for the
        // sign of encoding itself.
        let encoded = |text: &str| text.replace('%', "%25");
        url.set_username(&encoded(name)).ok()?;
        url.set_password(Some(&encoded(password.expose()))).ok()?;
    }
    reqwest::Proxy::all(url.as_str()).ok()
}

/// Settings for a proxy that is spoken to over TLS: its certificate has to be by one of `proxy_roots`, and that of
/// everything behind it by one of `endpoint_roots`. Otherwise an endpoint's private authority could vouch for the
/// proxy, and the system's for the endpoint.
pub(super) fn settings(
    proxy: &Url,
    proxy_roots: Arc<RootCertStore>,
    endpoint_roots: Arc<RootCertStore>,
) -> Option<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let verifier = |roots| WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build().ok();
    let host = proxy.host_str()?.trim_matches(['[', ']']).to_owned();
    let by_name = ByName {
        proxy: ServerName::try_from(host).ok()?,
        of_proxy: verifier(proxy_roots)?,
        of_endpoint: verifier(endpoint_roots)?,
    };
    let config = ClientConfig::builder_with_provider(Arc::<CryptoProvider>::clone(&provider))
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(by_name))
        .with_no_client_auth();
    Some(Arc::new(config))
}

/// Two of rustls' own verifiers, chosen by whom we believe to talk to. Skips no check.
#[derive(Debug)]
struct ByName {
    proxy: ServerName<'static>,
    of_proxy: Arc<WebPkiServerVerifier>,
    of_endpoint: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for ByName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = if *server_name == self.proxy { &self.of_proxy } else { &self.of_endpoint };
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.of_endpoint.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.of_endpoint.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.of_endpoint.supported_verify_schemes()
    }
}
