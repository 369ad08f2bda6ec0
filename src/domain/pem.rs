//! Certificates and private keys in PEM (RFC 7468), the one place that reads them. What libraries say of a file that
//! they cannot read may hold the whole of it: a key that lost its line breaks is, to a PEM reader, one long marker, and
//! it shows that. So nothing a library says leaves this module. [`Broken`] knows only what is wrong, and has no room
//! for a text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{InconsistentKeys, RootCertStore};
use std::sync::Arc;

/// What is wrong with a file, to be read on after its name. Copied rather than built: it cannot hold a piece of what
/// it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Nothing but spaces.
    #[error("is empty")]
    Empty,
    /// Binary, as `.der`, `.cer` and `.p12` files are.
    #[error(
        "is binary, not text in PEM form; convert it: `openssl x509 -inform der` for a certificate, `openssl pkey -inform der` for \
         a key, `openssl pkcs12 -nodes` for a .p12 or .pfx file"
    )]
    Binary,
    /// Base64 of PEM: encoded by hand, and once more by what made the Secret.
    #[error(
        "is base64 of a PEM file: it was encoded twice; use `stringData`, or `kubectl create secret` with the file itself"
    )]
    EncodedTwice,
    /// `\n` as two characters.
    #[error(
        "has \\n, a backslash and a letter, in place of line breaks; copy the whole file as it is, with its line breaks"
    )]
    WrittenLineBreaks,
    /// All in one line.
    #[error(
        "has lost its line breaks; copy the whole file as it is: each BEGIN and END is a line of its own"
    )]
    OneLine,
    /// A beginning without its end.
    #[error("is broken PEM; copy the whole file, with its first and last line")]
    Incomplete,
    /// Locked with a passphrase.
    #[error("is locked with a passphrase; unlock it with `openssl pkey -in KEY -out tls.key`")]
    Locked,
    /// PEM, if any, of something else.
    #[error("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// PEM, if any, of something else.
    #[error("holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// PEM of something that is none.
    #[error(
        "holds something that is no X.509 certificate of version 3; copy the whole file, with its first and last line"
    )]
    NoX509,
    /// A kind of key that nobody here can use.
    #[error("is no RSA key of 2048 to 8192 bits, nor one for P-256, P-384 or Ed25519")]
    Unsupported,
    /// The key of another certificate.
    #[error(
        "is not the key of the first certificate in tls.crt; put both from the same source into the Secret"
    )]
    OtherKey,
}

/// The certificates of a file, at least one, all of which must be readable. Keys beside them are passed over.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Broken> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let Ok(certificates) = read else { return Err(diagnose(pem).unwrap_or(Broken::Incomplete)) };
    if certificates.is_empty() {
        return Err(diagnose(pem).unwrap_or(Broken::NoCertificate));
    }
    Ok(certificates)
}

/// The certificate authorities of a bundle.
pub fn roots(pem: &[u8]) -> Result<RootCertStore, Broken> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|_| Broken::NoX509)?;
    }
    Ok(roots)
}

/// The private key of a file: PKCS#8, PKCS#1 or SEC1.
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Broken> {
    let has = |words: &str| memchr::memmem::find(pem, words.as_bytes()).is_some();
    if has("-----BEGIN ENCRYPTED PRIVATE KEY-----") || has("Proc-Type: 4,ENCRYPTED") {
        return Err(diagnose(pem).unwrap_or(Broken::Locked));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let is_key = has("PRIVATE KEY-----");
        diagnose(pem).unwrap_or(if is_key { Broken::Incomplete } else { Broken::NoKey })
    })
}

/// The same, ready to sign: RSA, P-256, P-384 or Ed25519.
pub fn signing_key(pem: &[u8]) -> Result<Arc<dyn SigningKey>, Broken> {
    any_supported_type(&private_key(pem)?).map_err(|_| Broken::Unsupported)
}

/// Which file of a pair something is wrong with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokenPair {
    /// `tls.crt`.
    #[error("tls.crt {0}")]
    Chain(Broken),
    /// `tls.key`.
    #[error("tls.key {0}")]
    Key(Broken),
}

/// A certificate chain and the key of its first certificate.
pub fn pair(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, BrokenPair> {
    let chain = certificates(chain).map_err(BrokenPair::Chain)?;
    let pair = CertifiedKey::new(chain, signing_key(key).map_err(BrokenPair::Key)?);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => Err(BrokenPair::Key(Broken::OtherKey)),
        Err(_) => Err(BrokenPair::Chain(Broken::NoX509)),
    }
}

/// What often happens to such files on their way into a Secret; `None` if it is something else.
fn diagnose(bytes: &[u8]) -> Option<Broken> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Some(Broken::Binary) };
    let text = text.trim();
    if text.is_empty() {
        return Some(Broken::Empty);
    }
    if bytes.contains(&0) {
        return Some(Broken::Binary);
    }
    let Some(begin) = text.find("-----BEGIN ") else {
        let packed: String = text.split_whitespace().collect();
        let decoded = STANDARD.decode(packed).ok()?;
        let is_pem = memchr::memmem::find(&decoded, b"-----BEGIN ").is_some();
        // A certificate or key in DER begins as a sequence with a length of two octets.
        let is_der = decoded.starts_with(&[0x30, 0x82]);
        return is_pem.then_some(Broken::EncodedTwice).or(is_der.then_some(Broken::Incomplete));
    };
    let rest = text.get(begin..)?;
    let first = rest.lines().next().unwrap_or_default();
    // A first line ends with its own dashes.
    let alone = first.trim_end().strip_prefix("-----BEGIN ").and_then(|label| label.strip_suffix("-----"));
    if alone.is_some_and(|label| !label.contains("-----")) {
        return None;
    }
    Some(if first.contains("\\n") { Broken::WrittenLineBreaks } else { Broken::OneLine })
}

#[cfg(test)]
mod tests;
