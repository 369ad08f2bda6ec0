//! The server dies between the message and its answer: sent again and said so, or held for a person.

use super::{holds, notification, recipient, says, server, taken};
use crate::objects::{Space, condition};
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use serde_json::json;

const ADA: &str = "ada@corp.example";

/// Takes every message, and dies without an answer to these, counted from 1.
async fn dies_after_the_dot(of: &[usize]) -> ScriptedSmtp {
    let builder = ScriptedSmtp::builder();
    of.iter()
        .fold(builder, |builder, nth| builder.fault_at(Step::Dot, *nth, Fault::TakeThenEof))
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn under_resend_a_second_copy_goes_out_and_the_status_says_so() {
    let space = Space::new("in-doubt-resend").await;
    let smtp = dies_after_the_dot(&[1]).await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    let version = space.version().await;
    space.put(&[notification("news", &[ADA, "bob@corp.example"], json!({}))]).await;
    let sent = space.until_phase("news", "Sent").await;
    let copies = taken(&smtp, ADA);
    assert_eq!(copies.len(), 2, "the lost one and one more");
    assert_eq!(copies[0].message, copies[1].message, "the same bytes, so that the server can drop one");
    assert_eq!(taken(&smtp, "bob@corp.example").len(), 1);
    let ada = recipient(&sent, ADA);
    assert_eq!((&ada["state"], &ada["reason"]), (&json!("Accepted"), &json!("AnswerLost")));
    holds(ada["message"].as_str().unwrap(), &["may have arrived twice"]);
    assert!(recipient(&sent, "bob@corp.example")["reason"].is_null());
    assert!(condition(&sent, "InDoubt").is_null());
    // On the way it was said that the answer was lost.
    let history = space.history("news", &version).await;
    let doubt = history.iter().find(|news| condition(news, "InDoubt")["status"] == "True").unwrap();
    says(doubt, "InDoubt", "True", "AnswerLost", &["may or may not"]);
    assert_eq!(doubt["status"]["phase"], "Pending");
    assert_eq!(recipient(doubt, ADA)["state"], "InDoubt");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_hold_nothing_is_sent_twice_until_a_person_says_so() {
    let space = Space::new("in-doubt-hold").await;
    let smtp = dies_after_the_dot(&[1, 3]).await;
    let hold = json!({ "delivery": { "onInDoubt": "Hold" } });
    space.put(&[server(smtp.address(), json!({})), notification("news", &[ADA], hold)]).await;
    let doubt = space.until_phase("news", "InDoubt").await;
    assert_eq!(doubt["status"]["finished"], false);
    for type_ in ["Ready", "Sent"] {
        says(
            &doubt,
            type_,
            "False",
            "AnswerLost",
            &["messageID", "mail-operator.dev/resolve=sent or =resend"],
        );
    }
    says(&doubt, "InDoubt", "True", "AnswerLost", &["may or may not"]);
    let doubtful = recipient(&doubt, ADA);
    assert_eq!(doubtful["state"], "InDoubt");
    assert!(doubtful["messageID"].is_string());
    // Other mail through the same server goes on, and nothing is sent again meanwhile.
    space.put(&[notification("other", &["bob@corp.example"], json!({}))]).await;
    space.until_phase("other", "Sent").await;
    assert_eq!(taken(&smtp, ADA).len(), 1);

    // A decision is obeyed once; the next one needs another word.
    let resolve = async |word: &str| {
        let annotation = format!("mail-operator.dev/resolve={word}");
        space.kubectl(&["annotate", "--overwrite", "notification/news", &annotation]).await;
    };
    resolve("resend").await;
    let again = |news: &serde_json::Value| {
        news["status"]["phase"] == "InDoubt" && news["status"]["lastHandledResolve"] == "resend"
    };
    space.until("notifications", "news", "InDoubt again", again).await;
    assert_eq!(taken(&smtp, ADA).len(), 2);
    resolve("resend-2").await;
    let sent = space.until_phase("news", "Sent").await;
    assert_eq!(taken(&smtp, ADA).len(), 3);
    assert_eq!(sent["status"]["lastHandledResolve"], "resend-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_can_say_that_it_was_sent() {
    let space = Space::new("in-doubt-resolved").await;
    let smtp = dies_after_the_dot(&[1]).await;
    let hold = json!({ "delivery": { "onInDoubt": "Hold" } });
    space.put(&[server(smtp.address(), json!({})), notification("news", &[ADA], hold)]).await;
    space.until_phase("news", "InDoubt").await;
    space.kubectl(&["annotate", "notification/news", "mail-operator.dev/resolve=sent"]).await;
    let sent = space.until_phase("news", "Sent").await;
    assert_eq!(sent["status"]["finished"], true);
    let ada = recipient(&sent, ADA);
    assert_eq!((&ada["state"], &ada["reason"]), (&json!("Accepted"), &json!("ResolvedAsSent")));
    holds(ada["message"].as_str().unwrap(), &["by a person"]);
    assert!(condition(&sent, "InDoubt").is_null());
    space.put(&[notification("other", &["bob@corp.example"], json!({}))]).await;
    space.until_phase("other", "Sent").await;
    assert_eq!(taken(&smtp, ADA).len(), 1);
}

/// A server that takes each message, and whose answer never tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_loses_its_answers_gets_each_message_three_times() {
    let faults = [
        ("closes", Fault::TakeThenEof),
        ("late", Fault::Stall),
        ("garbage", Fault::Garbage),
        ("endless", Fault::LongLine(1 << 20)),
    ];
    let each = faults.map(async |(name, fault)| {
        let space = Space::new(&format!("in-doubt-{name}")).await;
        let smtp = ScriptedSmtp::builder().fault(Step::Dot, fault).start().await;
        space.put(&[server(smtp.address(), json!({}))]).await;
        space.put(&[notification("news", &[ADA], json!({}))]).await;
        let doubt = space.until_phase("news", "InDoubt").await;
        assert_eq!(doubt["status"]["finished"], false, "{name}");
        says(&doubt, "Ready", "False", "AnswerLost", &["for 1 of 1", "3 times", "resolve=sent or =resend"]);
        let told = recipient(&doubt, ADA);
        assert_eq!((&told["state"], &told["doubts"]), (&json!("InDoubt"), &json!(3)), "{name}");
        // Three, and no more: the operator has long had time for a fourth.
        assert_eq!(smtp.count(Step::Dot), 3, "{name}");
        space.put(&[notification("other", &["eve@corp.example"], json!({}))]).await;
        space.until_phase("other", "InDoubt").await;
        assert_eq!(smtp.count(Step::Dot), 6, "{name}");
        space.kubectl(&["annotate", "notification/news", "mail-operator.dev/resolve=sent"]).await;
        let sent = space.until_phase("news", "Sent").await;
        assert_eq!(sent["status"]["finished"], true, "{name}");
        assert_eq!(smtp.count(Step::Dot), 6, "{name}");
    });
    futures::future::join_all(each).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_an_answer() {
    let space = Space::new("in-doubt-long").await;
    let answer = format!("250 2.0.0 {}", "taken ".repeat(500));
    let smtp = ScriptedSmtp::builder().fault(Step::Dot, Fault::Reply(answer)).start().await;
    space.put(&[server(smtp.address(), json!({})), notification("news", &[ADA], json!({}))]).await;
    let sent = space.until_phase("news", "Sent").await;
    assert_eq!(recipient(&sent, ADA)["enhancedCode"], "2.0.0");
    assert_eq!(smtp.count(Step::Dot), 1);
}

/// Each Notification says it of itself; that it is the server's fault, its MailServerConfig says.
#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_config_says_that_answers_are_lost() {
    let space = Space::new("in-doubt-server").await;
    let smtp = dies_after_the_dot(&[1, 2, 3]).await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    let hold = json!({ "delivery": { "onInDoubt": "Hold" } });
    for (name, others) in [("one", true), ("two", true), ("three", false)] {
        space.put(&[notification(name, &[ADA], hold.clone())]).await;
        space.until_phase(name, "InDoubt").await;
        let config = space.get("mailserverconfigs", "default").await;
        assert!(!others || condition(&config, "AnswersLost").is_null(), "{name}: one may be an accident");
    }
    let told = space.until_reason("mailserverconfigs", "default", "AnswersLost", "AnswerLost").await;
    assert_eq!(told["status"], "True");
    holds(
        told["message"].as_str().unwrap(),
        &["the last 3 messages", "recipients may get copies", "mail server's log"],
    );
    let config = space.get("mailserverconfigs", "default").await;
    assert_eq!(condition(&config, "Ready")["status"], "True", "mail goes on");
    let event =
        async || space.kubectl(&["get", "events", "-o", "json"]).await.contains("the last 3 messages");
    crate::objects::soon("an Event says it", event).await;
    // The first answer that arrives ends it.
    space.put(&[notification("four", &["bob@corp.example"], json!({}))]).await;
    space.until_phase("four", "Sent").await;
    let is_over = |config: &serde_json::Value| condition(config, "AnswersLost").is_null();
    space.until("mailserverconfigs", "default", "without the warning", is_over).await;
}
