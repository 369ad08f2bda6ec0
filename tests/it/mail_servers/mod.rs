//! Our session against real mail servers, each of which has its own idea of SMTP. The tests know what a server offers
//! from the table in [`servers`]; the product knows nothing of servers, so what holds for one has to hold for all.

mod hang_ups;
mod logins;
mod messages;
mod notifications;
mod recipients;
mod servers;

use mail_operator::domain::egress;
use mail_operator::domain::failure::Failure;
use mail_operator::smtp::tls::{MinVersion, bundled_roots, client_config};
use mail_operator::smtp::{
    self, Answer, Credentials, DataOutcome, Deadlines, Envelope, Opened, Session, Target, TlsMode,
};
use mail_operator_testbed::scripted_smtp::Received;
use rustls::pki_types::ServerName;
use servers::{MailServer, Scene, scene};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Who sends.
const FROM: &str = "it@corp.example";
/// Longest wait for a server to hand a message on, which takes it a fraction of a second.
const SOON: Duration = Duration::from_secs(30);

/// Runs `test` with every server of the table at once, each on a thread of its own, and tells which ones failed.
async fn with_each_server(test: impl AsyncFn(&'static MailServer) + Send + Sync + 'static) {
    let (test, runtime) = (Arc::new(test), Handle::current());
    let start = |server| {
        let (test, runtime) = (test.clone(), runtime.clone());
        (server, tokio::task::spawn_blocking(move || runtime.block_on(test(server))))
    };
    let running: Vec<_> = scene().await.servers.iter().map(start).collect();
    let mut failed = Vec::new();
    for (server, test) in running {
        if test.await.is_err() {
            failed.push(server.name);
        }
    }
    assert!(failed.is_empty(), "failed with {failed:?}; the reasons stand above");
}

/// A way into a server, with TLS as `tls` says.
fn target(server: &MailServer, tls: TlsMode) -> Target {
    let scene = Scene::started();
    let roots = bundled_roots(scene.authority.pem().as_bytes()).unwrap();
    let port = match tls {
        TlsMode::StartTls => server.starttls_port,
        TlsMode::Implicit => server.implicit_port.unwrap(),
        TlsMode::Disabled => server.relay_port.unwrap(),
    };
    Target {
        host: "127.0.0.1".into(),
        port,
        tls,
        tls_config: client_config(roots, MinVersion::Tls12, Some(scene.client_certificate())).unwrap(),
        server_name: ServerName::try_from("127.0.0.1").unwrap(),
        hello_name: "corp.example".into(),
        proxy: None,
        egress: Arc::new(egress::Policy {
            allow: vec!["127.0.0.0/8".parse().unwrap()],
            ..egress::Policy::default()
        }),
        deadlines: Deadlines::all(Duration::from_secs(20)),
        auth_hint: None,
    }
}

/// Logs in.
async fn log_in(target: &Target, credentials: Option<&Credentials>) -> Result<Session, Failure> {
    let addresses = smtp::resolve(target).await?.addresses;
    smtp::connect(target, &addresses).await?.secure().await?.authenticate(credentials).await
}

impl MailServer {
    /// A session over STARTTLS with the usual login.
    async fn session(&self) -> Session {
        let credentials = servers::password(servers::PASSWORD, None);
        let opened = log_in(&target(self, TlsMode::StartTls), Some(&credentials)).await;
        opened.unwrap_or_else(|failure| panic!("{}: {failure:?}", self.name))
    }

    /// Waits until the server has handed on `count` messages for `recipient`; more are a failure.
    async fn handed_on(&self, recipient: &str, count: usize) -> Vec<Received> {
        let sink = &self.sink;
        let what = format!("{} has handed on {count} for {recipient}", self.name);
        crate::eventually(&what, SOON, async || sink.copies_for(recipient) >= count).await;
        let received = sink.received_for(recipient);
        assert_eq!(received.len(), count, "{}: messages for {recipient}", self.name);
        received
    }

    /// An address of this server's own, so that tests at once do not see each other's mail.
    fn address(&self, local_part: &str) -> String {
        format!("{local_part}-{}@corp.example", self.name)
    }
}

/// An envelope from the usual sender.
fn envelope<'a>(recipients: &[&'a str], message: &[u8]) -> Envelope<'a> {
    Envelope {
        from: FROM,
        recipients: recipients.to_vec(),
        size: message.len() as u64,
        eight_bit: !message.is_ascii(),
        smtputf8: false,
    }
}

/// Sends a message that the server must take for every recipient.
async fn send(session: &mut Session, recipients: &[&str], message: &[u8]) {
    let opened = session.begin(&envelope(recipients, message)).await.unwrap();
    assert_eq!(opened.accepted(), recipients.len(), "{opened:?}");
    accepted(&session.data(message).await);
}

/// Checks that a message was taken.
#[track_caller]
fn accepted(outcome: &DataOutcome) {
    assert!(matches!(outcome, DataOutcome::Accepted(_)), "{outcome:?}");
}

/// The failure of a recipient that was refused.
#[track_caller]
fn refusal(opened: &Opened, index: usize) -> &Failure {
    match &opened.recipients[index] {
        Answer::Refused(failure) => failure,
        other => panic!("recipient {index}: {other:?}"),
    }
}

/// A message with all the header fields that a server might miss, and this body.
fn message(body: &str) -> Vec<u8> {
    format!(
        "From: {FROM}\r\nTo: undisclosed-recipients:;\r\nSubject: real servers\r\n\
         Date: Tue, 24 Nov 2026 09:00:00 +0000\r\nMessage-ID: <real-servers@corp.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}"
    )
    .into_bytes()
}
