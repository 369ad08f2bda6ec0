//! The way to a session, stage by stage, leaving a record of what was found. A verification goes this
//! way and says goodbye; a worker goes it and stays.

use crate::api::mail_server_config::{
    CertificateFacts, ServerFacts, TlsFacts, TlsMode, TlsVersion, TokenFacts, TokenMechanism,
};
use crate::api::{ConditionType, Reason};
use crate::delivery::Delivery;
use crate::domain::credentials::{self, Credentials};
use crate::domain::failure::Phase;
use crate::domain::server::{Login, OAuth2Login, Server};
use crate::domain::verification::{StageFailure, Verification};
use crate::oauth::{self, ClientAuthentication, SecretVersion, Token, TokenRequest};
use crate::smtp::{self, Session, Target, tls};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rustls_pki_types::ServerName;
use std::sync::Arc;

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
        use ConditionType::{
            Authenticated, Connected, CredentialsResolved, NameResolved, Secured, TokenAcquired,
        };
        let credentials = self.credentials(server, &mut found.fingerprint).await;
        let credentials = step(found, CredentialsResolved, credentials)?;
        expiries(server, &credentials, found);
        let target = step(found, CredentialsResolved, self.target(server, &credentials))?;
        let reason = if server.login == Login::None { Reason::NoLogin } else { Reason::Succeeded };
        found.pass(CredentialsResolved, reason, "everything the spec refers to was found and may be used");

        let addresses = step(found, NameResolved, smtp::resolve(&target).await)?;
        let shown: Vec<_> = addresses.iter().take(4).map(|address| address.ip().to_string()).collect();
        found.pass(NameResolved, Reason::Succeeded, format!("{} is {}", server.host, shown.join(", ")));

        let connection = step(found, Connected, smtp::connect(&target, &addresses).await)?;
        found.pass(Connected, Reason::Succeeded, format!("connected to {}", connection.info().address));

        let connection = step(found, Secured, connection.secure().await)?;
        describe(server, connection.info(), found);

        let token = match &server.login {
            Login::OAuth2(login) => {
                let (request, token) = step(found, TokenAcquired, self.token(login, &credentials).await)?;
                found.token = Some(TokenFacts {
                    expires_at: Some(Time(token.expires_at)),
                    audience: token.claims.audience.clone(),
                    roles: token.claims.roles.clone(),
                });
                let host = login.token_url.host_str().unwrap_or_default();
                found.pass(TokenAcquired, Reason::Succeeded, format!("{host} gave a token"));
                Some((login, request, token))
            }
            Login::None | Login::Password { .. } => None,
        };
        let login = smtp_credentials(server, &credentials, token.as_ref().map(|(.., token)| token));
        let authenticated = connection.authenticate(login.as_ref()).await;
        if let (Err(failure), Some((login, request, token))) = (&authenticated, &token)
            && failure.reason == Reason::AuthenticationFailed
        {
            // One more token next time: this one may have been revoked.
            self.tokens.invalidate(&request.key(), token);
            let explained = explain_refusal(failure.clone().into(), login, token);
            found.fail(Authenticated, explained);
            return None;
        }
        let session = step(found, Authenticated, authenticated)?;
        self.servers.note(&server.key, |state| state.auth_form = session.auth_form());
        match server.login.username() {
            None => found.pass(Authenticated, Reason::NoLogin, "no login configured"),
            Some(username) => {
                found.pass(Authenticated, Reason::Succeeded, format!("logged in as {username}"));
            }
        }
        Some(session)
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

    fn target(&self, server: &Server, credentials: &Credentials) -> Result<Target, StageFailure> {
        let unusable =
            |error: tls::TlsSettingsError| StageFailure::until_changed(error.reason(), error.to_string());
        let roots = match &credentials.ca_pem {
            Some(pem) => tls::bundled_roots(pem.as_bytes()).map_err(unusable)?,
            None => self.roots.clone(),
        };
        let certificate = credentials
            .client_certificate
            .as_ref()
            .map(|(chain, key)| tls::ClientCertificate { certificates: chain.as_bytes(), key });
        let min_version = match server.tls.min_version {
            TlsVersion::Tls12 => tls::MinVersion::Tls12,
            TlsVersion::Tls13 => tls::MinVersion::Tls13,
        };
        let tls_config = tls::client_config(roots, min_version, certificate).map_err(unusable)?;
        let server_name = ServerName::try_from(server.tls.server_name.clone()).map_err(|_| {
            StageFailure::until_changed(
                Reason::InvalidSpec,
                "tls.serverName: must be a DNS name or an IP address",
            )
        })?;
        Ok(Target {
            host: server.host.as_str().into(),
            port: server.port,
            tls: match server.tls.mode {
                TlsMode::StartTLS => smtp::TlsMode::StartTls,
                TlsMode::Implicit => smtp::TlsMode::Implicit,
                TlsMode::Disabled => smtp::TlsMode::Disabled,
            },
            tls_config,
            server_name,
            hello_name: server.hello_name.as_str().into(),
            egress: self.settings.egress.clone(),
            deadlines: self.settings.deadlines,
            auth_form: self.servers.state(&server.key).auth_form,
        })
    }

    async fn token(
        &self,
        login: &OAuth2Login,
        credentials: &Credentials,
    ) -> Result<(TokenRequest, Arc<Token>), StageFailure> {
        let (uid, resource_version) = credentials.secret_version.clone();
        let request = TokenRequest {
            token_url: login.token_url.clone(),
            client_id: login.client_id.clone(),
            client_secret: credentials.secret.clone().unwrap_or_default(),
            secret_version: SecretVersion { uid, resource_version },
            scopes: login.scopes.clone(),
            parameters: login.parameters.clone(),
            authentication: match login.exchange_online {
                Some(_) => ClientAuthentication::RequestBody,
                None => ClientAuthentication::Detect,
            },
            ca_pem: credentials.token_ca_pem.clone(),
        };
        match self.tokens.get(&request, Timestamp::now()).await {
            Ok(token) => Ok((request, token)),
            Err(failure) => {
                if let Some(id) = &failure.correlation_id {
                    tracing::info!(reason = %failure.reason, correlation_id = id, "token refused");
                }
                let base = match failure.permanence {
                    oauth::Permanence::Temporary { retry_after } => StageFailure {
                        retry_after,
                        ..StageFailure::temporary(failure.reason, failure.message)
                    },
                    oauth::Permanence::UntilChanged => {
                        StageFailure::until_changed(failure.reason, failure.message)
                    }
                };
                Err(StageFailure { phase: Phase::Auth, ..base })
            }
        }
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

fn smtp_credentials(
    server: &Server,
    credentials: &Credentials,
    token: Option<&Arc<Token>>,
) -> Option<smtp::Credentials> {
    match (&server.login, token) {
        (Login::None, _) => None,
        (Login::Password { username, .. }, _) => Some(smtp::Credentials::Password {
            username: username.clone(),
            password: credentials.secret.clone().unwrap_or_default(),
            mechanism: None,
            allow_plaintext: credentials.allow_plaintext,
        }),
        (Login::OAuth2(login), token) => Some(smtp::Credentials::Token {
            username: login.username.clone(),
            token: token.map(|token| token.access_token.clone()).unwrap_or_default(),
            mechanism: match login.mechanism {
                TokenMechanism::XOAUTH2 => smtp::TokenMechanism::XOAuth2,
                TokenMechanism::OAuthBearer => smtp::TokenMechanism::OAuthBearer,
            },
        }),
    }
}

/// What the refused token itself shows, before what cannot be seen from here.
fn explain_refusal(mut failure: StageFailure, login: &OAuth2Login, token: &Token) -> StageFailure {
    if login.exchange_online.is_some() {
        let scope = login.scopes.first().map(String::as_str).unwrap_or_default();
        let objections =
            oauth::objections(&token.claims, &oauth::exchange_online_audiences(scope), Timestamp::now());
        let seen: Vec<String> = objections.iter().map(ToString::to_string).collect();
        if !seen.is_empty() {
            failure.message = format!("{} (the token shows: {})", failure.message, seen.join("; "));
        }
    }
    failure
}

fn expiries(server: &Server, credentials: &Credentials, found: &mut Verification) {
    let named = server.login.secret().map(|secret| format!("the credential in Secret {}", secret.name));
    match credentials.expires_at.clone() {
        Some(Ok(ends)) => found.expires = named.map(|named| (ends, named)),
        Some(Err(unreadable)) => found.expiry_unreadable = Some(unreadable),
        None => {}
    }
    let certificate =
        credentials.client_certificate.as_ref().and_then(|(chain, _)| tls::not_after(chain.as_bytes()));
    if let (Some(ends), Some(secret)) = (certificate, &server.tls.client_certificate)
        && found.expires.as_ref().is_none_or(|(earlier, _)| ends < *earlier)
    {
        found.expires = Some((ends, format!("the client certificate in Secret {secret}")));
    }
}

fn describe(server: &Server, info: &smtp::ServerInfo, found: &mut Verification) {
    found.server = Some(ServerFacts {
        host: server.host_and_port(),
        address: Some(info.address.to_string()),
        extensions: info.extensions.clone(),
        auth_mechanisms: info.auth_mechanisms.clone(),
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
