//! Passwords: where they are looked for, whom they may be sent to, and what happens when one is wrong.

use super::{Mends, PASSWORD, SERVERS, USER, annotate, basic, fails, server, state, verified};
use crate::cluster::start;
use crate::objects::{Space, condition, soon};
use crate::operator::InProcess;
use mail_operator_testbed::ControlPlane;
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use serde_json::json;
use std::time::Duration;

/// A server that knows `USER` with this password, and a namespace that trusts its certificate.
async fn with_login(space: &Space, password: &str) -> ScriptedSmtp {
    let authority = CertificateAuthority::new("Corp CA").unwrap();
    space.ca("ca", authority.pem()).await;
    let certificate = authority.server("localhost", &["127.0.0.1"]).unwrap();
    ScriptedSmtp::builder().starttls(certificate.server_config().unwrap()).login(USER, password).start().await
}

/// The spec that leads to it.
fn spec(smtp: &ScriptedSmtp) -> String {
    let port = smtp.address().port();
    format!("host: 127.0.0.1\nport: {port}\ntls: {{ caRef: {{ name: ca }} }}\n{}", basic())
}

/// A Secret `login` with these annotations and data.
async fn secret(space: &Space, annotations: serde_json::Value, data: serde_json::Value) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "login", "annotations": annotations }, "stringData": data
    });
    space.apply(&secret.to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_created_later_makes_the_server_ready_by_itself() {
    let space = Space::new("servers-secret-later").await;
    let smtp = with_login(&space, PASSWORD).await;
    server(&space, "mail", &spec(&smtp)).await;
    let words = ["no Secret login in namespace servers-secret-later permits its contents", "Create it"];
    fails(&space, "mail", "CredentialsResolved", "SecretNotBound", Mends::AChange, &words).await;
    assert_eq!(smtp.connections(), 0, "without credentials there is no use in a connection");

    space.password("login", PASSWORD, "127.0.0.1").await;
    let ready = verified(&space, "mail").await;
    let message = condition(&ready, "Ready")["message"].to_string();
    assert!(message.contains("takes mail (logged in as it@corp.example)"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_a_password_is_named() {
    let space = Space::new("servers-secret-key").await;
    let smtp = with_login(&space, PASSWORD).await;
    let bound = space.consent("127.0.0.1").await;
    server(&space, "mail", &spec(&smtp)).await;
    for (data, words) in [
        (json!({ "pass": PASSWORD, "user": "it" }), "has no key password; it has pass, user"),
        (json!({ "password": "" }), "key password of Secret login is empty"),
        (json!({ "password": "\n" }), "key password of Secret login is empty"),
        (
            json!({ "password": "canary-one\ncanary-two" }),
            "holds several lines; a password, client secret or token is one line",
        ),
    ] {
        space.kubectl(&["delete", "secret", "login", "--ignore-not-found"]).await;
        secret(&space, bound.clone(), data).await;
        annotate(&space, "msc", "mail", &format!("mail-operator.dev/verify-requested-at={words}")).await;
        let what = format!("not ready because: {words}");
        space
            .until(SERVERS, "mail", &what, |object| {
                condition(object, "Ready")["message"].as_str().is_some_and(|message| message.contains(words))
            })
            .await;
        fails(&space, "mail", "CredentialsResolved", "SecretKeyMissing", Mends::AChange, &[words]).await;
    }
    // What editors and `echo` leave behind is no part of a password.
    secret(&space, bound, json!({ "password": format!("{PASSWORD}\r\n") })).await;
    verified(&space, "mail").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_in_the_message_binds_the_secret() {
    let space = Space::new("servers-secret-binding").await;
    let smtp = with_login(&space, PASSWORD).await;
    let elsewhere = format!("relay.corp.example,127.0.0.1:{}", smtp.address().port() - 1);
    server(&space, "mail", &spec(&smtp)).await;
    for annotations in [json!({}), json!({ "mail-operator.dev/allowed-hosts": elsewhere })] {
        space.kubectl(&["delete", "secret", "login", "--ignore-not-found"]).await;
        secret(&space, annotations.clone(), json!({ "password": PASSWORD })).await;
        let words = [
            "its contents to be sent to 127.0.0.1",
            "where only the private CA of ConfigMap ca",
            "kubectl annotate",
        ];
        let message =
            fails(&space, "mail", "CredentialsResolved", "SecretNotBound", Mends::AChange, &words).await;
        assert_eq!(smtp.count(Step::Auth), 0, "a Secret that is not bound goes nowhere");
        if annotations == json!({}) {
            continue;
        }
        space.types(message.split_at(message.find("kubectl ").unwrap()).1).await;
    }
    verified(&space, "mail").await;
    let kept = space.kubectl(&["get", "secret", "login", "-o", "yaml"]).await;
    assert!(kept.contains(&elsewhere), "the command must not take back what was permitted: {kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_reported_and_the_right_one_taken_by_itself() {
    let space = Space::new("servers-wrong-password").await;
    let smtp = with_login(&space, PASSWORD).await;
    space.password("login", "canary-wrong", "127.0.0.1").await;
    server(&space, "mail", &spec(&smtp)).await;
    let words = ["user name or password is wrong", "correct the Secret", "535"];
    fails(&space, "mail", "Authenticated", "AuthenticationFailed", Mends::AChange, &words).await;

    space.password("login", PASSWORD, "127.0.0.1").await;
    verified(&space, "mail").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_travels_unencrypted_only_if_its_secret_says_so() {
    let space = Space::new("servers-plaintext").await;
    let smtp = ScriptedSmtp::builder().login(USER, PASSWORD).start().await;
    space.password("login", PASSWORD, "127.0.0.1").await;
    let spec =
        format!("host: 127.0.0.1\nport: {}\ntls: {{ mode: Disabled }}\n{}", smtp.address().port(), basic());
    server(&space, "mail", &spec).await;
    let command = "kubectl annotate secret login -n servers-plaintext mail-operator.dev/allow-plaintext=true";
    let words = ["would travel unencrypted", "StartTLS or Implicit", command];
    fails(&space, "mail", "CredentialsResolved", "PlaintextNotAllowed", Mends::AChange, &words).await;
    assert_eq!(smtp.connections(), 0);

    annotate(&space, "secret", "login", "mail-operator.dev/allow-plaintext=true").await;
    let ready = verified(&space, "mail").await;
    let secured = condition(&ready, "Secured");
    assert_eq!((&secured["status"], &secured["reason"]), (&"False".into(), &"TLSDisabled".into()));
    let warning = condition(&ready, "PlaintextAuth");
    assert_eq!((&warning["status"], &warning["reason"]), (&"True".into(), &"PasswordUnencrypted".into()));
    assert!(
        warning["message"].as_str().unwrap().contains("set tls.mode to StartTLS or Implicit"),
        "{warning}"
    );
}

/// Needs a cluster of its own, since the shared operator would look after the namespace as well. Waits are real ones.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_ones_own_binds_only_annotated_secrets_and_tries_a_wrong_password_once() {
    let plane: &'static ControlPlane = Box::leak(Box::new(start().await));
    let space = Space { plane, name: "default".into() };
    let operator = InProcess::start(plane, &["--secret-binding", "WhenAnnotated"], |settings| {
        settings.deadlines = mail_operator::smtp::Deadlines::all(Duration::from_secs(3));
    })
    .await;
    let smtp = with_login(&space, PASSWORD).await;
    secret(&space, json!({}), json!({ "password": "canary-wrong" })).await;
    server(&space, "mail", &spec(&smtp)).await;
    fails(&space, "mail", "Authenticated", "AuthenticationFailed", Mends::AChange, &["535"]).await;
    assert_eq!(smtp.count(Step::Auth), 1);
    // Mail that waits behind it does not try the password either.
    space
        .apply("apiVersion: mail-operator.dev/v1alpha1\nkind: Notification\nmetadata: { name: hello }\nspec: { serverRef: { name: mail }, to: [{ address: a@corp.example }], message: { content: { subject: s, text: t } } }")
        .await;
    annotate(&space, "msc", "mail", "mail-operator.dev/verify-requested-at=1").await;
    space
        .until(SERVERS, "mail", "asked again", |object| object["status"]["lastHandledVerifyRequest"] == "1")
        .await;
    smtp.reached_times(Step::Auth, 2).await;
    assert_eq!(smtp.count(Step::Auth), 2, "one login by itself, one because somebody asked for it");
    assert!(smtp.ledger().is_empty());

    secret(
        &space,
        json!({ "mail-operator.dev/allowed-hosts": "elsewhere.example" }),
        json!({ "password": PASSWORD }),
    )
    .await;
    let words = ["no Secret login in namespace default permits its contents to be sent to 127.0.0.1"];
    fails(&space, "mail", "CredentialsResolved", "SecretNotBound", Mends::AChange, &words).await;
    assert_eq!(smtp.count(Step::Auth), 2);
    annotate(
        &space,
        "secret",
        "login",
        &format!("mail-operator.dev/allowed-hosts=127.0.0.1:{}", smtp.address().port()),
    )
    .await;
    let words = ["where only the private CA of ConfigMap ca vouches for the server"];
    fails(&space, "mail", "CredentialsResolved", "SecretNotBound", Mends::AChange, &words).await;
    assert_eq!(smtp.count(Step::Auth), 2);
    let consent = space.consent("127.0.0.1").await;
    let digests = consent["mail-operator.dev/allowed-ca"].as_str().unwrap();
    annotate(&space, "secret", "login", &format!("mail-operator.dev/allowed-ca={digests}")).await;
    let ready = verified(&space, "mail").await;
    assert_eq!(state(&ready, "Authenticated"), "True");
    soon("what waited goes out", async || smtp.copies_for("a@corp.example") == 1).await;
    operator.stop().await;
}

/// Whoever may create configs and not read Secrets asks about them, one config each.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_permits_nothing_shows_nothing() {
    let space = Space::new("servers-oracle").await;
    let prize = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "prize" },
        "stringData": { "admin-token": "canary-token", "password": "canary-password" }
    });
    space.apply(&prize.to_string()).await;
    let exchange = |secret: &str| {
        format!(
            "auth: {{ exchangeOnline: {{ tenantID: corp.example, clientID: app, username: a@corp.example, \
             clientSecretRef: {{ name: {secret}, key: nope }} }} }}"
        )
    };
    let ca = |secret: &str| {
        format!("host: 127.0.0.1\ntls: {{ caRef: {{ kind: Secret, name: {secret}, key: password }} }}")
    };
    let mutual = |secret: &str| {
        format!("host: 127.0.0.1\ntls: {{ clientCertificateSecretRef: {{ name: {secret} }} }}")
    };
    for kind in ["exchange", "ca", "mutual"] {
        let mut answers = Vec::new();
        for secret in ["prize", "ghost"] {
            let name = format!("{kind}-{secret}");
            let spec = match kind {
                "exchange" => exchange(secret),
                "ca" => ca(secret),
                _ => mutual(secret),
            };
            server(&space, &name, &spec).await;
            let failed =
                |object: &serde_json::Value| condition(object, "CredentialsResolved")["status"] == "False";
            let object = space.until(SERVERS, &name, "refused", failed).await;
            let found = condition(&object, "CredentialsResolved");
            let message = found["message"].as_str().unwrap().replace(secret, "SECRET");
            answers.push((found["reason"].clone(), message));
        }
        assert_eq!(answers[0], answers[1], "{kind}");
        assert!(!answers[0].1.contains("admin-token"), "{answers:?}");
    }
}
