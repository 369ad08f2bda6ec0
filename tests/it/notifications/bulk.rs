//! One Notification to very many: each gets one mail in his language, the API server hears little of it, and
//! nobody else waits for its end.

use super::{events, from_template, notification, only, recipient, server, template};
use crate::objects::Space;
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use mail_parser::MessageParser;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// `r0@corp.example` and so on; every other one speaks German.
fn recipients(count: usize) -> Value {
    let one = |n: usize| {
        let locale = if n.is_multiple_of(2) { "en" } else { "de-AT" };
        json!({ "address": format!("r{n}@corp.example"), "locale": locale, "values": { "number": n } })
    };
    (0..count).map(one).collect()
}

fn offer() -> Value {
    template(
        "offer",
        json!({
            "subject": "Offer {{ number }}", "text": "For you, {{ recipient.address }}.",
            "variables": [{ "name": "number", "type": "Integer", "required": true }],
            "translations": [{ "locale": "de", "subject": "Angebot {{ number }}", "text": "Für Sie, {{ recipient.address }}." }]
        }),
    )
}

/// Writes to the journal that named this Notification, since `version`.
async fn journal_writes(space: &Space, uid: &str, version: &str) -> usize {
    let all = events(space, "/api/v1/namespaces/mail-operator/configmaps", version).await;
    let mut writes: BTreeMap<String, (usize, bool)> = BTreeMap::new();
    for event in all {
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let (count, ours) = writes.entry(name).or_default();
        *count += 1;
        *ours |= event.to_string().contains(uid);
    }
    writes.values().filter(|(_, ours)| *ours).map(|(count, _)| count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_recipients_get_one_mail_each_and_cost_few_writes() {
    const COUNT: usize = 1000;
    let space = Space::new("bulk-thousand").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({})), offer()]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    let version = space.version().await;
    let mut bulk = from_template("bulk", "offer", "x@corp.example", json!({}));
    bulk["spec"]["to"] = recipients(COUNT);
    space.put(&[bulk]).await;
    let mut last = Value::Null;
    crate::eventually("it is Sent", Duration::from_mins(2), async || {
        last = space.get("notifications", "bulk").await;
        last["status"]["phase"] == "Sent"
    })
    .await;
    assert_eq!(last["status"]["accepted"], "1000/1000");
    assert_eq!(last["status"]["attempts"], 1);
    assert_eq!(last["status"]["template"]["locale"], "de,en");
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for message in smtp.ledger() {
        assert_eq!(message.recipients.len(), 1, "nobody sees another");
        *copies.entry(message.recipients[0].clone()).or_default() += 1;
        let parsed = MessageParser::default().parse(&message.message).unwrap();
        let number: usize = message.recipients[0][1..].split('@').next().unwrap().parse().unwrap();
        let word = if number.is_multiple_of(2) { "Offer" } else { "Angebot" };
        assert_eq!(parsed.subject().unwrap(), format!("{word} {number}"));
    }
    assert_eq!(copies.len(), COUNT);
    assert!(copies.values().all(|copies| *copies == 1), "each exactly one mail");
    let order: Vec<_> = smtp.ledger().iter().map(|message| message.recipients[0].clone()).collect();
    let wanted: Vec<_> = (0..COUNT).map(|n| format!("r{n}@corp.example")).collect();
    assert!(order == wanted, "in the order of the spec");
    // As many as a busy machine may need: a status each 10 s, a claim each second.
    let statuses = space.history("bulk", &version).await.len() - 1;
    let uid = last["metadata"]["uid"].as_str().unwrap();
    let journal = journal_writes(&space, uid, &version).await;
    assert!((1..=4).contains(&statuses), "{statuses} status writes");
    assert!((1..=30).contains(&journal), "{journal} journal writes for {COUNT} recipients");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_lets_another_namespace_go_in_between() {
    const COUNT: usize = 300;
    let owner = Space::new("bulk-owner").await;
    let guest = Space::new("bulk-guest").await;
    // Some 30 ms a message: the bulk takes its time.
    let smtp =
        ScriptedSmtp::builder().fault(Step::Dot, Fault::Trickle(Duration::from_millis(1))).start().await;
    let one = json!({ "limits": { "connections": 1 }, "access": { "namespaces": { "from": "All" } } });
    owner.put(&[server(smtp.address(), one), offer()]).await;
    let mut bulk = from_template("bulk", "offer", "x@corp.example", json!({}));
    bulk["spec"]["to"] = recipients(COUNT);
    owner.put(&[bulk]).await;
    smtp.reached_times(Step::Dot, 5).await;
    let through = json!({ "serverRef": { "name": "default", "namespace": "bulk-owner" } });
    guest.put(&[notification("single", &["ada@corp.example"], through)]).await;
    guest.until_phase("single", "Sent").await;
    let sent = smtp.ledger().len();
    assert!(sent < COUNT / 2, "{sent} of the bulk went first");
    only(&smtp, "ada@corp.example");
    let done = owner.until_phase("bulk", "Sent").await;
    assert_eq!(done["status"]["accepted"], format!("{COUNT}/{COUNT}"));
    assert_eq!(done["status"]["attempts"], 1, "a turn is no attempt");
    assert_eq!(smtp.ledger().len(), COUNT + 1);
    for n in 0..COUNT {
        let address = format!("r{n}@corp.example");
        only(&smtp, &address);
        assert_eq!(recipient(&done, &address)["state"], "Accepted");
    }
}
