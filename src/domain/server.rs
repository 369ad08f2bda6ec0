//! A mail server as the rest of the program knows it: the spec of a MailServerConfig, checked and
//! with every default filled in, or every problem it has.

use crate::api::mail_server_config::{
    Auth, Cloud, ExchangeOnlineAuth, MailServerConfig, OAuth2Auth, TlsMode, TlsVersion, TokenMechanism,
};
use crate::api::shared::{CARef, NamespaceAccess, SecretKeyRef};
use crate::domain::address::{EmailAddress, Mailbox};
use crate::domain::exchange_online;
use crate::domain::object::{ObjectKey, Uid};
use crate::domain::problem::Problem;
use oauth2::url::Url;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// A mail server, ready to be verified and used.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The MailServerConfig.
    pub key: ObjectKey,
    /// The object itself.
    pub uid: Uid,
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
    /// How much may be sent how fast.
    pub limits: Limits,
    /// Namespaces admitted.
    pub access: NamespaceAccess,
    /// From addresses admitted besides the sender's.
    pub senders: Vec<String>,
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

/// How to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Not at all.
    None,
    /// With a password.
    Password {
        /// User name.
        username: String,
        /// Where the password is.
        password: SecretKeyRef,
    },
    /// With an OAuth2 token.
    OAuth2(Box<OAuth2Login>),
}

/// How to get a token and use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2Login {
    /// The mailbox to log in to.
    pub username: String,
    /// Token endpoint.
    pub token_url: Url,
    /// Client at the provider.
    pub client_id: String,
    /// Where the client secret is.
    pub client_secret: SecretKeyRef,
    /// Scopes asked for.
    pub scopes: Vec<String>,
    /// Further form parameters.
    pub parameters: BTreeMap<String, String>,
    /// How the token is presented.
    pub mechanism: TokenMechanism,
    /// Private CA of the token endpoint.
    pub token_ca: Option<CARef>,
    /// The Microsoft cloud, for Exchange Online.
    pub exchange_online: Option<Cloud>,
    /// Whether every host is Microsoft's own, so that the Secret need not name it.
    pub built_in_hosts: bool,
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

/// What limits and the journal belong to: a login at a host and port. Configs that share a login share
/// it. Without a login it is one namespace's use of the host, so that no namespace can slow another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(pub String);

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
        let login = login(spec.auth.as_ref()).map_err(|found| found.into_iter().for_each(&mut keep)).ok();
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
            limits: limits(&spec.limits, exchange),
            access: spec.access.namespaces.clone(),
            senders: spec.access.senders.clone(),
            verify_every: (!interval.is_zero()).then_some(interval),
            suspended: spec.suspend,
        })
    }

    /// What limits and the journal belong to.
    pub fn account(&self) -> Account {
        let host = self.host.to_ascii_lowercase();
        let who = self
            .login
            .username()
            .map_or_else(|| format!("{}:", self.key.namespace), |name| format!("{name}@"));
        Account(format!("{who}{host}:{}", self.port))
    }

    /// `host:port`, with brackets around an IPv6 address.
    pub fn host_and_port(&self) -> String {
        match self.host.parse() {
            Ok(IpAddr::V6(_)) => format!("[{}]:{}", self.host, self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

impl Login {
    /// The user name, if there is a login.
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Password { username, .. } => Some(username),
            Self::OAuth2(oauth2) => Some(&oauth2.username),
        }
    }

    /// The word for the column `Auth`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Password { .. } => "Basic",
            Self::OAuth2(oauth2) if oauth2.exchange_online.is_some() => "ExchangeOnline",
            Self::OAuth2(_) => "OAuth2",
        }
    }

    /// Where the credential is.
    pub fn secret(&self) -> Option<&SecretKeyRef> {
        match self {
            Self::None => None,
            Self::Password { password, .. } => Some(password),
            Self::OAuth2(oauth2) => Some(&oauth2.client_secret),
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

fn login(auth: Option<&Auth>) -> Result<Login, Vec<Problem>> {
    match auth {
        None => Ok(Login::None),
        Some(Auth { basic: Some(basic), exchange_online: None, oauth2: None }) => Ok(Login::Password {
            username: basic.username.clone(),
            password: basic.password_secret_ref.clone(),
        }),
        Some(Auth { basic: None, exchange_online: Some(exchange), oauth2: None }) => exchange_login(exchange),
        Some(Auth { basic: None, exchange_online: None, oauth2: Some(oauth2) }) => oauth2_login(oauth2),
        Some(_) => Err(vec![Problem::new("auth", "set exactly one of basic, exchangeOnline, oauth2")]),
    }
}

fn exchange_login(exchange: &ExchangeOnlineAuth) -> Result<Login, Vec<Problem>> {
    let endpoints = exchange.endpoints.clone().unwrap_or_default();
    let built_in_hosts = endpoints.host.is_none() && endpoints.token_url.is_none();
    let tenant = exchange_online::Tenant::parse(&exchange.tenant_id)
        .map_err(|error| vec![Problem::new("auth.exchangeOnline.tenantID", error.to_string())])?;
    let token_url =
        endpoints.token_url.unwrap_or_else(|| exchange_online::token_url(exchange.cloud, &tenant));
    let scope = endpoints.scope.unwrap_or_else(|| exchange_online::scope(exchange.cloud).into());
    Ok(Login::OAuth2(Box::new(OAuth2Login {
        username: exchange.username.clone(),
        token_url: https("auth.exchangeOnline.endpoints.tokenURL", &token_url)?,
        client_id: exchange.client_id.clone(),
        client_secret: exchange.client_secret_ref.clone(),
        scopes: vec![scope],
        parameters: BTreeMap::new(),
        mechanism: TokenMechanism::XOAUTH2,
        token_ca: endpoints.ca_ref,
        exchange_online: Some(exchange.cloud),
        built_in_hosts,
    })))
}

fn oauth2_login(oauth2: &OAuth2Auth) -> Result<Login, Vec<Problem>> {
    Ok(Login::OAuth2(Box::new(OAuth2Login {
        username: oauth2.username.clone(),
        token_url: https("auth.oauth2.tokenURL", &oauth2.token_url)?,
        client_id: oauth2.client_id.clone(),
        client_secret: oauth2.client_secret_ref.clone(),
        scopes: oauth2.scopes.clone(),
        parameters: oauth2.parameters.clone(),
        mechanism: oauth2.mechanism,
        token_ca: oauth2.ca_ref.clone(),
        exchange_online: None,
        built_in_hosts: false,
    })))
}

fn https(field: &str, text: &str) -> Result<Url, Vec<Problem>> {
    let wrong =
        || vec![Problem::new(field, "must be an https URL such as https://login.corp.example/oauth2/token")];
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if url.scheme() == "https" && url.host_str().is_some() && plain { Ok(url) } else { Err(wrong()) }
}

/// A DNS name (in its ASCII form) or an IP address.
fn host_name(field: &str, text: &str) -> Result<String, Problem> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let ascii = idna::domain_to_ascii(text.trim_end_matches('.')).ok();
    let labels_fit =
        |name: &String| name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()));
    let allowed = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    ascii
        .filter(|name| labels_fit(name) && allowed(name))
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
