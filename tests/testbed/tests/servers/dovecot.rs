//! A token from the token server opens Dovecot, and Dovecot hands the mail on to Mailpit.

use crate::smtplib::Client;
use mail_operator_testbed::{
    Dovecot, Mailpit, Oidc, certificates::CertificateAuthority, dovecot::DovecotOptions,
    mailpit::MailpitOptions, oidc::OidcOptions,
};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn tokens_and_passwords_open_dovecot_and_the_mail_arrives_in_mailpit() {
    let ca = CertificateAuthority::new("Test CA").unwrap();
    let (mailpit, oidc) =
        tokio::try_join!(Mailpit::start(MailpitOptions::default()), Oidc::start(&ca, OidcOptions::default()))
            .unwrap();
    let options = DovecotOptions {
        certificate: ca.server("localhost", &["127.0.0.1"]).unwrap(),
        users: vec![("robot".into(), "s3cret".into())],
        tokens: Some(oidc.trust()),
        sink: mailpit.smtp_address(),
    };
    let dovecot = Dovecot::start(options).await.unwrap();
    let token = token(&ca, &oidc, &oidc.options().client_secret).await.unwrap();
    assert!(token.len() > 1_500, "{} octets", token.len());

    let (starttls, implicit) = (dovecot.starttls_port(), dovecot.implicit_port());
    let user = oidc.options().email.as_str();
    let client =
        |port, tls, login| Client { port, ca_pem: ca.pem(), tls, login }.send(user, "b@corp.example");
    assert_eq!(client(starttls, "starttls", ("XOAUTH2", user, &token)), Ok(()), "{}", dovecot.log());
    assert_eq!(client(implicit, "implicit", ("XOAUTH2", user, &token)), Ok(()));
    assert_eq!(client(starttls, "starttls", ("password", "robot", "s3cret")), Ok(()));
    assert_eq!(mailpit.wait_for(3, LIMIT).await.unwrap().len(), 3);

    for (login, tls) in [
        (("XOAUTH2", user, "e30.e30.AAAA"), "starttls"),
        (("XOAUTH2", "somebody@corp.example", &token), "starttls"),
        (("password", "robot", "wrong"), "starttls"),
    ] {
        let answer = client(starttls, tls, login).unwrap_err();
        assert!(answer.contains("535"), "{login:?}: {answer}");
    }
    assert_eq!(mailpit.count().await.unwrap(), 3);

    let refused = self::token(&ca, &oidc, "wrong").await.unwrap_err();
    assert_eq!(refused, (401, "invalid_client".to_owned()));
}

/// An access token, or the HTTP status and the error code.
async fn token(ca: &CertificateAuthority, oidc: &Oidc, secret: &str) -> Result<String, (u16, String)> {
    let ca = reqwest::Certificate::from_pem(ca.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
    let options = oidc.options();
    let body = format!(
        "grant_type=client_credentials&client_id={}&client_secret={secret}&scope={}",
        options.client_id, options.scope
    );
    let request =
        client.post(oidc.token_url()).header("content-type", "application/x-www-form-urlencoded").body(body);
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body: serde_json::Value = answer.json().await.unwrap();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    if status == 200 { Ok(text("access_token")) } else { Err((status, text("error"))) }
}
