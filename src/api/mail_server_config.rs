//! `MailServerConfig`: where a mail server is, how to log in, who may send through it, and what the
//! last verification found, stage by stage.

mod auth;
mod status;

use crate::api::shared::{CARef, DurationText, NamedAddress, NamespaceAccess, SecretRef};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use auth::*;
pub use status::*;

/// Where the mail server is, how to log in and who may send through it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "mail-operator.dev",
    version = "v1alpha1",
    kind = "MailServerConfig",
    namespaced,
    status = "MailServerConfigStatus",
    derive = "PartialEq",
    shortname = "msc",
    category = "mail",
    doc = "A mail server: where it is, how to log in, who may send through it. The operator verifies it continuously, stage by stage, without sending mail; `status.conditions` says which stage fails and what to do.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Host", type_ = "string", json_path = ".status.server.host"),
    printcolumn(name = "Auth", type_ = "string", json_path = ".status.auth"),
    printcolumn(name = "Sender", type_ = "string", json_path = ".spec.sender.address"),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[kube(cel)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.host) || (has(self.auth) && has(self.auth.exchangeOnline))")
        .message("host is required: the DNS name or IP address of the mail server (only auth.exchangeOnline sets it by itself)"),
    validation = Rule::new("!(has(self.auth) && has(self.auth.exchangeOnline)) || !(has(self.host) || has(self.port))")
        .message("auth.exchangeOnline sets host and port by its cloud: remove host and port (auth.exchangeOnline.endpoints overrides them)"),
    validation = Rule::new("!(has(self.auth) && (has(self.auth.exchangeOnline) || has(self.auth.oauth2))) || self.tls.mode != 'Disabled'")
        .message("OAuth2 logins need TLS: set tls.mode to StartTLS or Implicit"),
    validation = Rule::new("!(has(self.auth) && has(self.auth.clientCertificate)) || (has(self.tls.clientCertificateSecretRef) && self.tls.mode != 'Disabled')")
        .message("auth.clientCertificate logs in with the certificate of tls.clientCertificateSecretRef: set that, and tls.mode to StartTLS or Implicit"),
    validation = Rule::new("!(has(self.auth) && has(self.auth.basic) && self.auth.basic.mechanism == 'ScramSHA256Plus') || self.tls.mode != 'Disabled'")
        .message("the mechanism ScramSHA256Plus is bound to a TLS connection: set tls.mode to StartTLS or Implicit")
)]
pub struct MailServerConfigSpec {
    /// DNS name or IP address of the mail server. Required, except with `auth.exchangeOnline`,
    /// whose cloud sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches('^[A-Za-z0-9.:_-]+$')")
        .message("host must be a DNS name such as smtp.corp.example, or an IP address; the port has a field of its own"))]
    pub host: Option<String>,
    /// TCP port. The default follows `tls.mode`: StartTLS 587, Implicit 465, Disabled 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// How the connection is encrypted. Default: STARTTLS, TLS 1.2 or later, public CAs.
    #[serde(default)]
    pub tls: Tls,
    /// The From of every message.
    pub sender: NamedAddress,
    /// Where answers go, if not to the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^[^\s@<>]+@[^\s@<>]+$')")
        .message("must be one e-mail address such as it@corp.example, without a name or angle brackets"))]
    pub reply_to: Option<String>,
    /// The name this client gives in EHLO. Default: the domain of the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches('^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$')")
        .message("helloName must be a DNS name such as mail.corp.example"))]
    pub hello_name: Option<String>,
    /// How to log in: exactly one of `basic`, `exchangeOnline`, `oauth2`, `clientCertificate`. Absent: no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// The proxy that connections go through. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// How much may be sent how fast with this login at this server: configs that share it share these, and the
    /// smallest number counts. With a proxy or CA of one's own, or without TLS or login, namespaces do not share.
    #[serde(default)]
    pub limits: Limits,
    /// Who may send through this server. Default: Notifications of this namespace, as the sender.
    #[serde(default)]
    pub access: ServerAccess,
    /// How often the server is verified.
    #[serde(default)]
    pub verification: Verification,
    /// `true` stops verifying and sending; mail waits until it is `false` again.
    #[serde(default)]
    pub suspend: bool,
}

/// How the connection is encrypted.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// `StartTLS` (default): plain connection that must become encrypted. `Implicit`: encrypted
    /// from the first byte. `Disabled`: never encrypted. There is no "if offered".
    #[serde(default)]
    pub mode: TlsMode,
    /// Lowest TLS version accepted: `"1.2"` (default) or `"1.3"`.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Name that the certificate must carry, and that is sent as SNI, when it differs from `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches('^[A-Za-z0-9.:_-]+$')")
        .message("serverName must be a DNS name such as smtp.corp.example, or an IP address"))]
    pub server_name: Option<String>,
    /// Private CA bundle, used instead of the public CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CARef>,
    /// Secret of type `kubernetes.io/tls` with a client certificate for mutual TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<SecretRef>,
}

/// When encryption begins.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// RFC 3207; usual port 587.
    #[default]
    StartTLS,
    /// RFC 8314; usual port 465.
    Implicit,
    /// No encryption; usual port 25.
    Disabled,
}

/// A lowest TLS version.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3, RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

/// A proxy between the operator and the servers.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// `socks5://host:port` (RFC 1928; the proxy resolves names), `http://host:port` or `https://host:port`
    /// (CONNECT, RFC 9110). No user name in it: that goes into `credentialsSecretRef`.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^(socks5|http|https)://[A-Za-z0-9._:\\[\\]-]+/?$')")
        .message("url must be socks5://host:port, http://host:port or https://host:port, without user name or path"))]
    pub url: String,
    /// What goes through it: `All` (default), only the mail server (`Mail`), or only the token endpoint (`Tokens`).
    #[serde(default)]
    pub traffic: ProxyTraffic,
    /// Secret of type `kubernetes.io/basic-auth` with `username` and `password` for the proxy. It must name the
    /// proxy's host in the annotation `mail-operator.dev/allowed-hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretRef>,
    /// Private CA of an `https://` proxy, used instead of the public CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CARef>,
}

/// What goes through a proxy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ProxyTraffic {
    /// Mail and token requests.
    #[default]
    All,
    /// Only connections to the mail server.
    Mail,
    /// Only token requests.
    Tokens,
}

/// How much may be sent how fast.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Connections at once. Default 3 at Exchange Online, 4 elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub connections: Option<i32>,
    /// Messages a minute. Default 30 at Exchange Online, no limit elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub messages_per_minute: Option<i32>,
    /// Recipients in any 24 hours, also across restarts. Default 10,000 at Exchange Online, no limit elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub recipients_per_day: Option<i32>,
    /// Recipients in one SMTP transaction. Default 500 at Exchange Online, 100 elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub recipients_per_message: Option<i32>,
}

/// Who may send through a server, and as whom.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ServerAccess {
    /// Namespaces whose Notifications may name this server. Default: this namespace only.
    #[serde(default)]
    pub namespaces: NamespaceAccess,
    /// Addresses, or `*@domain` for all of a domain, that a Notification may put in
    /// `message.from`. Default: only `sender.address`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 3, max = 254)))]
    #[x_kube(validation = Rule::new(r"self.all(sender, sender.matches(r'^(\*|[^\s@<>*]+)@[^\s@<>*]+$'))")
        .message("each of senders must be an address such as hr@corp.example, or all of a domain: *@corp.example"))]
    pub senders: Vec<String>,
    /// Names that a Notification may put beside the address in `message.from`: `NoAddresses` (default), none that looks
    /// like an address of another domain; `Own`, only `sender.displayName`; `Any`.
    #[serde(default)]
    pub display_names: DisplayNames,
    /// Header fields that steer a mail provider, such as `X-SES-CONFIGURATION-SET`, and that a Notification may put in
    /// `message.headers`; `X-SES-*` means all that begin so. Default: none. Other fields need no permission.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 3, max = 76)))]
    #[x_kube(validation = Rule::new(r"self.all(header, header.matches(r'^[Xx]-[A-Za-z0-9-]*\*?$'))")
        .message("each of headers must be the name of a field such as X-SES-CONFIGURATION-SET, or the beginning of names: X-SES-*"))]
    pub headers: Vec<String>,
}

/// Which names may stand beside an address in From.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DisplayNames {
    /// All but those that look like an address of another domain than the one beside them.
    #[default]
    NoAddresses,
    /// Only that of the server's own sender.
    Own,
    /// All.
    Any,
}

/// How often a server is verified.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Time between verifications, give or take 20 %. Default `10m`; `0s`: only when something changes.
    #[serde(default = "default_interval")]
    #[x_kube(validation = Rule::new("duration(self) == duration('0s') || duration(self) >= duration('10s')")
        .message("interval must be a duration such as 10m or 90s: at least 10s, or 0s to verify only when something changes"))]
    pub interval: DurationText,
}

impl Default for Verification {
    fn default() -> Self {
        Self { interval: default_interval() }
    }
}

fn default_interval() -> DurationText {
    "10m".into()
}
