//! Sessions that share a TLS config shorten their handshakes, and those that do not share one do not.

use super::*;
use crate::api::Reason;

#[tokio::test]
async fn the_second_session_resumes_and_still_knows_whom_it_talks_to() {
    let pki = Pki::new();
    let certificate = pki.authority.server("mail.test", &[]).unwrap();
    for (config, version) in
        [(certificate.server_config().unwrap(), "1.3"), (certificate.tls12_server_config().unwrap(), "1.2")]
    {
        for mode in [TlsMode::StartTls, TlsMode::Implicit] {
            let builder = ScriptedSmtp::builder().login("joe@corp.test", "canary-password");
            let builder = match mode {
                TlsMode::Implicit => builder.implicit_tls(config.clone()),
                _ => builder.starttls(config.clone()),
            };
            let server = builder.start().await;
            let roots = tls::bundled_roots(pki.authority.pem().as_bytes()).unwrap();
            let fresh = || tls::client_config(roots.clone(), tls::MinVersion::Tls12, None).unwrap();
            let target = Target { tls_config: fresh(), ..pki.target(&server, mode) };
            let mut infos = Vec::new();
            for number in 0..3 {
                let mut session = open(&target, Some(&password(false))).await.unwrap();
                send_one(&mut session, "jane@example.org").await;
                infos.push(session.info().tls.clone().unwrap());
                session.quit().await;
                assert_eq!(server.resumptions(), number, "{version}");
            }
            for (index, info) in infos.iter().enumerate() {
                assert_eq!((info.resumed, info.version), (index > 0, version));
                assert_eq!(info.certificate, infos[0].certificate);
                assert_eq!(info.certificate.as_ref().unwrap().subject, "CN=mail.test");
                assert_eq!(info.cipher_suite, infos[0].cipher_suite);
            }
            // Another config, be its content the same, starts from nothing; a changed one decides anew.
            let again = open(&Target { tls_config: fresh(), ..target.clone() }, None).await.unwrap();
            assert!(!again.info().tls.as_ref().unwrap().resumed);
            let nobody = Arc::new(rustls::RootCertStore::empty());
            let distrusting = tls::client_config(nobody, tls::MinVersion::Tls12, None).unwrap();
            let Err(failure) = open(&Target { tls_config: distrusting, ..target.clone() }, None).await else {
                panic!("must fail")
            };
            assert_eq!(failure.reason, Reason::CertificateUnknownIssuer);
            // Nor does a session that was agreed upon for another name count for this one.
            let other = ServerName::try_from("other.test").unwrap();
            let Err(failure) = open(&Target { server_name: other, ..target }, None).await else {
                panic!("must fail")
            };
            assert_eq!(failure.reason, Reason::CertificateNameMismatch);
            assert_eq!(server.resumptions(), 2);
        }
    }
}
