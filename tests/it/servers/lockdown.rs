//! An operator with every argument that is for tenants who do not trust each other.

use super::{SERVERS, manifest, verified};
use crate::cluster::start;
use crate::notifications::{notification, says};
use crate::objects::{Space, condition};
use crate::operator::{InProcess, brisk};
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::free_port;
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_uses_what_it_is_given_and_learns_nothing_else() {
    let plane = Box::leak(Box::new(start().await));
    let relay = ScriptedSmtp::builder().start().await;
    let relay_address = relay.address().to_string();
    let arguments = [
        "--no-cross-namespace-refs",
        "--no-private-cas",
        "--proxies-only=none",
        "--plaintext-only",
        &relay_address,
        "--egress-deny=cluster",
        "--egress-only=127.0.0.0/8,10.0.0.0/8,nowhere.invalid",
        "--one-network-error",
    ];
    let _operator = InProcess::start(plane, &arguments, brisk).await;
    for name in ["tenant", "other"] {
        plane.kubectl(&["create", "namespace", name]).await.unwrap().success().unwrap();
    }
    let [tenant, other] = ["tenant", "other"].map(|name| Space { plane, name: name.into() });

    // What the administrator lists works.
    let plain = |port: u16| format!("host: 127.0.0.1\nport: {port}\ntls: {{ mode: Disabled }}");
    tenant.apply(&manifest("default", &plain(relay.address().port()))).await;
    verified(&tenant, "default").await;
    tenant.put(&[notification("news", &["ada@corp.example"], json!({}))]).await;
    tenant.until_phase("news", "Sent").await;

    // What a spec may not say, it says in vain.
    for (name, spec, words) in [
        ("plain", plain(relay.address().port() - 1), "--plaintext-only"),
        ("proxy", "host: 127.0.0.1\nproxy: { url: \"socks5://127.0.0.1:1080\" }".into(), "--proxies-only"),
        (
            "ca",
            "host: 127.0.0.1\ntls: { caRef: { kind: ConfigMap, name: ca, key: ca.crt } }".into(),
            "--no-private-cas",
        ),
    ] {
        tenant.apply(&manifest(name, &spec)).await;
        let ready = tenant.until_reason(SERVERS, name, "Ready", "InvalidSpec").await;
        assert!(ready["message"].as_str().unwrap().contains(words), "{ready}");
    }

    // A scanner of ports, names and networks gets one answer.
    let stranger = CertificateAuthority::new("Stranger").unwrap();
    let certificate = || stranger.server("127.0.0.1", &[]).unwrap().server_config().unwrap();
    let untrusted = ScriptedSmtp::builder().starttls(certificate()).start().await;
    let without_tls = ScriptedSmtp::builder().start().await;
    let silent = ScriptedSmtp::builder().fault(Step::Greeting, Fault::Stall).start().await;
    let garbage = ScriptedSmtp::builder().fault(Step::Greeting, Fault::Garbage).start().await;
    let port = |server: &ScriptedSmtp| server.address().port();
    let probes = [
        ("closed", "127.0.0.1", free_port().unwrap()),
        ("untrusted", "127.0.0.1", port(&untrusted)),
        ("without-tls", "127.0.0.1", port(&without_tls)),
        ("silent", "127.0.0.1", port(&silent)),
        ("garbage", "127.0.0.1", port(&garbage)),
        ("no-name", "nowhere.invalid", 587),
        ("service", "10.96.0.1", 443),
        ("unlisted", "198.51.100.7", 587),
        ("metadata", "168.63.129.16", 80),
    ];
    let manifests: String = probes
        .iter()
        .map(|(name, host, port)| manifest(name, &format!("host: {host}\nport: {port}")))
        .collect();
    tenant.apply(&manifests).await;
    let mut answers = Vec::new();
    for (name, ..) in probes {
        let failed = |object: &Value| condition(object, "Ready")["status"] == "False";
        let mut object = tenant.until(SERVERS, name, "not ready", failed).await;
        assert!(
            object["status"]["server"]["address"].is_null() && object["status"]["tls"].is_null(),
            "{object}"
        );
        for condition in object["status"]["conditions"].as_array_mut().unwrap() {
            condition["lastTransitionTime"] = Value::Null;
            if condition["type"] == "Reconciling" {
                condition["message"] = Value::Null; // when it is tried again
            }
        }
        answers.push(object["status"]["conditions"].take());
    }
    for (answer, (name, ..)) in answers.iter().zip(probes) {
        assert_eq!(answer, &answers[0], "{name}");
    }
    assert!(answers[0].to_string().contains("\"Unreachable\""), "{:#}", answers[0]);

    // Another namespace's server that admits everybody, and one that does not exist, are the same.
    let all = format!("{}\naccess: {{ namespaces: {{ from: All }} }}", plain(relay.address().port()));
    other.apply(&manifest("there", &all)).await;
    verified(&other, "there").await;
    for name in ["there", "nowhere"] {
        let through = json!({ "serverRef": { "name": name, "namespace": "other" } });
        tenant.put(&[notification(name, &["bob@corp.example"], through)]).await;
        let found = tenant
            .until("notifications", name, "refused", |object| condition(object, "Ready")["status"] == "False")
            .await;
        says(
            &found,
            "Ready",
            "False",
            "ServerNotPermitted",
            &["spec.serverRef.namespace: this operator permits no"],
        );
    }
    assert!(relay.received_for("bob@corp.example").is_empty());
}
