//! From Secrets and CA bundles as they are stored to credentials that may be used: the stage
//! `CredentialsResolved`. Reads nothing itself.

mod consent;
mod earlier;

use crate::api::Reason;
use crate::api::mail_server_config::TlsMode;
use crate::api::names::{ALLOW_PLAINTEXT, EXPIRES_AT};
use crate::api::shared::{CAKind, CARef, SecretKeyRef};
use crate::domain::binding::{self, Binding, Destination, Holder};
use crate::domain::pem::{self, Broken};
use crate::domain::secret::Secret;
use crate::domain::server::{Grant, Login, Proof, Server};
use crate::domain::verification::StageFailure;
use jiff::Timestamp;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

pub use consent::destinations;
use consent::{mail_host, not_bound, proxy_host, token_host};
pub use earlier::Tolerance;

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

/// Everything that [`Server::references`] names, as far as it exists, by name.
#[derive(Clone, Default)]
pub struct Fetched {
    /// Secrets.
    pub secrets: BTreeMap<String, Stored>,
    /// ConfigMaps.
    pub config_maps: BTreeMap<String, Stored>,
    /// The ServiceAccount whose token is the proof.
    pub service_account: Option<Stored>,
}

/// What is needed to open a session.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// What logs in.
    pub login: LoginCredentials,
    /// uid and resourceVersion of what `login` was read from, under which a token is cached.
    pub versions: Versions,
    /// Private CA of the mail server.
    pub ca_pem: Option<String>,
    /// For mutual TLS.
    pub client_certificate: Option<KeyPair>,
    /// Private CA of the token endpoint.
    pub token_ca_pem: Option<String>,
    /// For the proxy.
    pub proxy: Option<ProxyCredentials>,
    /// Private CA of the proxy.
    pub proxy_ca_pem: Option<String>,
    /// When credentials end, where their Secrets say so.
    pub expiries: Vec<Expiry>,
    /// What their owner has not permitted and an earlier version did not ask for; with the command.
    pub consent_missing: Option<String>,
}

/// What logs in to a mail server.
#[derive(Debug, Clone, Default)]
pub enum LoginCredentials {
    /// Nothing, or the client certificate of the connection.
    #[default]
    None,
    /// A password.
    Password {
        /// The password.
        password: Secret,
        /// Whether it may travel unencrypted.
        allow_plaintext: bool,
    },
    /// What is traded for a token.
    OAuth2 {
        /// What belongs to the grant.
        grant: GrantCredential,
        /// What proves the client.
        proof: ProofCredential,
    },
}

/// What belongs to a grant.
#[derive(Debug, Clone)]
pub enum GrantCredential {
    /// Nothing.
    ClientCredentials,
    /// The refresh token.
    RefreshToken(Secret),
    /// The JSON key file of a service account, as it is stored.
    ServiceAccountKey(Secret),
}

/// What proves a client.
#[derive(Debug, Clone)]
pub enum ProofCredential {
    /// Nothing.
    None,
    /// The client secret.
    Secret(Secret),
    /// The certificate registered with the client, and its key.
    Certificate(KeyPair),
    /// A token of the ServiceAccount, which is asked for when it is needed.
    Federated,
}

/// A certificate chain and its key, both PEM.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// `tls.crt`.
    pub chain_pem: String,
    /// `tls.key`.
    pub key_pem: Secret,
}

/// User name and password for a proxy.
#[derive(Debug, Clone)]
pub struct ProxyCredentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// When a credential ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// Which one, ready for a sentence.
    pub what: String,
    /// When; or what is wrong with what the Secret says.
    pub at: Result<Timestamp, String>,
}

impl Fetched {
    /// Names the versions of everything read: a change of it means that sessions opened with the old
    /// contents are to be closed.
    pub fn fingerprint(&self) -> String {
        let Self { secrets, config_maps, service_account } = self;
        let version = |kind: &str, name: &str, stored: &Stored| format!("{kind}/{name}={}", stored.version());
        let secrets = secrets.iter().map(|(name, stored)| version("s", name, stored));
        let config_maps = config_maps.iter().map(|(name, stored)| version("c", name, stored));
        let account = service_account.iter().map(|stored| version("a", "", stored));
        secrets.chain(config_maps).chain(account).collect::<Vec<_>>().join(" ")
    }
}

impl Stored {
    fn version(&self) -> String {
        format!("{}/{}", self.uid, self.resource_version)
    }

    fn identity(&self) -> (String, String) {
        (self.uid.clone(), self.resource_version.clone())
    }
}

/// Takes from what was fetched what the server's spec asks for.
pub fn resolve(server: &Server, fetched: &Fetched, binding: Binding) -> Result<Credentials, StageFailure> {
    resolve_by(Rules::Current, server, fetched, binding)
}

fn resolve_by(
    rules: Rules,
    server: &Server,
    fetched: &Fetched,
    binding: Binding,
) -> Result<Credentials, StageFailure> {
    let desk = Desk { server, fetched, binding, rules };
    let token_ca = match &server.login {
        Login::OAuth2(oauth2) => oauth2.token_ca.as_ref().zip(token_host(oauth2)),
        Login::None | Login::Password { .. } | Login::ClientCertificate { .. } => None,
    };
    let proxy_ca = server.proxy.as_ref().and_then(|proxy| Some((proxy.ca.as_ref()?, proxy_host(proxy))));
    let bundle = |used: Option<(&CARef, Destination<'_>)>| {
        used.map(|(reference, place)| desk.bundle(reference, place)).transpose()
    };
    let bundles = Bundles {
        mail: bundle(server.tls.ca.as_ref().map(|reference| (reference, mail_host(server))))?,
        token: bundle(token_ca)?,
        proxy: bundle(proxy_ca)?,
    };
    let (login, expiries, versions) = desk.login(&bundles)?;
    let client_certificate = match server.tls.client_certificate.as_deref() {
        None => None,
        Some(name) => {
            desk.trusted(name, mail_host(server))?;
            Some(desk.key_pair(name)?)
        }
    };
    Ok(Credentials {
        client_certificate,
        proxy: desk.proxy(&bundles)?,
        ca_pem: bundles.mail,
        token_ca_pem: bundles.token,
        proxy_ca_pem: bundles.proxy,
        login,
        versions,
        expiries,
        consent_missing: None,
    })
}

/// Which rules the permission of Secrets is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// Today's.
    Current,
    /// Those of versions before: see [`earlier`].
    Earlier,
}

/// The private CAs.
struct Bundles {
    mail: Option<String>,
    token: Option<String>,
    proxy: Option<String>,
}

/// uid and resourceVersion of objects.
type Versions = Vec<(String, String)>;

/// What a resolution works with.
#[derive(Clone, Copy)]
struct Desk<'a> {
    server: &'a Server,
    fetched: &'a Fetched,
    binding: Binding,
    rules: Rules,
}

impl<'a> Desk<'a> {
    fn namespace(&self) -> &'a str {
        &self.server.key.namespace
    }

    fn stored(&self, name: &str) -> Result<&'a Stored, StageFailure> {
        let absent = || self.absent("Secret", name, Reason::SecretNotFound);
        self.told(name, self.fetched.secrets.get(name).ok_or_else(absent))
    }

    /// The login's credentials, when they end, and the versions they were read at.
    fn login(&self, bundles: &Bundles) -> Result<(LoginCredentials, Vec<Expiry>, Versions), StageFailure> {
        let mut expiries = Vec::new();
        let mut versions = Vec::new();
        for name in self.server.login.secrets() {
            self.bound(name, &self.destinations(), &self.authorities(bundles))?;
            let stored = self.stored(name)?;
            versions.push(stored.identity());
            expiries.extend(expiry("Secret", name, stored));
        }
        let login = match &self.server.login {
            Login::None | Login::ClientCertificate { .. } => LoginCredentials::None,
            Login::Password { password, .. } => self.password(password)?,
            Login::OAuth2(oauth2) => LoginCredentials::OAuth2 {
                grant: match &oauth2.grant {
                    Grant::ClientCredentials => GrantCredential::ClientCredentials,
                    Grant::RefreshToken(token) => GrantCredential::RefreshToken(self.line(token)?),
                    Grant::JWTBearer { key, .. } => GrantCredential::ServiceAccountKey(self.text(key)?),
                },
                proof: match &oauth2.proof {
                    Proof::None => ProofCredential::None,
                    Proof::Secret(secret) => ProofCredential::Secret(self.line(secret)?),
                    Proof::Certificate(name) => ProofCredential::Certificate(self.key_pair(name)?),
                    Proof::Federated { service_account, .. } => {
                        let stored = self.service_account(service_account, bundles)?;
                        versions.push(stored.identity());
                        expiries.extend(expiry("ServiceAccount", service_account, stored));
                        ProofCredential::Federated
                    }
                },
            },
        };
        Ok((login, expiries, versions))
    }

    fn password(&self, reference: &SecretKeyRef) -> Result<LoginCredentials, StageFailure> {
        let annotations = &self.stored(&reference.name)?.annotations;
        let allow_plaintext = annotations.get(ALLOW_PLAINTEXT).is_some_and(|value| value == "true");
        let password = self.line(reference)?;
        if self.server.tls.mode == TlsMode::Disabled && !allow_plaintext {
            return Err(StageFailure::until_changed(
                Reason::PlaintextNotAllowed,
                format!(
                    "tls.mode is Disabled, so the password would travel unencrypted. Use StartTLS or Implicit; or, if the \
                     network may see the password: kubectl annotate secret {} -n {} {ALLOW_PLAINTEXT}=true",
                    reference.name,
                    self.namespace()
                ),
            ));
        }
        Ok(LoginCredentials::Password { password, allow_plaintext })
    }

    /// The ServiceAccount, which has to permit its use, whatever holds for Secrets: everybody who may create our
    /// objects could otherwise be any of them at a place of his own.
    fn service_account(&self, name: &str, bundles: &Bundles) -> Result<&'a Stored, StageFailure> {
        let absent = || self.absent("ServiceAccount", name, Reason::ServiceAccountNotFound);
        let found = self.fetched.service_account.as_ref();
        let Login::OAuth2(oauth2) = &self.server.login else { return found.ok_or_else(absent) };
        let nothing = BTreeMap::new();
        let annotations = found.map_or(&nothing, |stored| &stored.annotations);
        let mut places = self.destinations();
        if self.hosts_are_built_in() {
            places.extend(token_host(oauth2));
        }
        let holder =
            Holder { kind: "serviceaccount", namespace: self.namespace(), name, annotations, own_ca: None };
        let (places, authorities) = self.asked_for(annotations, &places, &self.authorities(bundles));
        binding::check(Binding::Required, &holder, &places, &authorities).map_err(not_bound)?;
        found.ok_or_else(absent)
    }

    fn proxy(&self, bundles: &Bundles) -> Result<Option<ProxyCredentials>, StageFailure> {
        let Some(proxy) = &self.server.proxy else { return Ok(None) };
        let Some(name) = &proxy.credentials else { return Ok(None) };
        self.bound(name, &[proxy_host(proxy)], &self.proxy_authority(bundles))?;
        let part = |key: &str| self.line(&SecretKeyRef { name: name.clone(), key: key.into() });
        Ok(Some(ProxyCredentials {
            username: part("username")?.expose().to_owned(),
            password: part("password")?,
        }))
    }

    /// Says that something does not exist.
    fn absent(&self, kind: &str, name: &str, reason: Reason) -> StageFailure {
        let namespace = self.namespace();
        StageFailure::until_changed(
            reason,
            format!("{kind} {name} does not exist in namespace {namespace}: create it"),
        )
    }

    /// A text of one line; the line break that editors put behind it is not part of it.
    fn line(&self, reference: &SecretKeyRef) -> Result<Secret, StageFailure> {
        let text = self.text(reference)?;
        if text.expose().contains(['\r', '\n', '\0']) {
            let several = StageFailure::until_changed(
                Reason::SecretKeyMissing,
                format!(
                    "key {} of Secret {} holds several lines; a password, client secret or token is one line",
                    reference.key, reference.name
                ),
            );
            return self.told(&reference.name, Err(several));
        }
        Ok(text)
    }

    /// A text, without line breaks at its end.
    fn text(&self, reference: &SecretKeyRef) -> Result<Secret, StageFailure> {
        self.told(&reference.name, self.read(reference))
    }

    fn read(&self, SecretKeyRef { name, key }: &SecretKeyRef) -> Result<Secret, StageFailure> {
        let missing = |message| StageFailure::until_changed(Reason::SecretKeyMissing, message);
        let stored = self.stored(name)?;
        let Some(bytes) = stored.data.get(key) else {
            let keys: Vec<_> = stored.data.keys().map(String::as_str).collect();
            let has =
                if keys.is_empty() { "it is empty".into() } else { format!("it has {}", keys.join(", ")) };
            let namespace = self.namespace();
            return Err(missing(format!("Secret {name} in namespace {namespace} has no key {key}; {has}")));
        };
        let text = std::str::from_utf8(bytes)
            .map_err(|_| missing(format!("key {key} of Secret {name} is not UTF-8 text")))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(missing(format!("key {key} of Secret {name} is empty")));
        }
        Ok(Secret::new(text))
    }

    fn bundle(&self, reference: &CARef, place: Destination<'_>) -> Result<String, StageFailure> {
        let CARef { name, key, .. } = reference;
        if reference.kind == CAKind::Secret {
            self.trusted(name, place)?;
        }
        let (kind, stored) = match reference.kind {
            CAKind::ConfigMap => ("ConfigMap", self.fetched.config_maps.get(name)),
            CAKind::Secret => ("Secret", self.fetched.secrets.get(name)),
        };
        let namespace = self.namespace();
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
        let broken = |broken| wrong(format!("key {key} of {kind} {name} {broken}"));
        pem::certificates(bytes).map_err(broken)?;
        std::str::from_utf8(bytes).map(Into::into).map_err(|_| broken(Broken::Binary))
    }

    fn key_pair(&self, name: &str) -> Result<KeyPair, StageFailure> {
        self.told(name, self.read_pair(name))
    }

    fn read_pair(&self, name: &str) -> Result<KeyPair, StageFailure> {
        let stored = self.stored(name)?;
        let wrong = |why: String| {
            let message = format!("Secret {name} must be of type kubernetes.io/tls: its key {why}");
            StageFailure::until_changed(Reason::ClientCertificateInvalid, message)
        };
        let part = |key: &str, check: &dyn Fn(&[u8]) -> Result<(), Broken>| {
            let Some(bytes) = stored.data.get(key) else { return Err(wrong(format!("{key} is missing"))) };
            let broken = |broken: Broken| wrong(format!("{key} {broken}"));
            check(bytes).map_err(broken)?;
            std::str::from_utf8(bytes).map_err(|_| broken(Broken::Binary))
        };
        let chain = part("tls.crt", &|bytes| pem::certificates(bytes).map(drop))?;
        let key = part("tls.key", &|bytes| pem::private_key(bytes).map(drop))?;
        Ok(KeyPair { chain_pem: chain.to_owned(), key_pem: Secret::new(key) })
    }
}

/// Reads the annotation that says when a credential ends: a time, or a date. It is a reminder: one that cannot
/// be read is told, and stops no mail.
fn expiry(kind: &str, name: &str, stored: &Stored) -> Option<Expiry> {
    let time = end(stored.annotations.get(EXPIRES_AT)?);
    let format = "must be a date such as 2027-01-31 or a time such as 2027-01-31T12:00:00Z";
    let at = time.ok_or_else(|| format!("annotation {EXPIRES_AT} of {kind} {name} {format}"));
    let what = match kind {
        "Secret" => format!("the credential in Secret {name}"),
        _ => format!("the trust in {kind} {name}"),
    };
    Some(Expiry { what, at })
}

/// A time, or the beginning of a day.
pub fn end(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse::<Timestamp>().ok().or_else(|| {
        let date: jiff::civil::Date = text.parse().ok()?;
        Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })
}

#[cfg(test)]
mod tests;
