//! Files, images and values that stand in ConfigMaps and Secrets; header fields and conversations.

use super::{from_template, notification, only, says, server, template};
use crate::objects::{Space, condition};
use base64::Engine as _;
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use mail_parser::{MessageParser, MimeHeaders as _};
use serde_json::{Value, json};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\xff";

fn files() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "files" },
        "data": { "terms.txt": "Grüße,\nCorp\n" },
        "binaryData": { "logo.png": base64::engine::general_purpose::STANDARD.encode(PNG) }
    })
}

fn secret(name: &str, annotations: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "annotations": annotations },
        "stringData": { "pin": "canary-pin-7361\n" }
    })
}

fn from_files(name: &str, key: &str, inline: bool) -> Value {
    json!({ "name": name, "inline": inline, "configMapKeyRef": { "name": "files", "key": key } })
}

#[tokio::test(flavor = "multi_thread")]
async fn files_images_fields_and_a_conversation_arrive() {
    let space = Space::new("additions-files").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let message = json!({ "message": {
        "content": { "subject": "Terms", "text": "See the terms.", "html": "<p><img src=\"cid:logo.png\">See the terms.</p>" },
        "attachments": [from_files("Bedingungen für Ädä.txt", "terms.txt", false), from_files("logo.png", "logo.png", true)],
        "headers": [
            { "name": "List-Unsubscribe", "value": "<https://corp.example/u/1>, <mailto:u@corp.example>" },
            { "name": "List-Unsubscribe-Post", "value": "List-Unsubscribe=One-Click" },
            { "name": "X-Ticket", "value": "Größe 7" }
        ],
        "thread": "contract 7"
    } });
    space
        .put(&[
            server(smtp.address(), json!({})),
            files(),
            notification("terms", &["ada@corp.example"], message),
        ])
        .await;
    space.until_phase("terms", "Sent").await;
    let bytes = only(&smtp, "ada@corp.example");
    let message = MessageParser::default().parse(&bytes).unwrap();
    let found: Vec<_> = message.attachments().map(|part| (part.attachment_name(), part.contents())).collect();
    let terms = "Grüße,\nCorp\n".as_bytes();
    assert_eq!(found, [(Some("logo.png"), PNG), (Some("Bedingungen für Ädä.txt"), terms)]);
    let image = message.attachments().next().unwrap();
    let html = message.body_html(0).unwrap().into_owned();
    assert!(html.contains(&format!("src=\"cid:{}\"", image.content_id().unwrap())), "{html}");
    let text = String::from_utf8(bytes.clone()).unwrap();
    for line in [
        "\r\nList-Unsubscribe: <https://corp.example/u/1>, <mailto:u@corp.example>\r\n",
        "\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        "\r\nAuto-Submitted: auto-generated\r\n",
        "\r\nX-Auto-Response-Suppress: All\r\n",
    ] {
        assert!(text.contains(line), "{line:?} is missing in: {text}");
    }
    let ticket = message.header_as("X-Ticket", mail_parser::HeaderForm::Text);
    assert_eq!(ticket.first().and_then(|value| value.as_text()), Some("Größe 7"));
    assert_eq!(message.in_reply_to(), message.references());
    assert!(message.references().as_text().is_some_and(|root| root.ends_with("@corp.example")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_sent_only_if_it_permits_that() {
    let space = Space::new("additions-secret").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let pin = |secret: &str| json!({ "message": { "valuesFrom": [{ "name": "pin", "secretKeyRef": { "name": secret, "key": "pin" } }] } });
    let texts = json!({ "subject": "Your PIN", "text": "It is {{ pin }}.", "variables": [{ "name": "pin", "required": true }] });
    space
        .put(&[
            server(smtp.address(), json!({})),
            template("pin", texts),
            secret("open", json!({ "mail-operator.dev/allow-values": "true" })),
            secret("closed", json!({})),
            from_template("permitted", "pin", "ada@corp.example", pin("open")),
            from_template("refused", "pin", "bob@corp.example", pin("closed")),
        ])
        .await;
    space.until_phase("permitted", "Sent").await;
    let bytes = only(&smtp, "ada@corp.example");
    let message = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(message.body_text(0).unwrap().trim_end(), "It is canary-pin-7361.");

    space.until_reason("notifications", "refused", "Resolved", "SourceNotPermitted").await;
    let refused = space.get("notifications", "refused").await;
    let command = "annotate secret closed -n additions-secret mail-operator.dev/allow-values=true";
    says(
        &refused,
        "Ready",
        "False",
        "SourceNotPermitted",
        &["message.valuesFrom[pin]", &format!("kubectl {command}")],
    );
    assert_eq!(condition(&refused, "Stalled")["status"], "True");
    assert!(!refused.to_string().contains("canary-pin"), "{refused:#}");
    space.kubectl(&command.split(' ').collect::<Vec<_>>()).await;
    space.until_phase("refused", "Sent").await;
    only(&smtp, "bob@corp.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_later_is_waited_for() {
    let space = Space::new("additions-later").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let message = json!({ "message": { "attachments": [from_files("a.txt", "terms.txt", false)] } });
    space
        .put(&[server(smtp.address(), json!({})), notification("early", &["ada@corp.example"], message)])
        .await;
    space.until_reason("notifications", "early", "Resolved", "SourceNotFound").await;
    let early = space.get("notifications", "early").await;
    says(
        &early,
        "Ready",
        "False",
        "SourceNotFound",
        &["message.attachments[a.txt]", "ConfigMap files does not exist"],
    );
    assert_eq!(condition(&early, "Reconciling")["status"], "True");
    space.put(&[files()]).await;
    space.until_phase("early", "Sent").await;
    only(&smtp, "ada@corp.example");
}
