//! Standard messages: sent without any object, edited by objects of their name, restored by deleting these. With an
//! operator that looks after one namespace only, and its own namespace apart.

use super::checked;
use crate::cluster::apart;
use crate::notifications::{from_template, only, says, server, template};
use crate::objects::{Space, condition};
use crate::operator::{InProcess, brisk};
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use serde_json::{Value, json};
use std::time::Duration;

/// A namespace, the namespace of the operator that looks after it, and the operator.
async fn spaces(name: &str) -> (Space, Space, InProcess) {
    let plane = apart().await;
    let (space, own) = (format!("{name}-team"), format!("{name}-operator"));
    for namespace in [&space, &own] {
        plane.kubectl(&["create", "namespace", namespace]).await.unwrap().success().unwrap();
    }
    let arguments = ["--namespace", &space, "--operator-namespace", &own];
    let operator = InProcess::start(plane, &arguments, brisk).await;
    (Space { plane, name: space }, Space { plane, name: own }, operator)
}

fn text(subject: &str) -> Value {
    json!({ "subject": subject, "text": "Changed." })
}

/// Sends the standard message until it comes from `source`: what was deleted a moment ago may still be known.
async fn sent_from(space: &Space, attempt: &mut u32, source: &str) -> Value {
    let mut seen = Vec::new();
    for _ in 0..50 {
        *attempt += 1;
        let name = format!("news-{attempt}");
        let to = format!("ada-{attempt}@corp.example");
        space.put(&[from_template(&name, "test-message", &to, json!({}))]).await;
        let sent = space.until_phase(&name, "Sent").await;
        if sent["status"]["template"]["source"] == source {
            return sent;
        }
        seen.push(sent["status"]["template"]["source"].clone());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never sent from {source}, but from {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_place_takes_its_turn() {
    let (space, operator, running) = spaces("standard").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    let mut attempt = 0;
    // Built in: nobody has written any template.
    let sent = sent_from(&space, &mut attempt, "built-in:test-message").await;
    assert!(sent["status"]["template"]["generation"].is_null());
    assert_eq!(sent["status"]["template"]["locale"], "en");
    // The operator's namespace edits it for everybody, and admits everybody by that.
    operator.put(&[template("test-message", text("Of the operator"))]).await;
    let edited = checked(&operator, "test-message").await;
    assert_eq!(edited["status"]["overrides"], "built-in:test-message");
    assert!(edited["status"]["differs"].as_array().unwrap().contains(&json!("en subject")));
    says(&edited, "Ready", "True", "Valid", &["can be used, in en", "overrides built-in:test-message"]);
    sent_from(&space, &mut attempt, "standard-operator/test-message").await;
    // The own namespace goes before that.
    space.put(&[template("test-message", text("Of the team"))]).await;
    let own = checked(&space, "test-message").await;
    assert_eq!(own["status"]["overrides"], "standard-operator/test-message");
    assert_eq!(own["status"]["differs"], json!(["en subject"]));
    let sent = sent_from(&space, &mut attempt, "standard-team/test-message").await;
    assert_eq!(sent["status"]["template"]["generation"], 1);
    let message = only(&smtp, &format!("ada-{attempt}@corp.example"));
    assert!(String::from_utf8_lossy(&message).contains("Subject: Of the team"));
    // Its status follows what it overrides.
    operator.put(&[template("test-message", text("Of the team"))]).await;
    let same = |found: &Value| found["status"]["differs"].is_null();
    let own = space.until("messagetemplates", "test-message", "the same as the operator's", same).await;
    says(
        &own,
        "Ready",
        "True",
        "Valid",
        &["overrides standard-operator/test-message, from which it does not differ"],
    );
    operator.kubectl(&["delete", "messagetemplate/test-message"]).await;
    let built_in = |found: &Value| found["status"]["overrides"] == "built-in:test-message";
    space.until("messagetemplates", "test-message", "in the place of the standard one", built_in).await;
    // Deleted, the standard text is back.
    space.kubectl(&["delete", "messagetemplate/test-message"]).await;
    sent_from(&space, &mut attempt, "built-in:test-message").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_notification_goes_out_wherever_its_template_appears() {
    let (space, operator, running) = spaces("appears").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let names = ["near", "far"];
    let mut objects = vec![server(smtp.address(), json!({}))];
    objects.extend(names.map(|name| from_template(name, name, &format!("{name}@corp.example"), json!({}))));
    space.put(&objects).await;
    for name in names {
        let told = space.until_reason("notifications", name, "Resolved", "TemplateNotFound").await;
        let words = [format!("appears-team/{name} does not exist"), "namespace appears-operator".into()];
        for word in words {
            assert!(told["message"].as_str().unwrap().contains(&word), "{told}");
        }
    }
    // One that does not admit the namespace is as good as absent.
    operator.put(&[template("far", text("Hello"))]).await;
    checked(&operator, "far").await;
    space.put(&[template("near", text("Hello"))]).await;
    space.until_phase("near", "Sent").await;
    let far = space.get("notifications", "far").await;
    assert_eq!(condition(&far, "Resolved")["reason"], "TemplateNotFound");
    let mut open = text("Hello");
    open["access"] = json!({ "namespaces": { "from": "All" } });
    operator.put(&[template("far", open)]).await;
    let sent = space.until_phase("far", "Sent").await;
    assert_eq!(sent["status"]["template"]["source"], "appears-operator/far");
    assert_eq!(smtp.ledger().len(), 2);
    running.stop().await;
}
