//! One message for all (`delivery.mode: Shared`): everybody gets the same bytes once, sees `to` and `cc` and never `bcc`,
//! and whatever becomes of one recipient is not another's affair.

use super::{holds, merge, notification, recipient, says, server, taken, template};
use crate::objects::{Space, condition};
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use mail_parser::{Address, MessageParser};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

const ADA: &str = "ada@corp.example";
const BOB: &str = "bob@corp.example";
const GONE: &str = "gone@corp.example";
const BOSS: &str = "boss@corp.example";
const AUDIT: &str = "audit@corp.example";

/// A Notification with one message for all.
pub fn shared(name: &str, to: &[&str], cc: &[&str], bcc: &[&str], more: Value) -> Value {
    let list = |addresses: &[&str]| -> Value {
        addresses.iter().map(|address| json!({ "address": address })).collect()
    };
    let mut spec = json!({ "delivery": { "mode": "Shared" } });
    for (field, addresses) in [("cc", cc), ("bcc", bcc)] {
        if !addresses.is_empty() {
            spec[field] = list(addresses);
        }
    }
    merge(&mut spec, more);
    notification(name, to, spec)
}

/// The addresses in a header field, in order.
fn shown(message: &[u8], field: &str) -> Vec<String> {
    let parsed = MessageParser::default().parse(message).unwrap();
    let addresses = match field {
        "To" => parsed.to(),
        "Cc" => parsed.cc(),
        _ => parsed.bcc(),
    };
    let of = |address: &Address<'_>| {
        address.iter().map(|one| one.address().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    addresses.map(of).unwrap_or_default()
}

/// Checks that each of these addresses got the message so often, and nobody else anything.
#[track_caller]
fn copies(smtp: &ScriptedSmtp, expected: &[(&str, usize)]) {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for message in smtp.ledger() {
        for to in message.recipients {
            *found.entry(to).or_default() += 1;
        }
    }
    let expected: BTreeMap<_, _> = expected
        .iter()
        .filter(|(_, copies)| *copies > 0)
        .map(|(to, copies)| ((*to).to_owned(), *copies))
        .collect();
    assert_eq!(found, expected);
}

/// The only bytes that a server has taken, however often.
#[track_caller]
fn only_bytes(smtp: &ScriptedSmtp) -> Vec<u8> {
    let ledger = smtp.ledger();
    let first = ledger.first().unwrap().message.clone();
    assert!(ledger.iter().all(|taken| taken.message == first), "one message for all");
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_greylisted_accepted_and_hidden_recipients_of_one_message() {
    let space = Space::new("shared-mixed").await;
    let asked = AtomicUsize::new(0);
    let smtp = ScriptedSmtp::builder()
        .recipients(move |to| match to {
            GONE => Some("550 5.1.1 No such user".into()),
            BOB if asked.fetch_add(1, Ordering::SeqCst) == 0 => {
                Some("450 4.7.1 Greylisted, come back".into())
            }
            _ => None,
        })
        .start()
        .await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    let version = space.version().await;
    space.put(&[shared("news", &[ADA, BOB, GONE], &[BOSS], &[AUDIT], json!({}))]).await;
    let done = space.until_phase("news", "PartiallySent").await;
    let status = &done["status"];
    assert_eq!((&status["accepted"], &status["attempts"]), (&json!("4/5"), &json!(2)));
    assert_eq!(
        status["summary"],
        json!({ "total": 5, "accepted": 4, "refused": 1, "pending": 0, "inDoubt": 0 })
    );
    let order: Vec<_> = status["recipients"].as_array().unwrap().iter().map(|to| &to["address"]).collect();
    assert_eq!(order, [ADA, BOB, GONE, BOSS, AUDIT], "to, cc, bcc");
    let ids: Vec<_> =
        [ADA, BOB, GONE, BOSS, AUDIT].map(|to| recipient(&done, to)["messageID"].clone()).into();
    assert!(ids.iter().all(|id| id.is_string() && *id == ids[0]), "{ids:?}");
    let gone = recipient(&done, GONE);
    assert_eq!(
        (&gone["state"], &gone["code"], &gone["enhancedCode"]),
        (&json!("Refused"), &json!(550), &json!("5.1.1"))
    );

    copies(&smtp, &[(ADA, 1), (BOB, 1), (BOSS, 1), (AUDIT, 1)]);
    let ledger = smtp.ledger();
    assert_eq!(ledger[0].recipients, [ADA, BOSS, AUDIT]);
    assert_eq!(ledger[1].recipients, [BOB], "the one who was asked to come back, alone");
    let bytes = only_bytes(&smtp);
    assert_eq!(shown(&bytes, "To"), [ADA, BOB, GONE], "also who gets it later or never");
    assert_eq!(shown(&bytes, "Cc"), [BOSS]);
    assert!(!String::from_utf8_lossy(&bytes).to_lowercase().contains("bcc"));
    assert!(!String::from_utf8_lossy(&bytes).contains(AUDIT), "nobody sees the hidden one");
    assert_eq!(smtp.count(Step::Mail), 2);
    // Created, once for each attempt: nothing is written for single recipients.
    assert_eq!(space.history("news", &version).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_rendered_once_for_all() {
    let space = Space::new("shared-template").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let spec = json!({
        "subject": "{{ what }} for {{ recipient.displayName }}", "text": "Ask {{ recipient.address }}.",
        "variables": [{ "name": "what", "required": true }],
        "translations": [{ "locale": "de", "subject": "{{ what }} für {{ recipient.displayName }}", "text": "Frag {{ recipient.address }}." }]
    });
    space.put(&[server(smtp.address(), json!({})), template("offer", spec)]).await;
    let mut news = shared("news", &[ADA, BOB], &[BOSS], &[], json!({}));
    news["spec"]["to"][0]["displayName"] = json!("Ada");
    news["spec"]["message"] =
        json!({ "templateRef": { "name": "offer" }, "locale": "de-AT", "values": { "what": "Kekse" } });
    space.put(&[news]).await;
    let done = space.until_phase("news", "Sent").await;
    assert_eq!(done["status"]["template"]["locale"], "de");
    assert_eq!(smtp.ledger().len(), 1);
    copies(&smtp, &[(ADA, 1), (BOB, 1), (BOSS, 1)]);
    let bytes = only_bytes(&smtp);
    let parsed = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(parsed.subject().unwrap(), "Kekse für Ada");
    assert_eq!(parsed.body_text(0).unwrap().trim_end(), "Frag ada@corp.example.");
}

/// `r0@corp.example` and so on.
fn many(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("r{n}@corp.example")).collect()
}

/// Sends to 250 recipients through a server with these limits; returns how many went in each transaction.
async fn in_transactions(space: &Space, smtp: &ScriptedSmtp, limits: Value) -> Vec<usize> {
    const COUNT: usize = 250;
    let addresses = many(COUNT);
    let to: Vec<_> = addresses.iter().map(String::as_str).collect();
    space.put(&[server(smtp.address(), json!({ "limits": limits }))]).await;
    space.put(&[shared("news", &to[..150], &to[150..200], &to[200..], json!({}))]).await;
    let done = space.until_phase("news", "Sent").await;
    assert_eq!((&done["status"]["accepted"], &done["status"]["attempts"]), (&json!("250/250"), &json!(1)));
    let each: Vec<_> = to.iter().map(|to| (*to, 1)).collect();
    copies(smtp, &each);
    let bytes = only_bytes(smtp);
    assert_eq!((shown(&bytes, "To").len(), shown(&bytes, "Cc").len()), (150, 50), "everybody, each time");
    smtp.ledger().iter().map(|message| message.recipients.len()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_at_once_as_the_limits_of_config_and_server_permit() {
    let space = Space::new("shared-parcels").await;
    let own = ScriptedSmtp::builder().start().await;
    assert_eq!(in_transactions(&space, &own, json!({})).await, [100, 100, 50], "100 unless said otherwise");
    let space = Space::new("shared-rcptmax").await;
    let announced =
        ScriptedSmtp::builder().extensions(&["PIPELINING", "LIMITS RCPTMAX=80 MAILMAX=2"]).start().await;
    let more = json!({ "recipientsPerMessage": 200 });
    assert_eq!(in_transactions(&space, &announced, more.clone()).await, [80, 80, 80, 10]);
    assert!(announced.connections() >= 2, "two messages a session");
    // Says so only when it is asked for more: 250 questions, 150, 50.
    let space = Space::new("shared-452").await;
    let asked = AtomicUsize::new(0);
    let silent = ScriptedSmtp::builder()
        .recipients(move |_| {
            let nth = asked.fetch_add(1, Ordering::SeqCst);
            let too_many = (100..250).contains(&nth) || (350..400).contains(&nth);
            too_many.then(|| "452 4.5.3 Too many recipients".into())
        })
        .start()
        .await;
    let more = json!({ "recipientsPerMessage": 500 });
    assert_eq!(in_transactions(&space, &silent, more).await, [100, 100, 50]);
    assert_eq!(silent.count(Step::Mail), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_takes_what_is_left_of_the_day() {
    let space = Space::new("shared-day").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({ "limits": { "recipientsPerDay": 3 } }))]).await;
    space.put(&[notification("first", &["first@corp.example"], json!({}))]).await;
    space.until_phase("first", "Sent").await;
    space.put(&[shared("news", &[ADA, BOB], &[BOSS], &[AUDIT], json!({}))]).await;
    let two = |news: &Value| news["status"]["accepted"] == "2/4";
    let news = space.until("notifications", "news", "sent to two", two).await;
    assert_eq!((&news["status"]["phase"], &news["status"]["finished"]), (&json!("Pending"), &json!(false)));
    space.until_reason("mailserverconfigs", "default", "Ready", "LimitReached").await;
    copies(&smtp, &[("first@corp.example", 1), (ADA, 1), (BOB, 1)]);
    assert_eq!(smtp.ledger()[1].recipients, [ADA, BOB]);
    // With more places the others follow, with the same bytes.
    space.put(&[server(smtp.address(), json!({ "limits": { "recipientsPerDay": 10 } }))]).await;
    space.until_phase("news", "Sent").await;
    copies(&smtp, &[("first@corp.example", 1), (ADA, 1), (BOB, 1), (BOSS, 1), (AUDIT, 1)]);
    assert_eq!(taken(&smtp, ADA)[0].message, taken(&smtp, BOSS)[0].message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_breaks_off_among_the_recipients_loses_nobody() {
    // The fault comes at the third RCPT: before anybody was refused, and after somebody was.
    for (name, refused) in [("shared-421", None), ("shared-421-refused", Some(ADA))] {
        let space = Space::new(name).await;
        let builder = ScriptedSmtp::builder().fault_at(Step::Rcpt, 3, Fault::reply("421 4.3.2 Closing"));
        let builder =
            refused.into_iter().fold(builder, |builder, to| builder.recipient(to, "550 5.1.1 Who?"));
        let smtp = builder.start().await;
        space.put(&[server(smtp.address(), json!({}))]).await;
        space.put(&[shared("news", &[ADA, BOB], &[BOSS], &[AUDIT], json!({}))]).await;
        let phase = if refused.is_some() { "PartiallySent" } else { "Sent" };
        let done = space.until_phase("news", phase).await;
        assert_eq!(done["status"]["attempts"], 1, "{name}");
        copies(&smtp, &[(ADA, usize::from(refused.is_none())), (BOB, 1), (BOSS, 1), (AUDIT, 1)]);
        let asked = smtp.commands().iter().filter(|line| line.contains(ADA)).count();
        assert_eq!(asked, if refused.is_some() { 1 } else { 2 }, "who was refused is not asked again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_deferred_keeps_nobody_waiting_when_the_server_hangs_up() {
    let space = Space::new("shared-deferred").await;
    // ADA is put off for long; the server hangs up at the third RCPT of the first transaction.
    let smtp = ScriptedSmtp::builder()
        .recipient(ADA, "450 4.2.0 Later")
        .fault_at(Step::Rcpt, 3, Fault::reply("421 4.3.2 Closing"))
        .start()
        .await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    let version = space.version().await;
    space.put(&[shared("news", &[ADA, BOB], &[BOSS], &[AUDIT], json!({}))]).await;
    let three = |news: &Value| news["status"]["accepted"] == "3/4";
    space.until("notifications", "news", "sent to three", three).await;
    let first = space.history("news", &version).await.into_iter().nth(1).unwrap();
    assert_eq!(first["status"]["accepted"], "3/4", "in the same attempt");
    assert_eq!(recipient(&first, ADA)["state"], "Pending");
    copies(&smtp, &[(BOB, 1), (BOSS, 1), (AUDIT, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_doubt_are_all_who_were_accepted_and_nobody_else() {
    for (policy, phase, again) in [("Resend", "PartiallySent", 2), ("Hold", "InDoubt", 1)] {
        let space = Space::new(&format!("shared-doubt-{}", policy.to_lowercase())).await;
        let smtp = ScriptedSmtp::builder()
            .recipient(GONE, "550 5.1.1 No such user")
            .fault_at(Step::Dot, 1, Fault::TakeThenEof)
            .start()
            .await;
        space.put(&[server(smtp.address(), json!({}))]).await;
        let version = space.version().await;
        let more = json!({ "delivery": { "onInDoubt": policy } });
        space.put(&[shared("news", &[ADA, GONE], &[BOSS], &[AUDIT], more)]).await;
        let found = space.until_phase("news", phase).await;
        copies(&smtp, &[(ADA, again), (BOSS, again), (AUDIT, again)]);
        only_bytes(&smtp);
        let history = space.history("news", &version).await;
        let doubt = history.iter().find(|news| condition(news, "InDoubt")["status"] == "True").unwrap();
        says(doubt, "InDoubt", "True", "AnswerLost", &["for 3 recipients"]);
        assert_eq!(recipient(doubt, GONE)["state"], "Refused");
        for to in [ADA, BOSS, AUDIT] {
            assert_eq!(recipient(doubt, to)["state"], "InDoubt", "{policy}: {to}");
        }
        if policy == "Resend" {
            for to in [ADA, BOSS, AUDIT] {
                holds(recipient(&found, to)["message"].as_str().unwrap(), &["may have arrived twice"]);
            }
        } else {
            space.kubectl(&["annotate", "notification/news", "mail-operator.dev/resolve=sent"]).await;
            let done = space.until_phase("news", "PartiallySent").await;
            assert_eq!(done["status"]["accepted"], "3/4");
            copies(&smtp, &[(ADA, 1), (BOSS, 1), (AUDIT, 1)]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_needs_smtputf8_is_refused_alone() {
    const BEYOND: &str = "jürgen@corp.example";
    let space = Space::new("shared-utf8").await;
    let smtp = ScriptedSmtp::builder().extensions(&["PIPELINING", "SIZE"]).start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    space.put(&[shared("news", &[ADA, BEYOND], &[BOSS], &[], json!({}))]).await;
    let done = space.until_phase("news", "PartiallySent").await;
    let refused = recipient(&done, BEYOND);
    assert_eq!((&refused["state"], &refused["reason"]), (&json!("Refused"), &json!("SMTPUTF8NotOffered")));
    copies(&smtp, &[(ADA, 1), (BOSS, 1)]);
    assert!(only_bytes(&smtp).is_ascii());
    // Where it is offered, everybody gets it and sees everybody.
    let space = Space::new("shared-utf8-offered").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    space.put(&[shared("news", &[ADA, BEYOND], &[BOSS], &[], json!({}))]).await;
    space.until_phase("news", "Sent").await;
    copies(&smtp, &[(ADA, 1), (BEYOND, 1), (BOSS, 1)]);
    assert_eq!(shown(&only_bytes(&smtp), "To"), [ADA, BEYOND]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_or_size_that_is_refused_concerns_all_at_once() {
    let space = Space::new("shared-size").await;
    let smtp = ScriptedSmtp::builder().extensions(&["PIPELINING", "SIZE 100"]).start().await;
    let addresses = many(150);
    let to: Vec<_> = addresses.iter().map(String::as_str).collect();
    space.put(&[server(smtp.address(), json!({}))]).await;
    space.put(&[shared("news", &to, &[], &[], json!({}))]).await;
    let done = space.until_phase("news", "Failed").await;
    assert_eq!(done["status"]["summary"]["refused"], 150);
    assert_eq!(recipient(&done, to[149])["reason"], "MessageTooLarge");
    assert_eq!(smtp.count(Step::Mail), 0, "nothing was sent to find out");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_shared_is_said_at_the_door_or_on_the_object() {
    let space = Space::new("shared-refused").await;
    let individual = json!({ "cc": [{ "address": BOSS }] });
    let words = ["cc and bcc need delivery.mode: Shared", "each recipient gets a message of his own"];
    holds(&space.refused(&notification("copies", &[ADA], individual).to_string()).await, &words);
    let mut own = shared("own", &[ADA], &[], &[], json!({}));
    own["spec"]["to"][0]["locale"] = json!("de");
    let words =
        ["with delivery.mode: Shared there is one message for all", "leave to[].values and to[].locale out"];
    holds(&space.refused(&own.to_string()).await, &words);
    let twice = shared("twice", &[ADA], &[BOSS, BOSS], &[], json!({}));
    holds(&space.refused(&twice.to_string()).await, &["spec.cc[1]", "Duplicate value"]);

    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    space.put(&[shared("double", &[ADA], &["ada@CORP.example"], &["x@192.0.2.1"], json!({}))]).await;
    let found = space.until("notifications", "double", "refused", |news| {
        condition(news, "Rendered")["reason"] == "InvalidMessage"
    });
    let words = [
        "to[ada@corp.example]",
        "cc[ada@CORP.example]",
        "same address",
        "bcc[x@192.0.2.1].address",
        "IP address",
    ];
    says(&found.await, "Rendered", "False", "InvalidMessage", &words);
    assert_eq!(smtp.count(Step::Mail), 0);
}
