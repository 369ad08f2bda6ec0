//! What the operator found out about a mail server: `status` of a MailServerConfig.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What the operator found.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct MailServerConfigStatus {
    /// Generation of the spec that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` sums up; then one condition a stage, in order: `CredentialsResolved`,
    /// `TokenAcquired` (OAuth2), `NameResolved`, `Connected`, `Secured`, `Authenticated`. Warnings:
    /// `CredentialExpiring`, `RefreshTokenRotated`, `BasicAuthRetiring`, `PlaintextAuth`, `ConsentMissing`,
    /// `AnswersLost`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The login in use: `None`, `Basic`, `ExchangeOnline`, `OAuth2` or `ClientCertificate`.
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
    /// How much of the limits of this login was used when the server was last verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// How the permission of the Secrets was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<ConsentStatus>,
}

/// How the permission of Secrets was judged.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ConsentStatus {
    /// Version of the rules: 2 today; 1 where the condition `ConsentMissing` says what is permitted for one more version.
    pub rules: i32,
    /// SHA-256 of the private CAs that the rules of version 1 hold for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerated: Option<String>,
}

/// What of the limits of a login is used, by the MailServerConfigs of this namespace that share it.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Sessions open for sending.
    pub connections: i32,
    /// How many may be open now: `limits.connections`, or fewer for a while after the server asked for less.
    pub connections_allowed: i32,
    /// Messages accepted in the last 60 seconds.
    pub messages_last_minute: i32,
    /// Recipients in the last 24 hours, those being sent to right now included.
    pub recipients_last_day: i32,
    /// When recipients of the last 24 hours begin to count no longer, if the day's number is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhausted_until: Option<Time>,
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
    /// The mechanism that logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_mechanism: Option<String>,
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
    /// Delegated permissions in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The Entra tenant that issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}
