//! The errors that people meet first: each is named as what it is, with the next command.

use super::{Call, home};
use crate::cluster::cluster;
use crate::notifications::{notification, server};
use crate::objects::Space;
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use mail_operator_testbed::{ControlPlane, free_port};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn no_way_to_a_cluster() {
    let plane = cluster().await;
    let nowhere = home().join("no-such-kubeconfig");
    let ran = Call::new(plane, &["status"]).env("KUBECONFIG", &nowhere).run().await;
    ran.says(
        3,
        &["no way to a cluster", "no-such-kubeconfig", "--kubeconfig FILE", "kubectl config get-contexts"],
    );
    let ran = Call::new(plane, &["status", "--context", "prod"]).run().await;
    ran.says(3, &["no way to a cluster", "prod", "--context NAME"]);

    let elsewhere = std::fs::read_to_string(plane.kubeconfig()).unwrap();
    let address = format!("https://127.0.0.1:{}", free_port().unwrap());
    let path = home().join("unreachable");
    std::fs::write(&path, elsewhere.replace(&plane.url(), &address)).unwrap();
    let path = path.display().to_string();
    let ran = Call::new(plane, &["status", "--kubeconfig", &path]).run().await;
    ran.says(3, &["cannot be reached", &address, "onnection refused", "--context NAME"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_api_server_is_given_up_in_time() {
    let plane = cluster().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let elsewhere = std::fs::read_to_string(plane.kubeconfig()).unwrap();
    let path = home().join("silent");
    std::fs::write(&path, elsewhere.replace(&plane.url(), &address)).unwrap();
    let path = path.display().to_string();
    let arguments = ["status", "--kubeconfig", &path, "--request-timeout", "3s"];
    let ran = Call::new(plane, &arguments).run().await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.stderr.contains(&address), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_permission_names_verb_kind_and_namespace() {
    let space = Space::new("mail-forbidden").await;
    let ran = space.mail(&["status", "--as", "eve"]).await;
    ran.says(
        3,
        &[
            "no permission to list MailServerConfigs in namespace mail-forbidden",
            "kubectl auth can-i list mailserverconfigs.mail-operator.dev -n mail-forbidden",
        ],
    );
    space
        .kubectl(&[
            "create",
            "role",
            "reader",
            "--verb=get,list,watch",
            "--resource=mailserverconfigs.mail-operator.dev,notifications.mail-operator.dev",
        ])
        .await;
    space.kubectl(&["create", "rolebinding", "reader", "--role=reader", "--user=eve"]).await;
    let ran = space
        .mail(&["send", "--to", "ada@corp.example", "--subject", "Hello", "--text", "Hello", "--as", "eve"])
        .await;
    ran.says(
        3,
        &[
            "no permission to create Notification",
            "can-i create notifications.mail-operator.dev -n mail-forbidden",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_namespace_and_the_wrong_letter() {
    let space = Space::new("mail-elsewhere").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let mut relay = server(smtp.address(), json!({}));
    relay["metadata"]["name"] = json!("elsewhere-relay");
    space.put(&[relay, notification("elsewhere-news", &["ada@corp.example"], json!({}))]).await;
    let wrong = Call::new(space.plane, &["status", "elsewhere-news", "-n", "default"]).run().await;
    wrong.says(1, &["there is no Notification elsewhere-news in namespace default", "add -n mail-elsewhere"]);
    let ran = space.mail(&["test", "elsewhere-rellay"]).await;
    ran.says(1, &["there is no MailServerConfig elsewhere-rellay", "did you mean elsewhere-relay?"]);
    let ran = space.mail(&["status", "server/exchange"]).await;
    ran.says(1, &["there are: elsewhere-relay"]);
    let ran = Call::new(space.plane, &["test", "-n", "no-such-namespace"]).run().await;
    // A server called default exists in namespaces of other tests.
    assert_eq!(ran.code, 1, "{ran:#?}");
    let arguments =
        ["send", "--to", "a@corp.example", "--subject", "x", "--text", "x", "-n", "no-such-namespace"];
    let ran = Call::new(space.plane, &arguments).run().await;
    ran.says(3, &["there is no namespace no-such-namespace", "kubectl get namespaces"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_has_stopped_renews_nothing() {
    let space = Space::new("mail-silence").await;
    // What an operator leaves behind that was killed; the one of the tests lives in another namespace.
    space.apply("apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: { name: mail-operator }\nspec: { holderIdentity: killed, leaseDurationSeconds: 15 }\n").await;
    let dead = std::net::SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    space.put(&[server(dead, json!({}))]).await;
    let send = ["send", "--to", "ada@corp.example", "--subject", "x", "--text", "x", "--timeout", "20s"];
    let mut sending =
        space.mail_call(&[&send[..], &["--operator-namespace", "mail-silence"]].concat()).start();
    sending.until_noted("the operator does not run: nobody renews its Lease in namespace mail-silence").await;
    // Without the right to look, it says so instead of guessing.
    space
        .kubectl(&[
            "create",
            "clusterrole",
            "mail-silence",
            "--verb=*",
            "--resource=mailserverconfigs.mail-operator.dev,notifications.mail-operator.dev",
        ])
        .await;
    space.kubectl(&["create", "rolebinding", "eve", "--clusterrole=mail-silence", "--user=eve"]).await;
    let mut sending = space.mail_call(&[&send[..], &["--as", "eve"]].concat()).start();
    sending.until_noted("whether the operator runs cannot be seen").await;
}

/// Of a cluster without our CRDs.
pub async fn not_installed(plane: &ControlPlane) {
    for arguments in [
        &["status"][..],
        &["test"],
        &["version"],
        &["send", "--to", "ada@corp.example", "--subject", "Hello", "--text", "Hello"],
    ] {
        let ran = Call::new(plane, arguments).run().await;
        ran.says(3, &["mail-operator is not installed", "helm install mail-operator"]);
    }
}

/// Of a cluster with CRDs of schema 0 and the chart's Deployment, whose Pods never run.
pub async fn older_and_not_running(plane: &ControlPlane) {
    let ran = Call::new(plane, &["version"]).run().await;
    ran.says(
        1,
        &[
            "CRDs           schema 0",
            "are older than this program",
            "operator       0.1.0",
            "upgrade the operator",
        ],
    );
    let mut relay = server(([127, 0, 0, 1], free_port().unwrap()).into(), json!({}));
    relay["metadata"]["namespace"] = json!("mail-operator");
    plane.apply_yaml(&relay.to_string()).await.unwrap();
    let arguments =
        ["send", "--to", "ada@corp.example", "--subject", "Hello", "--text", "Hello", "--timeout", "6s"];
    let ran =
        Call::new(plane, &[&arguments[..], &["-n", "mail-operator", "--name", "waits"]].concat()).run().await;
    ran.says(
        4,
        &[
            "Notification waits created in namespace mail-operator",
            "the operator does not run: there is no Lease in namespace mail-operator",
            "kubectl -n mail-operator get deploy,pods",
            "is not finished after 6s",
            "kubectl mail status waits -n mail-operator",
        ],
    );
    let both = ["notification/waits", "msc/default"];
    plane
        .kubectl(&[&["delete", "-n", "mail-operator"], &both[..]].concat())
        .await
        .unwrap()
        .success()
        .unwrap();
}
