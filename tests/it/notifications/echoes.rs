//! A mail server that repeats the login in its answers, after it has taken it. Who may use the server from another
//! namespace, or only read the objects, learns nothing from that.

use super::{notification, server};
use crate::objects::Space;
use crate::operator::shared;
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use serde_json::json;

const USER: &str = "echo-canary-user";
const PASSWORD: &str = "echo-canary-password";
/// The same in base64, without what depends on its neighbours.
const ENCODED: &str = "ZWNoby1jYW5hcnktcGFzc3dvcmQ";

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_a_server_tells_another_namespace_its_login() {
    let owner = Space::new("echo-owner").await;
    let guest = Space::new("echo-guest").await;
    owner
        .apply(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\n  annotations: {{ mail-operator.dev/allowed-hosts: \
             \"127.0.0.1:*\", mail-operator.dev/allow-plaintext: \"true\" }}\nstringData: {{ password: {PASSWORD} }}\n"
        ))
        .await;
    let echo =
        |code: &str| format!("{code} no: {USER} {PASSWORD} {ENCODED} echo%2dcanary%2dpassword (sorry)");
    let mut servers = Vec::new();
    for (name, step, code, phase) in [
        ("accepted", Step::Dot, "250 2.0.0", "Sent"),
        ("refused", Step::Dot, "554 5.6.0", "Failed"),
        ("recipient", Step::Rcpt, "550 5.1.1", "Failed"),
        ("sender", Step::Mail, "553 5.7.1", "Failed"),
        ("data", Step::Data, "554 5.6.0", "Failed"),
    ] {
        let smtp =
            ScriptedSmtp::builder().login(USER, PASSWORD).fault(step, Fault::reply(echo(code))).start().await;
        let auth = json!({ "basic": { "username": USER, "passwordSecretRef": { "name": "login", "key": "password" } } });
        let mut config =
            server(smtp.address(), json!({ "auth": auth, "access": { "namespaces": { "from": "All" } } }));
        config["metadata"]["name"] = json!(name);
        let through = json!({ "serverRef": { "name": name, "namespace": "echo-owner" } });
        owner.put(&[config]).await;
        guest.put(&[notification(name, &["ada@corp.example"], through)]).await;
        guest.until_phase(name, phase).await;
        servers.push(smtp);
    }
    for kind in ["notifications", "events"] {
        let found = guest.kubectl(&["get", kind, "-o", "json"]).await;
        shows_nothing(&found);
        assert!(kind == "events" || found.contains("no: *** *** ***"), "{found}");
    }
    // The owner may see who logs in, and with what only in the Secret.
    for kind in ["mailserverconfigs", "events"] {
        let found = owner.kubectl(&["get", kind, "-o", "json"]).await;
        assert!(!found.contains(PASSWORD) && !found.contains(ENCODED), "{found}");
    }
    shows_nothing(&shared().await.get("/metrics").await.unwrap().1);
}

fn shows_nothing(text: &str) {
    for secret in [USER, PASSWORD, ENCODED, "canary%2d"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}
