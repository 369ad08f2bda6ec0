//! A server over time: verified again by the clock and on request, suspended, warned of; and nobody told what he
//! knows already.

use super::{Mends, PASSWORD, SERVERS, USER, annotate, basic, fails, manifest, server, state, verified};
use crate::objects::{Space, condition, soon};
use jiff::{Timestamp, ToSpan};
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A relay without TLS and login.
fn relay(smtp: &ScriptedSmtp) -> String {
    format!("host: 127.0.0.1\nport: {}\ntls: {{ mode: Disabled }}", smtp.address().port())
}

fn notification(name: &str, through: &str) -> String {
    format!(
        "apiVersion: mail-operator.dev/v1alpha1\nkind: Notification\nmetadata: {{ name: {name} }}\nspec:\n  serverRef: {{ name: {through} }}\n  \
         to: [{{ address: {name}@corp.example }}]\n  message: {{ content: {{ subject: Hello, text: Hello }} }}\n"
    )
}

/// The status without the time of the last verification.
fn lasting(object: &Value) -> Value {
    let mut status = object["status"].clone();
    status.as_object_mut().unwrap().remove("lastVerificationTime");
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_a_test_verifies_at_once_and_is_answered() {
    let space = Space::new("servers-verify-request").await;
    let smtp = ScriptedSmtp::builder().start().await;
    server(&space, "mail", &format!("{}\nverification: {{ interval: 0s }}", relay(&smtp))).await;
    verified(&space, "mail").await;
    for (times, request) in [(2, "2026-11-24T08:00:00Z"), (3, "again")] {
        annotate(&space, "msc", "mail", &format!("mail-operator.dev/verify-requested-at={request}")).await;
        let echoed = |object: &Value| object["status"]["lastHandledVerifyRequest"] == request;
        space.until(SERVERS, "mail", "echoing the request", echoed).await;
        smtp.reached_times(Step::Quit, times).await;
        verified(&space, "mail").await;
        assert_eq!(smtp.connections(), times, "one verification a request");
    }
    assert!(smtp.ledger().is_empty(), "verifying sends no mail");
    assert_eq!(smtp.count(Step::Mail), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_interval_verifies_again_and_changes_nothing_but_the_time() {
    let space = Space::new("servers-interval").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let began = Instant::now();
    server(&space, "mail", &format!("{}\nverification: {{ interval: 10s }}", relay(&smtp))).await;
    let first = verified(&space, "mail").await;
    smtp.reached_times(Step::Greeting, 2).await;
    // Give or take 20 %; upwards a busy machine may add to it.
    assert!(began.elapsed() >= Duration::from_secs(8), "{:?}", began.elapsed());
    let time = &first["status"]["lastVerificationTime"];
    let later = |object: &Value| object["status"]["lastVerificationTime"] != *time;
    let second = space.until(SERVERS, "mail", "verified again", later).await;
    assert_eq!(lasting(&second), lasting(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_change_mends_is_looked_into_once_and_the_rest_again_and_again() {
    let space = Space::new("servers-patience").await;
    let closing = ScriptedSmtp::builder().fault(Step::Greeting, Fault::Eof).start().await;
    let absent = format!("{}\n{}", relay(&closing), basic());
    space.apply(&format!("{}{}", manifest("absent", &absent), manifest("closing", &relay(&closing)))).await;
    fails(&space, "absent", "CredentialsResolved", "SecretNotBound", Mends::AChange, &["Create it"]).await;
    let before = space.get(SERVERS, "absent").await;
    closing.reached_times(Step::Greeting, 7).await;
    let after = space.get(SERVERS, "absent").await;
    assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"], "{after}");
    assert_eq!(after["status"], before["status"]);
    fails(&space, "closing", "Connected", "ConnectionClosed", Mends::Itself, &["closed the connection"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_server_is_left_alone_and_its_mail_waits() {
    let space = Space::new("servers-suspend").await;
    let smtp = ScriptedSmtp::builder().start().await;
    server(&space, "mail", &format!("{}\nsuspend: true", relay(&smtp))).await;
    space.apply(&notification("ada", "mail")).await;
    let ready = space.until_reason(SERVERS, "mail", "Ready", "Suspended").await;
    assert_eq!(ready["status"], "False");
    assert!(ready["message"].as_str().unwrap().contains("spec.suspend is true"), "{ready}");
    let object = space.get(SERVERS, "mail").await;
    assert_eq!(["Reconciling", "Stalled"].map(|type_| state(&object, type_)), ["absent", "absent"]);
    assert_eq!(smtp.connections(), 0);
    assert_eq!(space.get("notifications", "ada").await["status"]["phase"], "Pending");

    server(&space, "mail", &format!("{}\nsuspend: false", relay(&smtp))).await;
    verified(&space, "mail").await;
    space.until_phase("ada", "Sent").await;
    assert_eq!(smtp.copies_for("ada@corp.example"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_of_changes_and_of_nothing_else() {
    let space = Space::new("servers-events").await;
    let authority = CertificateAuthority::new("Corp CA").unwrap();
    let config = authority.server("localhost", &["127.0.0.1"]).unwrap().server_config().unwrap();
    let smtp = ScriptedSmtp::builder().starttls(config).login(USER, PASSWORD).start().await;
    space.ca("ca", authority.pem()).await;
    space.password("login", "canary-wrong", "127.0.0.1").await;
    let spec = format!(
        "host: 127.0.0.1\nport: {}\ntls: {{ caRef: {{ name: ca }} }}\n{}",
        smtp.address().port(),
        basic()
    );
    server(&space, "mail", &spec).await;
    fails(&space, "mail", "Authenticated", "AuthenticationFailed", Mends::AChange, &["535"]).await;
    let request = async |value: &str| {
        annotate(&space, "msc", "mail", &format!("mail-operator.dev/verify-requested-at={value}")).await;
        space
            .until(SERVERS, "mail", "asked", |object| object["status"]["lastHandledVerifyRequest"] == value)
            .await;
    };
    request("one").await;
    smtp.reached_times(Step::Auth, 2).await;
    space.password("login", PASSWORD, "127.0.0.1").await;
    verified(&space, "mail").await;
    for (value, logins) in [("two", 4), ("three", 5)] {
        request(value).await;
        smtp.reached_times(Step::Auth, logins).await;
        verified(&space, "mail").await;
    }
    let events = async || {
        let events =
            space.plane.get("/apis/events.k8s.io/v1/namespaces/servers-events/events").await.unwrap();
        let events: Value = serde_json::from_str(&events).unwrap();
        let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let shown = |event: &Value| {
            (text(event, "type"), text(event, "reason"), event["series"]["count"].as_u64().unwrap_or(1))
        };
        let mut shown: Vec<_> = events["items"].as_array().unwrap().iter().map(shown).collect();
        shown.sort();
        (shown, events.to_string())
    };
    soon("both Events are there", async || events().await.0.len() >= 2).await;
    let (shown, text) = events().await;
    let event = |type_: &str, reason: &str| (type_.to_owned(), reason.to_owned(), 1);
    assert_eq!(shown, [event("Normal", "Verified"), event("Warning", "AuthenticationFailed")], "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_ends_soon_is_announced_and_still_used() {
    let space = Space::new("servers-expiring").await;
    let smtp = ScriptedSmtp::builder().login(USER, PASSWORD).start().await;
    space.password("login", PASSWORD, "127.0.0.1").await;
    annotate(&space, "secret", "login", "mail-operator.dev/allow-plaintext=true").await;
    server(&space, "mail", &format!("{}\n{}", relay(&smtp), basic())).await;
    assert_eq!(state(&verified(&space, "mail").await, "CredentialExpiring"), "absent");
    let in_ten_days =
        Timestamp::now().checked_add((10 * 24).hours()).unwrap().strftime("%Y-%m-%d").to_string();
    for (ends, reason, words) in [
        (
            in_ten_days.as_str(),
            "ExpiresSoon",
            format!("the credential in Secret login ends on {in_ten_days}: replace it before"),
        ),
        ("2020-01-01", "Expired", "the credential in Secret login ended on 2020-01-01: replace it".into()),
    ] {
        annotate(&space, "secret", "login", &format!("mail-operator.dev/expires-at={ends}")).await;
        annotate(&space, "msc", "mail", &format!("mail-operator.dev/verify-requested-at={reason}")).await;
        let warning = space.until_reason(SERVERS, "mail", "CredentialExpiring", reason).await;
        assert_eq!((&warning["status"], &warning["message"]), (&"True".into(), &words.into()));
        verified(&space, "mail").await;
    }
    annotate(&space, "secret", "login", "mail-operator.dev/expires-at=soon").await;
    annotate(&space, "msc", "mail", "mail-operator.dev/verify-requested-at=malformed").await;
    let warning = space.until_reason(SERVERS, "mail", "CredentialExpiring", "InvalidSpec").await;
    let words = warning["message"].as_str().unwrap();
    assert!(words.contains("expires-at of Secret login must be a date such as 2027-01-31"), "{words}");
    assert_eq!(warning["status"], "Unknown");
    verified(&space, "mail").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_get_shows_what_matters() {
    let space = Space::new("servers-columns").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let port = smtp.address().port();
    server(&space, "good", &relay(&smtp)).await;
    server(&space, "bad", "host: nowhere.invalid").await;
    verified(&space, "good").await;
    fails(&space, "bad", "NameResolved", "NameNotFound", Mends::Itself, &["nowhere.invalid"]).await;
    let table = space.kubectl(&["get", "msc"]).await;
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(lines.next().unwrap(), "NAME READY HOST AUTH SENDER STATUS AGE");
    let bad = lines.next().unwrap();
    let words = "bad False nowhere.invalid:587 None it@corp.example DNS knows no address of nowhere.invalid";
    assert!(bad.starts_with(words), "{bad}");
    let good = lines.next().unwrap();
    let words =
        format!("good True 127.0.0.1:{port} None it@corp.example 127.0.0.1:{port} takes mail (no login)");
    assert!(good.starts_with(&words), "{good}");
    for kind in ["mailserverconfig", "mailserverconfigs", "mail"] {
        assert!(space.kubectl(&["get", kind]).await.contains("good"), "{kind}");
    }
    space.kubectl(&["wait", "--for=condition=Ready", "msc/good", "--timeout=5s"]).await;
    assert!(condition(&space.get(SERVERS, "good").await, "Ready")["lastTransitionTime"].is_string());
}
