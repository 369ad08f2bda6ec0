//! The whole way through the operator: one Notification at each real server, with a recipient that is taken, one that is
//! refused and one that is greylisted.

use super::servers::{PASSWORD, USER, scene};
use crate::notifications::{notification, recipient, says};
use crate::objects::Space;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn one_notification_at_each_server() {
    let scene = scene().await;
    let space = Space::new("mail-servers").await;
    space.ca("ca", scene.authority.pem()).await;
    space.password("login", PASSWORD, "localhost").await;
    let mut objects = Vec::new();
    for server in &scene.servers {
        objects.push(json!({
            "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MailServerConfig",
            "metadata": { "name": server.name },
            "spec": {
                "host": "localhost", "port": server.starttls_port, "tls": { "caRef": { "name": "ca" } },
                "sender": { "address": USER, "displayName": "Corp IT" },
                "auth": { "basic": { "username": USER, "passwordSecretRef": { "name": "login", "key": "password" } } }
            }
        }));
        let to = ["news-ada", "gone-news", "grey-news"].map(|name| server.address(name));
        let through = json!({ "serverRef": { "name": server.name } });
        objects.push(notification(server.name, &to.each_ref().map(String::as_str), through));
    }
    space.put(&objects).await;
    for server in &scene.servers {
        let who = server.name;
        let done = space.until_phase(who, "PartiallySent").await;
        let [ada, gone, grey] = ["news-ada", "gone-news", "grey-news"].map(|name| server.address(name));
        let status = &done["status"];
        assert_eq!(
            (&status["accepted"], &status["attempts"]),
            (&json!("2/3"), &json!(2)),
            "{who}: {status:#}"
        );
        for accepted in [&ada, &grey] {
            assert_eq!(recipient(&done, accepted)["state"], "Accepted", "{who}: {status:#}");
            server.handed_on(accepted, 1).await;
        }
        let refused = recipient(&done, &gone);
        assert_eq!(refused["reason"], "RecipientRefused", "{who}: {refused}");
        assert_eq!((&refused["code"], &refused["enhancedCode"]), (&json!(550), &json!("5.1.1")), "{who}");
        assert_eq!(server.sink.copies_for(&gone), 0, "{who}");
        says(&done, "Ready", "False", "PartiallyAccepted", &["2 of 3", "No such user here"]);
    }
}
