//! What an attacker writes into a Notification: line breaks, NUL, characters that turn text around. Each is
//! refused by the API server, or does no harm in the mail that leaves.

use super::{merge, notification, server, taken, template};
use crate::objects::{Space, soon};
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use mail_parser::MessageParser;
use serde_json::{Value, json};

/// Each would begin a header, a recipient or a message of its own, or look like something that it is not.
const INJECTIONS: [&str; 6] = [
    "x\r\nBcc: eve@evil.example",
    "x\nBcc: eve@evil.example",
    "x\r.\r\nMAIL FROM:<eve@evil.example>",
    "x\u{0}y",
    "x\u{202e}moc.live\u{202c}",
    "x\u{2028}Bcc: eve@evil.example",
];

/// A Notification with `text` in one place of its spec.
fn with(place: usize, text: &str) -> Option<Value> {
    let more = match place {
        0 => json!({ "to": [{ "address": format!("{text}@corp.example") }] }),
        1 => json!({ "to": [{ "address": format!("ada@{text}") }] }),
        2 => json!({ "to": [{ "address": "ada@corp.example", "displayName": text }] }),
        3 => json!({ "to": [{ "address": "ada@corp.example", "locale": text }] }),
        4 => json!({ "message": { "content": { "subject": text } } }),
        5 => json!({ "message": { "content": { "text": text } } }),
        6 => json!({ "message": { "content": { "html": format!("<p>{text}</p>") } } }),
        7 => json!({ "message": { "replyTo": format!("{text}@corp.example") } }),
        8 => json!({ "message": { "from": { "address": "it@corp.example", "displayName": text } } }),
        9 => json!({ "message": { "from": { "address": format!("{text}@corp.example") } } }),
        10 => {
            json!({ "message": { "content": null, "templateRef": { "name": "echo" }, "values": { "value": text } } })
        }
        11 => {
            json!({ "message": { "content": null, "templateRef": { "name": "echo" }, "values": { text: "x" } } })
        }
        12 => json!({ "message": { "content": null, "templateRef": { "name": text } } }),
        13 => json!({ "serverRef": { "name": text } }),
        14 => json!({ "message": { "locale": text } }),
        15 => json!({ "delivery": { "keepFor": text } }),
        _ => return None,
    };
    let mut object = notification("hostile", &["ada@corp.example"], json!({}));
    merge(&mut object["spec"], more);
    if object["spec"]["message"]["content"].is_null() {
        object["spec"]["message"].as_object_mut().unwrap().remove("content");
    }
    Some(object)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_string_of_the_spec_breaks_out_of_the_mail() {
    let space = Space::new("hostile-strings").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let echo = template(
        "echo",
        json!({ "subject": "Hello", "text": "{{ value }}", "html": "<p>{{ value }}</p>", "variables": [{ "name": "value" }] }),
    );
    space.put(&[server(smtp.address(), json!({})), echo]).await;
    let client = space.client().await;
    let api: kube::Api<mail_operator::api::Notification> = kube::Api::namespaced(client.clone(), &space.name);
    let (mut refused, mut accepted) = (0, Vec::new());
    for (n, text) in INJECTIONS.iter().enumerate() {
        for (place, mut object) in (0..).map_while(|place| with(place, text).map(|object| (place, object))) {
            let name = format!("h{n}-{place}");
            object["metadata"]["name"] = json!(name);
            let Ok(object) = serde_json::from_value(object) else { continue };
            match api.create(&kube::api::PostParams::default(), &object).await {
                Ok(_) => accepted.push(name),
                Err(kube::Error::Api(status)) => {
                    assert_eq!(status.code, 422, "{name}: {status:?}");
                    refused += 1;
                }
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
    assert!(refused > 40, "{refused} refused at once");
    // Whatever was accepted was sent whole, failed, or says what is wrong with it.
    for name in &accepted {
        space
            .until("notifications", name, "settled", |found| {
                let ready = &crate::objects::condition(found, "Ready");
                ready["status"] == "True" || ready["status"] == "False"
            })
            .await;
    }
    for message in smtp.ledger() {
        assert_eq!(message.from, "it@corp.example");
        assert_eq!(message.recipients.len(), 1);
        assert!(!message.recipients[0].contains("evil"), "{message:?}");
        let head = message.message.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        assert!(message.message[..head].is_ascii(), "{message:?}");
        let parsed = MessageParser::default().parse(&message.message).unwrap();
        assert!(parsed.bcc().is_none() && parsed.cc().is_none(), "{message:?}");
        let bare = |window: &[u8]| window[0] != b'\r' && window[1] == b'\n';
        assert!(!message.message.windows(2).any(bare), "a bare line feed: {message:?}");
        assert!(!message.message.contains(&0));
    }
    assert!(taken(&smtp, "eve@evil.example").is_empty());
    // Nothing of it breaks or turns the lines of a terminal either.
    for name in &accepted {
        for condition in space.get("notifications", name).await["status"]["conditions"].as_array().unwrap() {
            let message = condition["message"].as_str().unwrap();
            assert!(!message.contains(['\r', '\n', '\0', '\u{202e}', '\u{2028}']), "{name}: {message:?}");
        }
    }
    space.put(&[notification("other", &["bob@corp.example"], json!({}))]).await;
    soon("others are not held up", async || !taken(&smtp, "bob@corp.example").is_empty()).await;
}
