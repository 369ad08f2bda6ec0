//! Dovecot opens Postfix, and Postfix hands the mail on to Mailpit.

use crate::smtplib::Client;
use mail_operator_testbed::{
    Dovecot, Mailpit, Postfix, certificates::CertificateAuthority, dovecot::DovecotOptions,
    mailpit::MailpitOptions, postfix::PostfixOptions,
};
use std::time::Duration;

#[tokio::test]
async fn postfix_asks_dovecot_and_judges_recipients() {
    let ca = CertificateAuthority::new("Test CA").unwrap();
    let certificate = ca.server("localhost", &["127.0.0.1"]).unwrap();
    let mailpit = Mailpit::start(MailpitOptions::default()).await.unwrap();
    let dovecot = Dovecot::start(DovecotOptions {
        certificate: certificate.clone(),
        users: vec![("it@corp.example".into(), "s3cret".into())],
        tokens: None,
        sink: mailpit.smtp_address(),
    })
    .await
    .unwrap();
    let postfix = Postfix::start(PostfixOptions {
        certificate,
        auth_socket: dovecot.auth_socket(),
        sink: mailpit.smtp_address(),
        recipient_limit: 1000,
        message_size_limit: 10_240_000,
    })
    .await
    .unwrap();

    let login = ("password", "it@corp.example", "s3cret");
    let good = Client { port: postfix.starttls_port(), ca_pem: ca.pem(), tls: "starttls", login };
    let send = |client: Client, to| client.send("it@corp.example", to);
    assert_eq!(send(good, "b@corp.example"), Ok(()), "{}", postfix.log());
    assert_eq!(
        send(Client { port: postfix.implicit_port(), tls: "implicit", ..good }, "b@corp.example"),
        Ok(())
    );
    let plain = Client { port: postfix.relay_port(), tls: "none", login: ("none", "", ""), ..good };
    assert_eq!(send(plain, "b@corp.example"), Ok(()));

    let refused = send(plain, "gone@corp.example").unwrap_err();
    assert!(refused.contains("550") && refused.contains("5.1.1"), "{refused}");
    let deferred = send(plain, "grey@corp.example").unwrap_err();
    assert!(deferred.contains("450") && deferred.contains("4.7.1"), "{deferred}");
    assert_eq!(send(plain, "grey@corp.example"), Ok(()));
    let wrong = send(Client { login: ("password", "it@corp.example", "wrong"), ..good }, "b@corp.example");
    assert!(wrong.unwrap_err().contains("535"));
    let foreign = good.send("ceo@corp.example", "b@corp.example").unwrap_err();
    assert!(foreign.contains("553"), "{foreign}");
    assert_eq!(mailpit.wait_for(4, Duration::from_secs(10)).await.unwrap().len(), 4);
}
