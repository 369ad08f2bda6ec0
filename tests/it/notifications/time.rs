//! When things happen: `sendAt`, `expireAfter`, `keepFor`, and objects that come back by themselves or from
//! a backup.

use super::{notification, only, recipient, says, server, taken};
use crate::objects::{Space, condition, soon};
use jiff::{Timestamp, ToSpan};
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use mail_parser::MessageParser;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn send_at_waits_without_a_write_and_dates_the_mail() {
    let space = Space::new("time-send-at").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    let version = space.version().await;
    let at = Timestamp::from_second(Timestamp::now().as_second() + 4).unwrap();
    // Counted from sendAt, not from the creation: else it would be over before it begins.
    let delivery = json!({ "delivery": { "sendAt": at.to_string(), "expireAfter": "3s" } });
    space
        .put(&[
            notification("news", &["ada@corp.example"], delivery),
            notification("now", &["bob@corp.example"], json!({})),
        ])
        .await;
    space.until_phase("now", "Sent").await;
    assert!(taken(&smtp, "ada@corp.example").is_empty());
    space.until_phase("news", "Sent").await;
    assert!(Timestamp::now() >= at);
    assert_eq!(space.history("news", &version).await.len(), 2, "created, and the result");
    let bytes = only(&smtp, "ada@corp.example");
    let message = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(message.date().unwrap().to_timestamp(), at.as_second());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_says_what_was_last_in_its_way() {
    let space = Space::new("time-expires").await;
    let smtp = ScriptedSmtp::builder()
        .recipient("later@corp.example", "450 4.2.1 Mailbox is busy, try again")
        .start()
        .await;
    let brief = || json!({ "delivery": { "expireAfter": "2s" } });
    let mut unresolved = notification("unresolved", &["ada@corp.example"], brief());
    unresolved["spec"]["serverRef"] = json!({ "name": "absent" });
    space
        .put(&[
            server(smtp.address(), json!({})),
            notification("refused", &["later@corp.example"], brief()),
            notification("partly", &["ada@corp.example", "later@corp.example"], brief()),
            unresolved,
        ])
        .await;
    let refused = space.until_phase("refused", "Expired").await;
    says(&refused, "Ready", "False", "DeadlineExceeded", &["expireAfter", "last:", "Mailbox is busy"]);
    assert_eq!(recipient(&refused, "later@corp.example")["code"], 450);
    assert!(refused["status"]["attempts"].as_i64().unwrap() >= 1);
    let partly = space.until_phase("partly", "PartiallySent").await;
    assert_eq!(partly["status"]["accepted"], "1/2");
    says(&partly, "Ready", "False", "PartiallyAccepted", &["1 of 2", "ran out of time"]);
    let unresolved = space.until_phase("unresolved", "Expired").await;
    says(
        &unresolved,
        "Ready",
        "False",
        "DeadlineExceeded",
        &["last:", "MailServerConfig time-expires/absent"],
    );
    says(&unresolved, "Resolved", "False", "ServerNotFound", &[]);
    assert!(condition(&unresolved, "Reconciling").is_null());
    assert_eq!(taken(&smtp, "ada@corp.example").len(), 1);
}

/// With these in its metadata.
fn marked(mut object: Value, field: &str, key: &str, value: &str) -> Value {
    object["metadata"][field] = json!({ key: value });
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_for_removes_what_nobody_else_would_bring_back() {
    let space = Space::new("time-keep-for").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({ "limits": { "connections": 1 } }))]).await;
    let keep = |name: &str, how: &str| {
        notification(name, &["ada@corp.example"], json!({ "delivery": { "keepFor": how } }))
    };
    let brief = |name: &str| keep(name, "1s");
    let stays = [
        keep("forever", "forever"),
        keep("default", "24h"),
        marked(brief("flux"), "labels", "kustomize.toolkit.fluxcd.io/name", "apps"),
        marked(brief("flux-helm"), "labels", "helm.toolkit.fluxcd.io/name", "apps"),
        marked(brief("argo"), "annotations", "argocd.argoproj.io/tracking-id", "apps:mail/Notification:x/y"),
        marked(brief("argo-label"), "labels", "argocd.argoproj.io/instance", "apps"),
        marked(brief("helm"), "annotations", "meta.helm.sh/release-name", "apps"),
        marked(brief("helm-label"), "labels", "app.kubernetes.io/managed-by", "Helm"),
    ];
    let names: Vec<_> =
        stays.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    space.put(&stays).await;
    for name in &names {
        space.until_phase(name, "Sent").await;
    }
    // These finish after those, so when they are gone, those have had their time.
    space
        .put(&[
            brief("own"),
            marked(brief("other-tool"), "labels", "app.kubernetes.io/managed-by", "kubectl"),
        ])
        .await;
    soon("those of nobody are removed", async || {
        let left = space.kubectl(&["get", "notif", "-o", "name"]).await;
        !left.contains("/own") && !left.contains("/other-tool")
    })
    .await;
    let left = space.kubectl(&["get", "notif", "-o", "name"]).await;
    for name in &names {
        assert!(left.lines().any(|line| line.ends_with(&format!("/{name}"))), "{name} was removed: {left}");
    }
    assert_eq!(smtp.ledger().len(), names.len() + 2, "each was sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_one_is_kept_no_longer_than_it_says() {
    let space = Space::new("time-keep-failed").await;
    let smtp = ScriptedSmtp::builder().recipients(|_| Some("550 5.1.1 No".into())).start().await;
    let brief = json!({ "delivery": { "keepFor": "1s" } });
    let version = space.version().await;
    space.put(&[server(smtp.address(), json!({})), notification("news", &["ada@corp.example"], brief)]).await;
    soon("it is removed", async || {
        smtp.count(Step::Rcpt) > 0 && space.get("notifications", "news").await.is_null()
    })
    .await;
    let history = space.history("news", &version).await;
    let last = history.last().unwrap();
    assert_eq!(last["status"]["phase"], "Failed");
    let completed: Timestamp = last["status"]["completionTime"].as_str().unwrap().parse().unwrap();
    assert!(Timestamp::now() >= completed.checked_add(1.seconds()).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_restored_from_a_backup_waits_for_a_person() {
    let space = Space::new("time-restored").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let restored = |name: &str, to: &str| {
        marked(notification(name, &[to], json!({})), "labels", "velero.io/restore-name", "monday")
    };
    space
        .put(&[
            server(smtp.address(), json!({})),
            restored("resend", "ada@corp.example"),
            restored("sent", "bob@corp.example"),
            notification("other", &["eve@corp.example"], json!({})),
        ])
        .await;
    for name in ["resend", "sent"] {
        let held = space.until_reason("notifications", name, "Ready", "RestoredFromBackup").await;
        assert_eq!(held["status"], "False");
        super::holds(held["message"].as_str().unwrap(), &["mail-operator.dev/resolve=sent", "=resend"]);
    }
    space.until_phase("other", "Sent").await;
    assert_eq!(smtp.ledger().len(), 1, "nothing goes out before somebody has decided");
    for name in ["resend", "sent"] {
        let word = format!("mail-operator.dev/resolve={name}");
        space.kubectl(&["annotate", &format!("notification/{name}"), &word]).await;
        space.until_phase(name, "Sent").await;
    }
    only(&smtp, "ada@corp.example");
    assert!(taken(&smtp, "bob@corp.example").is_empty());
    assert_eq!(
        recipient(&space.get("notifications", "sent").await, "bob@corp.example")["reason"],
        "ResolvedAsSent"
    );
}
