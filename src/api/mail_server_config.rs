//! `MailServerConfig`: where a mail server is, how to log in, who may send through it, and what the
//! last verification found, stage by stage.

use crate::api::shared::{CARef, DurationText, NamedAddress, NamespaceAccess, SecretKeyRef, SecretRef};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
#[cfg_attr(test, kube(cel))]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.host) || (has(self.auth) && has(self.auth.exchangeOnline))")
        .message("host is required: the DNS name or IP address of the mail server (only auth.exchangeOnline sets it by itself)"),
    validation = Rule::new("!(has(self.auth) && has(self.auth.exchangeOnline)) || !(has(self.host) || has(self.port))")
        .message("auth.exchangeOnline sets host and port by its cloud: remove host and port (auth.exchangeOnline.endpoints overrides them)"),
    validation = Rule::new("!(has(self.auth) && (has(self.auth.exchangeOnline) || has(self.auth.oauth2))) || self.tls.mode != 'Disabled'")
        .message("OAuth2 logins need TLS: set tls.mode to StartTLS or Implicit")
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
    /// How to log in: exactly one of `basic`, `exchangeOnline`, `oauth2`. Absent: no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// How much may be sent how fast, per login mailbox: configs that share a login share these,
    /// and the smallest number counts.
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

/// How to log in.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.basic), has(self.exchangeOnline), has(self.oauth2)].exists_one(x, x)")
    .message("set exactly one of basic, exchangeOnline, oauth2 (no auth at all means: no login)"))]
pub struct Auth {
    /// User name and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<BasicAuth>,
    /// Exchange Online (Microsoft 365) over OAuth2; sets host, port and token endpoint by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange_online: Option<ExchangeOnlineAuth>,
    /// Any other provider over OAuth2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2Auth>,
}

/// User name and password: SASL PLAIN, else LOGIN.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// User name at the mail server, often the e-mail address.
    #[schemars(length(min = 1, max = 320), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub username: String,
    /// The password. Its Secret must name the mail server in the annotation
    /// `mail-operator.dev/allowed-hosts`.
    pub password_secret_ref: SecretKeyRef,
}

/// Exchange Online with the client credentials grant of an Entra ID application.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeOnlineAuth {
    /// Directory (tenant) ID: a GUID, or one of the tenant's domains.
    #[schemars(rename = "tenantID", length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches('^[A-Za-z0-9.-]+$')")
        .message("tenantID must be the directory (tenant) ID, a GUID, or one of the tenant's domains such as corp.onmicrosoft.com"))]
    #[serde(rename = "tenantID")]
    pub tenant_id: String,
    /// Application (client) ID: a GUID.
    #[schemars(rename = "clientID", length(min = 1, max = 253), regex(pattern = r"^[\x21-\x7e]+$"))]
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// The mailbox to log in to, for example `alerts@corp.example`.
    #[schemars(length(min = 1, max = 320), regex(pattern = r"^[^\x00-\x20\x7f]+$"))]
    pub username: String,
    /// Which Microsoft cloud: `Public` (default, also GCC), `USGovernmentHigh`, `USGovernmentDoD`, `China`.
    #[serde(default)]
    pub cloud: Cloud,
    /// The client secret's value (not its ID).
    pub client_secret_ref: SecretKeyRef,
    /// Other hosts than the cloud's, for a proxy or a cloud that moved. The Secret must then name
    /// them in the annotation `mail-operator.dev/allowed-hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
}

/// A Microsoft cloud.
#[derive(
    JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default,
)]
pub enum Cloud {
    /// The worldwide cloud, and GCC.
    #[default]
    Public,
    /// US Government GCC High.
    USGovernmentHigh,
    /// US Department of Defense.
    USGovernmentDoD,
    /// China, operated by 21Vianet.
    China,
}

/// Overrides of a cloud's hosts.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// SMTP host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches('^[A-Za-z0-9.:_-]+$')")
        .message("host must be a DNS name such as smtp.corp.example, or an IP address; the port has a field of its own"))]
    pub host: Option<String>,
    /// SMTP port; default 587.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Token endpoint, https only.
    #[serde(default, rename = "tokenURL", skip_serializing_if = "Option::is_none")]
    #[schemars(rename = "tokenURL", length(max = 2048))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^https://[^\s/?#@]+(/[^\s#]*)?$')")
        .message("tokenURL must be an https URL such as https://login.corp.example/oauth2/token, without a user name"))]
    pub token_url: Option<String>,
    /// Scope asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[\x21\x23-\x5b\x5d-\x7e]+$"))]
    pub scope: Option<String>,
    /// Private CA of the token endpoint, used instead of the public CAs. (`tls.caRef` is the mail server's.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CARef>,
}

/// OAuth2 at any provider.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2Auth {
    /// The mailbox to log in to.
    #[schemars(length(min = 1, max = 320), regex(pattern = r"^[^\x00-\x20\x7f]+$"))]
    pub username: String,
    /// Token endpoint, https only.
    #[serde(rename = "tokenURL")]
    #[schemars(rename = "tokenURL", length(max = 2048))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^https://[^\s/?#@]+(/[^\s#]*)?$')")
        .message("tokenURL must be an https URL such as https://login.corp.example/oauth2/token, without a user name"))]
    pub token_url: String,
    /// Client ID at the provider.
    #[serde(rename = "clientID")]
    #[schemars(rename = "clientID", length(min = 1, max = 253), regex(pattern = r"^[\x20-\x7e]+$"))]
    pub client_id: String,
    /// `ClientCredentials` (default): the client proves itself with its secret (RFC 6749 section 4.4).
    #[serde(default)]
    pub grant: Grant,
    /// The client secret. Its Secret must name the hosts of `tokenURL` and of the mail server in
    /// the annotation `mail-operator.dev/allowed-hosts`.
    pub client_secret_ref: SecretKeyRef,
    /// Scopes asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 1024), regex(pattern = r"^[\x21\x23-\x5b\x5d-\x7e]+$"))
    )]
    pub scopes: Vec<String>,
    /// Further form parameters of the token request, for example `audience` or `resource`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameters_schema")]
    pub parameters: BTreeMap<String, String>,
    /// `XOAUTH2` (default) or `OAuthBearer` (RFC 7628).
    #[serde(default)]
    pub mechanism: TokenMechanism,
    /// Private CA of the token endpoint, used instead of the public CAs. (`tls.caRef` is the mail server's.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CARef>,
}

fn parameters_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": 2048 },
        "x-kubernetes-validations": [{
            "rule": "!self.exists(k, k in ['grant_type', 'client_id', 'client_secret', 'scope', 'client_assertion', 'client_assertion_type'])",
            "message": "parameters must not set grant_type, client_id, client_secret, scope, client_assertion or client_assertion_type: those have fields of their own"
        }]
    })
}

/// An OAuth2 grant.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grant {
    /// RFC 6749 section 4.4.
    #[default]
    ClientCredentials,
}

/// A SASL mechanism for tokens.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenMechanism {
    /// Google's and Microsoft's own.
    #[default]
    XOAUTH2,
    /// RFC 7628.
    OAuthBearer,
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
    /// Recipients in any 24 hours, counted since the operator started. Default 10,000 at Exchange
    /// Online, no limit elsewhere.
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

/// What the operator found.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct MailServerConfigStatus {
    /// Generation of the spec that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` sums up; then one condition a stage, in order: `CredentialsResolved`,
    /// `NameResolved`, `Connected`, `Secured`, `TokenAcquired` (OAuth2), `Authenticated`. Warnings:
    /// `CredentialExpiring`, `BasicAuthRetiring`, `PlaintextAuth`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The login in use: `None`, `Basic`, `ExchangeOnline` or `OAuth2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// When the last verification ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verification_time: Option<Time>,
    /// Value of the annotation `mail-operator.dev/verify-requested-at` that was last obeyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_verify_request: Option<String>,
    /// What the mail server said of itself after TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerFacts>,
    /// The encrypted connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFacts>,
    /// The OAuth2 token in use (never the token itself).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenFacts>,
}

/// What a mail server said of itself.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ServerFacts {
    /// `host:port` as the spec or the cloud gives it.
    pub host: String,
    /// IP address and port of the last connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// SMTP extensions offered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// Login mechanisms offered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auth_mechanisms: Vec<String>,
    /// Largest message in bytes; absent if the server names no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_message_bytes: Option<i64>,
}

/// An encrypted connection.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct TlsFacts {
    /// Protocol version, for example `1.3`.
    pub version: String,
    /// Cipher suite by its IANA name.
    pub cipher_suite: String,
    /// The server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFacts>,
}

/// A certificate.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct CertificateFacts {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
}

/// An access token, without the token.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct TokenFacts {
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Whom it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Application permissions in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}
