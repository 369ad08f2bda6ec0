//! A server that takes no mail from anybody: it says so itself, and not one of the Notifications that wait
//! for it is written to.

use super::{notification, only, says, server, taken};
use crate::objects::{Space, condition, soon};
use kube::Api;
use kube::api::{ListParams, PostParams};
use mail_operator::api::Notification;
use mail_operator_testbed::free_port;
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use mail_operator_testbed::sink::{Options, Sink};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Creates `count` Notifications faster than kubectl does; returns their names and versions.
pub async fn create(space: &Space, count: usize) -> BTreeMap<String, String> {
    use futures::StreamExt;
    let api: Api<Notification> = Api::namespaced(space.client().await, &space.name);
    let made = futures::stream::iter(0..count).map(|n| {
        let (api, address) = (api.clone(), format!("r{n}@corp.example"));
        let object = notification(&format!("n{n}"), &[&address], json!({}));
        async move {
            let object = serde_json::from_value(object).unwrap();
            let made = api.create(&PostParams::default(), &object).await.unwrap().metadata;
            (made.name.unwrap(), made.resource_version.unwrap())
        }
    });
    made.buffer_unordered(16).collect().await
}

/// Names and versions of the namespace's Notifications.
async fn versions(space: &Space) -> BTreeMap<String, String> {
    let api: Api<Notification> = Api::namespaced(space.client().await, &space.name);
    let list = api.list(&ListParams::default()).await.unwrap().items.into_iter();
    list.map(|found| (found.metadata.name.unwrap(), found.metadata.resource_version.unwrap())).collect()
}

/// Waits until the operator has seen `count` Notifications that wait for the namespace's server.
async fn queued(space: &Space, count: usize) {
    let line = format!("{{server=\"{}/default\"}} {count}", space.name);
    soon("all are queued", async || {
        let (_, metrics) = crate::operator::shared().await.get("/metrics").await.unwrap();
        metrics.lines().any(|found| found.starts_with("mail_operator_waiting") && found.ends_with(&line))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_421_at_mail_holds_the_server_and_writes_to_no_notification() {
    let space = Space::new("held-421").await;
    let reply = "421 4.3.2 Closing, too much to do";
    let builder = ScriptedSmtp::builder();
    let smtp = (1..=4)
        .fold(builder, |builder, nth| builder.fault_at(Step::Mail, nth, Fault::reply(reply)))
        .hold(Step::Mail)
        .start()
        .await;
    let healthy = ScriptedSmtp::builder().start().await;
    let mut other = server(healthy.address(), json!({}));
    other["metadata"]["name"] = json!("healthy");
    let limits = json!({ "limits": { "connections": 1 } });
    space.put(&[server(smtp.address(), limits), other]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    let created = create(&space, 3).await;
    smtp.reached(Step::Mail).await;
    smtp.release(Step::Mail);
    let held = space.until_reason("mailserverconfigs", "default", "Ready", "Throttled").await;
    assert_eq!(held["status"], "False");
    let through = json!({ "serverRef": { "name": "healthy" } });
    space.put(&[notification("other", &["bob@corp.example"], through)]).await;
    space.until_phase("other", "Sent").await;
    for n in 0..3 {
        let name = format!("n{n}");
        let sent = space.until_phase(&name, "Sent").await;
        assert_eq!(sent["status"]["attempts"], 1, "a held server is nobody's attempt");
        let history = space.history(&name, &created[&name]).await;
        assert_eq!(history.len(), 1, "one write, the result's: {history:#?}");
        only(&smtp, &format!("r{n}@corp.example"));
    }
    assert!(smtp.count(Step::Mail) >= 7, "the 421s came first");
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_behind_a_dead_server_are_not_written_to_and_go_out_when_it_is_back() {
    const COUNT: usize = 1000;
    let space = Space::new("held-thousand").await;
    let port = free_port().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    space.put(&[server(address, json!({}))]).await;
    let server_down = space.until_reason("mailserverconfigs", "default", "Ready", "ConnectionRefused").await;
    super::holds(
        server_down["message"].as_str().unwrap(),
        &["nothing accepts connections", &port.to_string()],
    );
    let created = create(&space, COUNT).await;
    queued(&space, COUNT).await;
    // Meanwhile mail through another server goes out.
    let smtp = ScriptedSmtp::builder().start().await;
    let mut healthy = server(smtp.address(), json!({}));
    healthy["metadata"]["name"] = json!("healthy");
    let through = json!({ "serverRef": { "name": "healthy" } });
    space.put(&[healthy, notification("other", &["bob@corp.example"], through)]).await;
    space.until_phase("other", "Sent").await;
    only(&smtp, "bob@corp.example");
    let mut now = versions(&space).await;
    now.remove("other");
    assert!(now == created, "somebody wrote to a waiting Notification");

    let sink = Sink::start_at(address, Options { ledger: true, ..Options::default() }).await;
    let limit = Duration::from_mins(3);
    crate::eventually("all are taken", limit, async || sink.messages() >= COUNT as u64).await;
    let path = format!("/apis/mail-operator.dev/v1alpha1/namespaces/{}/notifications", space.name);
    crate::eventually("all are Sent", limit, async || {
        let list = space.plane.get(&format!("{path}?fieldSelector=status.phase!=Sent")).await.unwrap();
        list.contains("\"items\":[]")
    })
    .await;
    let ledger = sink.ledger();
    assert_eq!(ledger.len(), COUNT);
    assert!(ledger.values().all(|copies| *copies == 1), "each exactly once");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_behind_a_dead_server_expires_in_time() {
    let space = Space::new("held-expires").await;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    space.put(&[server(address, json!({}))]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "ConnectionRefused").await;
    let version = space.version().await;
    let brief = json!({ "delivery": { "expireAfter": "1s" } });
    space.put(&[notification("news", &["ada@corp.example"], brief)]).await;
    let expired = space.until_phase("news", "Expired").await;
    assert_eq!(expired["status"]["finished"], true);
    assert_eq!(expired["status"]["accepted"], "0/1");
    says(&expired, "Ready", "False", "DeadlineExceeded", &["expireAfter", "mail server was not ready"]);
    assert_eq!(condition(&expired, "Stalled")["status"], "True");
    assert_eq!(space.history("news", &version).await.len(), 2, "created, and one write");
    // It is over for good, also when the server comes.
    let smtp = ScriptedSmtp::builder().start().await;
    space
        .put(&[server(smtp.address(), json!({})), notification("later", &["bob@corp.example"], json!({}))])
        .await;
    space.until_phase("later", "Sent").await;
    assert!(taken(&smtp, "ada@corp.example").is_empty());
    soon("an Event tells of it", async || space.events_of("news").await == ["Warning DeadlineExceeded"])
        .await;
}
