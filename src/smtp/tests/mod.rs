//! Sessions against a server that follows a script: what is said, what is believed, and what is made
//! of everything that can go wrong.

mod attacks;
mod cancelled;
mod each_mode;
mod echoes;
mod external;
mod login;
mod proxies;
mod resumption;
mod scram;
mod sending;
mod smuggling;
mod stages;
mod stalls;

use super::*;
use crate::domain::egress::Policy;
use crate::domain::failure::Failure;
use crate::domain::secret::Secret;
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const MESSAGE: &[u8] = b"Subject: x\r\n\r\nHello\r\n";

/// More than all buffers between the two ends hold.
fn big_message() -> Vec<u8> {
    [vec![b'x'; 900], b"\r\n".to_vec()].concat().repeat(16 * 1024)
}

/// Certificates of one authority, and a client that trusts it.
struct Pki {
    authority: CertificateAuthority,
    client: Arc<rustls::ClientConfig>,
}

impl Pki {
    fn new() -> Self {
        let authority = CertificateAuthority::new("Test CA").unwrap();
        let roots = tls::bundled_roots(authority.pem().as_bytes()).unwrap();
        Self { authority, client: tls::client_config(roots, tls::MinVersion::Tls12, None).unwrap() }
    }

    fn server(&self) -> Arc<rustls::ServerConfig> {
        self.authority.server("mail.test", &[]).unwrap().server_config().unwrap()
    }

    fn target(&self, server: &ScriptedSmtp, tls: TlsMode) -> Target {
        Target { tls, tls_config: self.client.clone(), ..plain(server.address()) }
    }
}

/// A target without TLS, with deadlines that only a failing test meets.
fn plain(address: SocketAddr) -> Target {
    let nobody = tls::client_config(Arc::new(rustls::RootCertStore::empty()), tls::MinVersion::Tls12, None);
    Target {
        host: address.ip().to_string().into(),
        port: address.port(),
        tls: TlsMode::Disabled,
        tls_config: nobody.unwrap(),
        server_name: ServerName::try_from("mail.test").unwrap(),
        hello_name: "client.test".into(),
        proxy: None,
        egress: Arc::new(Policy { allow: vec!["127.0.0.0/8".parse().unwrap()], ..Policy::default() }),
        deadlines: Deadlines::all(Duration::from_secs(20)),
        auth_hint: None,
    }
}

fn password(allow_plaintext: bool) -> Credentials {
    Credentials::Password {
        username: "joe@corp.test".to_owned(),
        password: Secret::new("canary-password"),
        mechanism: None,
        allow_plaintext,
    }
}

fn token(token: &str, mechanism: TokenMechanism) -> Credentials {
    Credentials::Token {
        username: "joe@corp.test".to_owned(),
        token: Secret::new(token),
        mechanism: Some(mechanism),
    }
}

/// All stages in a row.
async fn open(target: &Target, credentials: Option<&Credentials>) -> Result<Session, Failure> {
    let resolved = resolve(target).await?;
    connect(target, &resolved.addresses).await?.secure().await?.authenticate(credentials).await
}

fn to<'a>(recipients: &[&'a str]) -> Envelope<'a> {
    Envelope {
        from: "news@corp.test",
        recipients: recipients.to_vec(),
        size: MESSAGE.len() as u64,
        eight_bit: false,
        smtputf8: false,
    }
}

/// One message to one recipient, which the server must take.
async fn send_one(session: &mut Session, recipient: &str) {
    let opened = session.begin(&to(&[recipient])).await.unwrap();
    assert_eq!(opened.recipients, [Answer::Accepted]);
    let outcome = session.data(MESSAGE).await;
    assert!(matches!(&outcome, DataOutcome::Accepted(reply) if reply.code == 250), "{outcome:?}");
}
