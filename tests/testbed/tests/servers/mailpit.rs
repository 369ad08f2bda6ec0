//! Mailpit demands what it is told to demand, and shows what came in.

use crate::smtplib::Client;
use mail_operator_testbed::{
    Mailpit,
    certificates::CertificateAuthority,
    mailpit::{Chaos, Fault, MailpitOptions, MailpitTls},
};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn mail_needs_tls_the_right_authority_and_the_login() {
    let ca = CertificateAuthority::new("Test CA").unwrap();
    let stranger = CertificateAuthority::new("Another CA").unwrap();
    let certificate = ca.server("localhost", &["127.0.0.1"]).unwrap();
    let options = MailpitOptions {
        certificate: Some(certificate),
        login: Some(("robot".into(), "s3cret".into())),
        ..MailpitOptions::default()
    };
    let mailpit = Mailpit::start(options).await.unwrap();
    let login = ("password", "robot", "s3cret");
    let good = Client { port: mailpit.smtp_address().port(), ca_pem: ca.pem(), tls: "starttls", login };
    let send = |client: Client| client.send("a@corp.example", "b@corp.example");

    assert_eq!(send(good), Ok(()));
    let inbox = mailpit.wait_for(1, LIMIT).await.unwrap();
    assert_eq!((inbox.len(), inbox[0].subject.as_str()), (1, "from smtplib"));
    assert_eq!(inbox[0].to[0].address, "b@corp.example");
    assert!(mailpit.raw(&inbox[0].id).await.unwrap().ends_with("\r\n\r\nHello\r\n"));

    for (client, complaint) in [
        (Client { tls: "none", login: ("none", "", ""), ..good }, "STARTTLS"),
        (Client { ca_pem: stranger.pem(), ..good }, "CERTIFICATE_VERIFY_FAILED"),
        (Client { login: ("password", "robot", "wrong"), ..good }, "SMTPAuthenticationError"),
        (Client { login: ("none", "", ""), ..good }, "530"),
    ] {
        let answer = send(client).unwrap_err();
        assert!(answer.contains(complaint), "{client:?}: {answer}");
    }

    let fault = Fault { error_code: 452, probability: 100 };
    mailpit.set_chaos(Chaos { recipient: Some(fault), ..Chaos::default() }).await.unwrap();
    assert!(send(good).unwrap_err().contains("452"));
    mailpit.set_chaos(Chaos::default()).await.unwrap();
    assert_eq!(send(good), Ok(()));
    assert_eq!(mailpit.count().await.unwrap(), 2);
    mailpit.clear().await.unwrap();
    assert_eq!(mailpit.count().await.unwrap(), 0);
}

#[tokio::test]
async fn an_expired_certificate_is_refused_and_tls_can_be_implicit_or_absent() {
    let ca = CertificateAuthority::new("Test CA").unwrap();
    let start = async |certificate, tls| {
        Mailpit::start(MailpitOptions { certificate, tls, login: None }).await.unwrap()
    };
    let client = |mailpit: &Mailpit, tls| {
        let port = mailpit.smtp_address().port();
        Client { port, ca_pem: ca.pem(), tls, login: ("none", "", "") }
            .send("a@corp.example", "b@corp.example")
    };

    let expired = ca.expired_server("localhost", &["127.0.0.1"]).unwrap();
    let answer = client(&start(Some(expired), MailpitTls::StartTlsRequired).await, "starttls").unwrap_err();
    assert!(answer.contains("certificate has expired"), "{answer}");

    let elsewhere = ca.server("mail.corp.example", &[]).unwrap();
    let answer = client(&start(Some(elsewhere), MailpitTls::Implicit).await, "implicit").unwrap_err();
    assert!(answer.contains("IP address mismatch"), "{answer}");

    let good = ca.server("127.0.0.1", &[]).unwrap();
    assert_eq!(client(&start(Some(good), MailpitTls::Implicit).await, "implicit"), Ok(()));
    assert_eq!(client(&start(None, MailpitTls::default()).await, "none"), Ok(()));
}
