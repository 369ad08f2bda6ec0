//! TLS as configured for one mail server, and what became of it: settings into a rustls config,
//! rustls errors into reasons, a finished handshake into what the status shows. Certificates are
//! always verified; there is no switch to turn that off.

use crate::api::Reason;
use crate::domain::failure::{Failure, Peer, tls_problem};
use crate::domain::pem::{self, Broken, BrokenPair};
use crate::domain::secret::Secret;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;

/// The oldest TLS that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(missing_docs, reason = "the names are the versions")]
pub enum MinVersion {
    #[default]
    Tls12,
    Tls13,
}

/// A certificate to show to the server, for mutual TLS.
#[derive(Debug, Clone, Copy)]
pub struct ClientCertificate<'a> {
    /// `tls.crt`: the chain, our own certificate first.
    pub certificates: &'a [u8],
    /// `tls.key`.
    pub key: &'a Secret,
}

/// Why TLS settings cannot be used. Has no room for what a library says: see [`crate::domain::pem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsSettingsError {
    /// The bundle is empty or broken.
    #[error("the CA bundle {0}")]
    Bundle(Broken),
    /// Certificate and key are broken or do not belong together.
    #[error("the client certificate cannot be used: {0}")]
    ClientCertificate(BrokenPair),
    /// The crypto provider lacks the versions, which would be a mistake in the build.
    #[error("TLS cannot be set up: this build lacks the versions that are wanted; please report it")]
    Provider,
}

impl TlsSettingsError {
    /// The word for the condition.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Bundle(_) => Reason::CANotFound,
            Self::ClientCertificate(_) => Reason::ClientCertificateInvalid,
            Self::Provider => Reason::TLSHandshakeFailed,
        }
    }
}

/// The certificate authorities of the system. Reads files: load them once and share them. Broken
/// certificates among them are left out, as every TLS client does.
pub fn system_roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
}

/// The certificate authorities of a PEM bundle, all of which must be readable.
pub fn bundled_roots(pem: &[u8]) -> Result<Arc<RootCertStore>, TlsSettingsError> {
    pem::roots(pem).map(Arc::new).map_err(TlsSettingsError::Bundle)
}

/// Builds the config that all sessions with one server share; sharing it is what lets them resume.
pub fn client_config(
    roots: Arc<RootCertStore>,
    min_version: MinVersion,
    certificate: Option<ClientCertificate<'_>>,
) -> Result<Arc<ClientConfig>, TlsSettingsError> {
    let versions: &[_] = match min_version {
        MinVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        MinVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|_| TlsSettingsError::Provider)?
        .with_root_certificates(roots);
    let Some(certificate) = certificate else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let pair = pem::pair(certificate.certificates, certificate.key.expose().as_bytes())
        .map_err(TlsSettingsError::ClientCertificate)?;
    Ok(Arc::new(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))))
}

/// What the status shows of a TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The suite's name at IANA, for example `TLS13_AES_256_GCM_SHA384`.
    pub cipher_suite: String,
    /// The server's own certificate; verified, so its names are not hearsay.
    pub certificate: Option<CertificateInfo>,
    /// The handshake was shortened by what an earlier session with the same config had agreed upon.
    pub resumed: bool,
}

/// The server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Distinguished name, as OpenSSL writes it.
    pub subject: String,
    /// Distinguished name of who signed it.
    pub issuer: String,
    /// The end of its validity.
    pub not_after: Option<jiff::Timestamp>,
}

impl TlsInfo {
    pub(super) fn of(connection: &rustls::ClientConnection) -> Self {
        Self {
            version: match connection.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
                Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
                _ => "unknown",
            },
            cipher_suite: connection
                .negotiated_cipher_suite()
                .map(|suite| format!("{:?}", suite.suite()))
                .unwrap_or_default(),
            certificate: connection.peer_certificates().and_then(<[_]>::first).and_then(|der| describe(der)),
            resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        }
    }

    /// A resumed session rests on a certificate that was verified earlier, which may have ended since.
    /// Without this a server would be fine for those sessions that resume and expired for others.
    pub(super) fn check(&self, now: jiff::Timestamp) -> Result<(), Failure> {
        let end = self.certificate.as_ref().and_then(|certificate| certificate.not_after);
        if self.resumed && end.is_some_and(|end| end < now) {
            let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
            let (reason, detail) = tls_problem(&expired, Peer::MailServer(""));
            return Err(Failure::tls(reason, detail));
        }
        Ok(())
    }
}

/// When the first certificate of a PEM chain ends; `None` if there is none to be read.
pub fn not_after(pem: &[u8]) -> Option<jiff::Timestamp> {
    describe(pem::certificates(pem).ok()?.first()?)?.not_after
}

fn describe(der: &[u8]) -> Option<CertificateInfo> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(CertificateInfo {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        not_after: jiff::Timestamp::from_second(certificate.validity().not_after.timestamp()).ok(),
    })
}

/// What a TLS error means; `None` where the error is not about TLS.
pub(super) fn failure(error: &io::Error, name: Option<&ServerName<'_>>) -> Option<Failure> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let name = name.map_or_else(|| "the server".into(), ServerName::to_str);
    let (reason, detail) = tls_problem(error, Peer::MailServer(&name));
    Some(Failure::tls(reason, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_session_ends_with_its_certificate() {
        let second = jiff::Timestamp::from_second;
        let info = |resumed| TlsInfo {
            version: "1.3",
            cipher_suite: String::new(),
            certificate: Some(CertificateInfo {
                subject: String::new(),
                issuer: String::new(),
                not_after: second(1000).ok(),
            }),
            resumed,
        };
        for (resumed, now, is_fine) in [(true, 1000, true), (true, 1001, false), (false, 1001, true)] {
            let outcome = second(now).map(|now| info(resumed).check(now));
            let reason = outcome.is_ok_and(|outcome| outcome.is_ok_and(|()| true));
            assert_eq!(reason, is_fine, "{resumed} {now}");
        }
    }
}
