//! What a message names and what is not there: `send` and `retry` refuse before they create anything. What the cluster
//! knows of the operator's default server and of a server's extensions, `preview` uses.

use crate::notifications::{notification, server, template};
use crate::objects::Space;
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use serde_json::{Value, json};

/// The operator's Deployment as the chart would write it, in the namespace of a test. Nobody runs it.
fn deployment(arguments: &[&str]) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "mail-operator" },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": { "app": "mail-operator" } },
            "template": {
                "metadata": { "labels": { "app": "mail-operator" } },
                "spec": { "containers": [{ "name": "mail-operator", "image": "mail-operator", "args": arguments }] }
            }
        }
    })
}

async fn created(space: &Space) -> String {
    space.kubectl(&["get", "notifications", "-o", "name"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_exist_is_refused_before_anything_is_created() {
    let space = Space::new("mail-no-server").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let mut relay = server(smtp.address(), json!({}));
    relay["metadata"]["name"] = json!("mail-no-server-relay");
    space.put(&[relay]).await;
    let message = ["send", "--to", "ada@corp.example", "--subject", "x", "--text", "x"];
    let send = async |more: &[&str]| space.mail(&[&message[..], more].concat()).await;
    let words = ["there is no MailServerConfig mail-no-server-rellay", "did you mean mail-no-server-relay?"];
    send(&["--server", "mail-no-server-rellay"]).await.says(1, &words);
    send(&["--server", "mail-no-server-rellay", "--dry-run=server"]).await.says(1, &words);
    send(&["--server", "mail-no-server-rellay", "--dry-run"]).await.says(0, &["name: mail-no-server-rellay"]);
    let words = [
        "there is no MailServerConfig mail-no-server-relay in namespace default",
        "mail-no-server/mail-no-server-relay",
    ];
    send(&["--server", "default/mail-no-server-relay"]).await.says(1, &words);
    send(&["--server", "no-such-namespace/no-such-relay"])
        .await
        .says(1, &["there is no namespace no-such-namespace"]);
    // What is meant without --server stands in the operator's Deployment.
    let own = ["--operator-namespace", &space.name];
    space.put(&[deployment(&["run"])]).await;
    let words = [
        "there is no MailServerConfig default in namespace mail-no-server, and the operator has no --default-server",
        "--server mail-no-server-relay names the one there is",
    ];
    send(&own).await.says(1, &words);
    space.put(&[deployment(&["run", "--default-server=no-office/relay"])]).await;
    send(&own).await.says(1, &["the operator's --default-server no-office/relay does not exist"]);
    assert_eq!(created(&space).await, "");

    let named = [&own[..], &["--no-wait", "--name", "meant"]].concat();
    space.put(&[deployment(&["run", "--default-server", "mail-no-server/mail-no-server-relay"])]).await;
    send(&named).await.says(0, &["Notification meant created"]);
    // Who may not look is told by the operator.
    space
        .kubectl(&["create", "role", "writer", "--verb=create", "--resource=notifications.mail-operator.dev"])
        .await;
    space.kubectl(&["create", "rolebinding", "writer", "--role=writer", "--user=eve"]).await;
    send(&["--as", "eve", "--no-wait", "--name", "unseen", "--server", "mail-no-server-rellay"])
        .await
        .says(0, &["Notification unseen created"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_does_not_exist_is_refused_before_anything_is_created() {
    let space = Space::new("mail-no-template").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let order = template(
        "order",
        json!({ "subject": "x", "text": "{{ number }}", "variables": [{ "name": "number", "type": "Integer" }] }),
    );
    space.put(&[server(smtp.address(), json!({})), order]).await;
    let message = ["send", "--to", "ada@corp.example"];
    let send = async |more: &[&str]| space.mail(&[&message[..], more].concat()).await;
    let words = ["there is no MessageTemplate ordr in namespace mail-no-template", "did you mean order?"];
    send(&["--template", "ordr"]).await.says(1, &words);
    send(&["--template", "ordr", "--value", "number=7"]).await.says(1, &words);
    send(&["--template", "default/order"])
        .await
        .says(1, &["there is no MessageTemplate order in namespace default"]);
    send(&["--template", "mail-no-template/test-message"])
        .await
        .says(1, &["there is no MessageTemplate test-message"]);
    assert_eq!(created(&space).await, "");
    send(&["--template", "order", "--value", "number=7"]).await.says(0, &["✓ Sent"]);
    send(&["--template", "test-message"]).await.says(0, &["✓ Sent"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_through_a_server_that_is_gone_is_refused() {
    let space = Space::new("mail-retry-gone").await;
    let smtp = ScriptedSmtp::builder().recipient("gone@corp.example", "550 5.1.1 No such user").start().await;
    let mut relay = server(smtp.address(), json!({}));
    relay["metadata"]["name"] = json!("relay");
    let news = notification("news", &["gone@corp.example"], json!({ "serverRef": { "name": "relay" } }));
    space.put(&[relay, news]).await;
    space.until_phase("news", "Failed").await;
    space.kubectl(&["delete", "msc", "relay"]).await;
    space
        .mail(&["retry", "news"])
        .await
        .says(1, &["there is no MailServerConfig relay in namespace mail-retry-gone"]);
    assert_eq!(created(&space).await.trim(), "notification.mail-operator.dev/news");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_comes_from_the_default_server() {
    let space = Space::new("mail-preview-default").await;
    let office = Space::new("mail-preview-office").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let access = json!({
        "sender": { "address": "office@corp.example" }, "access": { "namespaces": { "from": "All" } }
    });
    let mut relay = server(smtp.address(), access);
    relay["metadata"]["name"] = json!("relay");
    let later = json!({ "delivery": { "sendAt": "2126-11-24T08:00:00Z" } });
    office.put(&[relay]).await;
    space
        .put(&[
            deployment(&["run", "--default-server=mail-preview-office/relay"]),
            notification("news", &["ada@corp.example"], later),
        ])
        .await;
    let news = ["preview", "notification/news"];
    let own = ["--operator-namespace", &space.name];
    let ran = space.mail(&[&news[..], &own].concat()).await;
    ran.says(0, &["office@corp.example"]);
    assert!(!ran.stderr.contains("stand-in"), "{ran:#?}");
    // It has to admit the namespace, as for the operator.
    let closed = json!({ "spec": { "access": { "namespaces": { "from": "Same" } } } }).to_string();
    office.kubectl(&["patch", "msc", "relay", "--type=merge", "-p", &closed]).await;
    space
        .mail(&[&news[..], &own].concat())
        .await
        .says(1, &["ServerNotPermitted", "mail-preview-office/relay"]);
    // Where there is no Deployment to be seen it is said that From is made up.
    space.mail(&news).await.says(0, &["From is a stand-in"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_knows_what_the_server_offers() {
    let space = Space::new("mail-preview-utf8").await;
    let smtp = ScriptedSmtp::builder().extensions(&["PIPELINING", "SIZE"]).start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    let to = ["jürgen@corp.example", "ada@corp.example"];
    let later = |mode: &str| json!({ "delivery": { "sendAt": "2126-11-24T08:00:00Z", "mode": mode } });
    space
        .put(&[notification("each", &to, later("Individual")), notification("all", &to, later("Shared"))])
        .await;
    let refusal = ["SMTPUTF8NotOffered", "does not offer SMTPUTF8"];
    space.mail(&["preview", "notification/each"]).await.says(1, &refusal);
    space
        .mail(&["preview", "notification/each", "--recipient", "ada@corp.example"])
        .await
        .says(0, &["ada@corp.example"]);
    let ran = space.mail(&["preview", "notification/all", "--eml", "-"]).await;
    ran.says(0, &["To: ada@corp.example"]);
    assert!(ran.stdout.is_ascii(), "{ran:#?}");
    space.mail(&["preview", "notification/all"]).await.says(0, &["without jürgen@corp.example"]);
    space
        .mail(&["preview", "notification/all", "--recipient", "jürgen@corp.example"])
        .await
        .says(1, &refusal);
}
