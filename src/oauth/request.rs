//! What is asked for: one grant at one token endpoint. Only client credentials with a client secret
//! (RFC 6749, section 4.4) so far. Holds the request and the name it is cached under; sends nothing.

use crate::domain::secret::Secret;
use oauth2::url::Url;
use std::collections::BTreeMap;

/// Asks for a token with an application's own credentials.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// The token endpoint; `https` only.
    pub token_url: Url,
    /// The application, as the provider knows it.
    pub client_id: String,
    /// What proves that we are that application.
    pub client_secret: Secret,
    /// The stored Secret that `client_secret` was read from.
    pub secret_version: SecretVersion,
    /// Sent as one `scope`, joined by spaces; left out when empty.
    pub scopes: Vec<String>,
    /// Further form fields some providers want (`audience`, `resource`). Must not hold one of
    /// [`RESERVED_PARAMETERS`].
    pub parameters: BTreeMap<String, String>,
    /// Where the client's credentials go.
    pub authentication: ClientAuthentication,
    /// PEM certificates trusted instead of the system's when the endpoint has a private CA.
    pub ca_pem: Option<String>,
}

/// The form fields we send ourselves. RFC 6749, section 3.2 forbids to send one twice.
pub const RESERVED_PARAMETERS: [&str; 4] = ["client_id", "client_secret", "grant_type", "scope"];

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
    secret_version: SecretVersion,
    token_url: Url,
    client_id: String,
    scopes: Vec<String>,
    parameters: BTreeMap<String, String>,
}

impl TokenRequest {
    /// The name this request's token is cached under.
    pub fn key(&self) -> TokenKey {
        // By name, so that a new field has to be thought about here.
        let Self {
            token_url,
            client_id,
            client_secret: _, // stands in the Secret's version; no copy of it lives as long as a token
            secret_version,
            scopes,
            parameters,
            authentication: _, // says how to ask, not for what
            ca_pem: _,         // likewise
        } = self;
        TokenKey {
            secret_version: secret_version.clone(),
            token_url: token_url.clone(),
            client_id: client_id.clone(),
            scopes: scopes.clone(),
            parameters: parameters.clone(),
        }
    }
}

impl TokenKey {
    /// Whether `newer` was read from the same Secret at another version: then this key's token belongs
    /// to a credential that has been replaced.
    pub(super) fn is_replaced_by(&self, newer: &Self) -> bool {
        self.secret_version.uid == newer.secret_version.uid
            && self.secret_version.resource_version != newer.secret_version.resource_version
    }
}
