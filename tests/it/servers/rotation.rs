//! A Secret that changes under sessions that work: the new one is used soon and without a failed message, a wrong one
//! ends nothing that works.

use super::{Mends, PASSWORD, SERVERS, USER, annotate, basic, fails, server, verified};
use crate::objects::{Space, condition, soon};
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use std::time::{Duration, Instant};

async fn start(space: &Space, user: &str, password: &str) -> ScriptedSmtp {
    let authority = CertificateAuthority::new("Corp CA").unwrap();
    let tls = authority.server("localhost", &["127.0.0.1"]).unwrap().server_config().unwrap();
    space.ca("ca", authority.pem()).await;
    ScriptedSmtp::builder().starttls(tls).login(user, password).start().await
}

fn spec(smtp: &ScriptedSmtp) -> String {
    let (port, login) = (smtp.address().port(), basic());
    format!(
        "host: 127.0.0.1\nport: {port}\ntls: {{ caRef: {{ name: ca }} }}\nlimits: {{ connections: 1 }}\n{login}"
    )
}

async fn send(space: &Space, name: &str) {
    space
        .apply(&format!(
            "apiVersion: mail-operator.dev/v1alpha1\nkind: Notification\nmetadata: {{ name: {name} }}\nspec:\n  serverRef: {{ name: mail }}\n  \
             to: [{{ address: {name}@corp.example }}]\n  message: {{ content: {{ subject: Hello, text: Hello }} }}\n"
        ))
        .await;
    let sent = space.until_phase(name, "Sent").await;
    assert_eq!(sent["status"]["attempts"], 1, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_ends_no_session_that_works() {
    let space = Space::new("servers-rotation-wrong").await;
    let smtp = start(&space, USER, PASSWORD).await;
    space.password("login", PASSWORD, "127.0.0.1").await;
    server(&space, "mail", &spec(&smtp)).await;
    verified(&space, "mail").await;
    send(&space, "before").await;
    let logins = smtp.count(Step::Auth);

    space.password("login", "canary-wrong", "127.0.0.1").await;
    annotate(&space, "msc", "mail", "mail-operator.dev/verify-requested-at=1").await;
    let words = ["535", "sessions opened with the credential before it go on"];
    fails(&space, "mail", "Authenticated", "AuthenticationFailed", Mends::AChange, &words).await;
    send(&space, "meanwhile").await;
    assert_eq!(smtp.count(Step::Auth), logins + 1, "the wrong one was tried once, by the verification");

    // Without the Secret's permission nothing goes on: that is its owner's word, not a slip.
    space.password("login", PASSWORD, "elsewhere.example").await;
    annotate(&space, "msc", "mail", "mail-operator.dev/verify-requested-at=2").await;
    fails(&space, "mail", "CredentialsResolved", "SecretNotBound", Mends::AChange, &["127.0.0.1"]).await;
    smtp.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_is_in_use_within_a_minute_and_no_message_fails() {
    let space = Space::new("servers-rotation").await;
    let smtp = start(&space, USER, PASSWORD).await;
    space.password("login", PASSWORD, "127.0.0.1").await;
    server(&space, "mail", &spec(&smtp)).await;
    verified(&space, "mail").await;
    send(&space, "before").await;

    let other = start(&space, USER, "canary-rotated").await;
    drop(smtp);
    space.password("login", "canary-rotated", "127.0.0.1").await;
    let rotated = Instant::now();
    server(&space, "mail", &spec(&other)).await;
    send(&space, "after").await;
    assert!(rotated.elapsed() < Duration::from_mins(1));
    assert_eq!(other.copies_for("after@corp.example"), 1);
}

/// Nobody asks for it and nothing else changes: the Secret is looked at by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_secret_is_noticed_by_itself() {
    let space = Space::new("servers-rotation-noticed").await;
    let smtp = start(&space, USER, PASSWORD).await;
    space.password("login", PASSWORD, "127.0.0.1").await;
    server(&space, "mail", &format!("{}\nverification: {{ interval: 0s }}", spec(&smtp))).await;
    verified(&space, "mail").await;
    send(&space, "before").await;
    let (connections, changed) = (smtp.connections(), Instant::now());
    annotate(&space, "secret", "login", "corp.example/rotated=yes").await;
    let noticed = async || smtp.connections() > connections;
    crate::eventually("verified with the new version", Duration::from_mins(1), noticed).await;
    assert!(changed.elapsed() < Duration::from_mins(1));
    send(&space, "after").await;
    let ready = condition(&space.get(SERVERS, "mail").await, "Ready");
    assert_eq!(ready["status"], "True", "{ready}");
    soon("the old session is closed", async || smtp.count(Step::Quit) >= 2).await;
}
