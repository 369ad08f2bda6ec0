//! A control plane and an operator of their own, for what the shared ones cannot show: a default server, a
//! loosened CRD, sessions that are soon idle.

use crate::cluster::start;
use crate::objects::{Space, condition, soon};
use crate::operator::{InProcess, brisk};
use mail_operator::delivery::Settings;
use mail_operator_testbed::ControlPlane;
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::OnceCell;

use super::access::unresolved;
use super::{notification, only, says, server};

static PLANE: OnceCell<(ControlPlane, InProcess)> = OnceCell::const_new();

/// Sessions wait half a second for the next message.
fn hasty(settings: &mut Settings) {
    brisk(settings);
    settings.session_idle = Duration::from_millis(500);
}

/// A namespace there. Its operator has the default server `post-office/relay`.
async fn space(name: &str) -> Space {
    let (plane, _) = PLANE
        .get_or_init(async || {
            let plane = start().await;
            loosen(&plane).await;
            plane.kubectl(&["create", "namespace", "post-office"]).await.unwrap().success().unwrap();
            let operator = InProcess::start(&plane, &["--default-server", "post-office/relay"], hasty).await;
            (plane, operator)
        })
        .await;
    plane.kubectl(&["create", "namespace", name]).await.unwrap().success().unwrap();
    Space { plane, name: name.into() }
}

/// Lets `delivery.mode: Digest` through, as a later version of the schema might.
async fn loosen(plane: &ControlPlane) {
    let modes =
        "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/delivery/properties/mode/enum/-";
    let loosened = json!([{ "op": "add", "path": modes, "value": "Digest" }]).to_string();
    let name = "notifications.mail-operator.dev";
    plane.kubectl(&["patch", "crd", name, "--type=json", "-p", &loosened]).await.unwrap().success().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_server_serves_namespaces_that_it_admits_and_that_have_none() {
    let guest = space("default-guest").await;
    let stranger = space("default-stranger").await;
    let office = Space { plane: guest.plane, name: "post-office".into() };
    // Nobody has a server: the message names both that would do.
    guest.put(&[notification("news", &["ada@corp.example"], json!({}))]).await;
    let both = ["post-office/relay does not exist", "or create MailServerConfig default-guest/default"];
    unresolved(&guest, "news", "ServerNotPermitted", &both).await;
    let relay = ScriptedSmtp::builder().start().await;
    let selector = json!({ "matchLabels": { "kubernetes.io/metadata.name": "default-guest" } });
    let access = json!({ "access": { "namespaces": { "from": "Selector", "selector": selector } } });
    let mut config = server(relay.address(), access);
    config["metadata"]["name"] = json!("relay");
    office.put(&[config]).await;
    let sent = guest.until_phase("news", "Sent").await;
    assert_eq!(sent["status"]["server"], json!({ "name": "relay", "namespace": "post-office" }));
    only(&relay, "ada@corp.example");
    // It must admit the namespace all the same.
    stranger.put(&[notification("news", &["eve@corp.example"], json!({}))]).await;
    let words = [
        "MailServerConfig post-office/relay does not exist, cannot be used, or does not admit namespace default-stranger",
        "from: All",
    ];
    unresolved(&stranger, "news", "ServerNotPermitted", &words).await;
    // A server `default` of the own namespace goes before it, and sets the other free.
    let own = ScriptedSmtp::builder().start().await;
    for (space, address) in [(&guest, "bob@corp.example"), (&stranger, "eve@corp.example")] {
        space.put(&[server(own.address(), json!({}))]).await;
        space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
        space.put(&[notification("own", &["bob@corp.example"], json!({}))]).await;
        space.until_phase("own", "Sent").await;
        space.until_phase("news", "Sent").await;
        assert!(!super::taken(&own, address).is_empty());
    }
    assert_eq!(relay.ledger().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_decoded_says_so_and_hides_no_other() {
    let space = space("undecodable").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    let version = space.version().await;
    let digest = json!({ "delivery": { "mode": "Digest" } });
    space
        .put(&[
            notification("before", &["ada@corp.example"], json!({})),
            notification("odd", &["eve@corp.example"], digest),
            notification("after", &["bob@corp.example"], json!({})),
        ])
        .await;
    let undecodable = |found: &Value| condition(found, "Ready")["reason"] == "Undecodable";
    let odd = space.until("notifications", "odd", "undecodable", undecodable).await;
    says(&odd, "Ready", "False", "Undecodable", &["Digest", "Delete it and create it anew"]);
    assert_eq!(condition(&odd, "Stalled")["status"], "True");
    for name in ["before", "after"] {
        space.until_phase(name, "Sent").await;
    }
    assert_eq!(smtp.ledger().len(), 2);
    assert_eq!(space.history("odd", &version).await.len(), 2, "created, and told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_is_closed_with_quit() {
    let space = space("quit").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    let quits = smtp.count(Step::Quit);
    space.put(&[notification("news", &["ada@corp.example"], json!({}))]).await;
    space.until_phase("news", "Sent").await;
    soon("the session is closed", async || smtp.count(Step::Quit) > quits).await;
    smtp.idle().await;
    assert_eq!(smtp.count(Step::Quit), smtp.connections(), "no session ends without");
}
