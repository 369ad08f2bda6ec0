//! A mail server as the rest of the program knows it: the spec of a MailServerConfig, checked and
//! with every default filled in, or every problem it has.

mod account;
mod login;
mod proxy;

use crate::api::mail_server_config::{
    Auth, DisplayNames, ExchangeOnlineAuth, MailServerConfig, TlsMode, TlsVersion,
};
use crate::api::shared::{CAKind, CARef, NamespaceAccess};
use crate::domain::address::{EmailAddress, Mailbox};
use crate::domain::exchange_online;
use crate::domain::host;
use crate::domain::object::{ObjectKey, Uid};
use crate::domain::problem::Problem;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

pub use account::Account;
pub use login::{Grant, Login, OAuth2Login, Proof};
pub use proxy::{Proxy, ProxyScheme};

/// A mail server, ready to be verified and used.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The MailServerConfig.
    pub key: ObjectKey,
    /// The object itself.
    pub uid: Uid,
    /// When the object was created.
    pub created: Timestamp,
    /// Generation of the spec this was made from.
    pub generation: i64,
    /// DNS name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Encryption.
    pub tls: TlsSettings,
    /// Name given in EHLO.
    pub hello_name: String,
    /// The From of every message.
    pub sender: Mailbox,
    /// Where answers go.
    pub reply_to: Option<EmailAddress>,
    /// How to log in.
    pub login: Login,
    /// What connections go through.
    pub proxy: Option<Proxy>,
    /// Whether the operator's own arguments name that, so that it leads everybody to the same place.
    pub proxy_is_known: bool,
    /// How much may be sent how fast.
    pub limits: Limits,
    /// Namespaces admitted.
    pub access: NamespaceAccess,
    /// From addresses admitted besides the sender's.
    pub senders: Vec<String>,
    /// Which names may stand beside them.
    pub display_names: DisplayNames,
    /// Header fields admitted that steer a mail provider.
    pub headers: Vec<String>,
    /// Time between verifications; `None`: only when something changes.
    pub verify_every: Option<Duration>,
    /// Neither verified nor used while set.
    pub suspended: bool,
}

/// Encryption of the connection to a mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// When it begins.
    pub mode: TlsMode,
    /// Lowest version accepted.
    pub min_version: TlsVersion,
    /// Name the certificate must carry.
    pub server_name: String,
    /// Private CA.
    pub ca: Option<CARef>,
    /// Secret with a client certificate.
    pub client_certificate: Option<String>,
}

/// How much may be sent how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Messages a minute.
    pub messages_per_minute: Option<u32>,
    /// Recipients in any 24 hours.
    pub recipients_per_day: Option<u32>,
    /// Recipients in one transaction.
    pub recipients_per_message: usize,
}

/// Names of what a spec refers to, in the namespace of its object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct References<'a> {
    /// Secrets.
    pub secrets: BTreeSet<&'a str>,
    /// ConfigMaps.
    pub config_maps: BTreeSet<&'a str>,
    /// The ServiceAccount whose token is the proof.
    pub service_account: Option<&'a str>,
}

impl Server {
    /// Checks a MailServerConfig; all its problems at once.
    pub fn from_config(config: &MailServerConfig) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut keep = |problem: Problem| problems.push(problem);
        let spec = &config.spec;
        let (Some(key), Some(uid)) = (ObjectKey::of(config), Uid::of(config)) else {
            return Err(vec![Problem::new("metadata", "the object has no namespace, name or uid")]);
        };
        let sender = Mailbox::parse(&spec.sender.address, spec.sender.display_name.as_deref())
            .map_err(|(field, problem)| keep(Problem::new(format!("sender.{field}"), problem.to_string())))
            .ok();
        let reply_to = spec.reply_to.as_deref().map(EmailAddress::parse).and_then(|parsed| {
            parsed.map_err(|problem| keep(Problem::new("replyTo", problem.to_string()))).ok()
        });
        let endpoint = match &spec.auth {
            Some(Auth { exchange_online: Some(exchange), .. }) => exchange_endpoint(exchange),
            _ => (spec.host.clone().unwrap_or_default(), spec.port.unwrap_or(default_port(spec.tls.mode))),
        };
        let host = host_name("host", &endpoint.0).map_err(&mut keep).ok();
        let server_name = spec.tls.server_name.as_deref().map(|name| host_name("tls.serverName", name));
        let server_name = match server_name {
            Some(name) => name.map_err(&mut keep).ok(),
            None => host.clone(),
        };
        let proxy = spec.proxy.as_ref().and_then(|proxy| Proxy::from_spec(proxy).map_err(&mut keep).ok());
        let login =
            Login::from_spec(spec.auth.as_ref()).map_err(|found| found.into_iter().for_each(&mut keep)).ok();
        let interval = spec.verification.interval.parse();
        let port = u16::try_from(endpoint.1).ok().filter(|port| *port > 0);
        if port.is_none() {
            keep(Problem::new("port", "must lie between 1 and 65535"));
        }
        if interval.is_none() {
            keep(Problem::new("verification.interval", "must be a duration such as 10m or 90s"));
        }
        let (Some(sender), Some(host), Some(server_name), Some(login), Some(interval), Some(port)) =
            (sender, host, server_name, login, interval, port)
        else {
            return Err(problems);
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let exchange = matches!(&login, Login::OAuth2(oauth2) if oauth2.exchange_online.is_some());
        Ok(Self {
            key,
            uid,
            created: config.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            generation: config.metadata.generation.unwrap_or_default(),
            hello_name: spec.hello_name.clone().unwrap_or_else(|| sender.address().domain().to_owned()),
            host,
            port,
            tls: TlsSettings {
                mode: spec.tls.mode,
                min_version: spec.tls.min_version,
                server_name,
                ca: spec.tls.ca_ref.clone(),
                client_certificate: spec
                    .tls
                    .client_certificate_secret_ref
                    .as_ref()
                    .map(|secret| secret.name.clone()),
            },
            sender,
            reply_to,
            login,
            proxy,
            proxy_is_known: false,
            limits: limits(&spec.limits, exchange),
            access: spec.access.namespaces.clone(),
            senders: spec.access.senders.clone(),
            display_names: spec.access.display_names,
            headers: spec.access.headers.clone(),
            verify_every: (!interval.is_zero()).then_some(interval),
            suspended: spec.suspend,
        })
    }

    /// What limits and the journal belong to.
    pub fn account(&self) -> Account {
        Account::of(self)
    }

    /// The names of everything in the server's namespace that the spec refers to.
    pub fn references(&self) -> References<'_> {
        let mut references = References {
            secrets: self.login.secrets().into_iter().collect(),
            config_maps: BTreeSet::new(),
            service_account: self.login.service_account(),
        };
        references.secrets.extend(self.tls.client_certificate.as_deref());
        references.secrets.extend(self.proxy.as_ref().and_then(|proxy| proxy.credentials.as_deref()));
        for bundle in self.private_cas() {
            match bundle.kind {
                CAKind::ConfigMap => references.config_maps.insert(&bundle.name),
                CAKind::Secret => references.secrets.insert(&bundle.name),
            };
        }
        references
    }

    /// The private CAs that it names: of the mail server, of the token endpoint, of the proxy.
    pub fn private_cas(&self) -> impl Iterator<Item = &CARef> {
        let token_ca = match &self.login {
            Login::OAuth2(oauth2) => oauth2.token_ca.as_ref(),
            Login::None | Login::Password { .. } | Login::ClientCertificate { .. } => None,
        };
        let proxy_ca = self.proxy.as_ref().and_then(|proxy| proxy.ca.as_ref());
        self.tls.ca.iter().chain(token_ca).chain(proxy_ca)
    }

    /// `host:port`, with brackets around an IPv6 address.
    pub fn host_and_port(&self) -> String {
        match self.host.parse() {
            Ok(IpAddr::V6(_)) => format!("[{}]:{}", self.host, self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

/// The port that belongs to a TLS mode (RFC 6409, RFC 8314, RFC 5321).
const fn default_port(mode: TlsMode) -> i32 {
    match mode {
        TlsMode::StartTLS => 587,
        TlsMode::Implicit => 465,
        TlsMode::Disabled => 25,
    }
}

fn exchange_endpoint(exchange: &ExchangeOnlineAuth) -> (String, i32) {
    let endpoints = exchange.endpoints.clone().unwrap_or_default();
    let host = endpoints.host.unwrap_or_else(|| exchange_online::smtp_host(exchange.cloud).into());
    (host, endpoints.port.unwrap_or(i32::from(exchange_online::SMTP_PORT)))
}

/// A DNS name (in its ASCII form) or an IP address.
fn host_name(field: &str, text: &str) -> Result<String, Problem> {
    let ascii = idna::domain_to_ascii(text).ok();
    ascii
        .and_then(|name| host::canonical(&name))
        .ok_or_else(|| Problem::new(field, "must be a DNS name such as smtp.corp.example, or an IP address"))
}

fn limits(spec: &crate::api::mail_server_config::Limits, exchange: bool) -> Limits {
    let count = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
    let size = |value: Option<i32>, default: usize| {
        value.and_then(|value| usize::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
    };
    Limits {
        connections: size(spec.connections, if exchange { 3 } else { 4 }),
        messages_per_minute: count(spec.messages_per_minute).or(exchange.then_some(30)),
        recipients_per_day: count(spec.recipients_per_day).or(exchange.then_some(10_000)),
        recipients_per_message: size(spec.recipients_per_message, if exchange { 500 } else { 100 }),
    }
}

#[cfg(test)]
mod tests;
