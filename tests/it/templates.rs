//! MessageTemplates as their authors see them: what is wrong is told with language, part, line and column,
//! what is mended is Ready, and no template, however hostile, costs anybody else anything.

mod layouts;
mod standard;

use crate::notifications::{from_template, notification, only, says, server, template};
use crate::objects::{Space, condition, soon};
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use mail_parser::MessageParser;
use serde_json::{Value, json};

/// Waits until the template has been looked at in its present version.
async fn checked(space: &Space, name: &str) -> Value {
    let looked_at = |found: &Value| {
        found["status"]["observedGeneration"] == found["metadata"]["generation"] && !found.is_null()
    };
    space.until("messagetemplates", name, "checked", looked_at).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_told_with_its_place() {
    let space = Space::new("templates-mistakes").await;
    let cases = [
        ("syntax", json!({ "text": "Hello\n{{ name" }), "SyntaxError", &["en text, line 2, column"] as &[_]),
        (
            "syntax-de",
            json!({ "translations": [{ "locale": "de", "subject": "Hallo", "html": "<p>\n  {% if name %}" }] }),
            "SyntaxError",
            &["de html, line 2, column"],
        ),
        (
            "undeclared",
            json!({ "subject": "For {{ nmae }}" }),
            "UndeclaredVariable",
            &["en subject, line 1, column 8", "nmae is not declared", "did you mean name?"],
        ),
        (
            "member",
            json!({ "text": "{{ recipient.adress }}" }),
            "UndeclaredVariable",
            &["en text, line 1", "recipient.adress does not exist", "address, displayName, locale"],
        ),
        (
            "example",
            json!({ "variables": [{ "name": "name", "type": "Integer", "example": "three" }] }),
            "InvalidSpec",
            &["variables[name].example", "whole number"],
        ),
        (
            "filter",
            json!({ "text": "{{ name | shout }}" }),
            "SyntaxError",
            &["en text, line 1, column", "shout"],
        ),
        (
            "include",
            json!({ "text": "{% include 'other' %}" }),
            "SyntaxError",
            &["include does not exist here"],
        ),
    ];
    let mut objects: Vec<_> =
        cases.iter().map(|(name, change, ..)| template(name, changed(change))).collect();
    objects.push(template("good", changed(&json!({}))));
    space.put(&objects).await;
    for (name, _, reason, words) in &cases {
        let found = checked(&space, name).await;
        for (type_, status) in [("Ready", "False"), ("Stalled", "True")] {
            says(&found, type_, status, reason, words);
        }
        assert!(found["status"]["locales"].is_null() && found["status"]["names"].is_null());
    }
    assert_eq!(condition(&checked(&space, "good").await, "Ready")["status"], "True");
    // Mended: Ready, and what was wrong is gone.
    let mended: Vec<_> = cases.iter().map(|(name, ..)| template(name, changed(&json!({})))).collect();
    space.put(&mended).await;
    for (name, ..) in &cases {
        let found = checked(&space, name).await;
        says(&found, "Ready", "True", "Valid", &["can be used"]);
        assert!(condition(&found, "Stalled").is_null(), "{name}");
    }
    soon("Events tell of both", async || {
        space.events_of("syntax").await == ["Warning SyntaxError", "Normal Valid"]
    })
    .await;
    assert!(space.events_of("good").await.is_empty(), "no Event for one that was good from the start");
}

/// A small valid spec with some members changed.
fn changed(change: &Value) -> Value {
    let mut spec =
        json!({ "subject": "Hello", "text": "Hello {{ name }}", "variables": [{ "name": "name" }] });
    for (key, value) in change.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_lists_languages_and_names() {
    let space = Space::new("templates-status").await;
    let spec = json!({
        "locale": "de", "subject": "{{ subject }}", "html": "<p>{{ sender.address }} {{ link }}</p>",
        "translations": [{ "locale": "fr-ca", "subject": "x", "text": "{{ link }}" }],
        "variables": [{ "name": "subject", "required": true }, { "name": "link", "type": "URL" }, { "name": "unused" }]
    });
    space.put(&[template("news", spec)]).await;
    let found = checked(&space, "news").await;
    assert_eq!(found["status"]["locales"], json!(["de", "fr-CA"]));
    assert_eq!(found["status"]["names"], json!(["link", "subject"]));
    let table = space.kubectl(&["get", "mt"]).await;
    let words: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(words, ["NAME", "READY", "LOCALES", "STATUS", "AGE"]);
    let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..3], ["news", "True", "de,fr-CA"], "{table}");
    // Applied again as it is, it costs nothing.
    let before = found["metadata"]["resourceVersion"].clone();
    space.kubectl(&["annotate", "mt/news", "team=hr"]).await;
    let after = checked(&space, "news").await;
    assert_ne!(after["metadata"]["resourceVersion"], before);
    assert_eq!(after["status"], found["status"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn languages_fall_back_and_text_comes_from_html() {
    let space = Space::new("templates-locales").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let spec = json!({
        "subject": "Hello", "html": "<h1>Hello {{ name }}</h1><p>See <a href=\"https://corp.example/\">here</a>.</p>",
        "translations": [
            { "locale": "de", "subject": "Hallo", "text": "Hallo {{ name }}" },
            { "locale": "de-CH", "subject": "Grüezi", "text": "Grüezi {{ name }}" }
        ],
        "variables": [{ "name": "name", "required": true }]
    });
    let mut news = from_template("news", "greeting", "none@corp.example", json!({}));
    news["spec"]["message"]["values"] = json!({ "name": "A&B <i>" });
    for (locale, address) in [("de-CH", "ch"), ("de-AT", "at"), ("de", "de"), ("fr", "fr"), ("DE-ch", "case")]
    {
        let to = json!({ "address": format!("{address}@corp.example"), "locale": locale });
        news["spec"]["to"].as_array_mut().unwrap().push(to);
    }
    let mut german = from_template("german", "greeting", "fr-of-german@corp.example", json!({}));
    german["spec"]["message"]["values"] = json!({ "name": "A&B <i>" });
    german["spec"]["message"]["locale"] = json!("de");
    german["spec"]["to"][0]["locale"] = json!("fr");
    space.put(&[server(smtp.address(), json!({})), template("greeting", spec), news, german]).await;
    space.until_phase("news", "Sent").await;
    space.until_phase("german", "Sent").await;
    for (address, subject) in [
        // The Notification's language is nearer than the template's.
        ("fr-of-german", "Hallo"),
        ("none", "Hello"),
        ("ch", "Grüezi"),
        ("case", "Grüezi"),
        ("at", "Hallo"),
        ("de", "Hallo"),
        ("fr", "Hello"),
    ] {
        let bytes = only(&smtp, &format!("{address}@corp.example"));
        let message = MessageParser::default().parse(&bytes).unwrap();
        assert_eq!(message.subject(), Some(subject), "{address}");
        if subject == "Hello" {
            assert!(message.body_html(0).unwrap().contains("<h1>Hello A&amp;B &lt;i&gt;</h1>"), "escaped");
            let text = message.body_text(0).unwrap();
            assert!(text.contains("Hello A&B <i>") && text.contains("https://corp.example/"), "{text}");
        } else {
            assert_eq!(message.body_text(0).unwrap().trim_end(), format!("{subject} A&B <i>"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_templates_cost_others_nothing() {
    let space = Space::new("templates-hostile").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let nested = format!("{}{}", "{% if name %}".repeat(2_000), "{% endif %}".repeat(2_000));
    let cases = [
        ("loops", "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}x{% endfor %}{% endfor %}{% endfor %}".to_owned()),
        ("repeats", "{{ 'x' * 100000000 }}".to_owned()),
        ("doubles", "{% set a = ['xxxxxxxx'] %}{% for i in range(60) %}{% set a = a + a %}{% endfor %}{{ a }}".to_owned()),
        ("nested", nested),
        ("brackets", format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000))),
        ("long", format!("{{{{ 1 {} }}}}", "+ 1".repeat(20_000))),
    ];
    let mut objects = vec![server(smtp.address(), json!({}))];
    objects.extend(cases.iter().map(|(name, text)| template(name, changed(&json!({ "text": text })))));
    objects.push(template("good", changed(&json!({}))));
    objects.extend(cases.iter().map(|(name, _)| from_template(name, name, "eve@corp.example", json!({}))));
    objects.push(from_template("good", "good", "ada@corp.example", json!({})));
    objects.push(notification("other", &["bob@corp.example"], json!({})));
    space.put(&objects).await;
    for name in ["good", "other"] {
        space.until_phase(name, "Sent").await;
    }
    for (name, _) in &cases {
        let found = checked(&space, name).await;
        let ready = condition(&found, "Ready");
        // What is only large and not endless may be used.
        if ready["status"] == "False" {
            assert!(
                ["SyntaxError", "ExampleFailed", "TooManySteps", "TooDeep", "OutputTooLarge"]
                    .contains(&ready["reason"].as_str().unwrap()),
                "{name}: {ready}"
            );
            assert!(ready["message"].as_str().unwrap().len() < 1000, "{name}: {ready}");
            let words = [format!("MessageTemplate templates-hostile/{name} cannot be used")];
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let told = space.until_reason("notifications", name, "Resolved", "TemplateInvalid").await;
            crate::notifications::holds(told["message"].as_str().unwrap(), &words);
        } else {
            space.until_phase(name, "Sent").await;
        }
    }
    for name in ["loops", "repeats"] {
        says(&space.get("messagetemplates", name).await, "Ready", "False", "TooManySteps", &["en text"]);
    }
}
