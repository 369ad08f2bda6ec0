//! The main path: Notification → operator → STARTTLS with login → inbox.

use crate::objects::{Space, condition};
use mail_operator_testbed::Mailpit;
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::mailpit::{MailpitOptions, MailpitTls};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_from_apply_to_the_inbox() {
    let space = Space::new("first-mail").await;
    let authority = CertificateAuthority::new("first mail").unwrap();
    let options = MailpitOptions {
        certificate: Some(authority.server("localhost", &["127.0.0.1"]).unwrap()),
        tls: MailpitTls::StartTlsRequired,
        login: Some(("it@corp.example".into(), "canary-password-1".into())),
    };
    let inbox = Mailpit::start(options).await.unwrap();
    space.ca("ca", authority.pem()).await;
    space.password("login", "canary-password-1", "127.0.0.1").await;
    let port = inbox.smtp_address().port();
    space
        .apply(&format!(
            r#"
apiVersion: mail-operator.dev/v1alpha1
kind: MailServerConfig
metadata: {{ name: default }}
spec:
  host: 127.0.0.1
  port: {port}
  tls: {{ caRef: {{ name: ca }} }}
  sender: {{ address: it@corp.example, displayName: Corp IT }}
  auth:
    basic: {{ username: it@corp.example, passwordSecretRef: {{ name: login, key: password }} }}
---
apiVersion: mail-operator.dev/v1alpha1
kind: Notification
metadata: {{ name: hello }}
spec:
  to: [{{ address: ada@corp.example }}, {{ address: bob@corp.example }}]
  message: {{ content: {{ subject: Hello, text: "Good morning." }} }}
"#
        ))
        .await;
    let sent = space.until_phase("hello", "Sent").await;
    assert_eq!(sent["status"]["accepted"], "2/2");
    assert_eq!(sent["status"]["attempts"], 1);
    for type_ in ["Ready", "Sent", "Resolved", "Rendered"] {
        assert_eq!(condition(&sent, type_)["status"], "True", "{type_}");
    }
    assert!(condition(&sent, "Reconciling").is_null());
    assert_eq!(inbox.messages().await.unwrap().len(), 2);
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    let server = space.get("mailserverconfigs", "default").await;
    for type_ in ["Ready", "CredentialsResolved", "NameResolved", "Connected", "Secured", "Authenticated"] {
        assert_eq!(condition(&server, type_)["status"], "True", "{type_}");
    }
    space.kubectl(&["wait", "--for=condition=Sent", "notification/hello", "--timeout=5s"]).await;
}
