//! EXTERNAL: logging in by the certificate of the TLS connection.

use super::*;
use crate::api::Reason;
use crate::domain::failure::Permanence;
use mail_operator_testbed::scripted_smtp::Step;

#[tokio::test]
async fn the_certificate_logs_in() {
    let pki = Pki::new();
    let server_side =
        pki.authority.server("mail.test", &[]).unwrap().mutual_server_config(&pki.authority).unwrap();
    let ours = pki.authority.client("client.test").unwrap();
    let key = Secret::new(ours.key_pem.clone());
    let shown = tls::ClientCertificate { certificates: ours.certificate_pem.as_bytes(), key: &key };
    let roots = tls::bundled_roots(pki.authority.pem().as_bytes()).unwrap();
    let client = tls::client_config(roots, tls::MinVersion::Tls12, Some(shown)).unwrap();
    for mode in [TlsMode::StartTls, TlsMode::Implicit] {
        for (username, user, initial) in [
            (None, "the certificate's owner", "="),
            (Some("joe@corp.test"), "joe@corp.test", "am9lQGNvcnAudGVzdA=="),
        ] {
            for challenge_form_only in [false, true] {
                let builder = ScriptedSmtp::builder().login_with("PLAIN EXTERNAL", "somebody", "x");
                let builder = if challenge_form_only { builder.challenge_form_only() } else { builder };
                let server = match mode {
                    TlsMode::Implicit => builder.implicit_tls(server_side.clone()),
                    _ => builder.starttls(server_side.clone()),
                };
                let server = server.start().await;
                let target = Target { tls_config: client.clone(), ..pki.target(&server, mode) };
                let credentials = Credentials::Certificate { username: username.map(str::to_owned) };
                let mut session = open(&target, Some(&credentials)).await.unwrap();
                send_one(&mut session, "jane@example.org").await;
                assert_eq!(session.mechanism(), Some(Mechanism::External));
                assert_eq!(server.ledger()[0].user.as_deref(), Some(user));
                let auths: Vec<_> =
                    server.commands().into_iter().filter(|line| line.starts_with("AUTH")).collect();
                assert_eq!(auths[0], format!("AUTH EXTERNAL {initial}"));
                assert_eq!(auths.len(), 1 + usize::from(challenge_form_only));
            }
        }
    }
}

#[tokio::test]
async fn without_certificate_or_tls_there_is_no_such_login() {
    let pki = Pki::new();
    let credentials = Credentials::Certificate { username: None };
    // The server finds nothing to go by.
    let server =
        ScriptedSmtp::builder().starttls(pki.server()).login_with("EXTERNAL", "somebody", "x").start().await;
    let Err(failure) = open(&pki.target(&server, TlsMode::StartTls), Some(&credentials)).await else {
        panic!("must fail")
    };
    assert_eq!(
        (failure.reason, failure.permanence),
        (Reason::AuthenticationFailed, Permanence::UntilChanged)
    );
    assert!(failure.detail.contains("clientCertificate"), "{}", failure.detail);
    // Nothing secret would travel, but nothing could be proved either.
    let server = ScriptedSmtp::builder().login_with("EXTERNAL", "somebody", "x").start().await;
    let Err(failure) = open(&plain(server.address()), Some(&credentials)).await else { panic!("must fail") };
    assert_eq!((failure.reason, server.count(Step::Auth)), (Reason::PlaintextNotAllowed, 0));
}
