//! What the API server will not take: a status that a policy forbids, one that is too large. Others' mail goes on,
//! nothing is sent again meanwhile, and once it may be stored, it is.

use crate::cluster::apart;
use crate::crash::Scene;
use crate::notifications::{merge, notification};
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use serde_json::{Value, json};
use std::time::Duration;

/// Refuses statuses of Notifications with the label `refused` in this namespace.
async fn refuse(scene: &Scene) {
    let name = format!("no-status-{}", scene.space.name);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [{
                "apiGroups": ["mail-operator.dev"], "apiVersions": ["*"], "operations": ["UPDATE"],
                "resources": ["notifications/status"]
            }] },
            "validations": [{
                "expression": "!has(object.metadata.labels) || !('refused' in object.metadata.labels)",
                "message": "no status today"
            }]
        }
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": {
            "policyName": name, "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": scene.space.name } } }
        }
    });
    scene.space.apply(&format!("{policy}\n---\n{binding}")).await;
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

async fn permit(scene: &Scene) {
    let name = format!("no-status-{}", scene.space.name);
    let kinds = "validatingadmissionpolicybinding,validatingadmissionpolicy";
    scene.space.plane.kubectl(&["delete", kinds, &name]).await.unwrap().success().unwrap();
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
