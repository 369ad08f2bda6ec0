//! From Secrets and CA bundles as they are stored to credentials that may be used: the stage
//! `CredentialsResolved`. Reads nothing itself.

use crate::api::Reason;
use crate::api::mail_server_config::TlsMode;
use crate::api::names::{ALLOW_PLAINTEXT, EXPIRES_AT};
use crate::api::shared::{CAKind, CARef};
use crate::domain::binding::{self, Binding, Destination};
use crate::domain::secret::Secret;
use crate::domain::server::{Login, Server};
use crate::domain::verification::StageFailure;
use jiff::Timestamp;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// A Secret or ConfigMap as it was read.
#[derive(Clone, Default)]
pub struct Stored {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// Contents by key.
    pub data: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

/// Everything a server's spec refers to, as far as it exists. What the spec does not refer to is `None`
/// as well; the spec tells the two apart.
#[derive(Clone, Default)]
pub struct Fetched {
    /// The Secret of the login.
    pub login: Option<Stored>,
    /// The mail server's private CA.
    pub ca: Option<Stored>,
    /// The client certificate.
    pub client_certificate: Option<Stored>,
    /// The token endpoint's private CA.
    pub token_ca: Option<Stored>,
}

/// What is needed to open a session.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Password or client secret.
    pub secret: Option<Secret>,
    /// uid and resourceVersion of the Secret, under which a token is cached.
    pub secret_version: (String, String),
    /// Whether the password may travel unencrypted.
    pub allow_plaintext: bool,
    /// Private CA of the mail server.
    pub ca_pem: Option<String>,
    /// Certificate chain and key for mutual TLS.
    pub client_certificate: Option<(String, Secret)>,
    /// Private CA of the token endpoint.
    pub token_ca_pem: Option<String>,
    /// When the credential ends, where the Secret says so; or what is wrong with what it says.
    pub expires_at: Option<Result<Timestamp, String>>,
}

impl Fetched {
    /// Names the versions of everything read: a change of it means that sessions opened with the old
    /// contents are to be closed.
    pub fn fingerprint(&self) -> String {
        let Self { login, ca, client_certificate, token_ca } = self;
        let version = |stored: &Option<Stored>| {
            stored
                .as_ref()
                .map_or_else(|| "-".into(), |stored| format!("{}/{}", stored.uid, stored.resource_version))
        };
        [login, ca, client_certificate, token_ca].map(version).join(" ")
    }
}

/// Takes from what was fetched what the server's spec asks for.
pub fn resolve(server: &Server, fetched: &Fetched, binding: Binding) -> Result<Credentials, StageFailure> {
    let Fetched { login, ca, client_certificate, token_ca } = fetched;
    let mut credentials = Credentials {
        ca_pem: server.tls.ca.as_ref().map(|reference| bundle(server, reference, ca.as_ref())).transpose()?,
        client_certificate: (server.tls.client_certificate.as_deref())
            .map(|name| key_pair(server, name, client_certificate.as_ref()))
            .transpose()?,
        ..Credentials::default()
    };
    if let Login::OAuth2(oauth2) = &server.login {
        let reference = oauth2.token_ca.as_ref();
        credentials.token_ca_pem =
            reference.map(|reference| bundle(server, reference, token_ca.as_ref())).transpose()?;
    }
    let Some(reference) = server.login.secret() else { return Ok(credentials) };
    let namespace = &server.key.namespace;
    let Some(stored) = login else { return Err(absent("Secret", &reference.name, namespace)) };
    let permitted =
        binding::check(binding, namespace, &reference.name, &stored.annotations, &destinations(server));
    permitted.map_err(|refusal| StageFailure::until_changed(refusal.reason, refusal.message))?;
    credentials.secret = Some(text(&reference.name, &reference.key, namespace, stored)?);
    credentials.secret_version = (stored.uid.clone(), stored.resource_version.clone());
    credentials.expires_at = expiry(&reference.name, stored);
    credentials.allow_plaintext =
        stored.annotations.get(ALLOW_PLAINTEXT).is_some_and(|value| value == "true");
    if server.tls.mode == TlsMode::Disabled && !credentials.allow_plaintext {
        return Err(StageFailure::until_changed(
            Reason::PlaintextNotAllowed,
            format!(
                "tls.mode is Disabled, so the password would travel unencrypted. Use StartTLS or Implicit; or, if the \
                 network may see the password: kubectl annotate secret {} -n {namespace} {ALLOW_PLAINTEXT}=true",
                reference.name
            ),
        ));
    }
    Ok(credentials)
}

/// Where the login's Secret is about to be sent. Microsoft's built-in hosts need no permission, since
/// the spec cannot move them.
fn destinations(server: &Server) -> Vec<Destination<'_>> {
    let mail = Destination { host: &server.host, port: server.port };
    match &server.login {
        Login::OAuth2(oauth2) if oauth2.built_in_hosts => Vec::new(),
        Login::OAuth2(oauth2) => {
            let token = oauth2.token_url.host_str().map(|host| Destination {
                host,
                port: oauth2.token_url.port_or_known_default().unwrap_or(443),
            });
            token.into_iter().chain([mail]).collect()
        }
        Login::Password { .. } | Login::None => vec![mail],
    }
}

fn absent(kind: &str, name: &str, namespace: &str) -> StageFailure {
    let reason = if kind == "Secret" { Reason::SecretNotFound } else { Reason::CANotFound };
    StageFailure::until_changed(
        reason,
        format!("{kind} {name} does not exist in namespace {namespace}: create it"),
    )
}

fn text(name: &str, key: &str, namespace: &str, stored: &Stored) -> Result<Secret, StageFailure> {
    let missing = |message| StageFailure::until_changed(Reason::SecretKeyMissing, message);
    let Some(bytes) = stored.data.get(key) else {
        let keys: Vec<_> = stored.data.keys().map(String::as_str).collect();
        let has = if keys.is_empty() { "it is empty".into() } else { format!("it has {}", keys.join(", ")) };
        return Err(missing(format!("Secret {name} in namespace {namespace} has no key {key}; {has}")));
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|_| missing(format!("key {key} of Secret {name} is not UTF-8 text")))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(missing(format!("key {key} of Secret {name} is empty")));
    }
    if text.contains(['\r', '\n', '\0']) {
        return Err(missing(format!(
            "key {key} of Secret {name} holds several lines; a password or client secret is one line"
        )));
    }
    Ok(Secret::new(text))
}

fn bundle(server: &Server, reference: &CARef, stored: Option<&Stored>) -> Result<String, StageFailure> {
    let kind = match reference.kind {
        CAKind::ConfigMap => "ConfigMap",
        CAKind::Secret => "Secret",
    };
    let CARef { name, key, .. } = reference;
    let namespace = &server.key.namespace;
    let wrong = |message| StageFailure::until_changed(Reason::CANotFound, message);
    let Some(stored) = stored else {
        return Err(wrong(format!(
            "{kind} {name} with the CA bundle does not exist in namespace {namespace}: create it"
        )));
    };
    let Some(bytes) = stored.data.get(key) else {
        return Err(wrong(format!(
            "{kind} {name} has no key {key}; put the CA certificates there, in PEM form"
        )));
    };
    let pem = std::str::from_utf8(bytes).ok().filter(|pem| pem.contains("-----BEGIN CERTIFICATE-----"));
    pem.map(Into::into).ok_or_else(|| {
        wrong(format!(
            "key {key} of {kind} {name} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"
        ))
    })
}

fn key_pair(server: &Server, name: &str, stored: Option<&Stored>) -> Result<(String, Secret), StageFailure> {
    let Some(stored) = stored else { return Err(absent("Secret", name, &server.key.namespace)) };
    let part = |key: &str| {
        let bytes = stored.data.get(key).map(|bytes| bytes.as_slice());
        bytes
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .filter(|pem| pem.contains("-----BEGIN "))
            .ok_or_else(|| {
                StageFailure::until_changed(
                    Reason::ClientCertificateInvalid,
                    format!("Secret {name} must be of type kubernetes.io/tls: its key {key} holds no PEM"),
                )
            })
    };
    Ok((part("tls.crt")?.to_owned(), Secret::new(part("tls.key")?)))
}

/// Reads the annotation that says when a credential ends: a time, or a date. It is a reminder: one that cannot
/// be read is told, and stops no mail.
fn expiry(name: &str, stored: &Stored) -> Option<Result<Timestamp, String>> {
    let text = stored.annotations.get(EXPIRES_AT)?.trim();
    let time = text.parse::<Timestamp>().ok().or_else(|| {
        let date: jiff::civil::Date = text.parse().ok()?;
        Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    });
    let format = "must be a date such as 2027-01-31 or a time such as 2027-01-31T12:00:00Z";
    Some(time.ok_or_else(|| format!("annotation {EXPIRES_AT} of Secret {name} {format}")))
}

#[cfg(test)]
mod tests;
