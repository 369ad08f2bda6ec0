//! Secrets stay where they belong: the built binary, logging everything at `trace`, goes through good and bad
//! logins of each kind; afterwards its log, every status and Event of the namespace and its metrics are
//! searched for what must not be there. Addresses, subjects and texts must not be in the log either.

use crate::cluster::apart;
use crate::notifications::merge;
use crate::objects::{SOON, consent, soon};
use mail_operator_testbed::certificates::{CertificateAuthority, ServerCertificate};
use mail_operator_testbed::client_keys::{Algorithm, Form, self_signed};
use mail_operator_testbed::dovecot::DovecotOptions;
use mail_operator_testbed::mailpit::MailpitOptions;
use mail_operator_testbed::oidc::OidcOptions;
use mail_operator_testbed::operator::OperatorOptions;
use mail_operator_testbed::proxy::{ScriptedProxy, Speech};
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use mail_operator_testbed::{ControlPlane, Dovecot, Mailpit, Oidc, Operator};

/// What nobody may see.
const SECRETS: [&str; 7] = [
    "canary-right-password",
    "canary-wrong-password",
    "canary-right-client-secret",
    "canary-wrong-client-secret",
    "canary-refresh-token",
    "canary-proxy-password",
    "canary-wrong-proxy-password",
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

    let key = self_signed("rsa", Algorithm::Rsa(2048), Form::Pkcs8).unwrap();
    let scram = ScriptedSmtp::builder()
        .starttls(authority.server("localhost", &[]).unwrap().server_config().unwrap())
        .login_with("SCRAM-SHA-256", "canary-it@corp.example", SECRETS[0])
        .start()
        .await;
    let proxy =
        ScriptedProxy::builder(Speech::Http).login("canary-it", SECRETS[5]).start(scram.address()).await;
    apply(plane, &objects(&authority, &dovecot, &oidc)).await;
    apply(plane, &further(&authority, &oidc, &key, &scram, &proxy)).await;
    for name in ["password", "token", "scram", "proxied"] {
        soon("the mail is sent", async || status(plane, "notif", name).await.contains(r#""phase":"Sent""#))
            .await;
    }
    for (name, reason) in [
        ("bad-password", "AuthenticationFailed"),
        ("bad-secret", "InvalidClientSecret"),
        ("bad-scram", "AuthenticationFailed"),
        ("bad-proxy", "ProxyAuthenticationFailed"),
        ("bad-refresh-token", "RefreshTokenInvalid"),
        ("bad-certificate", r#""type":"TokenAcquired""#),
    ] {
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
    let mut tokens = encoded_forms(&SECRETS);
    tokens.extend(key.key_pem.lines().filter(|line| line.len() == 64).map(str::to_owned));
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

/// What goes through proxies, by SCRAM, with a refresh token and with a client certificate.
fn further(
    authority: &CertificateAuthority,
    oidc: &Oidc,
    key: &ServerCertificate,
    scram: &ScriptedSmtp,
    proxy: &ScriptedProxy,
) -> String {
    let options = oidc.options();
    let hosts = consent("localhost,127.0.0.1", &[authority.pem()]);
    let secret = |name: &str, data: serde_json::Value| {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "annotations": hosts }, "stringData": data
        })
    };
    let server = |name: &str, proxy: Option<serde_json::Value>, auth: serde_json::Value| {
        let mut config = serde_json::json!({
            "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MailServerConfig", "metadata": { "name": name },
            "spec": { "host": "localhost", "port": scram.address().port(), "tls": { "caRef": { "name": "ca" } },
                      "sender": { "address": "canary-it@corp.example" }, "auth": auth }
        });
        if let Some(proxy) = proxy {
            config["spec"]["proxy"] = proxy;
        }
        config
    };
    let basic = |secret: &str| {
        serde_json::json!({ "basic": {
            "username": "canary-it@corp.example", "passwordSecretRef": { "name": secret, "key": "value" } } })
    };
    let oauth2 = |more: serde_json::Value| {
        let mut auth = serde_json::json!({ "username": options.email, "tokenURL": oidc.token_url(),
                                           "clientID": options.client_id, "caRef": { "name": "ca" } });
        merge(&mut auth, more);
        serde_json::json!({ "oauth2": auth })
    };
    let through = |login: &str| serde_json::json!({ "url": format!("http://{}", proxy.address()), "credentialsSecretRef": { "name": login } });
    let notification = |name: &str| {
        serde_json::json!({
            "apiVersion": "mail-operator.dev/v1alpha1", "kind": "Notification", "metadata": { "name": name },
            "spec": { "serverRef": { "name": name }, "to": [{ "address": "canary-ada@corp.example" }],
                      "message": { "content": { "subject": "canary-subject", "text": "canary-text" } } }
        })
    };
    let items = [
        secret("scram", serde_json::json!({ "value": SECRETS[0] })),
        secret("wrong-scram", serde_json::json!({ "value": SECRETS[1] })),
        secret("client", serde_json::json!({ "value": SECRETS[2] })),
        secret("refresh", serde_json::json!({ "value": SECRETS[4] })),
        secret("proxy", serde_json::json!({ "username": "canary-it", "password": SECRETS[5] })),
        secret("wrong-proxy", serde_json::json!({ "username": "canary-it", "password": SECRETS[6] })),
        secret("key", serde_json::json!({ "tls.crt": key.certificate_pem, "tls.key": key.key_pem })),
        server("scram", None, basic("scram")),
        server("bad-scram", None, basic("wrong-scram")),
        server("proxied", Some(through("proxy")), basic("scram")),
        server("bad-proxy", Some(through("wrong-proxy")), basic("scram")),
        server(
            "bad-refresh-token",
            None,
            oauth2(serde_json::json!({
            "grant": "RefreshToken", "clientSecretRef": { "name": "client", "key": "value" },
            "refreshTokenSecretRef": { "name": "refresh", "key": "value" } })),
        ),
        server(
            "bad-certificate",
            None,
            oauth2(serde_json::json!({ "clientCertificateSecretRef": { "name": "key" } })),
        ),
        notification("scram"),
        notification("proxied"),
    ];
    serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

fn objects(authority: &CertificateAuthority, dovecot: &Dovecot, oidc: &Oidc) -> String {
    let options = oidc.options();
    let hosts = consent("localhost", &[authority.pem()]);
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
