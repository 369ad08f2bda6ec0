//! The life of the object itself: what it says before anybody has looked at it, how many writes it costs,
//! and what comes of editing and deleting it.

use super::{holds, merge, notification, only, says, server, taken};
use crate::objects::{Space, condition, soon};
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_object_says_that_it_is_pending_before_anybody_has_seen_it() {
    let space = Space::new("life-new").await;
    let news = notification("news", &["ada@corp.example"], json!({})).to_string();
    // The API server's answer to the create: nobody else had a hand in it.
    let arguments = ["-n", &space.name, "create", "-f", "-", "-o", "json"];
    let answer = space.plane.kubectl_with_input(&arguments, &news).await.unwrap().success().unwrap();
    let created: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(created["status"]["phase"], "Pending");
    assert_eq!(created["status"]["finished"], false);
    says(&created, "Ready", "Unknown", "Pending", &["waiting for the operator"]);
    says(&created, "Reconciling", "True", "Pending", &[]);
    let delivery =
        json!({ "mode": "Individual", "expireAfter": "24h", "onInDoubt": "Resend", "keepFor": "24h" });
    assert_eq!(created["spec"]["delivery"], delivery, "defaults are written out");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_well_costs_one_write_and_no_event() {
    let space = Space::new("life-one-write").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    let version = space.version().await;
    space.put(&[notification("news", &["ada@corp.example", "bob@corp.example"], json!({}))]).await;
    let sent = space.until_phase("news", "Sent").await;
    let history = space.history("news", &version).await;
    assert_eq!(history.len(), 2, "created, and the result: {history:#?}");
    assert_eq!(history[1]["metadata"]["resourceVersion"], sent["metadata"]["resourceVersion"]);
    assert_eq!(sent["status"]["observedGeneration"], 1);
    for time in ["startTime", "completionTime"] {
        assert!(sent["status"][time].is_string(), "{time}");
    }
    // A failing one after it has its Event; so the good one has none for good.
    let absent = json!({ "delivery": { "expireAfter": "1s" }, "serverRef": { "name": "absent" } });
    space.put(&[notification("bad", &["eve@corp.example"], absent)]).await;
    soon("the bad one has an Event", async || !space.events_of("bad").await.is_empty()).await;
    assert!(space.events_of("news").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_waits_selects_and_shows() {
    let space = Space::new("life-kubectl").await;
    let smtp = ScriptedSmtp::builder().recipient("gone@corp.example", "550 5.1.1 No such user").start().await;
    space
        .put(&[
            server(smtp.address(), json!({})),
            super::template("greeting", json!({ "subject": "Hello", "text": "Good morning." })),
            super::from_template("good", "greeting", "ada@corp.example", json!({})),
            notification("bad", &["gone@corp.example"], json!({})),
        ])
        .await;
    space.kubectl(&["wait", "--for=condition=Sent", "notif/good", "--timeout=30s"]).await;
    space.kubectl(&["wait", "--for=condition=Stalled", "notif/bad", "--timeout=30s"]).await;
    space
        .put(&[notification("waits", &["bob@corp.example"], json!({ "serverRef": { "name": "absent" } }))])
        .await;
    let selected = async |selector: &str| {
        let names = space.kubectl(&["get", "notif", "--field-selector", selector, "-o", "name"]).await;
        names.lines().map(|line| line.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(selected("status.phase=Failed").await, ["bad"]);
    assert_eq!(selected("status.phase=Sent").await, ["good"]);
    assert_eq!(selected("status.finished=true").await, ["bad", "good"]);
    assert_eq!(selected("status.finished!=true").await, ["waits"]);
    let table = space.kubectl(&["get", "notif"]).await;
    let row = |name: &str| {
        let row = table.lines().find(|line| line.starts_with(name)).unwrap();
        let row: Vec<_> = row.split_whitespace().map(str::to_owned).collect();
        row[..row.len() - 1].join(" ")
    };
    assert_eq!(row("NAME"), "NAME PHASE ACCEPTED SERVER TEMPLATE REASON");
    assert_eq!(row("good"), "good Sent 1/1 default greeting Accepted");
    assert_eq!(row("bad"), "bad Failed 0/1 default RecipientRefused");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spec_cannot_be_changed_and_its_order_means_nothing() {
    let space = Space::new("life-edited").await;
    let smtp = ScriptedSmtp::builder().start().await;
    // No server yet, so that it waits while somebody edits.
    let news = notification("news", &["ada@corp.example", "bob@corp.example"], json!({}));
    space.put(std::slice::from_ref(&news)).await;
    for change in [
        json!({ "message": { "content": { "text": "Something else" } } }),
        json!({ "to": [{ "address": "eve@corp.example" }] }),
        json!({ "delivery": { "expireAfter": "1h" } }),
    ] {
        let mut changed = news.clone();
        merge(&mut changed["spec"], change);
        let refusal = space.refused(&changed.to_string()).await;
        holds(&refusal, &["spec cannot be changed", "create another Notification"]);
    }
    let mut turned = news;
    turned["spec"]["to"].as_array_mut().unwrap().reverse();
    space.put(&[turned.clone()]).await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    let sent = space.until_phase("news", "Sent").await;
    assert_eq!(sent["status"]["accepted"], "2/2");
    turned["spec"]["to"].as_array_mut().unwrap().reverse();
    space.put(&[turned, notification("other", &["eve@corp.example"], json!({}))]).await;
    space.until_phase("other", "Sent").await;
    for address in ["ada@corp.example", "bob@corp.example", "eve@corp.example"] {
        only(&smtp, address);
    }
    assert_eq!(space.get("notifications", "news").await["status"], sent["status"]);
    // The same address twice is refused at once.
    let twice = notification("twice", &["ada@corp.example", "ada@corp.example"], json!({}));
    holds(&space.refused(&twice.to_string()).await, &["spec.to[1]", "Duplicate value", "ada@corp.example"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_while_it_waits_it_is_never_sent() {
    let space = Space::new("life-deleted").await;
    let smtp = ScriptedSmtp::builder().hold(Step::Greeting).start().await;
    space
        .put(&[
            server(smtp.address(), json!({})),
            notification("gone", &["ada@corp.example"], json!({})),
            notification("stays", &["bob@corp.example"], json!({})),
            notification("unresolved", &["eve@corp.example"], json!({ "serverRef": { "name": "later" } })),
        ])
        .await;
    smtp.reached(Step::Greeting).await;
    space.until("notifications", "unresolved", "told", |found| !condition(found, "Resolved").is_null()).await;
    space.kubectl(&["delete", "notif/gone", "notif/unresolved"]).await;
    // One of the same name is another one.
    space.put(&[notification("gone", &["new@corp.example"], json!({}))]).await;
    smtp.release(Step::Greeting);
    let mut later = server(smtp.address(), json!({}));
    later["metadata"]["name"] = json!("later");
    space.put(&[later]).await;
    space.until_reason("mailserverconfigs", "later", "Ready", "Verified").await;
    for name in ["stays", "gone"] {
        space.until_phase(name, "Sent").await;
    }
    only(&smtp, "bob@corp.example");
    only(&smtp, "new@corp.example");
    assert_eq!(smtp.ledger().len(), 2);
}

/// The value of a counter of the shared operator.
async fn counter(name: &str) -> u64 {
    let (_, metrics) = crate::operator::shared().await.get("/metrics").await.unwrap();
    let line = metrics.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_while_it_is_sent_its_outcome_is_dropped_and_counted() {
    let space = Space::new("life-deleted-sending").await;
    let smtp = ScriptedSmtp::builder().hold(Step::Data).start().await;
    space
        .put(&[server(smtp.address(), json!({})), notification("gone", &["ada@corp.example"], json!({}))])
        .await;
    smtp.reached(Step::Data).await;
    let before = counter("mail_operator_outcomes_dropped_total").await;
    space.kubectl(&["delete", "notif/gone"]).await;
    space
        .put(&[notification(
            "gone",
            &["new@corp.example"],
            json!({ "delivery": { "sendAt": "2100-01-01T00:00:00Z" } }),
        )])
        .await;
    smtp.release(Step::Data);
    soon("the outcome is counted as dropped", async || {
        counter("mail_operator_outcomes_dropped_total").await > before
    })
    .await;
    assert_eq!(taken(&smtp, "ada@corp.example").len(), 1, "it was too late to take it back");
    let namesake = space.get("notifications", "gone").await;
    assert!(namesake["status"]["recipients"].is_null(), "another object of that name is none the wiser");
    space.put(&[notification("other", &["bob@corp.example"], json!({}))]).await;
    space.until_phase("other", "Sent").await;
}
