//! Where a session goes and how it is protected, from a server's spec and credentials. Sessions with the same
//! server share one TLS configuration as long as both stay the same: that is what lets them resume.

use crate::api::Reason;
use crate::api::mail_server_config::{PasswordMechanism, TlsMode, TlsVersion, TokenMechanism};
use crate::delivery::{Delivery, lock};
use crate::domain::credentials::{Credentials, LoginCredentials};
use crate::domain::object::ObjectKey;
use crate::domain::server::{Login, ProxyScheme, Server};
use crate::domain::verification::StageFailure;
use crate::oauth::Token;
use crate::smtp::{self, Target, tls};
use rustls_pki_types::ServerName;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The TLS configurations in use, one a MailServerConfig.
#[derive(Default)]
pub(super) struct TlsConfigs(Mutex<HashMap<ObjectKey, Configured>>);

/// A configuration, and what it was made from.
struct Configured {
    generation: i64,
    fingerprint: String,
    config: Arc<rustls::ClientConfig>,
}

impl TlsConfigs {
    /// The configuration of before if nothing it was made from has changed, else a new one, which knows no
    /// earlier session: a session that an old CA has vouched for must not be resumed under a new one.
    fn get(
        &self,
        server: &Server,
        fingerprint: &str,
        make: impl FnOnce() -> Result<Arc<rustls::ClientConfig>, StageFailure>,
    ) -> Result<Arc<rustls::ClientConfig>, StageFailure> {
        if let Some(known) = lock(&self.0).get(&server.key)
            && known.generation == server.generation
            && known.fingerprint == fingerprint
        {
            return Ok(known.config.clone());
        }
        let config = make()?;
        let configured = Configured {
            generation: server.generation,
            fingerprint: fingerprint.into(),
            config: config.clone(),
        };
        lock(&self.0).insert(server.key.clone(), configured);
        Ok(config)
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.0).len()
    }

    /// The MailServerConfig is gone.
    pub fn forget(&self, server: &ObjectKey) {
        lock(&self.0).remove(server);
    }
}

impl Delivery {
    /// The way to a server. `fingerprint` names the versions that `credentials` were read at.
    pub(super) fn target(
        &self,
        server: &Server,
        credentials: &Credentials,
        fingerprint: &str,
    ) -> Result<Target, StageFailure> {
        let make = || self.tls_config(server, credentials);
        let tls_config = self.tls_configs.get(server, fingerprint, make)?;
        let server_name = ServerName::try_from(server.tls.server_name.clone()).map_err(|_| {
            StageFailure::until_changed(
                Reason::InvalidSpec,
                "tls.serverName: must be a DNS name or an IP address",
            )
        })?;
        Ok(Target {
            host: server.host.as_str().into(),
            port: server.port,
            tls: match server.tls.mode {
                TlsMode::StartTLS => smtp::TlsMode::StartTls,
                TlsMode::Implicit => smtp::TlsMode::Implicit,
                TlsMode::Disabled => smtp::TlsMode::Disabled,
            },
            tls_config,
            server_name,
            hello_name: server.hello_name.as_str().into(),
            proxy: self.proxy(server, credentials)?,
            egress: self.settings.egress.clone(),
            deadlines: self.settings.deadlines,
            auth_hint: self.servers.look(&server.key, |state| state.auth_hint),
        })
    }

    fn tls_config(
        &self,
        server: &Server,
        credentials: &Credentials,
    ) -> Result<Arc<rustls::ClientConfig>, StageFailure> {
        let roots = match &credentials.ca_pem {
            Some(pem) => tls::bundled_roots(pem.as_bytes()).map_err(unusable)?,
            None => self.roots.clone(),
        };
        let certificate = credentials.client_certificate.as_ref().map(|pair| tls::ClientCertificate {
            certificates: pair.chain_pem.as_bytes(),
            key: &pair.key_pem,
        });
        let min_version = match server.tls.min_version {
            TlsVersion::Tls12 => tls::MinVersion::Tls12,
            TlsVersion::Tls13 => tls::MinVersion::Tls13,
        };
        tls::client_config(roots, min_version, certificate).map_err(unusable)
    }

    fn proxy(&self, server: &Server, credentials: &Credentials) -> Result<Option<smtp::Proxy>, StageFailure> {
        let Some(proxy) = server.proxy.as_ref().filter(|proxy| proxy.carries_mail()) else { return Ok(None) };
        let roots = match &credentials.proxy_ca_pem {
            Some(pem) => tls::bundled_roots(pem.as_bytes()).map_err(unusable)?,
            None => self.roots.clone(),
        };
        let tls_config = tls::client_config(roots, tls::MinVersion::Tls12, None).map_err(unusable)?;
        Ok(Some(smtp::Proxy {
            scheme: match proxy.scheme {
                ProxyScheme::Socks5 => smtp::ProxyScheme::Socks5,
                ProxyScheme::Http => smtp::ProxyScheme::Http,
                ProxyScheme::Https => smtp::ProxyScheme::Https,
            },
            host: proxy.host.as_str().into(),
            port: proxy.port,
            credentials: (credentials.proxy.as_ref())
                .map(|login| (login.username.as_str().into(), login.password.clone())),
            tls_config,
        }))
    }
}

fn unusable(error: tls::TlsSettingsError) -> StageFailure {
    StageFailure::until_changed(error.reason(), error.to_string())
}

/// What logs in, if anything does.
pub(super) fn login(
    server: &Server,
    credentials: &Credentials,
    token: Option<&Token>,
) -> Option<smtp::Credentials> {
    match &server.login {
        Login::None => None,
        Login::ClientCertificate { username } => {
            Some(smtp::Credentials::Certificate { username: username.clone() })
        }
        Login::Password { username, mechanism, .. } => {
            let (password, allow_plaintext) = match &credentials.login {
                LoginCredentials::Password { password, allow_plaintext } => {
                    (password.clone(), *allow_plaintext)
                }
                LoginCredentials::None | LoginCredentials::OAuth2 { .. } => Default::default(),
            };
            Some(smtp::Credentials::Password {
                username: username.clone(),
                password,
                mechanism: match mechanism {
                    PasswordMechanism::Auto => None,
                    PasswordMechanism::ScramSHA256Plus => Some(smtp::PasswordMechanism::ScramSha256Plus),
                    PasswordMechanism::ScramSHA256 => Some(smtp::PasswordMechanism::ScramSha256),
                    PasswordMechanism::Plain => Some(smtp::PasswordMechanism::Plain),
                    PasswordMechanism::Login => Some(smtp::PasswordMechanism::Login),
                },
                allow_plaintext,
            })
        }
        Login::OAuth2(login) => Some(smtp::Credentials::Token {
            username: login.username.clone(),
            token: token.map(|token| token.access_token.clone()).unwrap_or_default(),
            mechanism: match login.mechanism {
                TokenMechanism::Auto => None,
                TokenMechanism::XOAUTH2 => Some(smtp::TokenMechanism::XOAuth2),
                TokenMechanism::OAuthBearer => Some(smtp::TokenMechanism::OAuthBearer),
            },
        }),
    }
}
