//! What is left of MailServerConfigs that are gone: nothing.

use crate::cluster::apart;
use crate::crash::{Scene, healthy};
use crate::eventually;
use crate::objects::{SOON, condition};
use crate::operator::{InProcess, brisk};
use crate::probes::of;
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// Names and labels of what is exported.
async fn series(operator: &InProcess) -> BTreeSet<String> {
    let (status, text) = operator.get("/metrics").await.unwrap();
    assert_eq!(status, 200);
    let names = text.lines().filter(|line| !line.starts_with('#'));
    names.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

/// Creates these configs, each for a mail server of its own, and sends a mail through each.
async fn come(scene: &Scene, names: &[String]) -> Vec<ScriptedSmtp> {
    let mut servers = Vec::new();
    for name in names {
        let smtp = healthy().await;
        scene.server(name, smtp.address()).await;
        scene.notify(name, name, &["ada@corp.example"], "Resend").await;
        servers.push(smtp);
    }
    for name in names {
        scene.until_phase(name, "Sent").await;
    }
    servers
}

async fn go(scene: &Scene) {
    scene.space.kubectl(&["delete", "msc,notifications", "--all", "--wait"]).await;
}

/// The journals by name, as they are stored.
async fn journals(scene: &Scene) -> Vec<(String, Value)> {
    let own = scene.operator_namespace();
    let list = ["-n", &own, "get", "configmaps", "-l", "mail-operator.dev/journal", "-o", "json"];
    let list: Value =
        serde_json::from_str(&scene.space.plane.kubectl(&list).await.unwrap().success().unwrap()).unwrap();
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| {
            let journal = serde_json::from_str(item["data"]["journal.json"].as_str().unwrap()).unwrap();
            (item["metadata"]["name"].as_str().unwrap().to_owned(), journal)
        })
        .collect()
}

/// Puts the recipients that a journal counts two days back.
async fn two_days_pass(scene: &Scene, name: &str, mut journal: Value) {
    let usage = journal["usage"].as_object().unwrap();
    let earlier =
        usage.iter().map(|(hour, count)| ((hour.parse::<i64>().unwrap() - 48).to_string(), count.clone()));
    journal["usage"] = Value::Object(earlier.collect());
    let patch = serde_json::json!({ "data": { "journal.json": journal.to_string() } }).to_string();
    let own = scene.operator_namespace();
    let patch = ["-n", &own, "patch", "configmap", name, "--type=merge", "-p", &patch];
    scene.space.plane.kubectl(&patch).await.unwrap().success().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_configs_that_come_and_go_leave_nothing() {
    let scene = Scene::new(apart().await, "leftovers").await;
    let arguments = [&of(&scene)[..], &["--metrics-server-names"]].concat();
    let operator = InProcess::start(scene.space.plane, &arguments, brisk).await;
    // What is counted without a name is there from the first mail on.
    drop(come(&scene, &["first".into()]).await);
    go(&scene).await;
    let is_quiet = async || !series(&operator).await.iter().any(|line| line.contains("leftovers/"));
    eventually("nothing is exported of the first", SOON, is_quiet).await;
    let before = series(&operator).await;

    let names: Vec<_> = (0..40).map(|number| format!("mail{number:02}")).collect();
    let servers = come(&scene, &names).await;
    assert!(servers.iter().all(|smtp| smtp.copies_for("ada@corp.example") == 1));
    assert!(series(&operator).await.len() >= before.len() + 40);
    go(&scene).await;
    let mut left = BTreeSet::new();
    let is_back = async || {
        left = series(&operator).await;
        left == before
    };
    eventually("the metrics are back where they were", SOON, is_back).await;
    operator.stop().await;

    // Recipients count for a day, whatever becomes of the config. After that the journals go.
    let stored = journals(&scene).await;
    assert_eq!(stored.len(), 41, "{stored:#?}");
    for (name, journal) in &stored[1..] {
        two_days_pass(&scene, name, journal.clone()).await;
    }
    let operator = InProcess::start(scene.space.plane, &of(&scene), brisk).await;
    let (kept, _) = &stored[0];
    let is_alone = async || matches!(&journals(&scene).await[..], [(name, _)] if name == kept);
    eventually("the journals that count nothing are gone", SOON, is_alone).await;

    // Who comes back begins at once: nobody else can have what was deleted.
    let began = std::time::Instant::now();
    let smtp = &servers[0];
    scene.server("again", smtp.address()).await;
    scene.notify("again", "again", &["bob@corp.example"], "Resend").await;
    scene.until_phase("again", "Sent").await;
    assert_eq!(smtp.copies_for("bob@corp.example"), 1);
    assert!(began.elapsed() < Duration::from_secs(15), "it waited for a holder that there cannot be");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_has_as_many_accounts_as_it_may_have() {
    let scene = Scene::new(apart().await, "accounts-bounded").await;
    let arguments = [&of(&scene)[..], &["--accounts-per-namespace", "2"]].concat();
    let operator = InProcess::start(scene.space.plane, &arguments, brisk).await;
    let (one, three) = (healthy().await, healthy().await);
    scene.server("a", one.address()).await;
    scene.space.until_reason("mailserverconfigs", "a", "Ready", "Verified").await;
    // The same account again counts once.
    scene.server("a2", one.address()).await;
    scene.server("b", healthy().await.address()).await;
    scene.server("c", three.address()).await;
    let excess = scene.space.until_reason("mailserverconfigs", "c", "Ready", "TooManyAccounts").await;
    let message = excess["message"].as_str().unwrap();
    for words in ["namespace accounts-bounded", "the 2 accounts", "delete one", "accountsPerNamespace"] {
        assert!(message.contains(words), "{message}");
    }
    let stalled = scene.space.get("mailserverconfigs", "c").await;
    assert_eq!(condition(&stalled, "Stalled")["status"], "True");
    scene.space.until_reason("mailserverconfigs", "a2", "Ready", "Verified").await;
    scene.notify("mail", "c", &["ada@corp.example"], "Resend").await;
    scene.notify("other", "a", &["ada@corp.example"], "Resend").await;
    scene.until_phase("other", "Sent").await;
    assert_eq!(three.connections(), 0);

    // `a` has sent, so its account counts for its day; `b` has not.
    scene.space.kubectl(&["delete", "msc", "a", "a2", "--wait"]).await;
    let gone = |object: &Value| {
        condition(object, "Ready")["message"]
            .as_str()
            .is_some_and(|text| text.contains("1 of them of MailServerConfigs that are gone"))
    };
    scene.space.until("mailserverconfigs", "c", "told that one is gone", gone).await;
    scene.space.kubectl(&["delete", "msc", "b", "--wait"]).await;
    scene.space.until_reason("mailserverconfigs", "c", "Ready", "Verified").await;
    scene.until_phase("mail", "Sent").await;
    assert_eq!(three.copies_for("ada@corp.example"), 1);
    operator.stop().await;
}
