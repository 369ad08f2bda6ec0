//! ConfigMaps and Secrets that a message takes something from: waited for without a write, noticed without a watch, and
//! named when the operator may not read them.

use super::{merge, notification, only, says, server};
use crate::objects::{Space, condition, soon};
use kube::config::{KubeConfigOptions, Kubeconfig};
use mail_operator::api::Notification;
use mail_operator::cluster::Cluster;
use mail_operator::domain::material::Needs;
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use serde_json::{Value, json};

const ADA: &str = "ada@corp.example";

/// A Notification with one file from a ConfigMap and one from a Secret.
fn with_files(name: &str) -> Value {
    let files = json!([
        { "name": "terms.txt", "configMapKeyRef": { "name": "terms", "key": "text" } },
        { "name": "key.txt", "secretKeyRef": { "name": "keys", "key": "ada" } }
    ]);
    let mut found = notification(name, &[ADA], json!({}));
    merge(&mut found, json!({ "spec": { "message": { "attachments": files } } }));
    found
}

fn terms() -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "terms" }, "data": { "text": "Be kind." } })
}

fn keys(annotations: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keys", "annotations": annotations },
        "stringData": { "ada": "canary-7361" }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_message_waits_for_is_noticed_and_waiting_costs_no_write() {
    let space = Space::new("sources-waiting").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    let version = space.version().await;
    space.put(&[with_files("news")]).await;
    let waits = async |reason: &str| {
        let with = |news: &Value| condition(news, "Resolved")["reason"] == reason;
        space.until("notifications", "news", reason, with).await
    };
    let news = waits("SourceNotFound").await;
    says(
        &news,
        "Resolved",
        "False",
        "SourceNotFound",
        &["ConfigMap terms does not exist", "Secret keys does not exist"],
    );
    // It is looked at every 0.6 s here, and says the same each time.
    let reads =
        async || crate::operator::shared().await.get("/metrics").await.map(|(_, text)| reconciles(&text));
    let before = reads().await;
    soon("it is looked at again", async || reads().await > before.map(|count| count + 3)).await;
    assert_eq!(space.history("news", &version).await.len(), 2, "created, and told once");

    space.put(&[terms(), keys(json!({}))]).await;
    let news = waits("SourceNotPermitted").await;
    says(
        &news,
        "Resolved",
        "False",
        "SourceNotPermitted",
        &["Secret keys", "mail-operator.dev/allow-values=true"],
    );
    assert!(smtp.ledger().is_empty());
    space.put(&[keys(json!({ "mail-operator.dev/allow-values": "true" }))]).await;
    space.until_phase("news", "Sent").await;
    let message = only(&smtp, ADA);
    let parsed = mail_parser::MessageParser::default().parse(&message).unwrap();
    let files: Vec<_> =
        parsed.attachments().map(|file| String::from_utf8_lossy(file.contents()).into_owned()).collect();
    assert_eq!(files, ["Be kind.", "canary-7361"]);
    let history = space.history("news", &version).await;
    let repeated = history.windows(2).find(|pair| pair[0]["status"] == pair[1]["status"]);
    assert!(repeated.is_none(), "{repeated:#?}");
}

/// How many Notifications the operator has judged.
fn reconciles(metrics: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.contains("reconcile") && line.contains("_count"));
    let of = lines.filter(|line| line.contains("notification"));
    of.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_may_not_read_is_a_finding_and_no_error() {
    let space = Space::new("sources-denied").await;
    space.put(&[terms(), keys(json!({}))]).await;
    let wanted: Notification = serde_json::from_value(with_files("news")).unwrap();
    let cluster = |user: Option<&str>| {
        let (kubeconfig, user) =
            (Kubeconfig::read_from(space.plane.kubeconfig()).unwrap(), user.map(String::from));
        async move {
            let options = KubeConfigOptions::default();
            let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
            config.auth_info.impersonate = user;
            Cluster::new(kube::Client::try_from(config).unwrap(), "mail-operator", 1)
        }
    };
    let all = cluster(None).await.material(&space.name, &Needs::of(&wanted)).await.unwrap();
    assert_eq!((all.config_maps.len(), all.secrets.len(), all.denied.len()), (1, 1, 0));
    let nobody = cluster(Some("system:serviceaccount:sources-denied:nobody")).await;
    let none = nobody.material(&space.name, &Needs::of(&wanted)).await.unwrap();
    assert_eq!((none.config_maps.len(), none.secrets.len()), (0, 0));
    assert_eq!(none.denied, [("secrets", "keys".to_owned()), ("configmaps", "terms".to_owned())]);
}
