//! Throw-away certificates: an authority of our own, and servers' certificates that are right or wrong in one respect.

use crate::{
    error::{Error, Result},
    scratch::Scratch,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use std::{path::PathBuf, sync::Arc};

/// A certificate authority that exists for one run.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A server's certificate with its private key, both PEM.
#[derive(Debug, Clone)]
pub struct ServerCertificate {
    /// The certificate, without its authority's.
    pub certificate_pem: String,
    /// The private key (PKCS#8).
    pub key_pem: String,
}

impl CertificateAuthority {
    /// Makes an authority of this name.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// The authority's own certificate, which clients have to trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A good certificate for a server that is reached as `name` or under one of `others` (DNS names or addresses). Another
    /// name or another authority makes it a wrong one.
    pub fn server(&self, name: &str, others: &[&str]) -> Result<ServerCertificate> {
        self.sign(&server_params(name, others)?)
    }

    /// Like [`server`](Self::server), but it has expired at the beginning of 2021.
    pub fn expired_server(&self, name: &str, others: &[&str]) -> Result<ServerCertificate> {
        let mut params = server_params(name, others)?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(&params)
    }

    /// A certificate with which a client shows who it is.
    pub fn client(&self, name: &str) -> Result<ServerCertificate> {
        let mut params = server_params(name, &[])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<ServerCertificate> {
        let key = KeyPair::generate()?;
        let certificate_pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(ServerCertificate { certificate_pem, key_pem: key.serialize_pem() })
    }
}

impl ServerCertificate {
    /// Writes `NAME.crt` and `NAME.key` and returns their paths in this order.
    pub fn write(&self, scratch: &Scratch, name: &str) -> Result<(PathBuf, PathBuf)> {
        let certificate = scratch.write(&format!("{name}.crt"), &self.certificate_pem)?;
        Ok((certificate, scratch.write(&format!("{name}.key"), &self.key_pem)?))
    }

    /// The hash of the certificate as it travels.
    pub fn sha256(&self) -> Result<Vec<u8>> {
        let der = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes())
            .map_err(|error| Error::Unexpected(format!("reading back our own certificate: {error}")))?;
        Ok(ring::digest::digest(&ring::digest::SHA256, &der).as_ref().to_vec())
    }

    /// A server's TLS settings: this certificate, TLS 1.2 and 1.3, ring.
    pub fn server_config(&self) -> Result<Arc<rustls::ServerConfig>> {
        self.config(rustls::ALL_VERSIONS, None)
    }

    /// The same of a server that has not learnt TLS 1.3.
    pub fn tls12_server_config(&self) -> Result<Arc<rustls::ServerConfig>> {
        self.config(&[&rustls::version::TLS12], None)
    }

    /// The same of a server that wants to see a certificate by `authority` from its clients.
    pub fn mutual_server_config(
        &self,
        authority: &CertificateAuthority,
    ) -> Result<Arc<rustls::ServerConfig>> {
        self.config(rustls::ALL_VERSIONS, Some(authority))
    }

    fn config(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        clients: Option<&CertificateAuthority>,
    ) -> Result<Arc<rustls::ServerConfig>> {
        let unreadable = |error| Error::Unexpected(format!("reading back our own certificate: {error}"));
        let certificate =
            CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).map_err(unreadable)?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(unreadable)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = match clients {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).map_err(unreadable)?)?;
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                    .build()
                    .map_err(|error| Error::Unexpected(format!("verifying clients: {error}")))?
            }
        };
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)?;
        Ok(Arc::new(config))
    }
}

/// A key for signing tokens: the private and the public half, PEM.
pub(crate) fn signing_key() -> Result<(String, String)> {
    let key = KeyPair::generate()?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

fn server_params(name: &str, others: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = std::iter::once(name).chain(others.iter().copied()).map(str::to_owned).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
