//! What namespaces share of a mail account, and what not: an operator of its own, whose system trusts a CA of the test as
//! it would trust a public one, so that two namespaces can mean the same server.

use crate::cluster::apart;
use crate::crash::Scene;
use crate::eventually;
use crate::notifications::notification;
use crate::objects::{SOON, Space, condition};
use mail_operator_testbed::Operator;
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::proxy::{ScriptedProxy, Speech};
use mail_operator_testbed::scratch::Scratch;
use mail_operator_testbed::scripted_smtp::{Builder, ScriptedSmtp, Step};
use serde_json::{Value, json};
use std::net::SocketAddr;

const USER: &str = "shared@corp.example";
const PASSWORD: &str = "canary-shared";

/// Two namespaces, an operator that sees both, and a mail server that its system trusts.
struct Town {
    ours: Scene,
    theirs: Space,
    smtp: ScriptedSmtp,
    _operator: Operator,
    _scratch: Scratch,
}

impl Town {
    async fn new(name: &str, server: impl FnOnce(Builder) -> Builder) -> Self {
        let plane = apart().await;
        let ours = Scene::new(plane, name).await;
        let theirs = Space { plane, name: format!("{name}-other") };
        plane.kubectl(&["create", "namespace", &theirs.name]).await.unwrap().success().unwrap();
        let authority = CertificateAuthority::new("Public CA").unwrap();
        let scratch = Scratch::new("accounts").unwrap();
        let roots = scratch.join("roots.pem");
        std::fs::write(&roots, authority.pem()).unwrap();
        let tls = authority.server("localhost", &["127.0.0.1"]).unwrap().server_config().unwrap();
        let smtp = server(ScriptedSmtp::builder().starttls(tls).login(USER, PASSWORD)).start().await;
        let operator = ours.operator_trusting(&roots, &["--namespace", &theirs.name]);
        Self { ours, theirs, smtp, _operator: operator, _scratch: scratch }
    }

    /// A config that logs in to the mail server, with further members of its spec.
    fn config(&self, more: Value) -> Value {
        let mut config = json!({
            "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MailServerConfig",
            "metadata": { "name": "default" },
            "spec": { "host": "127.0.0.1", "port": self.smtp.address().port(), "sender": { "address": USER },
                      "auth": { "basic": { "username": USER, "passwordSecretRef": { "name": "login", "key": "password" } } } }
        });
        crate::notifications::merge(&mut config["spec"], more);
        config
    }
}

async fn secret(space: &Space, password: &str, hosts: &[SocketAddr], ca: &str) {
    let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "login", "annotations": { "mail-operator.dev/allowed-hosts": hosts.join(",") } },
        "stringData": { "password": password, "ca.crt": ca }
    });
    space.apply(&secret.to_string()).await;
}

async fn send(space: &Space, names: &[&str]) {
    for name in names {
        let to = format!("{name}@{}.example", space.name);
        space.apply(&notification(name, &[&to], json!({})).to_string()).await;
    }
}

async fn verified(space: &Space) {
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
}

/// The usage of a namespace's config, looked at just now.
async fn usage(space: &Space, request: &str) -> Value {
    let ask = format!("mail-operator.dev/verify-requested-at={request}");
    space.kubectl(&["annotate", "--overwrite", "msc", "default", &ask]).await;
    let answered = |found: &Value| found["status"]["lastHandledVerifyRequest"] == request;
    space.until("mailserverconfigs", "default", "verified again", answered).await["status"]["usage"].clone()
}

/// He knows host, port and user name, and leads his own config through his own proxy to his own server, which has a
/// certificate by his own CA and accepts any password.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_ones_own_has_no_say_in_another_namespaces_mailbox() {
    let town = Town::new("accounts-thief", |builder| builder).await;
    let (owner, thief) = (&town.ours.space, &town.theirs);
    let authority = CertificateAuthority::new("The thief's CA").unwrap();
    let tls = authority.server("localhost", &["127.0.0.1"]).unwrap().server_config().unwrap();
    let trap = ScriptedSmtp::builder().starttls(tls).login(USER, "anything").start().await;
    let proxy = ScriptedProxy::builder(Speech::Socks5).start(trap.address()).await;
    secret(owner, PASSWORD, &[town.smtp.address()], "").await;
    secret(thief, "anything", &[town.smtp.address(), proxy.address()], authority.pem()).await;
    let greedy = json!({
        "proxy": { "url": format!("socks5://{}", proxy.address()) },
        "tls": { "caRef": { "kind": "Secret", "name": "login", "key": "ca.crt" } },
        "limits": { "connections": 1, "messagesPerMinute": 1, "recipientsPerDay": 1, "recipientsPerMessage": 1 }
    });
    owner.apply(&town.config(json!({})).to_string()).await;
    verified(owner).await;
    thief.apply(&town.config(greedy).to_string()).await;
    verified(thief).await;
    send(owner, &["a", "b", "c"]).await;
    for name in ["a", "b", "c"] {
        owner.until_phase(name, "Sent").await;
    }
    send(thief, &["loot"]).await;
    thief.until_phase("loot", "Sent").await;
    assert_eq!((town.smtp.ledger().len(), trap.ledger().len()), (3, 1));
    let his = usage(thief, "1").await;
    assert_eq!((&his["recipientsLastDay"], &his["messagesLastMinute"]), (&json!(1), &json!(1)), "{his:#}");
    // He has used up his day, and nobody else's.
    send(thief, &["more"]).await;
    thief.until_reason("mailserverconfigs", "default", "Ready", "LimitReached").await;
    send(owner, &["d"]).await;
    owner.until_phase("d", "Sent").await;
    assert_eq!(usage(owner, "1").await["recipientsLastDay"], 4);
    assert_eq!(town.ours.journals().await.len(), 2);
}

/// Who has the password shares the mailbox and its limits, and sees his own part of it. What he wanted ends with his
/// config.
#[tokio::test(flavor = "multi_thread")]
async fn a_days_limit_holds_others_no_longer_than_its_config_lives() {
    let town = Town::new("accounts-shared", |builder| builder).await;
    let (ours, theirs) = (&town.ours.space, &town.theirs);
    for space in [ours, theirs] {
        secret(space, PASSWORD, &[town.smtp.address()], "").await;
    }
    ours.apply(&town.config(json!({})).to_string()).await;
    verified(ours).await;
    send(ours, &["a", "b"]).await;
    for name in ["a", "b"] {
        ours.until_phase(name, "Sent").await;
    }
    theirs.apply(&town.config(json!({ "limits": { "recipientsPerDay": 2 } })).to_string()).await;
    verified(theirs).await;
    send(ours, &["c"]).await;
    ours.until_reason("mailserverconfigs", "default", "Ready", "LimitReached").await;
    let seen = usage(theirs, "1").await;
    assert_eq!((&seen["recipientsLastDay"], &seen["connections"]), (&json!(0), &json!(0)), "{seen:#}");
    assert_eq!(town.ours.journals().await.len(), 1, "one account");
    assert_eq!(ours.get("notifications", "c").await["status"]["phase"], "Pending");
    theirs.kubectl(&["delete", "msc", "default"]).await;
    ours.until_phase("c", "Sent").await;
    eventually("the hold is gone from the status", SOON, async || {
        condition(&ours.get("mailserverconfigs", "default").await, "Ready")["reason"] == "Verified"
    })
    .await;
}

/// Eight messages that the mail server does not answer hold the connections of their own namespace only.
#[tokio::test(flavor = "multi_thread")]
async fn who_stalls_leaves_a_connection_to_each_other_namespace() {
    let town = Town::new("accounts-stall", |builder| builder.hold(Step::Data)).await;
    let (victim, stalls) = (&town.ours.space, &town.theirs);
    for space in [victim, stalls] {
        secret(space, PASSWORD, &[town.smtp.address()], "").await;
        space.apply(&town.config(json!({})).to_string()).await;
        verified(space).await;
    }
    let names: Vec<_> = (0..8).map(|n| format!("s{n}")).collect();
    send(stalls, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    town.smtp.reached_times(Step::Data, 3).await;
    send(victim, &["urgent"]).await;
    town.smtp.reached_times(Step::Data, 4).await;
    town.smtp.release(Step::Data);
    victim.until_phase("urgent", "Sent").await;
    for name in names {
        stalls.until_phase(&name, "Sent").await;
    }
    assert_eq!(town.smtp.ledger().len(), 9);
}
