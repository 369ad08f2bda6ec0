//! The whole way through the operator: one Notification at each real server, with a recipient that is taken, one that is
//! refused and one that is greylisted.

use super::servers::{MailServer, PASSWORD, Scene, USER, scene};
use crate::notifications::shared::shared;
use crate::notifications::{notification, recipient, says};
use crate::objects::Space;
use serde_json::json;

/// A namespace in which every server of the table has its MailServerConfig.
async fn space(name: &str) -> Space {
    let scene = scene().await;
    let space = Space::new(name).await;
    space.ca("ca", scene.authority.pem()).await;
    space.password("login", PASSWORD, "localhost").await;
    let config = |server: &MailServer| {
        json!({
            "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MailServerConfig",
            "metadata": { "name": server.name },
            "spec": {
                "host": "localhost", "port": server.starttls_port, "tls": { "caRef": { "name": "ca" } },
                "sender": { "address": USER, "displayName": "Corp IT" },
                "auth": { "basic": { "username": USER, "passwordSecretRef": { "name": "login", "key": "password" } } }
            }
        })
    };
    space.put(&scene.servers.iter().map(config).collect::<Vec<_>>()).await;
    space
}

#[tokio::test(flavor = "multi_thread")]
async fn one_notification_at_each_server() {
    let space = space("mail-servers").await;
    let scene = Scene::started();
    let mut objects = Vec::new();
    for server in &scene.servers {
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

#[tokio::test(flavor = "multi_thread")]
async fn one_message_for_all_at_each_server() {
    let space = space("mail-servers-shared").await;
    let scene = Scene::started();
    let names = ["shared-ada", "gone-shared", "grey-shared", "shared-boss", "shared-audit"];
    let addresses = |server: &MailServer| names.map(|name| server.address(name));
    let objects: Vec<_> = scene
        .servers
        .iter()
        .map(|server| {
            let all = addresses(server);
            let [ada, gone, grey, boss, audit] = all.each_ref().map(String::as_str);
            let through = json!({ "serverRef": { "name": server.name } });
            shared(server.name, &[ada, gone, grey], &[boss], &[audit], through)
        })
        .collect();
    space.put(&objects).await;
    for server in &scene.servers {
        let who = server.name;
        let done = space.until_phase(who, "PartiallySent").await;
        let [ada, gone, grey, boss, audit] = addresses(server);
        let status = &done["status"];
        assert_eq!(
            (&status["accepted"], &status["attempts"]),
            (&json!("4/5"), &json!(2)),
            "{who}: {status:#}"
        );
        assert_eq!(recipient(&done, &gone)["reason"], "RecipientRefused", "{who}");
        for accepted in [&ada, &grey, &boss, &audit] {
            let received = server.handed_on(accepted, 1).await.remove(0);
            let parsed = mail_parser::MessageParser::default().parse(&received.message).unwrap();
            let shown = |addresses: Option<&mail_parser::Address<'_>>| -> Vec<String> {
                let all = addresses.into_iter().flat_map(|addresses| addresses.iter());
                all.map(|one| one.address().unwrap_or_default().to_owned()).collect()
            };
            assert_eq!(shown(parsed.to()), [&*ada, &*gone, &*grey], "{who}: everybody, in each copy");
            assert_eq!(shown(parsed.cc()), [&*boss], "{who}");
            assert!(parsed.bcc().is_none(), "{who}");
        }
        // Trace fields of a server may name whom it delivers to; what the others get does not name the hidden one.
        let others = server.sink.received_for(&ada).remove(0).message;
        assert!(!String::from_utf8_lossy(&others).contains(&audit), "{who}");
    }
}

/// More bad addresses than Postfix hears of in one session.
#[tokio::test(flavor = "multi_thread")]
async fn many_bad_addresses_keep_no_good_one_from_its_mail() {
    let space = space("mail-servers-hang-up").await;
    let hanging_up = || Scene::started().servers.iter().filter(|server| server.hangs_up);
    let fine = |server: &MailServer, number: u32| server.address(&format!("fine{number}-of-many"));
    let objects: Vec<_> = hanging_up()
        .map(|server| {
            let mut to: Vec<_> =
                (0..50).map(|number| server.address(&format!("gone{number}-of-many"))).collect();
            for (number, at) in (0..3).zip([10, 30, 45]) {
                to.insert(at, fine(server, number));
            }
            let to: Vec<_> = to.iter().map(String::as_str).collect();
            notification(server.name, &to, json!({ "serverRef": { "name": server.name } }))
        })
        .collect();
    space.put(&objects).await;
    for server in hanging_up() {
        let done = space.until_phase(server.name, "PartiallySent").await;
        let (who, status) = (server.name, &done["status"]);
        assert_eq!(status["accepted"], "3/53", "{who}");
        let refused = status["recipients"].as_array().unwrap().iter();
        let refused = refused.filter(|recipient| recipient["reason"] == "RecipientRefused").count();
        assert_eq!(refused, 50, "{who}: {status:#}");
        assert_eq!(status["attempts"], 1, "{who}: a server that hangs up costs no attempt");
        for number in 0..3 {
            server.handed_on(&fine(server, number), 1).await;
        }
    }
}
