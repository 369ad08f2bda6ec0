//! Layouts as those see them who use one: what is wrong with it shows at each template that it wraps, goes away with its
//! cause, and costs no write where nothing has changed.

use super::{changed, checked};
use crate::notifications::{from_template, only, says, server, template};
use crate::objects::{Space, condition};
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use serde_json::{Value, json};

/// A layout, perhaps itself in another.
fn layout(name: &str, text: &str, outer: Option<&str>) -> Value {
    let mut spec = json!({ "subject": "{{ content }}", "text": text });
    if let Some(outer) = outer {
        spec["layout"] = json!({ "name": outer });
    }
    template(name, spec)
}

fn wrapped(name: &str, layout: &str) -> Value {
    template(name, changed(&json!({ "layout": { "name": layout } })))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_layout_goes_on_when_it_comes() {
    let space = Space::new("layouts-later").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let news = from_template("news", "welcome", "ada@corp.example", json!({}));
    space.put(&[server(smtp.address(), json!({})), wrapped("welcome", "frame"), news]).await;
    let welcome = checked(&space, "welcome").await;
    says(&welcome, "Ready", "False", "LayoutNotFound", &["layout.name", "frame", "create it"]);
    assert_eq!(condition(&welcome, "Reconciling")["status"], "True", "it may be on its way");
    space.until_reason("notifications", "news", "Resolved", "TemplateInvalid").await;
    space.put(&[layout("frame", "Corp.\n{{ content }}\nBye.", None)]).await;
    space.until_phase("news", "Sent").await;
    let message = String::from_utf8(only(&smtp, "ada@corp.example")).unwrap();
    assert!(message.contains("Corp.") && message.contains("Hello") && message.contains("Bye."), "{message}");
    let ready = |found: &Value| condition(found, "Ready")["status"] == "True";
    let welcome = space.until("messagetemplates", "welcome", "valid", ready).await;
    assert_eq!(welcome["status"]["layouts"], json!(["layouts-later/frame"]));
    assert!(condition(&welcome, "Reconciling").is_null());
    // Gone again.
    space.kubectl(&["delete", "messagetemplate/frame"]).await;
    space.until_reason("messagetemplates", "welcome", "Ready", "LayoutNotFound").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_all_that_are_wrapped() {
    let space = Space::new("layouts-change").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space
        .put(&[
            server(smtp.address(), json!({})),
            layout("outer", "Outer one.\n{{ content }}", None),
            layout("inner", "Inner.\n{{ content }}", Some("outer")),
            wrapped("welcome", "inner"),
        ])
        .await;
    let chain = json!(["layouts-change/inner", "layouts-change/outer"]);
    let settled = |found: &Value| condition(found, "Ready")["status"] == "True";
    let before = space.until("messagetemplates", "welcome", "valid", settled).await;
    assert_eq!(before["status"]["layouts"], chain);
    // A sound change costs those it wraps no write, and is in the next message.
    space.put(&[layout("outer", "Outer two.\n{{ content }}", None)]).await;
    checked(&space, "outer").await;
    space.put(&[from_template("news", "welcome", "ada@corp.example", json!({}))]).await;
    space.until_phase("news", "Sent").await;
    let message = String::from_utf8(only(&smtp, "ada@corp.example")).unwrap();
    assert!(message.contains("Outer two.") && message.contains("Inner."), "{message}");
    let after = space.get("messagetemplates", "welcome").await;
    assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    // A mistake in it is named where it is, two layouts away.
    space.put(&[layout("outer", "{{ content", None)]).await;
    let told = space.until_reason("messagetemplates", "welcome", "Ready", "LayoutInvalid").await;
    assert!(told["message"].as_str().unwrap().contains("layouts-change/outer"), "{told}");
    // A circle.
    space.put(&[layout("outer", "Outer.\n{{ content }}", Some("inner"))]).await;
    for name in ["welcome", "inner", "outer"] {
        let told = space.until_reason("messagetemplates", name, "Ready", "LayoutCycle").await;
        assert!(
            told["message"].as_str().unwrap().contains("layouts-change/inner in layouts-change/outer")
                || told["message"].as_str().unwrap().contains("layouts-change/outer in layouts-change/inner"),
            "{told}"
        );
    }
    space.put(&[layout("outer", "Outer.\n{{ content }}", None)]).await;
    for name in ["welcome", "inner", "outer"] {
        space.until_reason("messagetemplates", name, "Ready", "Valid").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_is_no_message() {
    let space = Space::new("layouts-alone").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let news = from_template("news", "frame", "ada@corp.example", json!({}));
    space
        .put(&[server(smtp.address(), json!({})), layout("frame", "Corp.\n{{ content }}", None), news])
        .await;
    let told = space.until_reason("notifications", "news", "Resolved", "TemplateInvalid").await;
    assert!(told["message"].as_str().unwrap().contains("layouts-alone/frame is a layout"), "{told}");
    says(&checked(&space, "frame").await, "Ready", "True", "Valid", &[]);
}
