//! The Pods that the chart makes are admitted where Pod Security is enforced at its strictest level.

use super::{objects, rendered, values_files};
use crate::cluster::namespace;

#[tokio::test]
async fn restricted_admits_the_pods() {
    let plane = namespace("pod-security").await;
    let enforce = ["label", "namespace", "pod-security", "pod-security.kubernetes.io/enforce=restricted"];
    plane.kubectl(&enforce).await.unwrap().success().unwrap();
    let dry_run = ["create", "--dry-run=server", "-f", "-"];

    let values = values_files();
    for values in values.iter().map(|path| Some(path.as_path())).chain([None]) {
        let mut pod = pod(&rendered(values).await);
        let answer = plane.kubectl_with_input(&dry_run, &pod.to_string()).await.unwrap();
        let admitted = answer.success().unwrap();
        assert!(admitted.contains("pod/mail-operator created"), "{admitted}");

        // The same Pod with one right too many is refused, so somebody did look.
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
        let answer = plane.kubectl_with_input(&dry_run, &pod.to_string()).await.unwrap();
        assert!(answer.stderr.contains("violates PodSecurity \"restricted"), "{}", answer.stderr);
    }
}

/// The Deployment's Pod, as its controller would create it.
fn pod(rendered: &str) -> serde_json::Value {
    let objects = objects(rendered);
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let template = &deployment["spec"]["template"];
    let mut spec = template["spec"].clone();
    // The class is the cluster's; the values' one belongs to kube-system's Pods.
    spec.as_object_mut().unwrap().remove("priorityClassName");
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": { "name": "mail-operator", "namespace": "pod-security", "labels": template["metadata"]["labels"] },
    })
}
