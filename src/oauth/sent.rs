//! What went out in one exchange, as far as a refusal has to be explained by it: whom the request was for, which
//! statement it carried, and every form of a secret that a server could echo and nobody may read.

use super::assertion::{Key, ServiceAccount};
use super::claims;
use super::exchange::basic;
use super::request::{Proof, TokenRequest};
use crate::domain::masking::Mask;
use crate::domain::secret::Secret;
use url::Url;

/// One exchange.
pub(super) struct Sent<'a> {
    pub request: &'a TokenRequest,
    /// What neither a refusal nor a token's claims may show.
    pub mask: Mask,
    /// SHA-1 of the client certificate, as Entra's admin center lists it.
    pub thumbprint: Option<String>,
    /// Of the service account: its address and its number.
    pub account: Option<(String, Option<String>)>,
    /// Of the federated token.
    pub federated: Option<Federated>,
}

/// What the other issuer's token says of itself; none of it is secret.
#[derive(Default)]
pub(super) struct Federated {
    pub issuer: String,
    pub subject: String,
    pub audience: String,
}

impl<'a> Sent<'a> {
    pub(super) fn new(request: &'a TokenRequest) -> Self {
        let mut sent =
            Self { request, mask: Mask::default(), thumbprint: None, account: None, federated: None };
        match &request.proof {
            Proof::Secret { secret, .. } => {
                sent.hide(secret);
                sent.hide(&basic(&request.client_id, secret));
            }
            Proof::Certificate { key_pem, .. } => sent.hide_pem(key_pem),
            Proof::None | Proof::Federated(_) => {}
        }
        if let Some((_, password)) = request.proxy.as_ref().and_then(|proxy| proxy.credentials.as_ref()) {
            sent.hide(password);
        }
        sent
    }

    /// Masks a secret from now on.
    pub(super) fn hide(&mut self, secret: &Secret) {
        self.mask.hide(secret.expose());
    }

    /// A key by its lines: no server ever saw one, but nobody would want to find out.
    fn hide_pem(&mut self, pem: &Secret) {
        for line in pem.expose().lines().filter(|line| line.len() >= 8 && !line.starts_with("-----")) {
            self.mask.hide(line);
        }
    }

    /// The client signs with this key.
    pub(super) fn signed_with(&mut self, key: &Key) {
        self.thumbprint.clone_from(&key.thumbprint);
    }

    /// The grant is this service account's statement.
    pub(super) fn speaks_for(&mut self, account: &ServiceAccount) {
        self.hide_pem(&account.private_key);
        self.account = Some((account.email.clone(), account.number.clone()));
    }

    /// The client is proved by another issuer's token.
    pub(super) fn brought(&mut self, token: &Secret) {
        let [issuer, subject, audience] = claims::texts(token.expose(), ["iss", "sub", "aud"], &self.mask);
        self.federated = Some(Federated { issuer, subject, audience });
    }

    /// Host of the token endpoint, and its port if that is not 443.
    pub(super) fn host(&self) -> String {
        place(&self.request.token_url)
    }

    /// Host and port of the proxy.
    pub(super) fn proxy(&self) -> String {
        self.request.proxy.as_ref().map(|proxy| place(&proxy.url)).unwrap_or_default()
    }

    /// A server's words as they may be shown.
    pub(super) fn shown(&self, words: &str) -> String {
        self.mask.line(words)
    }
}

fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
