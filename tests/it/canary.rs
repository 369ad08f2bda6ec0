//! Secrets stay where they belong: the built binary, logging everything at `trace`, goes through good and bad
//! logins of each kind; afterwards its log, every status and Event of the namespace and its metrics are
//! searched for what must not be there. Addresses, subjects and texts must not be in the log either.

use crate::cluster::apart;
use crate::objects::{SOON, soon};
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::dovecot::DovecotOptions;
use mail_operator_testbed::mailpit::MailpitOptions;
use mail_operator_testbed::oidc::OidcOptions;
use mail_operator_testbed::operator::OperatorOptions;
use mail_operator_testbed::{ControlPlane, Dovecot, Mailpit, Oidc, Operator};

/// What nobody may see.
const SECRETS: [&str; 4] = [
    "canary-right-password",
    "canary-wrong-password",
    "canary-right-client-secret",
    "canary-wrong-client-secret",
];
/// What the log may not hold.
const PRIVATE: [&str; 4] =
    ["canary-ada@corp.example", "canary-it@corp.example", "canary-subject", "canary-text"];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_shows_anywhere() {
    let plane = apart().await;
    plane.kubectl(&["create", "namespace", "canary"]).await.unwrap().success().unwrap();
    let authority = CertificateAuthority::new("Canary CA").unwrap();
    let options = OidcOptions {
        client_secret: "canary-right-client-secret".into(),
        email: "canary-it@corp.example".into(),
        ..OidcOptions::default()
    };
    let (inbox, oidc) =
        tokio::try_join!(Mailpit::start(MailpitOptions::default()), Oidc::start(&authority, options))
            .unwrap();
    let dovecot = Dovecot::start(DovecotOptions {
        certificate: authority.server("localhost", &[]).unwrap(),
        users: vec![("canary-it@corp.example".into(), "canary-right-password".into())],
        tokens: Some(oidc.trust()),
        sink: inbox.smtp_address(),
    })
    .await
    .unwrap();
    let binary = env!("CARGO_BIN_EXE_mail-operator");
    let arguments = ["--namespace", "canary", "--operator-namespace", "canary", "--log-level", "trace"];
    let options = OperatorOptions::new(binary, plane.kubeconfig())
        .args(arguments)
        .args(["--egress-allow", "127.0.0.0/8"]);
    let operator = Operator::start(&options).unwrap();
    operator.until_ready(SOON).await.unwrap();

    apply(plane, &objects(&authority, &dovecot, &oidc)).await;
    for name in ["password", "token"] {
        soon("the mail is sent", async || status(plane, "notif", name).await.contains(r#""phase":"Sent""#))
            .await;
    }
    for (name, reason) in [("bad-password", "AuthenticationFailed"), ("bad-secret", "InvalidClientSecret")] {
        soon(reason, async || status(plane, "msc", name).await.contains(reason)).await;
    }
    assert_eq!(inbox.count().await.unwrap(), 2);

    let log = operator.log();
    assert!(log.contains("TRACE") && log.len() > 10_000, "the log is not at trace");
    let mut places = vec![("the log", log.clone()), ("the metrics", operator.metrics().await.unwrap())];
    for kind in ["msc", "mt", "notif", "events", "configmaps", "leases"] {
        places.push((
            kind,
            plane.kubectl(&["get", kind, "-n", "canary", "-o", "json"]).await.unwrap().success().unwrap(),
        ));
    }
    let tokens = encoded_forms(&SECRETS);
    for (place, text) in &places {
        for secret in SECRETS.iter().map(ToString::to_string).chain(tokens.clone()).chain(["eyJ".to_owned()])
        {
            let at = text.find(&secret);
            assert_eq!(
                at,
                None,
                "{secret} in {place}: {:?}",
                at.map(|at| &text[at.saturating_sub(200)..at + 60])
            );
        }
    }
    for word in PRIVATE {
        let at = log.find(word);
        assert_eq!(at, None, "{word} in the log: {:?}", at.map(|at| &log[at.saturating_sub(200)..at + 60]));
    }
}

/// Base64 as SASL and HTTP Basic would carry the secrets, without the ends that depend on what is beside them.
fn encoded_forms(secrets: &[&str]) -> Vec<String> {
    use base64::Engine;
    let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    secrets
        .iter()
        .flat_map(|secret| (0..3).map(move |shift| (secret, shift)))
        .map(|(secret, shift)| {
            let text = encode(format!("{}{secret}", "x".repeat(shift)));
            text[4..text.len() - 4].to_owned()
        })
        .collect()
}

fn objects(authority: &CertificateAuthority, dovecot: &Dovecot, oidc: &Oidc) -> String {
    let options = oidc.options();
    let hosts = serde_json::json!({ "mail-operator.dev/allowed-hosts": "localhost" });
    let secret = |name: &str, value: &str| {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "annotations": hosts },
            "stringData": { "value": value }
        })
    };
    let server = |name: &str, auth: serde_json::Value| {
        let mut spec = serde_json::json!({
            "tls": { "caRef": { "name": "ca" } }, "sender": { "address": "canary-it@corp.example" }, "auth": auth
        });
        if spec["auth"].get("basic").is_some() {
            spec["host"] = "localhost".into();
            spec["port"] = dovecot.starttls_port().into();
        }
        serde_json::json!({
            "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MailServerConfig", "metadata": { "name": name }, "spec": spec
        })
    };
    let basic = |secret: &str| {
        serde_json::json!({ "basic": {
            "username": "canary-it@corp.example", "passwordSecretRef": { "name": secret, "key": "value" } } })
    };
    let exchange = |secret: &str| {
        serde_json::json!({ "exchangeOnline": {
            "tenantID": options.tenant_id, "clientID": options.client_id, "username": options.email,
            "clientSecretRef": { "name": secret, "key": "value" },
            "endpoints": { "host": "localhost", "port": dovecot.starttls_port(), "tokenURL": oidc.token_url(),
                           "caRef": { "name": "ca" } } } })
    };
    let notification = |name: &str| {
        serde_json::json!({
            "apiVersion": "mail-operator.dev/v1alpha1", "kind": "Notification", "metadata": { "name": name },
            "spec": { "serverRef": { "name": name }, "to": [{ "address": "canary-ada@corp.example" }],
                      "message": { "content": { "subject": "canary-subject", "text": "canary-text" } } }
        })
    };
    let items = [
        serde_json::json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ca" }, "data": { "ca.crt": authority.pem() } }),
        secret("right-password", SECRETS[0]),
        secret("wrong-password", SECRETS[1]),
        secret("right-secret", SECRETS[2]),
        secret("wrong-secret", SECRETS[3]),
        server("password", basic("right-password")),
        server("bad-password", basic("wrong-password")),
        server("token", exchange("right-secret")),
        server("bad-secret", exchange("wrong-secret")),
        notification("password"),
        notification("token"),
    ];
    serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

async fn apply(plane: &ControlPlane, list: &str) {
    // Server-side, so that no annotation of kubectl's repeats the Secrets.
    let arguments = ["apply", "--server-side", "-n", "canary", "-f", "-"];
    plane.kubectl_with_input(&arguments, list).await.unwrap().success().unwrap();
}

async fn status(plane: &ControlPlane, kind: &str, name: &str) -> String {
    let arguments = ["get", kind, name, "-n", "canary", "-o", "jsonpath={.status}"];
    plane.kubectl(&arguments).await.unwrap().stdout
}
