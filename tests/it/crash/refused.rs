//! What the API server will not take: a status that a policy forbids, one that is too large. Others' mail goes on,
//! nothing is sent again meanwhile, and once it may be stored, it is.

use crate::cluster::apart;
use crate::crash::Scene;
use crate::notifications::{merge, notification};
use crate::operator::{InProcess, brisk};
use crate::probes::of;
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use serde_json::{Value, json};
use std::time::Duration;

/// Has the API server refuse in a namespace what a CEL expression about it does not permit.
async fn policy(scene: &Scene, namespace: &str, (group, resource): (&str, &str), expression: &str) -> String {
    let name = format!("no-{}-{}", resource.replace('/', "-"), scene.space.name);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": [resource]
            }] },
            "validations": [{ "expression": expression, "message": "not today" }]
        }
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": {
            "policyName": name, "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } } }
        }
    });
    scene.space.apply(&format!("{policy}\n---\n{binding}")).await;
    name
}

/// Refuses statuses of Notifications with the label `refused` in this namespace.
async fn refuse(scene: &Scene) {
    let expression = "!has(object.metadata.labels) || !('refused' in object.metadata.labels)";
    let notifications = ("mail-operator.dev", "notifications/status");
    policy(scene, &scene.space.name, notifications, expression).await;
    scene
        .space
        .apply(
            &refused("probe", "nobody", json!({ "delivery": { "sendAt": "2099-01-01T00:00:00Z" } }))
                .to_string(),
        )
        .await;
    crate::eventually("the policy holds", Duration::from_mins(1), async || !may_be_stored(scene).await).await;
}

/// Whether the API server would take the status of one with the label.
async fn may_be_stored(scene: &Scene) -> bool {
    let patch = json!({ "status": { "attempts": 1 } }).to_string();
    let arguments = [
        "patch",
        "notification",
        "probe",
        "-n",
        &scene.space.name,
        "--subresource=status",
        "--type=merge",
        "--dry-run=server",
        "-p",
        &patch,
    ];
    scene.space.plane.kubectl(&arguments).await.unwrap().status.success()
}

/// Takes a policy away.
async fn lift(scene: &Scene, name: &str) {
    let kinds = "validatingadmissionpolicybinding,validatingadmissionpolicy";
    scene.space.plane.kubectl(&["delete", kinds, name]).await.unwrap().success().unwrap();
}

async fn permit(scene: &Scene) {
    lift(scene, &format!("no-notifications-status-{}", scene.space.name)).await;
    crate::eventually("the policy is gone", Duration::from_mins(1), async || may_be_stored(scene).await)
        .await;
}

fn refused(name: &str, server: &str, mut more: Value) -> Value {
    merge(&mut more, json!({ "serverRef": { "name": server } }));
    let mut object = notification(name, &[&format!("{name}@corp.example")], more);
    object["metadata"]["labels"] = json!({ "refused": "yes" });
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_forbids_a_status_stops_nobody_else() {
    let scene = Scene::new(apart().await, "refused").await;
    let smtp = ScriptedSmtp::builder().start().await;
    scene.server("mail", smtp.address()).await;
    refuse(&scene).await;
    let operator = scene.operator(&[]);
    // More of them than results may be under way at once.
    let all: Vec<_> = (0..60).map(|n| format!("r{n}")).collect();
    let objects: Vec<_> = all.iter().map(|name| refused(name, "mail", json!({})).to_string()).collect();
    scene.space.apply(&objects.join("\n---\n")).await;
    crate::eventually("all of them were taken", Duration::from_mins(1), async || smtp.ledger().len() >= 60)
        .await;
    scene.notify("after", "mail", &["after@corp.example"], "Resend").await;
    scene.until_phase("after", "Sent").await;
    crate::eventually("an Event tells it", Duration::from_mins(1), async || {
        scene.space.events_of("r0").await.contains(&"Warning StatusNotStored".to_owned())
    })
    .await;
    // The journal knows the answers, so a crash puts nothing in doubt.
    crate::eventually("the journal knows all answers", Duration::from_mins(1), async || {
        let journals = scene.journals().await;
        let entries = journals.iter().filter_map(|journal| journal["entries"].as_object());
        let done = entries
            .flat_map(|entries| entries.values())
            .filter(|entry| entry["done"][0]["verdict"] == "Accepted");
        done.count() >= 60
    })
    .await;
    operator.kill9().unwrap();
    operator.wait_exit(Duration::from_secs(10)).await.unwrap();
    let _next = scene.operator(&[]);
    scene.notify("later", "mail", &["later@corp.example"], "Resend").await;
    scene.until_phase("later", "Sent").await;
    permit(&scene).await;
    for name in &all {
        scene.until_phase(name, "Sent").await;
        assert_eq!(smtp.copies_for(&format!("{name}@corp.example")), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_settled_holds_only_itself() {
    let scene = Scene::new(apart().await, "unsettled").await;
    let smtp = ScriptedSmtp::builder().hold(Step::Dot).start().await;
    scene.server("mail", smtp.address()).await;
    let operator = scene.operator(&[]);
    scene
        .space
        .apply(&refused("lost", "mail", json!({ "delivery": { "onInDoubt": "Hold" } })).to_string())
        .await;
    smtp.reached(Step::Dot).await;
    operator.kill9().unwrap();
    operator.wait_exit(Duration::from_secs(10)).await.unwrap();
    refuse(&scene).await;
    smtp.release(Step::Dot);

    // Another login at the same server would be another account: this is the same.
    let _next = scene.operator(&[]);
    scene.notify("after", "mail", &["after@corp.example"], "Resend").await;
    scene.until_phase("after", "Sent").await;
    assert!(scene.names("lost").await, "the entry stays until it can be settled");
    assert!(smtp.copies_for("lost@corp.example") <= 1);
    permit(&scene).await;
    scene.until_phase("lost", "InDoubt").await;
    crate::eventually("the journal forgets it", Duration::from_mins(1), async || !scene.names("lost").await)
        .await;
}

/// A spec that fits into etcd, but not with what becomes of its thousand recipients, is refused before the first mail.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_could_not_store_its_outcome_is_not_sent() {
    let scene = Scene::new(apart().await, "outgrown").await;
    let smtp = ScriptedSmtp::builder().start().await;
    scene.server("default", smtp.address()).await;
    let template = json!({
        "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MessageTemplate", "metadata": { "name": "big" },
        "spec": { "subject": "Hi {{ name }}", "text": "Go to {{ link }}", "variables": [
            { "name": "name", "required": true }, { "name": "link", "type": "URL", "required": true }
        ] }
    });
    scene.space.apply(&template.to_string()).await;
    let _operator = scene.operator(&[]);
    let to: Vec<_> = (0..1000)
        .map(|n| json!({
            "address": format!("user{n:04}@corp.example"), "displayName": format!("User Number {n}"), "locale": "en",
            "values": { "name": format!("User {n}"), "link": format!("https://portal.corp.example/t/{}", "x".repeat(1180)) }
        }))
        .collect();
    let big = json!({
        "apiVersion": "mail-operator.dev/v1alpha1", "kind": "Notification",
        "metadata": { "name": "big", "namespace": scene.space.name },
        "spec": { "to": to, "message": { "templateRef": { "name": "big" } } }
    });
    // Applied, it would be too large for kubectl's annotation.
    let created =
        scene.space.plane.kubectl_with_input(&["create", "-f", "-"], &big.to_string()).await.unwrap();
    created.success().unwrap();
    let told = scene
        .until("big", "told", |found| {
            crate::objects::condition(found, "Ready")["reason"] == "NotificationTooLarge"
        })
        .await;
    let message = crate::objects::condition(&told, "Ready")["message"].to_string();
    assert!(message.contains("1000 recipients") && message.contains("several Notifications"), "{message}");
    scene.notify("after", "default", &["after@corp.example"], "Resend").await;
    scene.until_phase("after", "Sent").await;
    assert_eq!(smtp.ledger().len(), 1, "only the other one");
}

/// Nothing goes out that the journal does not name; the MailServerConfig says why, and mail goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_refused_is_told_and_sends_nothing() {
    let scene = Scene::new(apart().await, "journal-refused").await;
    let (smtp, other) = (ScriptedSmtp::builder().start().await, crate::crash::healthy().await);
    scene.server("mail", smtp.address()).await;
    scene.server("other", other.address()).await;
    let operator = InProcess::start(scene.space.plane, &of(&scene), brisk).await;
    // One journal is there already, and may be written; a new one may not.
    scene.notify("before", "other", &["ada@corp.example"], "Resend").await;
    scene.until_phase("before", "Sent").await;
    let own = scene.operator_namespace();
    let list = ["-n", &own, "get", "configmaps", "-l", "mail-operator.dev/journal", "-o", "name"];
    let known = scene.space.plane.kubectl(&list).await.unwrap().success().unwrap();
    let known = known.trim().trim_start_matches("configmap/").to_owned();
    let expression =
        format!("!object.metadata.name.startsWith('mail-journal') || object.metadata.name == '{known}'");
    let name = policy(&scene, &own, ("", "configmaps"), &expression).await;
    crate::eventually("the policy holds", Duration::from_mins(1), async || {
        let create = ["-n", &own, "create", "configmap", "mail-journal-x", "--dry-run=server"];
        !scene.space.plane.kubectl(&create).await.unwrap().status.success()
    })
    .await;

    scene.notify("held", "mail", &["ada@corp.example"], "Resend").await;
    let told = scene.space.until_reason("mailserverconfigs", "mail", "Ready", "JournalNotStored").await;
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("ConfigMap mail-journal-") && !message.contains("not today"), "{message}");
    scene.notify("after", "other", &["bob@corp.example"], "Resend").await;
    scene.until_phase("after", "Sent").await;
    assert_eq!((smtp.count(Step::Data), other.ledger().len()), (0, 2));
    lift(&scene, &name).await;
    scene.until_phase("held", "Sent").await;
    assert_eq!(smtp.copies_for("ada@corp.example"), 1);
    scene.space.until_reason("mailserverconfigs", "mail", "Ready", "Verified").await;
    operator.stop().await;
}

/// The status of a MailServerConfig is for people: without it mail goes on, and it is not written for ever at one pace.
#[tokio::test(flavor = "multi_thread")]
async fn a_config_whose_status_is_refused_sends_all_the_same() {
    let scene = Scene::new(apart().await, "config-refused").await;
    let smtp = ScriptedSmtp::builder().start().await;
    policy(&scene, &scene.space.name, ("mail-operator.dev", "mailserverconfigs/status"), "false").await;
    scene.server("probe", smtp.address()).await;
    crate::eventually("the policy holds", Duration::from_mins(1), async || {
        let patch = [
            "patch",
            "msc",
            "probe",
            "-n",
            &scene.space.name,
            "--subresource=status",
            "--type=merge",
            "--dry-run=server",
            "-p",
            r#"{"status":{"auth":"None"}}"#,
        ];
        !scene.space.plane.kubectl(&patch).await.unwrap().status.success()
    })
    .await;
    scene.server("mail", smtp.address()).await;
    let operator = scene.operator(&[]);
    scene.notify("hello", "mail", &["ada@corp.example"], "Resend").await;
    scene.until_phase("hello", "Sent").await;
    assert_eq!(smtp.copies_for("ada@corp.example"), 1);
    crate::eventually("an Event tells it", Duration::from_mins(1), async || {
        scene
            .space
            .kubectl(&["get", "events", "-o", "json"])
            .await
            .contains("the status of this object cannot be stored")
    })
    .await;
    assert!(scene.space.get("mailserverconfigs", "mail").await["status"].is_null());
    let log = operator.log();
    let told = log
        .lines()
        .filter(|line| line.contains("status refused") && line.contains("config-refused/mail"))
        .count();
    assert_eq!(told, 1, "{log}");
}

/// A policy may stay for ever, and a node that is drained waits for nobody's policy.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_does_not_keep_the_process_from_ending() {
    let scene = Scene::new(apart().await, "refused-drain").await;
    let smtp = ScriptedSmtp::builder().start().await;
    scene.server("mail", smtp.address()).await;
    refuse(&scene).await;
    let operator = scene.operator(&[]);
    scene.space.apply(&refused("kept", "mail", json!({})).to_string()).await;
    crate::eventually("an Event tells it", Duration::from_mins(1), async || {
        scene.space.kubectl(&["get", "events", "-o", "json"]).await.contains("StatusNotStored")
    })
    .await;
    operator.term().unwrap();
    let ended = operator.wait_exit(Duration::from_secs(20)).await;
    assert!(ended.is_ok(), "a shutdown waits a minute for outcomes that can be stored, and not for this one");
    // The next one knows the answer, and stores it when it may.
    let _next = scene.operator(&[]);
    permit(&scene).await;
    let sent = scene.until_phase("kept", "Sent").await;
    assert!(!crate::crash::says_twice(&sent, "kept@corp.example"));
    assert_eq!(smtp.copies_for("kept@corp.example"), 1);
}
