//! The stage `TokenAcquired`: what a login asks the token endpoint for, whether the token is good for the mail
//! server as far as can be seen, and what is likeliest to be wrong where the mail server refused it.

use crate::api::mail_server_config::TokenFacts;
use crate::api::{ConditionType, Reason};
use crate::delivery::opening::step;
use crate::delivery::{Delivery, lock};
use crate::domain::credentials::{Credentials, GrantCredential, KeyPair, LoginCredentials, ProofCredential};
use crate::domain::exchange_online;
use crate::domain::failure::Failure;
use crate::domain::object::ObjectKey;
use crate::domain::server::{Grant, OAuth2Login, Proof, Server};
use crate::domain::verification::{StageFailure, Verification};
use crate::oauth::{
    self, AssertionSource, ClientAuthentication, Expectation, SecretVersion, Token, TokenKey, TokenRequest,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Which MailServerConfig has which token, so that a token ends with the last that has it.
#[derive(Default)]
pub(super) struct TokenUsers(Mutex<HashMap<ObjectKey, TokenKey>>);

impl TokenUsers {
    /// The config has that token from now on, or none. Returns the one it had, if nobody else has that.
    fn set(&self, server: &ObjectKey, token: Option<TokenKey>) -> Option<TokenKey> {
        let mut users = lock(&self.0);
        let before = match token {
            Some(token) => users.insert(server.clone(), token),
            None => users.remove(server),
        };
        before.filter(|before| !users.values().any(|token| token == before))
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.0).len()
    }
}

/// A token with the request that it came from.
pub(super) struct Acquired {
    pub request: TokenRequest,
    pub token: Arc<Token>,
}

impl Delivery {
    /// The stage `TokenAcquired`: a token, looked at before it is used.
    pub(super) async fn acquire(
        &self,
        server: &Server,
        login: &OAuth2Login,
        credentials: &Credentials,
        found: &mut Verification,
    ) -> Option<Acquired> {
        let (request, token) =
            step(found, ConditionType::TokenAcquired, self.token(server, login, credentials).await)?;
        found.token = Some(TokenFacts {
            expires_at: Some(Time(token.expires_at)),
            audience: token.claims.audience.clone(),
            roles: token.claims.roles.clone(),
            scopes: token.claims.scope.clone(),
            tenant: token.claims.tenant.clone(),
        });
        if let Some(unsuitable) = unsuitable(server, login, &token) {
            // Once the permission is granted, a new token has it.
            self.tokens.invalidate(&request.key(), &token);
            found.fail(ConditionType::TokenAcquired, unsuitable);
            return None;
        }
        found.refresh_token_replaced = token.refresh_token_replaced;
        let host = login.token_url.host_str().unwrap_or_default();
        found.pass(ConditionType::TokenAcquired, Reason::Succeeded, format!("{host} gave a token"));
        Some(Acquired { request, token })
    }

    async fn token(
        &self,
        server: &Server,
        login: &OAuth2Login,
        credentials: &Credentials,
    ) -> Result<(TokenRequest, Arc<Token>), StageFailure> {
        let request = self.use_token(server, login, credentials);
        match self.tokens.get(&request, Timestamp::now()).await {
            Ok(token) => Ok((request, token)),
            Err(failure) => {
                if let Some(id) = &failure.correlation_id {
                    tracing::info!(reason = %failure.reason, correlation_id = id, "token refused");
                }
                Err(failure.into())
            }
        }
    }

    /// What to ask the token endpoint for; the config has what comes from that, and nothing else, from now on.
    pub(super) fn use_token(
        &self,
        server: &Server,
        login: &OAuth2Login,
        credentials: &Credentials,
    ) -> TokenRequest {
        let request = self.token_request(server, login, credentials);
        if let Some(unused) = self.token_users.set(&server.key, Some(request.key())) {
            self.tokens.forget(&unused);
        }
        request
    }

    /// Forgets the token of a config, unless another has it, too.
    pub(super) fn forget_token(&self, server: &ObjectKey) {
        if let Some(unused) = self.token_users.set(server, None) {
            self.tokens.forget(&unused);
        }
    }

    /// What to ask the token endpoint for.
    fn token_request(&self, server: &Server, login: &OAuth2Login, credentials: &Credentials) -> TokenRequest {
        let (grant, proof) = match &credentials.login {
            LoginCredentials::OAuth2 { grant, proof } => (grant.clone(), proof.clone()),
            LoginCredentials::None | LoginCredentials::Password { .. } => {
                (GrantCredential::ClientCredentials, ProofCredential::None)
            }
        };
        let placement = match login.exchange_online {
            Some(_) => ClientAuthentication::RequestBody,
            None => ClientAuthentication::Detect,
        };
        TokenRequest {
            token_url: login.token_url.clone(),
            client_id: login.client_id.clone(),
            grant: match (grant, &login.grant) {
                (GrantCredential::RefreshToken(token), _) => oauth::Grant::RefreshToken(token),
                (GrantCredential::ServiceAccountKey(key_file), Grant::JWTBearer { subject, .. }) => {
                    oauth::Grant::JWTBearer { key_file, subject: subject.clone() }
                }
                (GrantCredential::ClientCredentials | GrantCredential::ServiceAccountKey(_), _) => {
                    oauth::Grant::ClientCredentials
                }
            },
            proof: match proof {
                ProofCredential::None => oauth::Proof::None,
                ProofCredential::Federated => self.federated(server, login),
                ProofCredential::Secret(secret) => oauth::Proof::Secret { secret, placement },
                ProofCredential::Certificate(KeyPair { chain_pem, key_pem }) => {
                    oauth::Proof::Certificate { chain_pem, key_pem }
                }
            },
            versions: (credentials.versions.iter())
                .map(|(uid, resource_version)| SecretVersion {
                    uid: uid.clone(),
                    resource_version: resource_version.clone(),
                })
                .collect(),
            scopes: login.scopes.clone(),
            parameters: login.parameters.clone(),
            ca_pem: credentials.token_ca_pem.clone(),
            proxy: server.proxy.as_ref().filter(|proxy| proxy.carries_tokens()).map(|proxy| oauth::Proxy {
                url: proxy.url.clone(),
                credentials: (credentials.proxy.as_ref())
                    .map(|login| (login.username.clone(), login.password.clone())),
            }),
        }
    }

    /// A token of the ServiceAccount as the proof, asked for when an exchange needs it.
    fn federated(&self, server: &Server, login: &OAuth2Login) -> oauth::Proof {
        let Proof::Federated { service_account, audience } = &login.proof else { return oauth::Proof::None };
        let cluster = self.cluster.clone();
        let names: Arc<[String; 3]> =
            Arc::new([server.key.namespace.to_string(), service_account.clone(), audience.clone()]);
        oauth::Proof::Federated(AssertionSource(Arc::new(move || {
            let (cluster, names) = (cluster.clone(), names.clone());
            Box::pin(async move {
                let [namespace, name, audience] = &*names;
                cluster.service_account_token(namespace, name, audience).await
            })
        })))
    }
}

/// What the token itself shows to be wrong with it for certain, so that no mail server needs to be asked.
fn unsuitable(server: &Server, login: &OAuth2Login, token: &Token) -> Option<StageFailure> {
    let found = oauth::objections(&token.claims, &expectation(server, login), Timestamp::now());
    let certain: Vec<String> =
        found.iter().filter(|objection| objection.is_certain()).map(ToString::to_string).collect();
    (!certain.is_empty()).then(|| StageFailure::until_changed(Reason::TokenUnsuitable, certain.join("; ")))
}

/// Why the mail server is likeliest to have refused the token.
pub(super) fn explain(failure: Failure, server: &Server, login: &OAuth2Login, token: &Token) -> Failure {
    let expected = expectation(server, login);
    let causes = oauth::likely_causes(&token.claims, &expected, &login.username, Timestamp::now());
    let causes: Vec<String> =
        (1..).zip(causes).map(|(number, cause)| format!("({number}) {cause}")).collect();
    // They take the place of the general advice; what the server said stands behind it.
    let said = failure.detail.find(" (server: ").and_then(|at| failure.detail.get(at..)).unwrap_or_default();
    let detail = format!("the server refuses the token, likeliest because: {}{said}", causes.join("; "));
    Failure { detail, ..failure }
}

/// What the mail server wants to see in a token, where that is known.
fn expectation<'a>(server: &Server, login: &'a OAuth2Login) -> Expectation<'a> {
    if login.exchange_online.is_some() || exchange_online::is_exchange_online_host(&server.host) {
        Expectation::exchange_online(&login.scopes, login.tenant_id.as_deref())
    } else {
        Expectation::anything()
    }
}
