//! From a host name to a secured connection.

use super::*;
use crate::api::Reason;
use crate::domain::failure::{Permanence, Phase};
use mail_operator_testbed::scripted_smtp::{Fault, Step};

async fn failure(target: &Target) -> Failure {
    let Err(failure) = open(target, None).await else { panic!("must fail") };
    failure
}

#[tokio::test]
async fn each_tls_mode_carries_mail() {
    let pki = Pki::new();
    for (mode, server) in [
        (TlsMode::Disabled, ScriptedSmtp::builder().start().await),
        (TlsMode::StartTls, ScriptedSmtp::builder().starttls(pki.server()).start().await),
        (TlsMode::Implicit, ScriptedSmtp::builder().implicit_tls(pki.server()).start().await),
    ] {
        let mut session = open(&pki.target(&server, mode), None).await.unwrap();
        send_one(&mut session, "jane@example.org").await;
        let info = session.info().clone();
        session.quit().await;
        server.idle().await;
        let ledger = server.ledger();
        assert_eq!(ledger.len(), 1);
        assert_eq!(ledger[0].encrypted, mode != TlsMode::Disabled);
        assert_eq!((ledger[0].from.as_str(), ledger[0].message.as_slice()), ("news@corp.test", MESSAGE));
        assert_eq!(server.count(Step::Quit), 1);
        assert_eq!(info.address, server.address());
        assert!(info.extensions.iter().any(|word| word == "PIPELINING"));
        assert_eq!(info.max_message_bytes, Some(10_485_760));
        assert_eq!(info.tls.is_some(), mode != TlsMode::Disabled);
        if let Some(tls) = info.tls {
            let certificate = tls.certificate.unwrap();
            assert_eq!((tls.version, tls.cipher_suite.starts_with("TLS13_")), ("1.3", true));
            assert_eq!(
                (certificate.subject.as_str(), certificate.issuer.as_str()),
                ("CN=mail.test", "CN=Test CA")
            );
            assert!(certificate.not_after.is_some());
        }
    }
}

#[tokio::test]
async fn stages_show_what_can_be_trusted() {
    let pki = Pki::new();
    let server = ScriptedSmtp::builder().starttls(pki.server()).login("joe", "x").start().await;
    let target = pki.target(&server, TlsMode::StartTls);
    let connected = connect(&target, &resolve(&target).await.unwrap().addresses).await.unwrap();
    assert!(connected.info().extensions.is_empty() && connected.info().auth_mechanisms.is_empty());
    let secured = connected.secure().await.unwrap();
    assert_eq!(secured.info().auth_mechanisms, ["PLAIN", "LOGIN"]);
    assert!(!secured.info().extensions.iter().any(|word| word == "STARTTLS"));
}

#[tokio::test]
async fn starttls_is_never_given_up() {
    let pki = Pki::new();
    let stripped = ScriptedSmtp::builder().start().await;
    let refused = ScriptedSmtp::builder()
        .starttls(pki.server())
        .fault(Step::StartTls, Fault::reply("454 no"))
        .start()
        .await;
    for (server, reason) in [(&stripped, Reason::StartTLSNotOffered), (&refused, Reason::ServiceUnavailable)]
    {
        let failure = failure(&pki.target(server, TlsMode::StartTls)).await;
        assert_eq!((failure.reason, failure.phase), (reason, Phase::StartTls));
        server.idle().await;
        assert!(server.commands().iter().all(|line| line.starts_with("EHLO") || line == "STARTTLS"));
    }
}

#[tokio::test]
async fn bytes_behind_the_starttls_answer_are_never_read() {
    let pki = Pki::new();
    let server = ScriptedSmtp::builder()
        .starttls(pki.server())
        .fault(Step::StartTls, Fault::Followed(b"250-evil\r\n250 AUTH PLAIN\r\n".to_vec()))
        .start()
        .await;
    let failure = failure(&pki.target(&server, TlsMode::StartTls)).await;
    assert_eq!((failure.reason, failure.phase), (Reason::ProtocolViolation, Phase::StartTls));
}

#[tokio::test]
async fn certificates_are_verified() {
    let pki = Pki::new();
    let config =
        |certificate: mail_operator_testbed::certificates::ServerCertificate| certificate.server_config();
    let expired = config(pki.authority.expired_server("mail.test", &[]).unwrap()).unwrap();
    let other_name = config(pki.authority.server("other.test", &[]).unwrap()).unwrap();
    let namesake = Pki::new().server();
    let stranger = CertificateAuthority::new("Another CA").unwrap();
    let unknown = config(stranger.server("mail.test", &[]).unwrap()).unwrap();
    for (config, reason, words) in [
        (expired, Reason::CertificateExpired, "renewed"),
        (other_name, Reason::CertificateNameMismatch, "mail.test"),
        (unknown, Reason::CertificateUnknownIssuer, "tls.caRef"),
        (namesake, Reason::CertificateUnknownIssuer, "made anew"),
    ] {
        for mode in [TlsMode::StartTls, TlsMode::Implicit] {
            let builder = ScriptedSmtp::builder().login("joe@corp.test", "canary-password");
            let server = match mode {
                TlsMode::StartTls => builder.starttls(config.clone()),
                _ => builder.implicit_tls(config.clone()),
            };
            let server = server.start().await;
            let target = pki.target(&server, mode);
            let Err(failure) = open(&target, Some(&password(true))).await else { panic!("must fail") };
            assert_eq!((failure.reason, failure.phase), (reason, Phase::Tls), "{}", failure.detail);
            assert!(failure.detail.contains(words), "{}", failure.detail);
            assert_eq!(failure.permanence, Permanence::Temporary);
            assert!(!server.commands().iter().any(|line| line.starts_with("AUTH")));
        }
    }
}

#[tokio::test]
async fn old_tls_is_refused() {
    let pki = Pki::new();
    let certificate = pki.authority.server("mail.test", &[]).unwrap();
    let parts = |pem: &str| rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes());
    let old = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![parts(&certificate.certificate_pem).unwrap()],
            rustls::pki_types::pem::PemObject::from_pem_slice(certificate.key_pem.as_bytes()).unwrap(),
        )
        .unwrap();
    let server = ScriptedSmtp::builder().implicit_tls(Arc::new(old)).start().await;
    let roots = tls::bundled_roots(pki.authority.pem().as_bytes()).unwrap();
    let mut target = pki.target(&server, TlsMode::Implicit);
    let session = open(&target, None).await.unwrap();
    assert_eq!(session.info().tls.as_ref().unwrap().version, "1.2");
    target.tls_config = tls::client_config(roots, tls::MinVersion::Tls13, None).unwrap();
    assert_eq!(failure(&target).await.reason, Reason::TLSVersionTooOld);
}

#[tokio::test]
async fn tls_on_the_wrong_port_is_named_in_both_directions() {
    let pki = Pki::new();
    let speaks_plain = ScriptedSmtp::builder().starttls(pki.server()).start().await;
    assert_eq!(failure(&pki.target(&speaks_plain, TlsMode::Implicit)).await.reason, Reason::NotTLS);

    let speaks_tls = ScriptedSmtp::builder().implicit_tls(pki.server()).start().await;
    // One whose certificate we would not take speaks TLS nevertheless.
    let stranger = CertificateAuthority::new("Another CA").unwrap().server("other.test", &[]).unwrap();
    let unknown = ScriptedSmtp::builder().implicit_tls(stranger.server_config().unwrap()).start().await;
    for server in [&speaks_tls, &unknown] {
        for mode in [TlsMode::StartTls, TlsMode::Disabled] {
            // Found out long before the deadline, and also if the deadline is very short.
            for (deadline, patience) in [(6_000, 5_000), (50, 20_000)] {
                let mut target = pki.target(server, mode);
                target.deadlines.command = Duration::from_millis(deadline);
                let looking = tokio::time::timeout(Duration::from_millis(patience), failure(&target));
                let failure = looking.await.unwrap();
                assert_eq!((failure.reason, failure.phase), (Reason::TLSOnConnect, Phase::Greeting));
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_is_merely_slow_is_not_spoken_to_before_its_greeting() {
    let pki = Pki::new();
    for mode in [TlsMode::Disabled, TlsMode::StartTls] {
        let server = ScriptedSmtp::builder().starttls(pki.server()).hold(Step::Greeting).start().await;
        let mut target = pki.target(&server, mode);
        target.deadlines.command = Duration::from_secs(3);
        target.deadlines.tls = Duration::from_millis(300);
        let look_and_greet = async {
            // The second connection is the look whether it speaks TLS.
            server.reached_times(Step::Greeting, 2).await;
            server.release(Step::Greeting);
        };
        let (session, ()) = tokio::join!(open(&target, None), look_and_greet);
        let mut session = session.unwrap();
        send_one(&mut session, "jane@example.org").await;
        assert_eq!(server.ledger()[0].connection, 0);
        // What the other connection said was no SMTP, and it is gone.
        drop(session);
        server.idle().await;
        assert_eq!(server.connections(), 2);
    }
    // One that never greets is told from one that speaks TLS.
    let silent = ScriptedSmtp::builder().fault(Step::Greeting, Fault::Stall).start().await;
    let mut target = plain(silent.address());
    target.deadlines = Deadlines::all(Duration::from_millis(200));
    assert_eq!(failure(&target).await.reason, Reason::ReplyTimeout);
    silent.idle().await;
}

#[tokio::test]
async fn egress_is_checked_for_every_address() {
    let server = ScriptedSmtp::builder().start().await;
    let denied = Target { egress: Arc::new(Policy::default()), ..plain(server.address()) };
    assert_eq!(failure(&denied).await.reason, Reason::EgressDenied);
    // Also when the addresses did not come from `resolve`.
    let Err(failure) = connect(&denied, &[server.address()]).await else { panic!("must fail") };
    assert_eq!(failure.reason, Reason::EgressDenied);
    assert_eq!(server.connections(), 0);
    // A permitted address among refused ones is enough.
    let elsewhere: SocketAddr = "169.254.1.1:25".parse().unwrap();
    let target = plain(server.address());
    assert!(connect(&target, &[elsewhere, server.address()]).await.is_ok());
}

#[tokio::test]
async fn names_and_ports_that_lead_nowhere() {
    let server = ScriptedSmtp::builder().start().await;
    let target = plain(server.address());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let refused = failure(&plain(closed)).await;
    assert_eq!((refused.reason, refused.phase), (Reason::ConnectionRefused, Phase::Connect));
    // The next address is tried.
    assert!(connect(&target, &[closed, server.address()]).await.is_ok());
    // No resolver asks anybody about such a name.
    let nowhere = Target { host: "mail..test".into(), ..target.clone() };
    let unknown = failure(&nowhere).await;
    assert_eq!((unknown.reason, unknown.phase), (Reason::NameNotFound, Phase::Resolve));
    assert!(unknown.detail.contains("mail..test"));
    // And this one is in every hosts file.
    let local = Target { host: "localhost".into(), ..target };
    assert!(resolve(&local).await.unwrap().addresses.contains(&server.address()));
}

#[tokio::test]
async fn strange_beginnings() {
    for (step, fault, reason, phase) in [
        (Step::Greeting, Fault::reply("554 5.7.1 canary"), Reason::ServiceUnavailable, Phase::Greeting),
        (Step::Greeting, Fault::reply("421 4.3.2 canary"), Reason::Throttled, Phase::Greeting),
        (Step::Greeting, Fault::reply("250 canary"), Reason::ProtocolViolation, Phase::Greeting),
        (Step::Greeting, Fault::reply("SSH-2.0-canary"), Reason::ProtocolViolation, Phase::Greeting),
        (Step::Greeting, Fault::reply("220-canary\r\n221 x"), Reason::ProtocolViolation, Phase::Greeting),
        (Step::Greeting, Fault::Garbage, Reason::ProtocolViolation, Phase::Greeting),
        (Step::Greeting, Fault::Eof, Reason::ConnectionClosed, Phase::Greeting),
        (Step::Greeting, Fault::Rst, Reason::ConnectionClosed, Phase::Greeting),
        (Step::Greeting, Fault::LongLine(10 << 20), Reason::ProtocolViolation, Phase::Greeting),
        (Step::Greeting, Fault::EndlessReply(1 << 20), Reason::ProtocolViolation, Phase::Greeting),
        (Step::Ehlo, Fault::reply("550 5.7.1 canary"), Reason::ServiceUnavailable, Phase::Ehlo),
        (Step::Ehlo, Fault::MixedCodes, Reason::ProtocolViolation, Phase::Ehlo),
        (Step::Ehlo, Fault::Eof, Reason::ConnectionClosed, Phase::Ehlo),
        (Step::Ehlo, Fault::EndlessReply(1 << 20), Reason::ProtocolViolation, Phase::Ehlo),
        (Step::Ehlo, Fault::reply("500 canary"), Reason::ServiceUnavailable, Phase::Ehlo),
    ] {
        let name = format!("{step:?} {fault:?}");
        let server = ScriptedSmtp::builder().fault(step, fault).start().await;
        let failure = failure(&plain(server.address())).await;
        assert_eq!((failure.reason, failure.phase), (reason, phase), "{name}");
        assert!(!failure.detail.contains("canary"), "{name}");
        // The server is let go at once, whatever it still wanted to say.
        server.idle().await;
    }
}

#[tokio::test]
async fn helo_where_ehlo_is_unknown() {
    let server =
        ScriptedSmtp::builder().fault_once(Step::Ehlo, Fault::reply("502 5.5.1 What?")).start().await;
    let mut session = open(&plain(server.address()), None).await.unwrap();
    assert!(session.info().extensions.is_empty());
    send_one(&mut session, "jane@example.org").await;
    assert_eq!(server.commands()[..2], ["EHLO client.test", "HELO client.test"]);
}

#[tokio::test]
async fn our_own_name_is_no_command() {
    let server = ScriptedSmtp::builder().start().await;
    for name in ["", "a\r\nMAIL FROM:<evil@example.org>", "a b"] {
        let target = Target { hello_name: name.into(), ..plain(server.address()) };
        assert_eq!(failure(&target).await.reason, Reason::InvalidSpec);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn mutual_tls() {
    let pki = Pki::new();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(rustls::pki_types::pem::PemObject::from_pem_slice(pki.authority.pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .unwrap();
    let certificate = pki.authority.server("mail.test", &[]).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![
                rustls::pki_types::pem::PemObject::from_pem_slice(certificate.certificate_pem.as_bytes())
                    .unwrap(),
            ],
            rustls::pki_types::pem::PemObject::from_pem_slice(certificate.key_pem.as_bytes()).unwrap(),
        )
        .unwrap();
    let server = ScriptedSmtp::builder().implicit_tls(Arc::new(config)).start().await;
    // Without a certificate the refusal comes behind the handshake, where the greeting was due.
    let refused = failure(&pki.target(&server, TlsMode::Implicit)).await;
    assert_eq!((refused.reason, refused.phase), (Reason::TLSHandshakeFailed, Phase::Greeting));
    assert!(refused.detail.contains("tls.clientCertificateSecretRef"));
    // The authority makes servers' certificates only, so the server refuses ours as well: what counts
    // here is that it is shown, and that its key never shows.
    let ours = pki.authority.server("client.test", &[]).unwrap();
    let roots = || tls::bundled_roots(pki.authority.pem().as_bytes()).unwrap();
    let key = Secret::new(ours.key_pem.clone());
    let shown = tls::ClientCertificate { certificates: ours.certificate_pem.as_bytes(), key: &key };
    assert!(tls::client_config(roots(), tls::MinVersion::Tls12, Some(shown)).is_ok());
    let swapped = Secret::new(certificate.key_pem);
    for wrong in [
        tls::ClientCertificate { certificates: ours.certificate_pem.as_bytes(), key: &swapped },
        tls::ClientCertificate { certificates: b"", key: &key },
        tls::ClientCertificate { certificates: ours.certificate_pem.as_bytes(), key: &Secret::new("canary") },
    ] {
        let error = tls::client_config(roots(), tls::MinVersion::Tls12, Some(wrong)).unwrap_err();
        assert_eq!(error.reason(), Reason::ClientCertificateInvalid);
        assert!(!error.to_string().contains("canary"));
    }
}

#[test]
fn broken_bundles() {
    for bundle in ["", "canary", "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n"] {
        let error = tls::bundled_roots(bundle.as_bytes()).unwrap_err();
        assert_eq!(error.reason(), Reason::CANotFound, "{error}");
    }
}
