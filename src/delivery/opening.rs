//! The way to a session, stage by stage, leaving a record of what was found. A verification goes this
//! way and says goodbye; a worker goes it and stays.

use crate::api::mail_server_config::{CertificateFacts, ServerFacts, TlsFacts};
use crate::api::{ConditionType, Reason};
use crate::delivery::{Delivery, target, token};
use crate::domain::credentials::{Credentials, Expiry, KeyPair, LoginCredentials, ProofCredential};
use crate::domain::server::{Login, Proof, Server};
use crate::domain::verification::{StageFailure, Verification};
use crate::smtp::{self, Session, tls};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

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
        if self.settings.lockdown.one_network_error {
            verification = self.veil(server, verification, started).await;
        }
        verification.at = Timestamp::now();
        let opened = session.map(|session| Opened { session, fingerprint: verification.fingerprint.clone() });
        self.metrics.opened(&verification, started.elapsed());
        self.forget_if_gone(&server.key);
        (verification, opened)
    }

    /// Keeps from tenants what a failure would tell of the network. Whoever runs the operator finds it in the log.
    async fn veil(&self, server: &Server, found: Verification, started: std::time::Instant) -> Verification {
        let Some((stage, failure)) = found.failed.clone() else { return found };
        let veiled = found.veiled();
        if veiled.failed.as_ref().is_some_and(|(_, shown)| *shown != failure) {
            let (stage, reason, message) = (stage.as_str(), failure.reason.as_str(), &failure.message);
            tracing::info!(server = %server.key, stage, reason, message, "server not reached");
            // A refusal is there at once, silence only after the deadline: that, too, would tell one from the other.
            tokio::time::sleep(self.settings.deadlines.connect.saturating_sub(started.elapsed())).await;
        }
        veiled
    }

    /// Shows a stage as it passes, where somebody watches and may know.
    fn passed(&self, server: &Server, found: &Verification) {
        if !self.settings.lockdown.one_network_error || found.server.is_some() {
            self.servers.passed(&server.key, found);
        }
    }

    async fn stages(&self, server: &Server, found: &mut Verification) -> Option<Session> {
        use ConditionType::{Authenticated, Connected, CredentialsResolved, NameResolved, Secured};
        let credentials = self.credentials(server, &mut found.fingerprint).await;
        let credentials = step(found, CredentialsResolved, credentials)?;
        expiries(server, &credentials, found);
        found.consent_missing.clone_from(&credentials.consent_missing);
        let target = self.target(server, &credentials, &found.fingerprint);
        let target = step(found, CredentialsResolved, target)?;
        let reason = if server.login == Login::None { Reason::NoLogin } else { Reason::Succeeded };
        found.pass(CredentialsResolved, reason, "everything the spec refers to was found and may be used");
        self.passed(server, found);

        // First of all, so that a token that shows by itself that it will be refused bothers no mail server.
        let acquired = match &server.login {
            Login::OAuth2(login) => Some(self.acquire(server, login, &credentials, found).await?),
            Login::None | Login::Password { .. } | Login::ClientCertificate { .. } => None,
        };
        self.passed(server, found);

        let resolved = step(found, NameResolved, smtp::resolve(&target).await)?;
        found.pass(NameResolved, Reason::Succeeded, resolved.in_words(&target));
        self.passed(server, found);

        let connection = step(found, Connected, smtp::connect(&target, &resolved.addresses).await)?;
        let address = connection.info().address;
        let message = match &target.proxy {
            None => format!("connected to {address}"),
            Some(_) => format!("connected to {} through the proxy at {address}", server.host_and_port()),
        };
        found.pass(Connected, Reason::Succeeded, message);
        self.passed(server, found);

        let login = target::login(server, &credentials, acquired.as_ref().map(|acquired| &*acquired.token));
        let connection = connection.hiding(login.as_ref());
        let connection = step(found, Secured, connection.secure().await)?;
        describe(server, connection.info(), found);
        self.passed(server, found);

        let authenticated = connection.authenticate(login.as_ref()).await;
        if let Err(failure) = &authenticated
            && matches!(failure.reason, Reason::AuthenticationFailed | Reason::AuthNotOffered)
        {
            // What worked before may be what does not work any more.
            self.servers.note(&server.key, |state| state.auth_hint = None);
        }
        if let (Err(failure), Some(acquired), Login::OAuth2(login)) =
            (&authenticated, &acquired, &server.login)
            && failure.reason == Reason::AuthenticationFailed
        {
            // One more token next time: this one may have been revoked.
            self.tokens.invalidate(&acquired.request.key(), &acquired.token);
            found.fail(Authenticated, token::explain(failure.clone(), server, login, &acquired.token));
            return None;
        }
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
        let tolerance = self.servers.look(&server.key, |state| state.tolerance.clone());
        let (credentials, left) = tolerance.resolve(server, &fetched, self.settings.binding);
        if left != tolerance {
            self.servers.note(&server.key, |state| {
                // Another generation may have come meanwhile, and has its own.
                if state.tolerance == tolerance {
                    state.tolerance = left;
                }
            });
        }
        credentials
    }

    /// The versions of Secrets and bundles as they are now.
    pub async fn fingerprint(&self, server: &Server) -> Option<String> {
        self.cluster.references(server).await.ok().map(|fetched| fetched.fingerprint())
    }
}

/// Notes a failed stage.
pub(super) fn step<T>(
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
