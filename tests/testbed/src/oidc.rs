//! A real token server over https: npm's oidc-provider, issuing tokens as Entra ID does for a mail client.

use crate::{
    certificates::CertificateAuthority,
    error::{Error, Result},
    http,
    ports::free_port,
    process::Process,
    scratch::Scratch,
    tools,
};
use serde_json::json;
use std::{fs, os::unix::fs::symlink, process::Command, time::Duration};

/// Node needs two seconds on an idle machine.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Name of the one signing key.
const KEY_ID: &str = "k1";
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/oidc/server.mjs");

/// Who may ask for tokens, and what they say.
#[derive(Debug, Clone)]
pub struct OidcOptions {
    /// The tenant in the token endpoint's path.
    pub tenant_id: String,
    /// The application.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// The scope to ask for.
    pub scope: String,
    /// The token's `aud`.
    pub audience: String,
    /// The token's `roles`.
    pub roles: Vec<String>,
    /// The token's `email`, which Dovecot takes for the user's name.
    pub email: String,
    /// How long a token is good, in seconds.
    pub lifetime_seconds: u32,
    /// Further clients, which prove themselves with a certificate.
    pub certificates: Vec<CertificateClient>,
    /// A service account that may speak for every mailbox: its address, and its public key or certificate, PEM.
    pub service_account: Option<(String, String)>,
    /// A cluster one of whose ServiceAccounts is as good as the client's secret.
    pub cluster: Option<TrustedCluster>,
}

/// A client that proves itself with a certificate.
#[derive(Debug, Clone)]
pub struct CertificateClient {
    /// The application.
    pub client_id: String,
    /// Its certificate.
    pub certificate_pem: String,
    /// The only way of signing it may use; `None`: whichever fits the key.
    pub algorithm: Option<String>,
}

/// What has to stand in a cluster's token.
#[derive(Debug, Clone)]
pub struct TrustedCluster {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `aud`.
    pub audience: String,
    /// The keys that sign it, as the API server publishes them.
    pub jwks: serde_json::Value,
}

impl Default for OidcOptions {
    /// What Exchange Online asks for.
    fn default() -> Self {
        Self {
            tenant_id: "6f1e4a3c-0000-4000-8000-7e7a47000001".into(),
            client_id: "2b9d8c57-0000-4000-8000-c11e47000001".into(),
            client_secret: "s3cret-of-the-client".into(),
            scope: "https://outlook.office365.com/.default".into(),
            audience: "https://outlook.office365.com".into(),
            roles: vec!["SMTP.SendAsApp".into()],
            email: "alerts@corp.example".into(),
            lifetime_seconds: 3600,
            certificates: Vec::new(),
            service_account: None,
            cluster: None,
        }
    }
}

/// A running token server; dropping it ends it.
pub struct Oidc {
    _process: Process,
    options: OidcOptions,
    issuer: String,
    token_url: String,
    public_key_pem: String,
    refresh_token: String,
    _scratch: Scratch,
}

/// What a server must know to check this issuer's tokens by itself.
#[derive(Debug, Clone)]
pub struct TokenTrust {
    /// The token's `iss`.
    pub issuer: String,
    /// Name of the key in the token's header.
    pub key_id: String,
    /// The public key, RSA, PEM.
    pub public_key_pem: String,
}

impl Oidc {
    /// Starts it on `https://localhost:PORT` with a certificate from `ca`, and waits until it answers.
    pub async fn start(ca: &CertificateAuthority, options: OidcOptions) -> Result<Self> {
        let node_modules = tools::oidc_provider().await?;
        let scratch = Scratch::new("oidc")?;
        let port = free_port()?;
        let (certificate, key) = ca.server("localhost", &["127.0.0.1"])?.write(&scratch, "oidc")?;
        let issuer = format!("https://localhost:{port}");
        let token_path = format!("/{}/oauth2/v2.0/token", options.tenant_id);
        let (public_key, refresh_token) = (scratch.join("public.pem"), scratch.join("refresh-token"));
        let settings = json!({
            "issuer": issuer,
            "port": port,
            "certificateFile": certificate,
            "keyFile": key,
            "publicKeyFile": public_key,
            "refreshTokenFile": refresh_token,
            "keyID": KEY_ID,
            "tokenPath": token_path,
            "clientID": options.client_id,
            "clientSecret": options.client_secret,
            "scope": options.scope,
            "audience": options.audience,
            "lifetimeSeconds": options.lifetime_seconds,
            "claims": claims(&options),
            "certificates": options.certificates.iter().map(|client| json!({
                "clientID": client.client_id, "pem": client.certificate_pem, "algorithm": client.algorithm,
            })).collect::<Vec<_>>(),
            "serviceAccount": options.service_account.as_ref().map(|(email, pem)| json!({ "email": email, "pem": pem })),
            "cluster": options.cluster.as_ref().map(|cluster| json!({
                "issuer": cluster.issuer, "subject": cluster.subject, "audience": cluster.audience, "jwks": cluster.jwks,
            })),
        });
        let settings = scratch.write("settings.json", settings.to_string())?;
        // Node looks for modules beside the file that wants them.
        symlink(node_modules, scratch.join("node_modules")).map_err(Error::io("linking node_modules"))?;
        let server = scratch.join("server.mjs");
        fs::copy(SERVER, &server).map_err(Error::io(format!("copying {SERVER}")))?;
        let mut command = Command::new("node");
        command.arg(server).arg(settings);
        let process = Process::start("oidc-provider", &command, &scratch.join("oidc.log"))?;
        let (client, discovery) =
            (http::trusting(ca.pem())?, format!("{issuer}/.well-known/openid-configuration"));
        let is_ready =
            async || client.get(&discovery).send().await.is_ok_and(|answer| answer.status().is_success());
        process.until_ready(START_LIMIT, is_ready).await?;
        let public_key_pem =
            fs::read_to_string(&public_key).map_err(Error::io("reading the token server's key"))?;
        let refresh_token =
            fs::read_to_string(&refresh_token).map_err(Error::io("reading the refresh token"))?;
        let token_url = format!("{issuer}{token_path}");
        Ok(Self {
            _process: process,
            options,
            issuer,
            token_url,
            public_key_pem,
            refresh_token,
            _scratch: scratch,
        })
    }

    /// Its token endpoint, `https://localhost:PORT/TENANT/oauth2/v2.0/token`.
    pub fn token_url(&self) -> &str {
        &self.token_url
    }

    /// A refresh token that the client was given for the mailbox. It is good once.
    pub fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    /// What it was started with.
    pub fn options(&self) -> &OidcOptions {
        &self.options
    }

    /// For servers that check its tokens.
    pub fn trust(&self) -> TokenTrust {
        TokenTrust {
            issuer: self.issuer.clone(),
            key_id: KEY_ID.to_owned(),
            public_key_pem: self.public_key_pem.clone(),
        }
    }
}

/// What an Entra ID token holds beside the standard claims; the groups make it as long as real ones, over 1,500 octets.
fn claims(options: &OidcOptions) -> serde_json::Value {
    let groups: Vec<String> = (0..30).map(|n| format!("9c3a{n:04}-5f0e-4d4e-9b61-2d6f6c1b{n:04}")).collect();
    json!({
        "tid": options.tenant_id,
        "appid": options.client_id,
        "roles": options.roles,
        "email": options.email,
        "groups": groups,
    })
}
