//! What a mail server's answers come to, for each recipient and for the whole.

use super::{holds, notification, only, recipient, says, server, taken};
use crate::objects::{Space, condition};
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_recipient_does_not_stop_the_others() {
    let space = Space::new("outcome-refused").await;
    let smtp = ScriptedSmtp::builder()
        .recipient("gone@corp.example", "550 5.1.1 <gone@corp.example> No such user here")
        .start()
        .await;
    let to = ["ada@corp.example", "gone@corp.example", "bob@corp.example"];
    space.put(&[server(smtp.address(), json!({})), notification("news", &to, json!({}))]).await;
    let news = space.until_phase("news", "PartiallySent").await;
    let status = &news["status"];
    assert_eq!(status["accepted"], "2/3");
    assert_eq!(status["finished"], true);
    assert_eq!(
        status["summary"],
        json!({ "total": 3, "accepted": 2, "refused": 1, "pending": 0, "inDoubt": 0 })
    );
    let gone = recipient(&news, "gone@corp.example");
    assert_eq!(gone["state"], "Refused");
    assert_eq!(gone["code"], 550);
    assert_eq!(gone["enhancedCode"], "5.1.1");
    assert_eq!(gone["reason"], "RecipientRefused");
    holds(gone["message"].as_str().unwrap(), &["No such user here"]);
    assert!(!gone["message"].as_str().unwrap().contains("gone@"), "addresses are masked: {gone}");
    for address in ["ada@corp.example", "bob@corp.example"] {
        let accepted = recipient(&news, address);
        assert_eq!((&accepted["state"], &accepted["code"]), (&json!("Accepted"), &json!(250)), "{accepted}");
        let message = String::from_utf8(only(&smtp, address)).unwrap();
        holds(&message, &[&format!("Message-ID: {}", accepted["messageID"].as_str().unwrap())]);
        assert!(!message.contains("gone@corp.example"), "nobody sees the others: {message}");
    }
    for type_ in ["Ready", "Sent"] {
        says(&news, type_, "False", "PartiallyAccepted", &["2 of 3", "1 refused", "No such user here"]);
    }
    assert_eq!(condition(&news, "Stalled")["status"], "True");
    assert!(taken(&smtp, "gone@corp.example").is_empty());
    crate::objects::soon("an Event tells of it", async || {
        space.events_of("news").await == ["Warning PartiallyAccepted"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_refused_is_failed_and_says_why() {
    let space = Space::new("outcome-all-refused").await;
    let smtp = ScriptedSmtp::builder()
        .recipients(|to| to.starts_with("gone").then(|| "550 5.1.1 No such user".into()))
        .start()
        .await;
    space
        .put(&[
            server(smtp.address(), json!({})),
            notification("one", &["gone1@corp.example"], json!({})),
            notification("two", &["gone2@corp.example", "gone3@corp.example"], json!({})),
            notification("other", &["ada@corp.example"], json!({})),
        ])
        .await;
    let one = space.until_phase("one", "Failed").await;
    says(&one, "Ready", "False", "RecipientRefused", &["No such user"]);
    let two = space.until_phase("two", "Failed").await;
    says(&two, "Ready", "False", "AllRefused", &["all 2 recipients", "No such user"]);
    assert_eq!((&two["status"]["accepted"], &two["status"]["attempts"]), (&json!("0/2"), &json!(1)));
    space.until_phase("other", "Sent").await;
    assert_eq!(smtp.ledger().len(), 1);
    assert!(space.events_of("other").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greylisted_recipient_gets_one_mail_at_the_second_attempt() {
    let space = Space::new("outcome-greylisted").await;
    let asked = AtomicUsize::new(0);
    let smtp = ScriptedSmtp::builder()
        .recipients(move |to| {
            let first = to.starts_with("grey") && asked.fetch_add(1, Ordering::SeqCst) == 0;
            first.then(|| "451 4.7.1 Greylisted, please come back".into())
        })
        .start()
        .await;
    let to = ["ada@corp.example", "grey@corp.example"];
    space.put(&[server(smtp.address(), json!({})), notification("news", &to, json!({}))]).await;
    let waits = |news: &serde_json::Value| recipient(news, "grey@corp.example")["reason"] == "Greylisted";
    let waiting = space.until("notifications", "news", "greylisted", waits).await;
    assert_eq!(waiting["status"]["phase"], "Pending");
    assert_eq!(waiting["status"]["accepted"], "1/2");
    assert!(waiting["status"]["nextAttemptTime"].is_string());
    says(&waiting, "Ready", "Unknown", "Greylisted", &["will be tried again"]);
    assert_eq!(condition(&waiting, "Reconciling")["status"], "True");
    let sent = space.until_phase("news", "Sent").await;
    assert_eq!(sent["status"]["attempts"], 2);
    assert!(sent["status"]["nextAttemptTime"].is_null());
    for address in to {
        only(&smtp, address);
    }
    assert!(space.events_of("news").await.is_empty(), "no Event for what went well in the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_refused_at_the_dot_is_not_tried_again() {
    let space = Space::new("outcome-message-refused").await;
    for (name, reply, reason, words) in [
        ("content", "554 5.6.0 Looks like spam", "MessageRefused", "Looks like spam"),
        ("size", "552 5.3.4 Message too big", "MessageTooLarge", "smaller"),
    ] {
        let smtp = ScriptedSmtp::builder().fault_once(Step::Dot, Fault::reply(reply)).start().await;
        let mut config = server(smtp.address(), json!({}));
        config["metadata"]["name"] = json!(name);
        let through = json!({ "serverRef": { "name": name } });
        space.put(&[config, notification(name, &["ada@corp.example"], through.clone())]).await;
        let failed = space.until_phase(name, "Failed").await;
        says(&failed, "Ready", "False", reason, &[words]);
        assert_eq!(failed["status"]["attempts"], 1);
        assert_eq!(recipient(&failed, "ada@corp.example")["code"].to_string(), reply[..3]);
        let other = format!("{name}-other");
        space.put(&[notification(&other, &["bob@corp.example"], through)]).await;
        space.until_phase(&other, "Sent").await;
        assert!(taken(&smtp, "ada@corp.example").is_empty());
        assert_eq!(smtp.count(Step::Dot), 2, "the refused one once, the other once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_larger_than_the_server_takes_is_not_offered() {
    let space = Space::new("outcome-too-large").await;
    let smtp = ScriptedSmtp::builder().extensions(&["PIPELINING", "SIZE 2000"]).start().await;
    let long = json!({ "message": { "content": { "text": "so much to say ".repeat(300) } } });
    space
        .put(&[
            server(smtp.address(), json!({})),
            notification("long", &["ada@corp.example"], long),
            notification("short", &["bob@corp.example"], json!({})),
        ])
        .await;
    let failed = space.until_phase("long", "Failed").await;
    says(&failed, "Ready", "False", "MessageTooLarge", &["2000", "smaller"]);
    space.until_phase("short", "Sent").await;
    assert_eq!(smtp.count(Step::Mail), 1, "only the short one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_beyond_ascii_needs_smtputf8_of_the_server() {
    let space = Space::new("outcome-smtputf8").await;
    let plain = ScriptedSmtp::builder().extensions(&["PIPELINING", "8BITMIME"]).start().await;
    let able = ScriptedSmtp::builder().start().await;
    let mut second = server(able.address(), json!({}));
    second["metadata"]["name"] = json!("able");
    // The domain alone is no obstacle: it goes out as A-labels.
    let to = ["jürgen@corp.example", "ada@bücher.example"];
    let through = json!({ "serverRef": { "name": "able" } });
    space
        .put(&[
            server(plain.address(), json!({})),
            second,
            notification("plain", &to, json!({})),
            notification("able", &to, through),
        ])
        .await;
    let partly = space.until_phase("plain", "PartiallySent").await;
    let refused = recipient(&partly, "jürgen@corp.example");
    assert_eq!(refused["reason"], "SMTPUTF8NotOffered");
    holds(refused["message"].as_str().unwrap(), &["before the @", "SMTPUTF8"]);
    only(&plain, "ada@xn--bcher-kva.example");
    space.until_phase("able", "Sent").await;
    only(&able, "jürgen@corp.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_the_login_may_not_use_fails_all_recipients_at_once() {
    let space = Space::new("outcome-send-as").await;
    for (name, step, reply) in [
        ("exchange", Step::Mail, "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
        ("postfix", Step::Rcpt, "553 5.7.1 <it@corp.example>: Sender address rejected: not owned by user it"),
    ] {
        let smtp = ScriptedSmtp::builder().fault_once(step, Fault::reply(reply)).start().await;
        let mut config = server(smtp.address(), json!({}));
        config["metadata"]["name"] = json!(name);
        let through = json!({ "serverRef": { "name": name } });
        let to = ["ada@corp.example", "bob@corp.example"];
        space.put(&[config, notification(name, &to, through.clone())]).await;
        let failed = space.until_phase(name, "Failed").await;
        for address in to {
            assert_eq!(recipient(&failed, address)["reason"], "SendAsDenied", "{name} {address}");
        }
        says(&failed, "Ready", "False", "AllRefused", &["may not send as this From address", "SendAs"]);
        assert_eq!(smtp.count(step), 1, "the second recipient is not tried: {name}");
        let other = format!("{name}-other");
        space.put(&[notification(&other, &["eve@corp.example"], through)]).await;
        space.until_phase(&other, "Sent").await;
    }
}
