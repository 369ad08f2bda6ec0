//! Exim knows passwords, asks Dovecot about the rest, and hands the mail on to Mailpit.

use crate::smtplib::Client;
use mail_operator_testbed::{
    Dovecot, Exim, Mailpit, certificates::CertificateAuthority, dovecot::DovecotOptions, exim::EximOptions,
    mailpit::MailpitOptions,
};
use std::time::Duration;

#[tokio::test]
async fn exim_takes_logins_and_judges_recipients() {
    let ca = CertificateAuthority::new("Test CA").unwrap();
    let certificate = ca.server("localhost", &["127.0.0.1"]).unwrap();
    let mailpit = Mailpit::start(MailpitOptions::default()).await.unwrap();
    let users = vec![("it@corp.example".to_owned(), "s3cret".to_owned())];
    let dovecot = Dovecot::start(DovecotOptions {
        certificate: certificate.clone(),
        users: users.clone(),
        tokens: None,
        sink: mailpit.smtp_address(),
    })
    .await
    .unwrap();
    let exim = Exim::start(EximOptions {
        certificate,
        users,
        client_ca: ca.pem().to_owned(),
        auth_socket: dovecot.auth_socket(),
        sink: mailpit.smtp_address(),
        recipient_limit: 1000,
        message_size_limit: 10_240_000,
    })
    .await
    .unwrap();

    let login = ("password", "it@corp.example", "s3cret");
    let good = Client { port: exim.starttls_port(), ca_pem: ca.pem(), tls: "starttls", login };
    let send = |client: Client, to| client.send("it@corp.example", to);
    assert_eq!(send(good, "b@corp.example"), Ok(()), "{}", exim.log());
    assert_eq!(
        send(Client { port: exim.implicit_port(), tls: "implicit", ..good }, "b@corp.example"),
        Ok(())
    );
    let plain = Client { port: exim.relay_port(), tls: "none", login: ("none", "", ""), ..good };
    assert_eq!(send(plain, "b@corp.example"), Ok(()));

    let refused = send(plain, "gone@corp.example").unwrap_err();
    assert!(refused.contains("550") && refused.contains("5.1.1"), "{refused}");
    let deferred = send(plain, "grey@corp.example").unwrap_err();
    assert!(deferred.contains("451") && deferred.contains("4.7.1"), "{deferred}");
    assert_eq!(send(plain, "grey@corp.example"), Ok(()));
    let wrong = send(Client { login: ("password", "it@corp.example", "wrong"), ..good }, "b@corp.example");
    assert!(wrong.unwrap_err().contains("535"));
    let without = send(Client { login: ("none", "", ""), ..good }, "b@corp.example").unwrap_err();
    assert!(without.contains("530"), "{without}");
    assert_eq!(mailpit.wait_for(4, Duration::from_secs(10)).await.unwrap().len(), 4, "{}", exim.log());
}
