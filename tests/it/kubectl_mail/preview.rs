//! `preview`: what is shown is what is sent, from the cluster, from files and from nothing at all.

use super::{Call, Ran, home};
use crate::cluster::{cluster, in_repository};
use crate::notifications::{from_template, notification, only, server, template};
use crate::objects::Space;
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use serde_json::{Value, json};
use std::path::PathBuf;

fn greeting() -> Value {
    template(
        "greeting",
        json!({
            "subject": "Hello {{ name }}", "html": "<p>Hello <b>{{ name }}</b>, {{ days }} days left</p>",
            "translations": [{ "locale": "de", "subject": "Hallo {{ name }}", "text": "Hallo {{ name }}" }],
            "variables": [
                { "name": "name", "required": true, "example": "Grace" },
                { "name": "days", "type": "Integer", "default": 3 }
            ]
        }),
    )
}

/// A file of its own for a test.
fn file(name: &str, objects: &[Value]) -> PathBuf {
    let path = home().join(name);
    let all: Vec<_> = objects.iter().map(Value::to_string).collect();
    std::fs::write(&path, all.join("\n---\n")).unwrap();
    path
}

/// Without any cluster.
async fn offline(arguments: &[&str]) -> Ran {
    let call = Call::new(cluster().await, &[&["preview"][..], arguments].concat());
    call.env("KUBECONFIG", "/nonexistent").run().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_as_in_the_inbox() {
    let space = Space::new("mail-preview").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let mut news = from_template("news", "greeting", "ada@corp.example", json!({}));
    news["spec"]["message"]["values"] = json!({ "name": "Ädä" });
    news["spec"]["to"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "address": "bob@corp.example", "locale": "de", "displayName": "Bob" }));
    // Before it is sent, and after.
    let mut later = news.clone();
    later["metadata"]["name"] = json!("later");
    later["spec"]["delivery"] = json!({ "sendAt": "2126-11-24T08:00:00Z" });
    space.put(&[server(smtp.address(), json!({})), greeting(), news, later]).await;
    space.until_phase("news", "Sent").await;
    for address in ["ada@corp.example", "bob@corp.example"] {
        let path = home().join(format!("preview-{address}.eml"));
        let arguments =
            ["preview", "notification/news", "--recipient", address, "--eml", path.to_str().unwrap()];
        space.mail(&arguments).await.says(0, &["written to"]);
        let arrived = only(&smtp, address);
        let shown = std::fs::read(&path).unwrap();
        assert_eq!(String::from_utf8_lossy(&shown), String::from_utf8_lossy(&arrived));
    }
    let ran = space.mail(&["preview", "notif/later"]).await;
    ran.says(
        0,
        &[
            "Notification mail-preview/later, en",
            "Corp IT <it@corp.example>",
            "ada@corp.example",
            "Hello Ädä",
            "3 days left",
            "24 Nov 2126",
            "--recipient ADDRESS",
        ],
    );
    let ran =
        space.mail(&["preview", "notif/later", "--locale", "de", "--value", "name=Eve", "--eml", "-"]).await;
    ran.says(0, &["Subject: Hallo Eve", "To: ada@corp.example"]);
    space
        .mail(&["preview", "notif/later", "--recipient", "eve@corp.example"])
        .await
        .says(1, &["does not go to eve@corp.example", "ada@corp.example, bob@corp.example"]);
    space
        .mail(&["preview", "notif/latter"])
        .await
        .says(1, &["there is no Notification latter", "did you mean later?"]);
    // What would stand in its way stands here.
    let ran = space.mail(&["preview", "notif/later", "--value", "days=many"]).await;
    ran.says(1, &["message.values.days", "a whole number", "InvalidValues"]);
    assert_eq!(smtp.ledger().len(), 2, "nothing is sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_with_examples_and_with_values() {
    let space = Space::new("mail-preview-template").await;
    let broken = template("broken", json!({ "subject": "x", "text": "Hello\n  {{ nmae }}" }));
    space.put(&[greeting(), broken]).await;
    let preview = async |more: &[&str]| space.mail(&[&["preview"][..], more].concat()).await;
    preview(&["greeting"])
        .await
        .says(0, &["mail-preview-template/greeting, en", "Hello Grace", "3 days left"]);
    preview(&["mt/greeting", "--value", "name=Ada", "--value", "days=5"])
        .await
        .says(0, &["Hello Ada", "5 days left"]);
    preview(&["greeting", "--locale", "de-CH"]).await.says(0, &["greeting, de", "Hallo Grace"]);
    preview(&["greeting", "--locale", "all"]).await.says(0, &["Hello Grace", "Hallo Grace"]);
    preview(&["greeting", "--value", "days=many", "--value", "nmae=x"]).await.says(
        1,
        &[
            "values.days",
            "a whole number",
            "values.nmae",
            "did you mean name?",
            "kubectl mail templates greeting",
        ],
    );
    let values = file("preview-values.yaml", &[json!({ "name": "From a file", "days": 9 })]);
    let values = values.to_str().unwrap();
    preview(&["greeting", "--values", values, "--value", "days=8"])
        .await
        .says(0, &["From a file", "8 days left"]);
    let html = home().join("preview.html");
    preview(&["greeting", "--html", html.to_str().unwrap()]).await.says(0, &["written to"]);
    assert!(std::fs::read_to_string(&html).unwrap().contains("Hello <b>Grace</b>"));
    preview(&["greeting", "--locale", "de", "--html", "-"]).await.says(1, &["has no HTML, only text"]);
    preview(&["greeting", "--eml", "-"]).await.says(1, &["is a template", "notification/NAME"]);
    let json: Value = serde_json::from_str(&preview(&["greeting", "-o", "json"]).await.stdout).unwrap();
    assert_eq!((&json[0]["locale"], &json[0]["subject"]), (&json!("en"), &json!("Hello Grace")));
    // The mistake, its line and a mark below its column.
    preview(&["broken"]).await.says(
        1,
        &[
            "en text, line 2, column 6: nmae is not declared",
            "UndeclaredVariable",
            "  2 |   {{ nmae }}",
            "    |      ^",
        ],
    );
    preview(&["gretting"]).await.says(1, &["there is no MessageTemplate gretting", "did you mean greeting?"]);
    preview(&["msc/default"]).await.says(2, &["msc has no preview"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_need_no_cluster() {
    let mut news = from_template("news", "greeting", "ada@corp.example", json!({}));
    news["spec"]["message"]["values"] = json!({ "name": "Ada" });
    let sender = json!({ "sender": { "address": "it@corp.example", "displayName": "IT" } });
    let whole = file(
        "preview-whole.yaml",
        &[server("127.0.0.1:25".parse().unwrap(), sender), greeting(), news.clone()],
    );
    let ran = offline(&["-f", whole.to_str().unwrap()]).await;
    ran.says(0, &["Notification default/news, en", "IT <it@corp.example>", "Hello Ada", "3 days left"]);
    assert!(ran.stderr.is_empty(), "everything is in the file: {ran:?}");
    // A template alone shows its examples; one of several can be named.
    let alone = file("preview-alone.yaml", &[greeting()]);
    offline(&["-f", alone.to_str().unwrap()]).await.says(0, &["default/greeting, en", "Hello Grace"]);
    offline(&["template/greeting", "-f", whole.to_str().unwrap()]).await.says(0, &["default/greeting, en"]);
    offline(&["template/other", "-f", whole.to_str().unwrap()]).await.says(1, &["holds no such"]);
    // A server that nobody knows is no reason not to show the message.
    let bare = file("preview-bare.yaml", &[notification("bare", &["ada@corp.example"], json!({}))]);
    let ran = offline(&["-f", bare.to_str().unwrap()]).await;
    ran.says(0, &["Good morning.", "From is a stand-in", "no way to a cluster"]);
    // What the file lacks is in the cluster.
    let space = Space::new("mail-preview-file").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({})), greeting()]).await;
    let partly = file("preview-partly.yaml", &[news]);
    let ran = space.mail(&["preview", "-f", partly.to_str().unwrap()]).await;
    ran.says(0, &["Notification mail-preview-file/news", "Corp IT <it@corp.example>", "Hello Ada"]);
    let ran = space.mail_call(&["preview", "-f", "-"]).input(&greeting().to_string()).run().await;
    ran.says(0, &["mail-preview-file/greeting, en"]);
    offline(&["-f", "/nonexistent.yaml"]).await.says(2, &["reading /nonexistent.yaml failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_messages_need_nothing() {
    offline(&["test-message"])
        .await
        .says(0, &["built-in:test-message, en", "as it is built in", "no way to a cluster"]);
    let ran = offline(&["test-message", "--builtin", "--locale", "all"]).await;
    ran.says(0, &["built-in:test-message, en"]);
    assert!(ran.stderr.is_empty(), "{ran:?}");
    offline(&["welcome"]).await.says(3, &["no way to a cluster"]);
    // Every example that is a message can be looked at.
    for entry in std::fs::read_dir(in_repository("examples")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if path.extension().is_some_and(|kind| kind == "yaml") && text.contains("kind: MessageTemplate") {
            offline(&["-f", path.to_str().unwrap()]).await.says(0, &["Subject"]);
        }
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_browser_gets_the_html() {
    use std::os::unix::fs::PermissionsExt;
    let space = Space::new("mail-preview-open").await;
    space.put(&[greeting()]).await;
    // What the desktop would start.
    let folder = home().join("preview-open");
    std::fs::create_dir_all(&folder).unwrap();
    let (program, told) = (folder.join("xdg-open"), folder.join("told"));
    let _ = std::fs::remove_file(&told);
    std::fs::write(
        &program,
        format!("#!/bin/sh\nprintf %s \"$1\" > '{0}.part' && mv '{0}.part' '{0}'\n", told.display()),
    )
    .unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), super::search_path());
    let ran = space.mail_call(&["preview", "greeting", "--open"]).env("PATH", path).run().await;
    ran.says(0, &["opened"]);
    crate::objects::soon("the browser was started", async || told.exists()).await;
    let html = std::fs::read_to_string(std::fs::read_to_string(&told).unwrap()).unwrap();
    assert!(html.contains("Hello <b>Grace</b>"), "{html}");
}
