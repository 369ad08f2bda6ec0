//! What is asked for: a grant at a token endpoint, with the proof that the client is who it says. Holds the
//! request and the name its token is cached under; sends nothing.

use super::failure::TokenFailure;
use crate::domain::secret::Secret;
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use url::Url;

/// Asks for a token.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// The token endpoint; `https` only.
    pub token_url: Url,
    /// The client, as the provider knows it; empty where the key of [`Grant::JWTBearer`] names it.
    pub client_id: String,
    /// What is traded for the token.
    pub grant: Grant,
    /// What proves that we are that client.
    pub proof: Proof,
    /// The stored objects that `grant` and `proof` were read from.
    pub versions: Vec<SecretVersion>,
    /// Sent as one `scope`, joined by spaces; left out when empty.
    pub scopes: Vec<String>,
    /// Further form fields some providers want (`audience`, `resource`). Must not hold one of
    /// [`RESERVED_PARAMETERS`].
    pub parameters: BTreeMap<String, String>,
    /// PEM certificates trusted instead of the system's when the endpoint has a private CA.
    pub ca_pem: Option<String>,
    /// What the request goes through.
    pub proxy: Option<Proxy>,
}

/// What is traded for a token.
#[derive(Debug, Clone)]
pub enum Grant {
    /// The proof alone (RFC 6749, section 4.4).
    ClientCredentials,
    /// A refresh token (RFC 6749, section 6).
    RefreshToken(Secret),
    /// A statement signed with a service account's key (RFC 7523, section 2.1).
    JWTBearer {
        /// The JSON key file, with `client_email`, `private_key` and `private_key_id`.
        key_file: Secret,
        /// In whose name.
        subject: String,
    },
}

/// What proves that we are the client.
#[derive(Debug, Clone)]
pub enum Proof {
    /// Nothing: a public client, or the grant is proof enough.
    None,
    /// The client secret.
    Secret {
        /// The secret.
        secret: Secret,
        /// Where it goes.
        placement: ClientAuthentication,
    },
    /// A statement signed by the client's key (RFC 7523, section 2.2; OpenID Connect's `private_key_jwt`).
    Certificate {
        /// The certificate that the provider knows, PEM.
        chain_pem: String,
        /// Its key, PEM.
        key_pem: Secret,
    },
    /// A token of another issuer that the provider trusts, asked for anew for each exchange.
    Federated(AssertionSource),
}

/// Where a [`Proof::Federated`] gets its token from.
#[derive(Clone)]
pub struct AssertionSource(
    pub Arc<dyn Fn() -> BoxFuture<'static, Result<Secret, TokenFailure>> + Send + Sync>,
);

impl fmt::Debug for AssertionSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AssertionSource")
    }
}

/// A proxy for token requests.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// `socks5h://`, `http://` or `https://` with host and port.
    pub url: Url,
    /// User name and password.
    pub credentials: Option<(String, Secret)>,
}

/// The form fields we send ourselves. RFC 6749, section 3.2 forbids to send one twice.
pub const RESERVED_PARAMETERS: [&str; 8] = [
    "client_id",
    "client_secret",
    "grant_type",
    "scope",
    "client_assertion",
    "client_assertion_type",
    "refresh_token",
    "assertion",
];

/// A Secret as it was when it was read: another version may hold another credential, and a Secret
/// deleted and created anew has another uid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct SecretVersion {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

/// How a client identifies itself, RFC 6749, section 2.3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuthentication {
    /// `client_id` and `client_secret` in the form. What Entra ID documents; used for Exchange Online.
    RequestBody,
    /// HTTP Basic first, which the RFC obliges every server to support, and the form once more when the
    /// server refuses that: many take only one of the two, and nothing in the protocol tells which.
    /// What worked is remembered with the cached token. The price of a wrong secret is a second request.
    #[default]
    Detect,
}

/// What a token is cached under. Two requests that differ in anything the provider sees differ here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenKey {
    versions: Vec<SecretVersion>,
    credentials: Fingerprint,
    token_url: Url,
    client_id: String,
    subject: Option<String>,
    scopes: Vec<String>,
    parameters: BTreeMap<String, String>,
}

/// Tells credentials apart that are kept in one Secret, as the refresh tokens of several mailboxes may be,
/// without holding a copy of them as long as a token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            // With their lengths, so that no two lists run together to the same text.
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

impl TokenRequest {
    /// The name this request's token is cached under.
    pub fn key(&self) -> TokenKey {
        // By name, so that a new field has to be thought about here.
        let Self {
            token_url,
            client_id,
            grant,
            proof,
            versions,
            scopes,
            parameters,
            ca_pem: _, // says how to ask, not for what
            proxy: _,  // likewise
        } = self;
        let proof = match proof {
            Proof::None | Proof::Federated(_) => "",
            Proof::Secret { secret, .. } => secret.expose(),
            Proof::Certificate { key_pem, .. } => key_pem.expose(),
        };
        let granted = match grant {
            Grant::ClientCredentials => "",
            Grant::RefreshToken(secret) | Grant::JWTBearer { key_file: secret, .. } => secret.expose(),
        };
        TokenKey {
            versions: versions.clone(),
            credentials: Fingerprint::of([proof, granted]),
            token_url: token_url.clone(),
            client_id: client_id.clone(),
            subject: match grant {
                Grant::JWTBearer { subject, .. } => Some(subject.clone()),
                Grant::ClientCredentials | Grant::RefreshToken(_) => None,
            },
            scopes: scopes.clone(),
            parameters: parameters.clone(),
        }
    }
}

impl TokenKey {
    /// Whether `newer` was read from the same Secrets at other versions: then this key's token belongs
    /// to a credential that has been replaced.
    pub(super) fn is_replaced_by(&self, newer: &Self) -> bool {
        let uids = |key: &Self| key.versions.iter().map(|version| version.uid.clone()).collect::<Vec<_>>();
        !self.versions.is_empty() && uids(self) == uids(newer) && self.versions != newer.versions
    }
}
