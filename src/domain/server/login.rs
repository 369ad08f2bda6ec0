//! How a mail server is logged in to, as the spec says: which mechanism, which grant, which proof, and
//! where each credential is kept. The credentials themselves are [`crate::domain::credentials`]'.

use crate::api::mail_server_config::{
    self as api, Auth, ClientCertificateAuth, Cloud, ExchangeOnlineAuth, FederatedToken, OAuth2Auth,
    PasswordMechanism, TokenMechanism,
};
use crate::api::shared::{CARef, SecretKeyRef, SecretRef};
use crate::domain::exchange_online;
use crate::domain::problem::Problem;
use std::collections::BTreeMap;
use url::Url;

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
        /// Which mechanism.
        mechanism: PasswordMechanism,
    },
    /// With the TLS client certificate.
    ClientCertificate {
        /// The account to act for, where the certificate does not say it.
        username: Option<String>,
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
    /// Client at the provider; empty where the key of [`Grant::JWTBearer`] names it.
    pub client_id: String,
    /// What is traded for the token.
    pub grant: Grant,
    /// How the client proves itself.
    pub proof: Proof,
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
    /// The Entra tenant, where the spec names it by its ID.
    pub tenant_id: Option<String>,
    /// Whether every host is Microsoft's own, so that a Secret need not name it.
    pub built_in_hosts: bool,
}

/// What is traded for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// The proof alone (RFC 6749 section 4.4).
    ClientCredentials,
    /// A refresh token (RFC 6749 section 6).
    RefreshToken(SecretKeyRef),
    /// A statement signed with the key of a service account (RFC 7523).
    JWTBearer {
        /// Where the JSON key file is.
        key: SecretKeyRef,
        /// In whose name.
        subject: String,
    },
}

/// How a client proves that it is who it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Not at all: a public client, or the grant is proof enough.
    None,
    /// With a shared secret.
    Secret(SecretKeyRef),
    /// With a statement signed by its key; the `kubernetes.io/tls` Secret of that name.
    Certificate(String),
    /// With a token of a ServiceAccount.
    Federated {
        /// Name of the ServiceAccount.
        service_account: String,
        /// Whom the token is for.
        audience: String,
    },
}

impl Login {
    /// What `spec.auth` says; all its problems at once.
    pub(super) fn from_spec(auth: Option<&Auth>) -> Result<Self, Vec<Problem>> {
        let Some(auth) = auth else { return Ok(Self::None) };
        match auth {
            Auth { basic: Some(basic), exchange_online: None, oauth2: None, client_certificate: None } => {
                Ok(Self::Password {
                    username: basic.username.clone(),
                    password: basic.password_secret_ref.clone(),
                    mechanism: basic.mechanism,
                })
            }
            Auth { basic: None, exchange_online: Some(exchange), oauth2: None, client_certificate: None } => {
                exchange_login(exchange)
            }
            Auth { basic: None, exchange_online: None, oauth2: Some(oauth2), client_certificate: None } => {
                oauth2_login(oauth2)
            }
            Auth { basic: None, exchange_online: None, oauth2: None, client_certificate: Some(login) } => {
                let ClientCertificateAuth { username } = login;
                Ok(Self::ClientCertificate { username: username.clone() })
            }
            _ => Err(vec![Problem::new(
                "auth",
                "set exactly one of basic, exchangeOnline, oauth2, clientCertificate",
            )]),
        }
    }

    /// The user name, if there is a login that has one.
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Password { username, .. } => Some(username),
            Self::ClientCertificate { username } => username.as_deref(),
            Self::OAuth2(oauth2) => Some(&oauth2.username),
        }
    }

    /// The word for the column `Auth`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Password { .. } => "Basic",
            Self::ClientCertificate { .. } => "ClientCertificate",
            Self::OAuth2(oauth2) if oauth2.exchange_online.is_some() => "ExchangeOnline",
            Self::OAuth2(_) => "OAuth2",
        }
    }

    /// The Secrets whose contents, or what is made of them, leave for the token endpoint or mail server.
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::None | Self::ClientCertificate { .. } => Vec::new(),
            Self::Password { password, .. } => vec![&password.name],
            Self::OAuth2(oauth2) => {
                let proof = match &oauth2.proof {
                    Proof::Secret(secret) => Some(secret.name.as_str()),
                    Proof::Certificate(name) => Some(name.as_str()),
                    Proof::None | Proof::Federated { .. } => None,
                };
                let grant = match &oauth2.grant {
                    Grant::ClientCredentials => None,
                    Grant::RefreshToken(token) => Some(token.name.as_str()),
                    Grant::JWTBearer { key, .. } => Some(key.name.as_str()),
                };
                proof.into_iter().chain(grant).collect()
            }
        }
    }

    /// The ServiceAccount whose token is the proof.
    pub fn service_account(&self) -> Option<&str> {
        match self {
            Self::OAuth2(oauth2) => match &oauth2.proof {
                Proof::Federated { service_account, .. } => Some(service_account),
                Proof::None | Proof::Secret(_) | Proof::Certificate(_) => None,
            },
            Self::None | Self::Password { .. } | Self::ClientCertificate { .. } => None,
        }
    }
}

fn exchange_login(exchange: &ExchangeOnlineAuth) -> Result<Login, Vec<Problem>> {
    const FIELD: &str = "auth.exchangeOnline";
    let endpoints = exchange.endpoints.clone().unwrap_or_default();
    let built_in_hosts = endpoints.host.is_none() && endpoints.token_url.is_none();
    let tenant = exchange_online::Tenant::parse(&exchange.tenant_id)
        .map_err(|error| vec![Problem::new(format!("{FIELD}.tenantID"), error.to_string())])?;
    let token_url =
        endpoints.token_url.unwrap_or_else(|| exchange_online::token_url(exchange.cloud, &tenant));
    let scope = endpoints.scope.unwrap_or_else(|| exchange_online::scope(exchange.cloud).into());
    let ExchangeOnlineAuth { client_secret_ref, client_certificate_secret_ref, federated_token, .. } =
        exchange;
    let audience = exchange_online::federation_audience(exchange.cloud);
    let proof = proof(
        client_secret_ref.as_ref(),
        client_certificate_secret_ref.as_ref(),
        federated_token.as_ref(),
        Some(audience),
    );
    let Some(proof) = proof.filter(|proof| *proof != Proof::None) else {
        return Err(one_proof(FIELD));
    };
    Ok(Login::OAuth2(Box::new(OAuth2Login {
        username: exchange.username.clone(),
        token_url: https("auth.exchangeOnline.endpoints.tokenURL", &token_url)?,
        client_id: exchange.client_id.clone(),
        grant: Grant::ClientCredentials,
        proof,
        scopes: vec![scope],
        parameters: BTreeMap::new(),
        mechanism: TokenMechanism::XOAUTH2,
        token_ca: endpoints.ca_ref,
        exchange_online: Some(exchange.cloud),
        tenant_id: tenant.is_id().then(|| tenant.as_str().to_owned()),
        built_in_hosts,
    })))
}

fn oauth2_login(oauth2: &OAuth2Auth) -> Result<Login, Vec<Problem>> {
    const FIELD: &str = "auth.oauth2";
    let problem = |field: &str, message: &str| vec![Problem::new(format!("{FIELD}.{field}"), message)];
    let proof = proof(
        oauth2.client_secret_ref.as_ref(),
        oauth2.client_certificate_secret_ref.as_ref(),
        oauth2.federated_token.as_ref(),
        None,
    );
    let Some(proof) = proof else { return Err(one_proof(FIELD)) };
    let grant = match oauth2.grant {
        api::Grant::ClientCredentials if proof == Proof::None => return Err(one_proof(FIELD)),
        api::Grant::ClientCredentials => Grant::ClientCredentials,
        api::Grant::RefreshToken => match &oauth2.refresh_token_secret_ref {
            Some(token) => Grant::RefreshToken(token.clone()),
            None => return Err(problem("refreshTokenSecretRef", "the grant RefreshToken needs it")),
        },
        api::Grant::JWTBearer => match &oauth2.service_account_key_secret_ref {
            Some(key) => Grant::JWTBearer {
                key: key.clone(),
                subject: oauth2.subject.clone().unwrap_or_else(|| oauth2.username.clone()),
            },
            None => return Err(problem("serviceAccountKeySecretRef", "the grant JWTBearer needs it")),
        },
    };
    let client_id = oauth2.client_id.clone().unwrap_or_default();
    if client_id.is_empty() && !matches!(grant, Grant::JWTBearer { .. }) {
        return Err(problem("clientID", "is required: the client's ID at the provider"));
    }
    if matches!(&proof, Proof::Federated { audience, .. } if audience.is_empty()) {
        return Err(problem(
            "federatedToken.audience",
            "is required: what the provider expects in the token's aud",
        ));
    }
    Ok(Login::OAuth2(Box::new(OAuth2Login {
        username: oauth2.username.clone(),
        token_url: https("auth.oauth2.tokenURL", &oauth2.token_url)?,
        client_id,
        grant,
        proof,
        scopes: oauth2.scopes.clone(),
        parameters: oauth2.parameters.clone(),
        mechanism: oauth2.mechanism,
        token_ca: oauth2.ca_ref.clone(),
        exchange_online: None,
        tenant_id: None,
        built_in_hosts: false,
    })))
}

/// The one proof there is; `None` if there are several.
fn proof(
    secret: Option<&SecretKeyRef>,
    certificate: Option<&SecretRef>,
    federated: Option<&FederatedToken>,
    default_audience: Option<&str>,
) -> Option<Proof> {
    match (secret, certificate, federated) {
        (None, None, None) => Some(Proof::None),
        (Some(secret), None, None) => Some(Proof::Secret(secret.clone())),
        (None, Some(certificate), None) => Some(Proof::Certificate(certificate.name.clone())),
        (None, None, Some(FederatedToken { service_account_name, audience })) => Some(Proof::Federated {
            service_account: service_account_name.clone(),
            audience: audience.clone().or(default_audience.map(Into::into)).unwrap_or_default(),
        }),
        _ => None,
    }
}

fn one_proof(field: &str) -> Vec<Problem> {
    vec![Problem::new(
        field,
        "set exactly one of clientSecretRef, clientCertificateSecretRef, federatedToken",
    )]
}

fn https(field: &str, text: &str) -> Result<Url, Vec<Problem>> {
    let wrong =
        || vec![Problem::new(field, "must be an https URL such as https://login.corp.example/oauth2/token")];
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if url.scheme() == "https" && url.host_str().is_some() && plain { Ok(url) } else { Err(wrong()) }
}
