//! Certificates and keys that came to harm on their way into a Secret: what is wrong is told in words of our own, and
//! nothing of them shows, whoever may read status and Events.

use super::manifest;
use crate::objects::{SOON, Space, condition};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_operator_testbed::certificates::CertificateAuthority;
use serde_json::json;

/// What happens to files, and what is said of it.
fn forms(good: &str) -> [(&'static str, String, &'static str); 5] {
    [
        ("spaces", good.replace('\n', " "), "has lost its line breaks"),
        ("written", good.replace('\n', "\\n"), "a backslash and a letter, in place of line breaks"),
        ("cut", good[..good.len() - 12].to_owned(), "copy the whole file, with its first and last line"),
        ("twice", STANDARD.encode(good), "it was encoded twice"),
        ("joined", good.replace('\n', ""), "has lost its line breaks"),
    ]
}

/// The whole of what somebody with the role `view` sees gives away no eight letters of the key, in whichever way they
/// are written.
#[track_caller]
fn gives_nothing_away(said: &str, key: &str) {
    let said = said.to_lowercase();
    let body: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
    for piece in body.as_bytes().windows(8) {
        let decimal: Vec<_> = piece.iter().map(ToString::to_string).collect();
        let hex = piece.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().concat();
        let text = String::from_utf8_lossy(piece).into_owned();
        let base64 = STANDARD.encode(piece).trim_end_matches('=').to_owned();
        for found in [text, decimal.join(", "), decimal.join(","), hex, base64] {
            assert!(!said.contains(&found.to_lowercase()), "{found} in {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_key_is_told_and_never_shown() {
    let space = Space::new("servers-broken-secrets").await;
    let authority = CertificateAuthority::new("Corp CA").unwrap();
    let pair = authority.client("robot").unwrap();
    let key = pair.key_pem.as_str();
    let consent = json!({ "mail-operator.dev/allowed-hosts": "127.0.0.1, smtp.office365.com" });
    let mut expected = Vec::new();
    for (form, broken, words) in forms(key) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": { "name": form, "annotations": consent },
            "stringData": { "tls.crt": pair.certificate_pem, "tls.key": broken }
        });
        space.apply(&secret.to_string()).await;
        let host = "host: 127.0.0.1\nport: 2525\n";
        let exchange = "auth: { exchangeOnline: { tenantID: 11111111-2222-3333-4444-555555555555, clientID: 66666666-7777-8888-9999-000000000000";
        let all = [
            ("tls", format!("{host}tls: {{ clientCertificateSecretRef: {{ name: {form} }} }}"), words),
            (
                "exchange",
                format!(
                    "{exchange}, username: it@corp.example, clientCertificateSecretRef: {{ name: {form} }} }} }}"
                ),
                words,
            ),
            // A key where a CA belongs.
            ("ca", format!("{host}tls: {{ caRef: {{ kind: Secret, name: {form}, key: tls.key }} }}"), words),
        ];
        for (field, spec, words) in all {
            let name = format!("{field}-{form}");
            space.apply(&manifest(&name, &spec)).await;
            expected.push((name, words));
        }
    }
    for (name, words) in &expected {
        let object = space
            .until("mailserverconfigs", name, "told", |object| {
                condition(object, "CredentialsResolved")["status"] == "False"
            })
            .await;
        let message = condition(&object, "CredentialsResolved")["message"].to_string();
        assert!(message.contains(words), "{name}: {message}");
        gives_nothing_away(&object["status"].to_string(), key);
        let told = space.mail(&["status", &format!("server/{name}")]).await;
        gives_nothing_away(&format!("{} {}", told.stdout, told.stderr), key);
    }
    let events = async || space.kubectl(&["get", "events", "-o", "json"]).await;
    crate::eventually("there is an Event of each", SOON, async || {
        let events = events().await;
        expected.iter().all(|(name, _)| events.contains(&format!("\"name\": \"{name}\"")))
    })
    .await;
    gives_nothing_away(&events().await, key);
}
