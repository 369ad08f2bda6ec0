//! The way to a session, stage by stage, leaving a record of what was found. A verification goes this
//! way and says goodbye; a worker goes it and stays.

use crate::api::mail_server_config::{CertificateFacts, ServerFacts, TlsFacts, TokenFacts};
use crate::api::{ConditionType, Reason};
use crate::delivery::{Delivery, target};
use crate::domain::credentials::{
    self, Credentials, Expiry, GrantCredential, KeyPair, LoginCredentials, ProofCredential,
};
use crate::domain::exchange_online;
use crate::domain::failure::Failure;
use crate::domain::server::{Grant, Login, OAuth2Login, Proof, Server};
use crate::domain::verification::{StageFailure, Verification};
use crate::oauth::{
    self, AssertionSource, ClientAuthentication, Expectation, SecretVersion, Token, TokenRequest,
};
use crate::smtp::{self, Session, tls};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::sync::Arc;

/// A token with the request that it came from.
struct Acquired {
    request: TokenRequest,
    token: Arc<Token>,
}

/// A session with the versions of the credentials it was opened with.
pub struct Opened {
    /// The session.
    pub session: Session,
    /// Names the Secrets and bundles used; a changed one ends the session.
    pub fingerprint: String,
}

impl Delivery {
    /// Verifies a server without sending mail, and without keeping the session.
    pub async fn verify(&self, server: &Server) -> Verification {
        let (verification, opened) = self.open(server).await;
        if let Some(opened) = opened {
            opened.session.quit().await;
        }
        verification
    }

    /// Goes through all stages.
    pub(super) async fn open(&self, server: &Server) -> (Verification, Option<Opened>) {
        let started = std::time::Instant::now();
        let mut verification = Verification::begin(server.generation, Timestamp::now());
        let session = self.stages(server, &mut verification).await;
        verification.at = Timestamp::now();
        let opened = session.map(|session| Opened { session, fingerprint: verification.fingerprint.clone() });
        self.metrics.opened(&verification, started.elapsed());
        (verification, opened)
    }

    async fn stages(&self, server: &Server, found: &mut Verification) -> Option<Session> {
        use ConditionType::{Authenticated, Connected, CredentialsResolved, NameResolved, Secured};
        let credentials = self.credentials(server, &mut found.fingerprint).await;
        let credentials = step(found, CredentialsResolved, credentials)?;
        expiries(server, &credentials, found);
        let target = self.target(server, &credentials, &found.fingerprint);
        let target = step(found, CredentialsResolved, target)?;
        let reason = if server.login == Login::None { Reason::NoLogin } else { Reason::Succeeded };
        found.pass(CredentialsResolved, reason, "everything the spec refers to was found and may be used");

        // First of all, so that a token that shows by itself that it will be refused bothers no mail server.
        let token = match &server.login {
            Login::OAuth2(login) => Some(self.acquire(server, login, &credentials, found).await?),
            Login::None | Login::Password { .. } | Login::ClientCertificate { .. } => None,
        };

        let resolved = step(found, NameResolved, smtp::resolve(&target).await)?;
        found.pass(NameResolved, Reason::Succeeded, resolved.in_words(&target));

        let connection = step(found, Connected, smtp::connect(&target, &resolved.addresses).await)?;
        let address = connection.info().address;
        let message = match &target.proxy {
            None => format!("connected to {address}"),
            Some(_) => format!("connected to {} through the proxy at {address}", server.host_and_port()),
        };
        found.pass(Connected, Reason::Succeeded, message);

        let connection = step(found, Secured, connection.secure().await)?;
        describe(server, connection.info(), found);

        let login = target::login(server, &credentials, token.as_ref().map(|token| &*token.token));
        let authenticated = connection.authenticate(login.as_ref()).await;
        if let Err(failure) = &authenticated
            && matches!(failure.reason, Reason::AuthenticationFailed | Reason::AuthNotOffered)
        {
            // What worked before may be what does not work any more.
            self.servers.note(&server.key, |state| state.auth_hint = None);
        }
        let authenticated = match (authenticated, &token, &server.login) {
            (Err(failure), Some(token), Login::OAuth2(login))
                if failure.reason == Reason::AuthenticationFailed =>
            {
                // One more token next time: this one may have been revoked.
                self.tokens.invalidate(&token.request.key(), &token.token);
                Err(explain(failure, server, login, &token.token))
            }
            (authenticated, ..) => authenticated,
        };
        let session = step(found, Authenticated, authenticated)?;
        self.servers.note(&server.key, |state| state.auth_hint = session.auth_hint());
        if let Some(facts) = &mut found.server {
            facts.auth_mechanism = session.mechanism().map(|mechanism| mechanism.as_str().to_owned());
        }
        match (&server.login, server.login.username()) {
            (Login::None, _) => found.pass(Authenticated, Reason::NoLogin, "no login configured"),
            (_, Some(username)) => {
                found.pass(Authenticated, Reason::Succeeded, format!("logged in as {username}"));
            }
            (_, None) => found.pass(Authenticated, Reason::Succeeded, "logged in by client certificate"),
        }
        Some(session)
    }

    /// The stage `TokenAcquired`: a token, looked at before it is used.
    async fn acquire(
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
        let host = login.token_url.host_str().unwrap_or_default();
        found.pass(ConditionType::TokenAcquired, Reason::Succeeded, format!("{host} gave a token"));
        Some(Acquired { request, token })
    }

    /// The credentials. Notes the versions of what was read also where it cannot be used: a failure is
    /// about those versions, and only others are worth another look.
    async fn credentials(
        &self,
        server: &Server,
        fingerprint: &mut String,
    ) -> Result<Credentials, StageFailure> {
        let fetched = self.cluster.references(server).await.map_err(|error| {
            let message = format!("reading Secrets and CA bundles of {}: {error}", server.key);
            StageFailure::temporary(Reason::APIServerUnavailable, message)
        })?;
        *fingerprint = fetched.fingerprint();
        credentials::resolve(server, &fetched, self.settings.binding)
    }

    /// The versions of Secrets and bundles as they are now.
    pub async fn fingerprint(&self, server: &Server) -> Option<String> {
        self.cluster.references(server).await.ok().map(|fetched| fetched.fingerprint())
    }

    async fn token(
        &self,
        server: &Server,
        login: &OAuth2Login,
        credentials: &Credentials,
    ) -> Result<(TokenRequest, Arc<Token>), StageFailure> {
        let request = self.token_request(server, login, credentials);
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

/// Notes a failed stage.
fn step<T>(
    found: &mut Verification,
    stage: ConditionType,
    result: Result<T, impl Into<StageFailure>>,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(failure) => {
            found.fail(stage, failure);
            None
        }
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
fn explain(failure: Failure, server: &Server, login: &OAuth2Login, token: &Token) -> Failure {
    let expected = expectation(server, login);
    let causes = oauth::likely_causes(&token.claims, &expected, &login.username, Timestamp::now());
    let causes: Vec<String> =
        (1..).zip(causes).map(|(number, cause)| format!("({number}) {cause}")).collect();
    // They take the place of the general advice; what the server said stands behind it.
    let said = failure.detail.find(" (server: ").and_then(|at| failure.detail.get(at..)).unwrap_or_default();
    let detail = format!("likeliest causes first: {}{said}", causes.join("; "));
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

/// The credential that ends first, and what is wrong with an annotation that should say so.
fn expiries(server: &Server, credentials: &Credentials, found: &mut Verification) {
    let certificate = |pair: &KeyPair| tls::not_after(pair.chain_pem.as_bytes());
    let client = credentials.client_certificate.as_ref().and_then(certificate);
    let client = client.zip(server.tls.client_certificate.as_ref());
    let client = client.map(|(ends, secret)| (ends, format!("the client certificate in Secret {secret}")));
    let proof = match (&credentials.login, &server.login) {
        (
            LoginCredentials::OAuth2 { proof: ProofCredential::Certificate(pair), .. },
            Login::OAuth2(login),
        ) => {
            let name = match &login.proof {
                Proof::Certificate(name) => name.as_str(),
                Proof::None | Proof::Secret(_) | Proof::Federated { .. } => "",
            };
            certificate(pair).map(|ends| (ends, format!("the application's certificate in Secret {name}")))
        }
        _ => None,
    };
    let mut ends: Vec<_> = client.into_iter().chain(proof).collect();
    for Expiry { what, at } in &credentials.expiries {
        match at {
            Ok(at) => ends.push((*at, what.clone())),
            Err(unreadable) => found.expiry_unreadable = Some(unreadable.clone()),
        }
    }
    found.expires = ends.into_iter().min();
}

fn describe(server: &Server, info: &smtp::ServerInfo, found: &mut Verification) {
    found.server = Some(ServerFacts {
        host: server.host_and_port(),
        address: Some(info.address.to_string()),
        extensions: info.extensions.clone(),
        auth_mechanisms: info.auth_mechanisms.clone(),
        auth_mechanism: None,
        max_message_bytes: info.max_message_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
    });
    match &info.tls {
        None => {
            let message = "tls.mode is Disabled: the connection is not encrypted";
            found.pass(ConditionType::Secured, Reason::TLSDisabled, message);
        }
        Some(tls) => {
            let message = format!("TLS {}, certificate verified", tls.version);
            found.pass(ConditionType::Secured, Reason::Succeeded, message);
            found.tls = Some(TlsFacts {
                version: tls.version.into(),
                cipher_suite: tls.cipher_suite.clone(),
                certificate: tls.certificate.as_ref().map(|certificate| CertificateFacts {
                    subject: certificate.subject.clone(),
                    issuer: certificate.issuer.clone(),
                    not_after: certificate.not_after.map(Time),
                }),
            });
        }
    }
}
