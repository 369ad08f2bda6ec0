//! Servers and templates that are absent, deleted, or in another namespace: what the Notification says, and
//! that it goes out by itself once things are as they should be.

use super::{from_template, notification, only, says, server, taken, template};
use crate::objects::{Space, condition};
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use mail_parser::MessageParser;
use serde_json::{Value, json};

/// Waits until a Notification is not resolved, for this reason and with these words.
pub async fn unresolved(space: &Space, name: &str, reason: &str, words: &[&str]) -> Value {
    let found = space
        .until("notifications", name, reason, |found| condition(found, "Resolved")["reason"] == reason)
        .await;
    for type_ in ["Ready", "Resolved"] {
        says(&found, type_, "False", reason, words);
    }
    found
}

fn greeting() -> Value {
    template("greeting", json!({ "subject": "Hello", "text": "Good morning." }))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_later_lets_it_go() {
    let space = Space::new("access-later").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[from_template("news", "greeting", "ada@corp.example", json!({}))]).await;
    let words = ["MailServerConfig access-later/default does not exist", "create it", "serverRef"];
    let waiting = unresolved(&space, "news", "ServerNotFound", &words).await;
    assert_eq!(waiting["status"]["phase"], "Pending");
    assert_eq!(condition(&waiting, "Reconciling")["status"], "True", "kstatus: in progress");
    assert!(condition(&waiting, "Stalled").is_null());
    space.put(&[server(smtp.address(), json!({}))]).await;
    let words = ["MessageTemplate access-later/greeting does not exist", "goes out by itself"];
    unresolved(&space, "news", "TemplateNotFound", &words).await;
    space.put(&[greeting()]).await;
    let sent = space.until_phase("news", "Sent").await;
    assert_eq!(sent["status"]["attempts"], 1);
    for type_ in ["Ready", "Resolved", "Rendered", "Sent"] {
        assert_eq!(condition(&sent, type_)["status"], "True", "{type_}");
    }
    assert!(condition(&sent, "Reconciling").is_null());
    only(&smtp, "ada@corp.example");
    assert!(space.events_of("news").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_while_it_waits_is_told_and_nothing_is_sent() {
    let space = Space::new("access-deleted").await;
    // It greets nobody, so everything waits.
    let smtp = ScriptedSmtp::builder().hold(Step::Greeting).start().await;
    space
        .put(&[
            server(smtp.address(), json!({})),
            greeting(),
            from_template("template", "greeting", "ada@corp.example", json!({})),
            notification("content", &["bob@corp.example"], json!({})),
        ])
        .await;
    smtp.reached(Step::Greeting).await;
    space.kubectl(&["delete", "mailserverconfig/default"]).await;
    for name in ["template", "content"] {
        unresolved(&space, name, "ServerNotFound", &["access-deleted/default", "create it"]).await;
    }
    // Back, and still silent. What waits for a server hears of its template when its turn comes.
    space.put(&[server(smtp.address(), json!({}))]).await;
    space.until_reason("notifications", "template", "Ready", "WaitingForServer").await;
    space.kubectl(&["delete", "messagetemplate/greeting"]).await;
    smtp.release(Step::Greeting);
    space.until_phase("content", "Sent").await;
    unresolved(&space, "template", "TemplateNotFound", &["access-deleted/greeting"]).await;
    assert_eq!(smtp.ledger().len(), 1);
    space.put(&[greeting()]).await;
    space.until_phase("template", "Sent").await;
    only(&smtp, "ada@corp.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_namespaces_server_and_template_need_its_permission() {
    let owner = Space::new("access-owner").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let guest = Space::new("access-guest").await;
    let through = json!({ "serverRef": { "name": "default", "namespace": "access-owner" } });
    let mut news = from_template("news", "greeting", "ada@corp.example", through);
    news["spec"]["message"]["templateRef"]["namespace"] = json!("access-owner");
    owner.put(&[server(smtp.address(), json!({})), greeting()]).await;
    guest.put(&[news]).await;
    let remedy =
        ["does not admit namespace access-guest", "access.namespaces", "from: All", "from: Selector"];
    let found = unresolved(&guest, "news", "ServerNotPermitted", &remedy).await;
    says(&found, "Ready", "False", "ServerNotPermitted", &["MailServerConfig access-owner/default"]);
    assert_eq!(condition(&found, "Reconciling")["status"], "True");
    // What is not there is answered in the same words.
    let elsewhere = json!({ "serverRef": { "name": "absent", "namespace": "access-owner" } });
    guest.put(&[notification("probe", &["ada@corp.example"], elsewhere)]).await;
    let probe = unresolved(&guest, "probe", "ServerNotPermitted", &remedy).await;
    let words =
        |of: &Value| condition(of, "Resolved")["message"].as_str().unwrap().replace("/absent", "/default");
    assert_eq!(words(&probe), words(&found));

    // All: the server admits everybody; the template still does not.
    owner.put(&[server(smtp.address(), json!({ "access": { "namespaces": { "from": "All" } } }))]).await;
    unresolved(
        &guest,
        "news",
        "TemplateNotPermitted",
        &["MessageTemplate access-owner/greeting", "from: All"],
    )
    .await;

    // Selector: not with the labels of now, but with those that the namespace gets later.
    let mut chosen = greeting();
    chosen["spec"]["access"] =
        json!({ "namespaces": { "from": "Selector", "selector": { "matchLabels": { "mail": "yes" } } } });
    owner.put(&[chosen]).await;
    owner
        .until("messagetemplates", "greeting", "checked", |found| found["status"]["observedGeneration"] == 2)
        .await;
    assert_eq!(guest.get("notifications", "news").await["status"]["phase"], "Pending");
    guest
        .plane
        .kubectl(&["label", "namespace", "access-guest", "mail=yes"])
        .await
        .unwrap()
        .success()
        .unwrap();
    guest.until_phase("news", "Sent").await;
    only(&smtp, "ada@corp.example");

    // Permission taken away again counts for the next one.
    owner.put(&[server(smtp.address(), json!({}))]).await;
    let through = json!({ "serverRef": { "name": "default", "namespace": "access-owner" } });
    guest.put(&[notification("late", &["bob@corp.example"], through)]).await;
    unresolved(&guest, "late", "ServerNotPermitted", &["access-guest"]).await;
    assert!(taken(&smtp, "bob@corp.example").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_steer_and_names_that_pretend_need_permission() {
    let space = Space::new("access-steering").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let with = |field: &str, name: &str| {
        json!({ "message": {
            "headers": [{ "name": field, "value": "theirs" }],
            "from": { "address": "it@corp.example", "displayName": name }
        } })
    };
    space
        .put(&[
            server(smtp.address(), json!({})),
            notification("steers", &["ada@corp.example"], with("x-SES-Configuration-Set", "Desk")),
            notification("pretends", &["bob@corp.example"], with("X-Ticket", "CEO <ceo@bank.example>")),
            notification("honest", &["eve@corp.example"], with("X-Ticket", "Desk it@corp.example")),
        ])
        .await;
    let words =
        ["message.headers[x-SES-Configuration-Set]", "access-steering/default", "access.headers", "X-SES-*"];
    unresolved(&space, "steers", "HeaderNotPermitted", &words).await;
    let words = ["message.from.displayName", "access-steering/default", "access.displayNames"];
    unresolved(&space, "pretends", "DisplayNameNotPermitted", &words).await;
    space.until_phase("honest", "Sent").await;
    only(&smtp, "eve@corp.example");
    assert_eq!(smtp.ledger().len(), 1);

    // Its owner permits both: they go out by themselves.
    let access = json!({ "access": { "headers": ["X-SES-*"], "displayNames": "Any" } });
    space.put(&[server(smtp.address(), access)]).await;
    space.until_phase("steers", "Sent").await;
    let bytes = only(&smtp, "ada@corp.example");
    assert!(String::from_utf8_lossy(&bytes).contains("\r\nx-SES-Configuration-Set: theirs\r\n"));
    space.until_phase("pretends", "Sent").await;
    let bytes = only(&smtp, "bob@corp.example");
    let message = MessageParser::default().parse(&bytes).unwrap();
    let from = message.from().and_then(|from| from.first()).unwrap();
    assert_eq!((from.name(), from.address()), (Some("CEO <ceo@bank.example>"), Some("it@corp.example")));
}
