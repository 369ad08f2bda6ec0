//! Sessions: used for many messages, replaced when they end, as many and as fast as `limits` permit, and
//! never lent to a config that could not have opened them itself.

use super::{notification, only, server, taken};
use crate::objects::{Space, condition, soon};
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Notifications `n0`, `n1`, … to addresses of their own.
fn several(count: usize) -> Vec<Value> {
    (0..count).map(|n| notification(&format!("n{n}"), &[&format!("r{n}@corp.example")], json!({}))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_notifications_share_few_sessions() {
    let space = Space::new("sessions-shared").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    let before = smtp.connections();
    space.put(&several(20)).await;
    for n in 0..20 {
        space.until_phase(&format!("n{n}"), "Sent").await;
        only(&smtp, &format!("r{n}@corp.example"));
    }
    let opened = smtp.connections() - before;
    assert!((1..=4).contains(&opened), "{opened} sessions, and limits.connections is 4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_while_idle_is_replaced_without_a_word() {
    let space = Space::new("sessions-replaced").await;
    // The second MAIL comes on a session that has sent before: it finds it dead, twice in different ways.
    let smtp = ScriptedSmtp::builder()
        .fault_at(Step::Mail, 2, Fault::Eof)
        .fault_at(Step::Mail, 4, Fault::Rst)
        .start()
        .await;
    space.put(&[server(smtp.address(), json!({ "limits": { "connections": 1 } }))]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    let version = space.version().await;
    for (n, object) in several(3).into_iter().enumerate() {
        let name = format!("n{n}");
        space.put(&[object]).await;
        let sent = space.until_phase(&name, "Sent").await;
        assert_eq!(sent["status"]["attempts"], 1);
        assert_eq!(space.history(&name, &version).await.len(), 2, "created, and one write");
        only(&smtp, &format!("r{n}@corp.example"));
    }
    assert_eq!(smtp.count(Step::Mail), 5);
    let config = space.get("mailserverconfigs", "default").await;
    assert_eq!(condition(&config, "Ready")["status"], "True");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_than_the_limit() {
    let space = Space::new("sessions-connections").await;
    let smtp = ScriptedSmtp::builder().hold(Step::Data).start().await;
    let other = ScriptedSmtp::builder().start().await;
    let mut second = server(other.address(), json!({}));
    second["metadata"]["name"] = json!("other");
    space.put(&[server(smtp.address(), json!({ "limits": { "connections": 2 } })), second]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    space.put(&several(6)).await;
    smtp.reached_times(Step::Data, 2).await;
    // While both are busy, mail through another server comes and goes.
    let through = json!({ "serverRef": { "name": "other" } });
    space.put(&[notification("other", &["bob@corp.example"], through)]).await;
    space.until_phase("other", "Sent").await;
    assert_eq!(smtp.count(Step::Data), 2);
    smtp.release(Step::Data);
    for n in 0..6 {
        space.until_phase(&format!("n{n}"), "Sent").await;
        only(&smtp, &format!("r{n}@corp.example"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_messages_a_minute_than_the_limit() {
    let space = Space::new("sessions-pace").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({ "limits": { "messagesPerMinute": 120 } }))]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    space.put(&several(3)).await;
    let to = ["a@corp.example", "b@corp.example", "c@corp.example"];
    space.put(&[notification("long", &to, json!({}))]).await;
    smtp.reached(Step::Dot).await;
    let first = Instant::now();
    smtp.reached_times(Step::Dot, 6).await;
    // Five more at half a second each. The first may have been seen late, on a busy machine.
    assert!(first.elapsed() > Duration::from_millis(1500), "{:?}", first.elapsed());
    space.until_phase("long", "Sent").await;
    assert_eq!(smtp.ledger().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_recipients_a_day_than_the_limit() {
    let space = Space::new("sessions-day").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let limits = json!({ "limits": { "recipientsPerDay": 2, "connections": 1 } });
    space.put(&[server(smtp.address(), limits)]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    for object in several(2) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        space.put(&[object]).await;
        space.until_phase(&name, "Sent").await;
    }
    let version = space.version().await;
    space.put(&[notification("more", &["ada@corp.example"], json!({}))]).await;
    let held = space.until_reason("mailserverconfigs", "default", "Ready", "LimitReached").await;
    super::holds(held["message"].as_str().unwrap(), &["limits.recipientsPerDay"]);
    assert_eq!(space.history("more", &version).await.len(), 1, "created, and not written to");
    assert_eq!(smtp.ledger().len(), 2);
    // A higher limit sets it free at once.
    space.put(&[server(smtp.address(), json!({ "limits": { "recipientsPerDay": 3 } }))]).await;
    space.until_phase("more", "Sent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_message_keeps_to_the_days_limit_too() {
    let space = Space::new("sessions-day-long").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({ "limits": { "recipientsPerDay": 2 } }))]).await;
    let to = ["a@corp.example", "b@corp.example", "c@corp.example"];
    space.put(&[notification("long", &to, json!({}))]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "LimitReached").await;
    space.until("notifications", "long", "told of two", |found| found["status"]["accepted"] == "2/3").await;
    assert_eq!(smtp.ledger().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_fewer_connections_gets_fewer_and_mail_goes_on() {
    let space = Space::new("sessions-fewer").await;
    // The third session to say MAIL while two are busy is one too many, as Exchange Online says it.
    let smtp = ScriptedSmtp::builder()
        .fault_at(Step::Mail, 3, Fault::reply("432 4.3.2 Concurrent connections limit exceeded"))
        .hold(Step::Data)
        .start()
        .await;
    space.put(&[server(smtp.address(), json!({ "limits": { "connections": 3 } }))]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    space.put(&several(6)).await;
    smtp.reached_times(Step::Mail, 3).await;
    smtp.reached_times(Step::Data, 2).await;
    smtp.release(Step::Data);
    for n in 0..6 {
        let sent = space.until_phase(&format!("n{n}"), "Sent").await;
        assert_eq!(sent["status"]["attempts"], 1, "no message is to blame");
        only(&smtp, &format!("r{n}@corp.example"));
    }
    let ask = "mail-operator.dev/verify-requested-at=1";
    space.kubectl(&["annotate", "--overwrite", "msc", "default", ask]).await;
    let answered = |found: &Value| found["status"]["lastHandledVerifyRequest"] == "1";
    let found = space.until("mailserverconfigs", "default", "verified again", |found| {
        answered(found) && found["status"]["usage"]["recipientsLastDay"] == 6
    });
    let found = found.await;
    assert_eq!(found["status"]["usage"]["connectionsAllowed"], 2, "{:#}", found["status"]);
    assert_eq!(condition(&found, "Ready")["status"], "True");
}

/// The attacker knows host and user name, not the password. His config names the same account, so whatever is
/// kept by account alone (a session, a token, a limit) would be his as well.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_lacks_the_password_gets_no_session_of_whoever_has_it() {
    let owner = Space::new("sessions-owner").await;
    let smtp = ScriptedSmtp::builder().login("it@corp.example", "canary-right").start().await;
    let thief = Space::new("sessions-thief").await;
    owner.password("login", "canary-right", "127.0.0.1").await;
    thief.password("login", "canary-wrong", "127.0.0.1").await;
    for secret in ["login"] {
        let allow = "mail-operator.dev/allow-plaintext=true";
        owner.kubectl(&["annotate", "secret", secret, allow]).await;
        thief.kubectl(&["annotate", "secret", secret, allow]).await;
    }
    let login = json!({ "basic": { "username": "it@corp.example", "passwordSecretRef": { "name": "login", "key": "password" } } });
    // His limits would starve the owner if he had a say.
    let greedy = json!({ "auth": login.clone(), "limits": { "messagesPerMinute": 1, "recipientsPerDay": 1, "connections": 1 } });
    thief
        .put(&[server(smtp.address(), greedy), notification("loot", &["eve@corp.example"], json!({}))])
        .await;
    thief.until_reason("mailserverconfigs", "default", "Ready", "AuthenticationFailed").await;
    owner.put(&[server(smtp.address(), json!({ "auth": login.clone() }))]).await;
    owner.put(&several(3)).await;
    for n in 0..3 {
        owner.until_phase(&format!("n{n}"), "Sent").await;
    }
    // The owner's sessions are open and idle now. More loot, and a nudge to look again.
    thief.put(&[notification("more", &["eve@corp.example"], json!({}))]).await;
    thief.kubectl(&["annotate", "mailserverconfig/default", "mail-operator.dev/verify-requested-at=1"]).await;
    thief
        .until("mailserverconfigs", "default", "verified again", |found| {
            found["status"]["lastHandledVerifyRequest"] == "1"
                && condition(found, "Ready")["reason"] == "AuthenticationFailed"
        })
        .await;
    owner.put(&[notification("last", &["ada@corp.example"], json!({}))]).await;
    owner.until_phase("last", "Sent").await;
    assert!(taken(&smtp, "eve@corp.example").is_empty());
    for name in ["loot", "more"] {
        assert_eq!(thief.get("notifications", name).await["status"]["phase"], "Pending");
    }
    // The owner himself, with a second config and the wrong Secret, fares no better.
    owner.password("stale", "canary-stale", "127.0.0.1").await;
    owner.kubectl(&["annotate", "secret", "stale", "mail-operator.dev/allow-plaintext=true"]).await;
    let mut stale = server(smtp.address(), json!({ "auth": login }));
    stale["metadata"]["name"] = json!("stale");
    stale["spec"]["auth"]["basic"]["passwordSecretRef"]["name"] = json!("stale");
    let through = json!({ "serverRef": { "name": "stale" } });
    owner.put(&[stale, notification("stale", &["eve@corp.example"], through)]).await;
    owner.until_reason("mailserverconfigs", "stale", "Ready", "AuthenticationFailed").await;
    owner.put(&[notification("end", &["bob@corp.example"], json!({}))]).await;
    owner.until_phase("end", "Sent").await;
    assert!(taken(&smtp, "eve@corp.example").is_empty());
    soon("no session of his is open", async || smtp.ledger().len() == 5).await;
}
