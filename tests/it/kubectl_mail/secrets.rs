//! `secret create` without a terminal: where a password comes from, and that it shows nowhere.

use crate::notifications::server;
use crate::objects::Space;
use base64::Engine;
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use serde_json::{Value, json};

const PASSWORD: &str = "canary-password-kubectl-mail";

async fn secret(space: &Space, name: &str) -> Value {
    let path = format!("/api/v1/namespaces/{}/secrets/{name}", space.name);
    serde_json::from_str(&space.plane.get(&path).await.unwrap()).unwrap()
}

/// The decoded value of a key.
pub fn value(secret: &Value, key: &str) -> String {
    let text = secret["data"][key].as_str().unwrap();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_standard_input_with_its_annotations() {
    let space = Space::new("mail-secret").await;
    let create = [
        "secret",
        "create",
        "smtp",
        "--stdin",
        "--host",
        "smtp.corp.example",
        "--host",
        "Login.corp.example:443",
    ];
    let more = ["--username", "it", "--allow-plaintext", "--expires-at", "2027-01-31"];
    let ran = space.mail_call(&[&create[..], &more].concat()).input(&format!("{PASSWORD}\n")).run().await;
    ran.says(0, &["✓ Secret smtp created in namespace mail-secret; it may be sent to smtp.corp.example, login.corp.example:443"]);
    let stored = secret(&space, "smtp").await;
    assert_eq!((value(&stored, "password"), value(&stored, "username")), (PASSWORD.into(), "it".into()));
    assert_eq!(stored["type"], "kubernetes.io/basic-auth");
    let annotations = &stored["metadata"]["annotations"];
    assert_eq!(annotations["mail-operator.dev/allowed-hosts"], "smtp.corp.example,login.corp.example:443");
    assert_eq!(annotations["mail-operator.dev/allow-plaintext"], "true");
    assert_eq!(annotations["mail-operator.dev/expires-at"], "2027-01-31");

    // Not over an existing one by mistake; with --replace nothing but its own is overwritten.
    let again = ["secret", "create", "smtp", "--stdin", "--host", "other.corp.example"];
    space
        .mail_call(&again)
        .input("other\n")
        .run()
        .await
        .says(1, &["Secret smtp exists already", "--replace"]);
    let ran =
        space.mail_call(&[&again[..], &["--replace", "-o", "json"]].concat()).input("other\n").run().await;
    ran.says(0, &["\"password\": \"***\"", "other.corp.example"]);
    let stored = secret(&space, "smtp").await;
    assert_eq!((value(&stored, "password"), value(&stored, "username")), ("other".into(), "it".into()));
    assert!(stored["metadata"]["annotations"]["mail-operator.dev/allow-plaintext"].is_null());

    for (arguments, input, code, words) in [
        (&["--stdin", "--host", "a.example"][..], "\n", 1, "the password is empty"),
        (&["--stdin"], "x", 2, "--host"),
        (&["--stdin", "--host", "*.example"], "x", 2, "without wildcards"),
        (&["--stdin", "--host", "a.example", "--expires-at", "soon"], "x", 2, "2027-01-31"),
        (&["--host", "a.example", "--password", "x"], "", 2, "--password"),
    ] {
        let call = space.mail_call(&[&["secret", "create", "wrong"][..], arguments].concat());
        call.input(input).run().await.says(code, &[words]);
    }
    let ran = space.mail_call(&["secret", "create", "dry", "--host", "a.example", "--dry-run"]).run().await;
    ran.says(0, &["password: '***'", "allowed-hosts: a.example"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn for_a_server_that_then_logs_in() {
    let space = Space::new("mail-secret-for").await;
    let smtp = ScriptedSmtp::builder().login("it", PASSWORD).start().await;
    let basic = json!({ "username": "it", "passwordSecretRef": { "name": "smtp", "key": "password" } });
    space.put(&[server(smtp.address(), json!({ "auth": { "basic": basic } }))]).await;
    space.mail(&["test"]).await.says(1, &["✗ CredentialsResolved SecretNotBound"]);
    let create = ["secret", "create", "smtp", "--stdin", "--for", "default", "--allow-plaintext"];
    let ran = space.mail_call(&create).input(PASSWORD).run().await;
    ran.says(0, &[&format!("it may be sent to {}", smtp.address())]);
    let ran = space.mail(&["test"]).await;
    ran.says(0, &["✓ Authenticated       logged in as it", "! PlaintextAuth: ", "✓ default is ready"]);
    assert!(!ran.stdout.contains(PASSWORD));
}
