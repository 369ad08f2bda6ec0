//! How to log in: the members of `spec.auth`, their grants, proofs and mechanisms.

use crate::api::shared::{CARef, SecretKeyRef, SecretRef};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How to log in.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.basic), has(self.exchangeOnline), has(self.oauth2), has(self.clientCertificate)].exists_one(x, x)")
    .message("set exactly one of basic, exchangeOnline, oauth2, clientCertificate (no auth at all means: no login)"))]
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
    /// The certificate of `tls.clientCertificateSecretRef` is the login (SASL EXTERNAL).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificateAuth>,
}

/// Login by TLS client certificate: SASL EXTERNAL (RFC 4422, appendix A).
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificateAuth {
    /// The account to act for, where the certificate alone does not say it. Default: the server derives it from
    /// the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub username: Option<String>,
}

/// User name and password, with the strongest mechanism that the server offers: SCRAM-SHA-256-PLUS,
/// SCRAM-SHA-256, PLAIN, LOGIN.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// User name at the mail server, often the e-mail address.
    #[schemars(length(min = 1, max = 320), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub username: String,
    /// The password. Its Secret must name the mail server in the annotation
    /// `mail-operator.dev/allowed-hosts`.
    pub password_secret_ref: SecretKeyRef,
    /// `Auto` (default): the strongest one offered. Else exactly this one: `ScramSHA256Plus`, `ScramSHA256`,
    /// `Plain` or `Login`; a server that does not offer it is not logged in to.
    #[serde(default)]
    pub mechanism: PasswordMechanism,
}

/// A SASL mechanism for passwords.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PasswordMechanism {
    /// The strongest one offered.
    #[default]
    Auto,
    /// RFC 5802 and RFC 7677, bound to the TLS connection; the password never leaves.
    ScramSHA256Plus,
    /// RFC 7677; the password never leaves.
    ScramSHA256,
    /// RFC 4616.
    Plain,
    /// Never standardised, and the only one of some servers.
    Login,
}

/// Exchange Online with the client credentials grant of an Entra ID application, which proves itself with
/// exactly one of `clientSecretRef`, `clientCertificateSecretRef`, `federatedToken`.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.clientSecretRef), has(self.clientCertificateSecretRef), has(self.federatedToken)].exists_one(x, x)")
    .message("set exactly one of clientSecretRef, clientCertificateSecretRef, federatedToken: the proof that we are this application"))]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_ref: Option<SecretKeyRef>,
    /// Secret of type `kubernetes.io/tls` whose certificate is registered with the application: the client
    /// proves itself with a signed statement (`private_key_jwt`, RFC 7523) and no shared secret exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<SecretRef>,
    /// A token of a Kubernetes ServiceAccount that the provider trusts (workload identity federation), asked
    /// for anew for each exchange: no credential is stored anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federated_token: Option<FederatedToken>,
    /// Other hosts than the cloud's, for a proxy or a cloud that moved. The Secret must then name
    /// them in the annotation `mail-operator.dev/allowed-hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
}

/// A token of a ServiceAccount in place of a credential.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FederatedToken {
    /// ServiceAccount in this namespace. It must name the token endpoint's host (and, unless that is
    /// Microsoft's, the mail server's) in the annotation `mail-operator.dev/allowed-hosts`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')")
        .message("serviceAccountName must be the name of a ServiceAccount in this namespace"))]
    pub service_account_name: String,
    /// Whom the token is for. Default: what the Microsoft cloud expects, `api://AzureADTokenExchange` in the
    /// public one. One that the Kubernetes API server itself accepts is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^[\x21-\x7e]+$"))]
    pub audience: Option<String>,
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
#[x_kube(
    validation = Rule::new("self.grant == 'JWTBearer' || has(self.clientID)")
        .message("clientID is required: the client's ID at the provider (only the grant JWTBearer has it in its key)"),
    validation = Rule::new("self.grant != 'ClientCredentials' || [has(self.clientSecretRef), has(self.clientCertificateSecretRef), has(self.federatedToken)].exists_one(x, x)")
        .message("the grant ClientCredentials needs exactly one of clientSecretRef, clientCertificateSecretRef, federatedToken: the proof that we are this client"),
    validation = Rule::new("self.grant != 'RefreshToken' || ([has(self.clientSecretRef), has(self.clientCertificateSecretRef), has(self.federatedToken)].filter(x, x).size() <= 1 && has(self.refreshTokenSecretRef))")
        .message("the grant RefreshToken needs refreshTokenSecretRef, and at most one of clientSecretRef, clientCertificateSecretRef, federatedToken"),
    validation = Rule::new("self.grant != 'JWTBearer' || (has(self.serviceAccountKeySecretRef) && !has(self.clientSecretRef) && !has(self.clientCertificateSecretRef) && !has(self.federatedToken))")
        .message("the grant JWTBearer needs serviceAccountKeySecretRef, and none of clientSecretRef, clientCertificateSecretRef, federatedToken"),
    validation = Rule::new("self.grant == 'RefreshToken' || !has(self.refreshTokenSecretRef)")
        .message("refreshTokenSecretRef belongs to the grant RefreshToken: set grant, or remove it"),
    validation = Rule::new("self.grant == 'JWTBearer' || (!has(self.serviceAccountKeySecretRef) && !has(self.subject))")
        .message("serviceAccountKeySecretRef and subject belong to the grant JWTBearer: set grant, or remove them"),
    validation = Rule::new("!has(self.federatedToken) || has(self.federatedToken.audience)")
        .message("federatedToken.audience is required here: what the provider expects in the token's aud")
)]
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
    /// Client ID at the provider. Required, except with the grant `JWTBearer`.
    #[serde(default, rename = "clientID", skip_serializing_if = "Option::is_none")]
    #[schemars(rename = "clientID", length(min = 1, max = 253), regex(pattern = r"^[\x20-\x7e]+$"))]
    pub client_id: Option<String>,
    /// `ClientCredentials` (default): the client proves itself (RFC 6749 section 4.4). `RefreshToken`: a person
    /// has consented once, and a refresh token remains (section 6). `JWTBearer`: a signed statement in the name
    /// of the mailbox (RFC 7523), as with a Google service account.
    #[serde(default)]
    pub grant: Grant,
    /// The client secret. Its Secret, like every one named here, must name the hosts of `tokenURL` and of the
    /// mail server in the annotation `mail-operator.dev/allowed-hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_ref: Option<SecretKeyRef>,
    /// Secret of type `kubernetes.io/tls` whose certificate is registered with the application: the client
    /// proves itself with a signed statement (`private_key_jwt`, RFC 7523) and no shared secret exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<SecretRef>,
    /// A token of a Kubernetes ServiceAccount that the provider trusts (workload identity federation), asked
    /// for anew for each exchange: no credential is stored anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federated_token: Option<FederatedToken>,
    /// The refresh token, for the grant `RefreshToken`. If the provider replaces it, the new one is used as
    /// long as the operator runs, and the condition `RefreshTokenRotated` warns that the stored one may be worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token_secret_ref: Option<SecretKeyRef>,
    /// The key of a service account as a JSON file of Google's form (`client_email`, `private_key`), for the grant
    /// `JWTBearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_key_secret_ref: Option<SecretKeyRef>,
    /// In whose name the grant `JWTBearer` asks. Default: `username`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320), regex(pattern = r"^[^\x00-\x20\x7f]+$"))]
    pub subject: Option<String>,
    /// Scopes asked for. Default: none, but with the grant `JWTBearer` at Google `https://mail.google.com/`.
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
    /// `Auto` (default): XOAUTH2, or OAUTHBEARER where only that is offered. Else exactly this one: `XOAUTH2` or
    /// `OAuthBearer`.
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
            "rule": "!self.exists(k, k in ['grant_type', 'client_id', 'client_secret', 'scope', 'client_assertion', 'client_assertion_type', 'refresh_token', 'assertion'])",
            "message": "parameters must not set grant_type, client_id, client_secret, scope, client_assertion, client_assertion_type, refresh_token or assertion: those have fields of their own"
        }]
    })
}

/// An OAuth2 grant.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grant {
    /// RFC 6749 section 4.4.
    #[default]
    ClientCredentials,
    /// RFC 6749 section 6.
    RefreshToken,
    /// RFC 7523 section 2.1.
    JWTBearer,
}

/// A SASL mechanism for tokens.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenMechanism {
    /// XOAUTH2, or OAUTHBEARER where only that is offered.
    #[default]
    Auto,
    /// Google's and Microsoft's own.
    XOAUTH2,
    /// RFC 7628.
    OAuthBearer,
}
