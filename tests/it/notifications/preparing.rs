//! From a Notification to its message: values, languages, content, From; and everything that is wrong with
//! them, told at once.

use super::{from_template, holds, merge, notification, only, says, server, template};
use crate::objects::{Space, condition};
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use mail_parser::MessageParser;
use serde_json::{Value, json};

/// A template with one variable of each of some types.
fn welcome() -> Value {
    template(
        "welcome",
        json!({
            "subject": "Welcome, {{ name }}", "text": "{{ name }}: {{ days }} days, see {{ link }}",
            "variables": [
                { "name": "name", "required": true },
                { "name": "days", "type": "Integer", "default": 14 },
                { "name": "link", "type": "URL", "example": "https://corp.example/" },
                { "name": "y" }
            ],
            "translations": [{ "locale": "de", "subject": "Willkommen, {{ name }}", "text": "{{ name }}: {{ days }} Tage" }]
        }),
    )
}

/// Subject and text of the only message for an address.
fn read(smtp: &ScriptedSmtp, address: &str) -> (String, String) {
    let bytes = only(smtp, address);
    let message = MessageParser::default().parse(&bytes).unwrap();
    (message.subject().unwrap().to_owned(), message.body_text(0).unwrap().trim_end().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_values_are_told_all_at_once() {
    let space = Space::new("preparing-values").await;
    let smtp = ScriptedSmtp::builder().start().await;
    // `true` as a name is what kubectl makes of an unquoted y.
    let values = json!({ "nmae": "Ada", "days": "many", "link": "http://corp.example/", "true": 1 });
    let wrong = json!({ "message": { "values": values } });
    space
        .put(&[
            server(smtp.address(), json!({})),
            welcome(),
            from_template("wrong", "welcome", "ada@corp.example", wrong),
            notification("other", &["bob@corp.example"], json!({})),
        ])
        .await;
    let wrong = space
        .until("notifications", "wrong", "told", |found| {
            condition(found, "Rendered")["reason"] == "InvalidValues"
        })
        .await;
    let all = [
        "message.values.nmae",
        "did you mean name?",
        "message.values.days",
        "message.values.link",
        "https",
        "message.values.true: is unknown to the template; did you mean y? YAML reads y without quotes as true",
        "message.values.name: is missing",
    ];
    for type_ in ["Ready", "Rendered"] {
        says(&wrong, type_, "False", "InvalidValues", &all);
    }
    assert_eq!(condition(&wrong, "Stalled")["status"], "True");
    assert_eq!(condition(&wrong, "Resolved")["status"], "True");
    assert!(condition(&wrong, "Reconciling").is_null());
    space.until_phase("other", "Sent").await;
    assert_eq!(smtp.ledger().len(), 1);
    // A template can be mended so that the values fit: then it goes out by itself.
    let mut mended = welcome();
    mended["spec"]["text"] = json!("x");
    mended["spec"]["translations"] = json!([]);
    mended["spec"]["subject"] = json!("Welcome, {{ nmae }}");
    mended["spec"]["variables"] =
        json!([{ "name": "nmae" }, { "name": "days" }, { "name": "link" }, { "name": "y" }]);
    space.put(&[mended]).await;
    let still = space
        .until("notifications", "wrong", "told of what is left", |found| {
            condition(found, "Ready")["message"].as_str().is_some_and(|words| !words.contains("nmae"))
        })
        .await;
    says(&still, "Ready", "False", "InvalidValues", &["message.values.true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_recipient_has_a_language_and_values_of_his_own() {
    let space = Space::new("preparing-recipients").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let mut news = from_template("news", "welcome", "ada@corp.example", json!({}));
    merge(
        &mut news["spec"],
        json!({
            "message": { "locale": "de-CH", "values": { "name": "everybody" } },
            "to": [
                { "address": "ada@corp.example" },
                { "address": "bob@corp.example", "locale": "en", "values": { "name": "Bob", "days": 3, "link": "https://corp.example/b" } },
                { "address": "eve@corp.example", "locale": "fr" }
            ]
        }),
    );
    space.put(&[server(smtp.address(), json!({})), welcome(), news]).await;
    let sent = space.until_phase("news", "Sent").await;
    for (address, subject, text) in [
        ("ada@corp.example", "Willkommen, everybody", "everybody: 14 Tage"),
        ("bob@corp.example", "Welcome, Bob", "Bob: 3 days, see https://corp.example/b"),
        // There is no French: the language of the Notification comes before that of the template.
        ("eve@corp.example", "Willkommen, everybody", "everybody: 14 Tage"),
    ] {
        assert_eq!(read(&smtp, address), (subject.into(), text.into()), "{address}");
    }
    let used = &sent["status"]["template"];
    assert_eq!((&used["source"], &used["locale"]), (&json!("preparing-recipients/welcome"), &json!("de,en")));
    assert_eq!(used["generation"], 1);
    assert_eq!(sent["status"]["server"], json!({ "name": "default", "namespace": "preparing-recipients" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn content_goes_out_as_it_stands() {
    let space = Space::new("preparing-content").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let text = "{{ name }} {% if x %} ${HOME}\n.\nFrom here\n..end ü";
    let content = json!({ "message": { "content": { "subject": "{{ name }} & Söhne", "text": text } } });
    let html = json!({ "message": { "content": { "subject": "Only HTML", "html": "<p>Hello <b>{{ name }}</b></p>" } } });
    let mut derived = notification("html", &["bob@corp.example"], json!({}));
    derived["spec"]["message"] = html["message"].clone();
    space
        .put(&[
            server(smtp.address(), json!({})),
            notification("text", &["ada@corp.example"], content),
            derived,
        ])
        .await;
    space.until_phase("text", "Sent").await;
    assert_eq!(read(&smtp, "ada@corp.example"), ("{{ name }} & Söhne".into(), text.replace('\n', "\r\n")));
    space.until_phase("html", "Sent").await;
    let bytes = only(&smtp, "bob@corp.example");
    let message = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(message.body_html(0).unwrap().trim_end(), "<p>Hello <b>{{ name }}</b></p>");
    holds(&message.body_text(0).unwrap(), &["Hello", "{{ name }}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_needs_the_servers_permission() {
    let space = Space::new("preparing-from").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let from = |address: &str| json!({ "message": { "from": { "address": address, "displayName": "HR" }, "replyTo": "desk@hr.example" } });
    let access = json!({ "access": { "senders": ["*@hr.example"] }, "replyTo": "it-desk@corp.example" });
    space
        .put(&[
            server(smtp.address(), access),
            notification("permitted", &["ada@corp.example"], from("People@hr.example")),
            notification("other", &["bob@corp.example"], from("ceo@corp.example")),
            notification("below", &["eve@corp.example"], from("ceo@sub.hr.example")),
            notification("own", &["own@corp.example"], json!({})),
        ])
        .await;
    space.until_phase("permitted", "Sent").await;
    let bytes = only(&smtp, "ada@corp.example");
    let message = String::from_utf8_lossy(&bytes);
    holds(&message, &["From: HR <People@hr.example>", "Reply-To: desk@hr.example"]);
    assert_eq!(super::taken(&smtp, "ada@corp.example")[0].from, "People@hr.example");
    space.until_phase("own", "Sent").await;
    holds(
        &String::from_utf8_lossy(&only(&smtp, "own@corp.example")),
        &["Reply-To: it-desk@corp.example", "From: \"Corp IT\" <it@corp.example>"],
    );
    for (name, address) in [("other", "ceo@corp.example"), ("below", "ceo@sub.hr.example")] {
        let refused = space
            .until("notifications", name, "refused", |found| !condition(found, "Resolved").is_null())
            .await;
        for type_ in ["Ready", "Resolved"] {
            says(
                &refused,
                type_,
                "False",
                "FromNotPermitted",
                &["message.from", address, "access.senders", "preparing-from/default"],
            );
        }
    }
    // Its owner permits one of them: that one goes out by itself.
    let access = json!({ "access": { "senders": ["*@hr.example", "ceo@corp.example"] } });
    space.put(&[server(smtp.address(), access)]).await;
    space.until_phase("other", "Sent").await;
    assert!(super::taken(&smtp, "eve@corp.example").is_empty());
}
