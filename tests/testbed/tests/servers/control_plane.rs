//! The control plane: what kubectl may do, whom the API server lets in, and how it comes back.

use mail_operator_testbed::ControlPlane;
use std::time::Duration;

/// Within it, whatever a controller does has been done.
const LIMIT: &str = "--timeout=60s";

#[tokio::test]
async fn a_control_plane_enforces_rbac_survives_its_api_server_and_leaves_nothing() {
    let plane = ControlPlane::start().await.unwrap();
    let kubectl = async |arguments: &[&str]| plane.kubectl(arguments).await.unwrap();

    // The controllers run: a namespace gets its ServiceAccount.
    kubectl(&["create", "namespace", "team"]).await.success().unwrap();
    kubectl(&["wait", "--for=create", "serviceaccount/default", "-n", "team", LIMIT]).await.success().unwrap();

    // A ServiceAccount may do what a Role says, and nothing else.
    plane
        .apply_yaml(
            "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: reader, namespace: team }
rules: [{ apiGroups: [''], resources: [configmaps], verbs: [list] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: reader, namespace: team }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader }
subjects: [{ kind: ServiceAccount, name: default, namespace: team }]
",
        )
        .await
        .unwrap();
    let account = plane.kubeconfig_for_service_account("team", "default").await.unwrap();
    let account = account.to_str().unwrap();
    kubectl(&["--kubeconfig", account, "get", "configmaps", "-n", "team"]).await.success().unwrap();
    let refused = kubectl(&["--kubeconfig", account, "get", "secrets", "-n", "team"]).await;
    assert!(refused.stderr.contains("forbidden"), "{refused:?}");

    // Frozen, it answers nobody; killed or stopped, it comes back with its data.
    plane.freeze_api_server().unwrap();
    let late = kubectl(&["get", "namespace", "team", "--request-timeout=300ms"]).await;
    assert!(!late.status.success());
    plane.thaw_api_server().unwrap();
    kubectl(&["get", "namespace", "team"]).await.success().unwrap();
    plane.kill_api_server();
    assert!(!kubectl(&["get", "namespace", "team"]).await.status.success());
    plane.start_api_server().await.unwrap();
    plane.stop_api_server().await.unwrap();
    plane.start_api_server().await.unwrap();
    kubectl(&["get", "namespace", "team"]).await.success().unwrap();

    assert!(plane.metrics().await.unwrap().contains("apiserver_request_total"));
    assert!(plane.api_server_cpu_ms() > 0 && plane.etcd_cpu_ms() > 0);

    // The end of a namespace needs the controllers as well, on connections that have seen two restarts.
    kubectl(&["delete", "namespace", "team", LIMIT]).await.success().unwrap();

    let (url, folder) = (plane.url(), plane.kubeconfig().parent().unwrap().to_owned());
    drop(plane);
    assert!(!folder.exists());
    let address = url.trim_start_matches("https://").parse().unwrap();
    assert!(std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err());
}
