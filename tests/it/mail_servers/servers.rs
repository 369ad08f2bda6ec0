//! The table of servers, started once for the whole run, with what each offers.

use mail_operator::domain::secret::Secret;
use mail_operator::smtp::tls::ClientCertificate;
use mail_operator::smtp::{Credentials, PasswordMechanism, TokenMechanism};
use mail_operator_testbed::aiosmtpd::AiosmtpdOptions;
use mail_operator_testbed::certificates::{CertificateAuthority, ServerCertificate};
use mail_operator_testbed::dovecot::DovecotOptions;
use mail_operator_testbed::exim::EximOptions;
use mail_operator_testbed::haraka::HarakaOptions;
use mail_operator_testbed::oidc::OidcOptions;
use mail_operator_testbed::postfix::PostfixOptions;
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use mail_operator_testbed::{Aiosmtpd, Dovecot, Exim, Haraka, Oidc, Postfix};
use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// Who may log in everywhere, by password, token and certificate; also the sender.
pub const USER: &str = super::FROM;
/// The password.
pub const PASSWORD: &str = "canary-real-servers";
/// The most recipients that Postfix and Exim take in one transaction.
pub const RECIPIENT_LIMIT: u32 = 100;
/// The largest message that Postfix and Exim take.
pub const SIZE_LIMIT: u32 = 8_000_000;

/// A mail server. Everywhere recipients whose address begins with `gone` are refused for ever, and those with `grey`
/// the first time.
pub struct MailServer {
    pub name: &'static str,
    /// Demands STARTTLS and a login.
    pub starttls_port: u16,
    /// The same with TLS from the first byte.
    pub implicit_port: Option<u16>,
    /// Takes mail without TLS and login.
    pub relay_port: Option<u16>,
    /// The mechanisms that it offers and we know.
    pub mechanisms: &'static [&'static str],
    pub smtputf8: bool,
    /// Lets a login send only as itself, and says so at RCPT.
    pub judges_sender: bool,
    /// Closes the session after some refused recipients.
    pub hangs_up: bool,
    /// Where it hands its mail on.
    pub sink: Arc<ScriptedSmtp>,
}

/// All servers and what they share.
pub struct Scene {
    pub authority: CertificateAuthority,
    pub servers: Vec<MailServer>,
    client: ServerCertificate,
    client_key: Secret,
    token: Secret,
    _oidc: Oidc,
    _dovecot: Dovecot,
    _postfix: Postfix,
    _exim: Exim,
    _haraka: Haraka,
    _aiosmtpd: Aiosmtpd,
}

/// For the sinks, which would otherwise end with the runtime of the test that started them.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
});
static SCENE: OnceCell<Scene> = OnceCell::const_new();

/// The servers, which start with the first test that asks.
pub async fn scene() -> &'static Scene {
    SCENE.get_or_init(Scene::start).await
}

impl Scene {
    /// The servers, where it is certain that they have started.
    pub fn started() -> &'static Self {
        SCENE.get().unwrap()
    }

    /// A good token, longer than any line that servers take for a command.
    pub fn token(&self, mechanism: TokenMechanism) -> Credentials {
        token(self.token.clone(), mechanism)
    }

    /// The user's certificate with its key.
    pub fn client_certificate(&self) -> ClientCertificate<'_> {
        ClientCertificate { certificates: self.client.certificate_pem.as_bytes(), key: &self.client_key }
    }

    async fn start() -> Self {
        let authority = CertificateAuthority::new("Corp CA").unwrap();
        let certificate = authority.server("localhost", &["127.0.0.1"]).unwrap();
        let users = vec![(USER.to_owned(), PASSWORD.to_owned())];
        let sink = Arc::new(RUNTIME.spawn(ScriptedSmtp::builder().start()).await.unwrap());
        // Dovecot asks its sink about each recipient before it answers.
        let judge = RUNTIME.spawn(ScriptedSmtp::builder().recipients(judge()).start()).await.unwrap();
        let judge = Arc::new(judge);
        let oidc = Oidc::start(&authority, oidc_options()).await.unwrap();
        let dovecot = Dovecot::start(DovecotOptions {
            certificate: certificate.clone(),
            users: users.clone(),
            tokens: Some(oidc.trust()),
            sink: judge.address(),
        });
        let dovecot = dovecot.await.unwrap();
        let postfix = Postfix::start(PostfixOptions {
            certificate: certificate.clone(),
            auth_socket: dovecot.auth_socket(),
            sink: sink.address(),
            recipient_limit: RECIPIENT_LIMIT,
            message_size_limit: SIZE_LIMIT,
        });
        let exim = Exim::start(EximOptions {
            certificate: certificate.clone(),
            users: users.clone(),
            client_ca: authority.pem().to_owned(),
            auth_socket: dovecot.auth_socket(),
            sink: sink.address(),
            recipient_limit: RECIPIENT_LIMIT,
            message_size_limit: SIZE_LIMIT,
        });
        let haraka = Haraka::start(HarakaOptions {
            certificate: certificate.clone(),
            users: users.clone(),
            sink: sink.address(),
            message_size_limit: SIZE_LIMIT,
        });
        let aiosmtpd = Aiosmtpd::start(AiosmtpdOptions {
            certificate,
            users,
            sink: sink.address(),
            message_size_limit: SIZE_LIMIT,
        });
        let (postfix, exim, haraka, aiosmtpd) = tokio::try_join!(postfix, exim, haraka, aiosmtpd).unwrap();
        let servers = vec![
            MailServer {
                name: "dovecot",
                starttls_port: dovecot.starttls_port(),
                implicit_port: Some(dovecot.implicit_port()),
                relay_port: None,
                mechanisms: &["SCRAM-SHA-256", "PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"],
                smtputf8: false,
                judges_sender: false,
                hangs_up: false,
                sink: judge,
            },
            MailServer {
                name: "postfix",
                starttls_port: postfix.starttls_port(),
                implicit_port: Some(postfix.implicit_port()),
                relay_port: Some(postfix.relay_port()),
                mechanisms: &["SCRAM-SHA-256", "PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"],
                smtputf8: true,
                judges_sender: true,
                hangs_up: true,
                sink: sink.clone(),
            },
            MailServer {
                name: "exim",
                starttls_port: exim.starttls_port(),
                implicit_port: Some(exim.implicit_port()),
                relay_port: Some(exim.relay_port()),
                mechanisms: &["EXTERNAL", "SCRAM-SHA-256", "PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"],
                smtputf8: true,
                judges_sender: false,
                hangs_up: false,
                sink: sink.clone(),
            },
            MailServer {
                name: "haraka",
                starttls_port: haraka.starttls_port(),
                implicit_port: Some(haraka.implicit_port()),
                relay_port: None,
                mechanisms: &["PLAIN", "LOGIN"],
                smtputf8: true,
                judges_sender: false,
                hangs_up: false,
                sink: sink.clone(),
            },
            MailServer {
                name: "aiosmtpd",
                starttls_port: aiosmtpd.starttls_port(),
                implicit_port: Some(aiosmtpd.implicit_port()),
                relay_port: None,
                mechanisms: &["PLAIN", "LOGIN"],
                smtputf8: true,
                judges_sender: false,
                hangs_up: false,
                sink,
            },
        ];
        let client = authority.client(USER).unwrap();
        Self {
            client_key: Secret::new(client.key_pem.clone()),
            token: Secret::new(fetch_token(&authority, &oidc).await),
            authority,
            servers,
            client,
            _oidc: oidc,
            _dovecot: dovecot,
            _postfix: postfix,
            _exim: exim,
            _haraka: haraka,
            _aiosmtpd: aiosmtpd,
        }
    }
}

/// A login by password.
pub fn password(password: &str, mechanism: Option<PasswordMechanism>) -> Credentials {
    let (username, password) = (USER.to_owned(), Secret::new(password.to_owned()));
    Credentials::Password { username, password, mechanism, allow_plaintext: false }
}

/// A login by token.
pub fn token(token: Secret, mechanism: TokenMechanism) -> Credentials {
    Credentials::Token { username: USER.to_owned(), token, mechanism: Some(mechanism) }
}

/// Refuses and greylists as the other servers do.
fn judge() -> impl Fn(&str) -> Option<String> + Send + Sync {
    let seen = Mutex::new(HashSet::new());
    move |to: &str| {
        if to.starts_with("gone") {
            return Some("550 5.1.1 No such user here".into());
        }
        let is_first = to.starts_with("grey") && seen.lock().unwrap().insert(to.to_owned());
        is_first.then(|| "451 4.7.1 Greylisted, please come back".into())
    }
}

/// Tokens of about 3 KiB, as people with many roles and groups have.
fn oidc_options() -> OidcOptions {
    let roles = (0..30).map(|n| format!("Corp.Department{n:02}.Mail.SendAs")).collect();
    OidcOptions { email: USER.into(), roles, ..OidcOptions::default() }
}

async fn fetch_token(authority: &CertificateAuthority, oidc: &Oidc) -> String {
    let ca = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
    let options = oidc.options();
    let body = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
        options.client_id, options.client_secret, options.scope
    );
    let form = "application/x-www-form-urlencoded";
    let request = client.post(oidc.token_url()).header("content-type", form).body(body);
    let answer = request.send().await.unwrap().error_for_status().unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}
