//! Signed statements: JSON Web Tokens (RFC 7519) by which a client proves itself with its certificate's key
//! (RFC 7523, section 2.2) or speaks with a service account's (section 2.1). Keys are read and used by rustls'
//! provider, so that every form of PEM that serves for TLS serves here. No key and no statement is ever printed.

use super::failure::TokenFailure;
use crate::api::Reason;
use crate::domain::failure::Permanence;
use crate::domain::pem::{self, Broken, BrokenPair};
use crate::domain::secret::Secret;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use ring::digest;
use rustls::SignatureScheme;
use rustls::sign::SigningKey;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use x509_parser::prelude::FromDer;
use x509_parser::signature_value::EcdsaSigValue;

/// How far back a statement's time lies, for providers whose clock is behind ours.
const BEFORE: SignedDuration = SignedDuration::from_mins(1);

/// From then on a statement is worthless. With [`BEFORE`] ten minutes in all, which no provider finds too long.
const AFTER: SignedDuration = SignedDuration::from_mins(9);

/// How a statement is signed (RFC 7518, section 3.1; RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::upper_case_acronyms, reason = "the names are the RFCs'")]
pub(super) enum Algorithm {
    PS256,
    RS256,
    ES256,
    ES384,
    EDDSA,
}

impl Algorithm {
    /// For a client's own statement, in the order they are tried: PS256 is what Entra ID documents and RS256
    /// what every provider has to know.
    pub(super) const FOR_CLIENTS: [Self; 5] =
        [Self::PS256, Self::RS256, Self::ES256, Self::ES384, Self::EDDSA];

    /// For a service account's: Google takes RS256 only.
    pub(super) const FOR_SERVICE_ACCOUNTS: [Self; 4] = [Self::RS256, Self::ES256, Self::ES384, Self::EDDSA];

    const fn name(self) -> &'static str {
        match self {
            Self::PS256 => "PS256",
            Self::RS256 => "RS256",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EDDSA => "EdDSA",
        }
    }

    const fn scheme(self) -> SignatureScheme {
        match self {
            Self::PS256 => SignatureScheme::RSA_PSS_SHA256,
            Self::RS256 => SignatureScheme::RSA_PKCS1_SHA256,
            Self::ES256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            Self::ES384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            Self::EDDSA => SignatureScheme::ED25519,
        }
    }

    /// Octets of each of an ECDSA signature's two numbers.
    const fn number(self) -> Option<usize> {
        match self {
            Self::ES256 => Some(32),
            Self::ES384 => Some(48),
            Self::PS256 | Self::RS256 | Self::EDDSA => None,
        }
    }
}

/// A private key with the name it goes by at the provider.
pub(super) struct Key {
    signing: Arc<dyn SigningKey>,
    /// What the header says of it: `x5t#S256` or `kid`.
    named: Option<(&'static str, String)>,
    /// The certificate's SHA-1, which is what Entra's admin center lists certificates by.
    pub thumbprint: Option<String>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// The key of a client certificate, which has to be the one in the chain's first certificate.
    pub(super) fn of_certificate(chain_pem: &str, key_pem: &Secret) -> Result<Self, TokenFailure> {
        let broken = |why: BrokenPair| {
            let message = format!("the client certificate cannot sign: {why}");
            TokenFailure::new(Reason::ClientCertificateInvalid, Permanence::UntilChanged, message)
        };
        let certified = pem::pair(chain_pem.as_bytes(), key_pem.expose().as_bytes()).map_err(broken)?;
        let own = certified.cert.first().ok_or_else(|| broken(BrokenPair::Chain(Broken::NoCertificate)))?;
        let digest = Sha256::digest(own);
        let thumbprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, own);
        let thumbprint =
            thumbprint.as_ref().iter().fold(String::new(), |hex, octet| format!("{hex}{octet:02X}"));
        Ok(Self {
            signing: certified.key,
            named: Some(("x5t#S256", URL_SAFE_NO_PAD.encode(digest))),
            thumbprint: Some(thumbprint),
        })
    }

    /// The first of `wanted` that this key can do, and every other.
    pub(super) fn algorithms(&self, wanted: &[Algorithm]) -> Vec<Algorithm> {
        let can = |algorithm: &&Algorithm| self.signing.choose_scheme(&[algorithm.scheme()]).is_some();
        wanted.iter().filter(can).copied().collect()
    }

    /// Signs `claims`, to which the time is added. `None` if the key cannot.
    pub(super) fn sign(
        &self,
        algorithm: Algorithm,
        mut claims: Map<String, Value>,
        now: Timestamp,
    ) -> Option<Secret> {
        let begins = now.saturating_sub(BEFORE).ok()?.as_second();
        claims.insert("iat".into(), begins.into());
        claims.insert("nbf".into(), begins.into());
        claims.insert("exp".into(), now.saturating_add(AFTER).ok()?.as_second().into());
        // So that no statement equals another, and a provider may take each only once.
        claims.insert("jti".into(), format!("{:032x}", rand::random::<u128>()).into());
        let mut header = json!({ "alg": algorithm.name(), "typ": "JWT" });
        if let (Some((name, value)), Some(header)) = (&self.named, header.as_object_mut()) {
            header.insert((*name).into(), value.as_str().into());
        }
        let part = |json: String| URL_SAFE_NO_PAD.encode(json);
        let said = format!("{}.{}", part(header.to_string()), part(Value::Object(claims).to_string()));
        let signer = self.signing.choose_scheme(&[algorithm.scheme()])?;
        let signature = signer.sign(said.as_bytes()).ok()?;
        let signature = match algorithm.number() {
            Some(octets) => joined(&signature, octets)?,
            None => signature,
        };
        Some(Secret::new(format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// An ECDSA signature as JWTs have it (RFC 7518, section 3.4): both numbers in full length, where TLS wraps
/// them in DER.
fn joined(der: &[u8], octets: usize) -> Option<Vec<u8>> {
    let (_, EcdsaSigValue { r, s }) = EcdsaSigValue::from_der(der).ok()?;
    let mut joined = Vec::with_capacity(2 * octets);
    for number in [r, s] {
        let digits = number.as_ref();
        let digits = digits.get(digits.iter().take_while(|octet| **octet == 0).count()..)?;
        joined.resize(joined.len() + octets.checked_sub(digits.len())?, 0);
        joined.extend_from_slice(digits);
    }
    Some(joined)
}

/// A service account's key file, as Google's console hands it out.
pub(super) struct ServiceAccount {
    /// `client_email`: the account.
    pub email: String,
    /// `client_id`: its number, by which an administrator delegates to it.
    pub number: Option<String>,
    /// `private_key`, to be masked.
    pub private_key: Secret,
    /// The same, ready to sign.
    pub key: Key,
}

#[derive(Deserialize)]
struct KeyFile {
    r#type: Option<String>,
    client_email: Option<String>,
    client_id: Option<String>,
    private_key: Option<String>,
    private_key_id: Option<String>,
}

impl ServiceAccount {
    /// Reads a key file. What is wrong with it is told in words of our own: serde's would quote from it.
    pub(super) fn read(file: &Secret) -> Result<Self, TokenFailure> {
        let broken = |why: &str| {
            let message = format!(
                "the key of the service account cannot be used: {why}. Create one in the Google Cloud console, \
                 IAM & Admin > Service Accounts > Keys > Add key > JSON, and put the whole file into the Secret"
            );
            TokenFailure::new(Reason::ServiceAccountKeyInvalid, Permanence::UntilChanged, message)
        };
        let file: KeyFile = serde_json::from_str(file.expose()).map_err(|error| {
            broken(if error.is_data() {
                "it is no JSON object, or a field has the wrong type"
            } else {
                "it is not JSON"
            })
        })?;
        if file.r#type.is_some_and(|kind| kind != "service_account") {
            return Err(broken("its type is not service_account, so it is the key of something else"));
        }
        let given = |field: Option<String>| field.filter(|text| !text.is_empty());
        let email = given(file.client_email).ok_or_else(|| broken("it has no client_email"))?;
        let private_key = given(file.private_key).ok_or_else(|| broken("it has no private_key"))?;
        let private_key = Secret::new(private_key);
        let signing = pem::signing_key(private_key.expose().as_bytes())
            .map_err(|why| broken(&format!("its private_key {why}")))?;
        let named = given(file.private_key_id).map(|id| ("kid", id));
        Ok(Self {
            email,
            number: given(file.client_id),
            private_key,
            key: Key { signing, named, thumbprint: None },
        })
    }
}
