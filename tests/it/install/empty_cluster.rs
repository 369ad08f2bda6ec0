//! On a cluster that has never seen us: `kubectl apply -k deploy` at the first try, and Helm from an older version to this one
//! and away again. Needs a control plane of its own.

use super::{Answer, ask, chart, helm};
use crate::cluster::in_repository;
use mail_operator_testbed::operator::OperatorOptions;
use mail_operator_testbed::{ControlPlane, Operator};
use std::path::{Path, PathBuf};
use std::time::Duration;

const NOTIFICATION: &str = r"
apiVersion: mail-operator.dev/v1alpha1
kind: Notification
metadata: {name: NAME, namespace: mail-operator}
spec:
  to: [{address: you@corp.example}]
  message: {content: {subject: Hello, text: Hello}}
  delivery: {keepFor: forever}
";

#[tokio::test]
async fn first_kustomize_then_helm() {
    let plane = ControlPlane::start().await.unwrap();
    crate::kubectl_mail::not_installed(&plane).await;
    kustomize(&plane).await;
    ask(&plane, &["create", "namespace", "mail-operator"]).await;
    helm_upgrades_and_uninstalls(&plane).await.unwrap();
}

/// One apply, no second try, client-side as people type it; then nothing is left.
async fn kustomize(plane: &ControlPlane) {
    let deploy = in_repository("deploy").display().to_string();
    let applied = ask(plane, &["apply", "-k", &deploy]).await;
    for object in [
        "namespace/mail-operator created",
        "deployment.apps/mail-operator created",
        "notifications.mail-operator.dev created",
    ] {
        assert!(applied.contains(object), "{applied}");
    }
    let again = ask(plane, &["apply", "-k", &deploy]).await;
    // kubectl sends a PodDisruptionBudget's selector each time, whether it changed or not.
    let changed = again
        .lines()
        .filter(|line| !line.ends_with(" unchanged") && !line.starts_with("poddisruptionbudget"));
    assert_eq!(changed.collect::<Vec<_>>(), [""; 0]);
    established(plane).await;
    plane.apply_yaml(&NOTIFICATION.replace("NAME", "first")).await.unwrap();
    ask(plane, &["delete", "-k", &deploy, "--wait", "--timeout=120s"]).await;
    assert_eq!(ask(plane, &["get", "crd", "-o", "name"]).await, "");
}

/// Helm leaves CRDs alone whatever happens. After an upgrade the operator brings them up to date.
async fn helm_upgrades_and_uninstalls(plane: &ControlPlane) -> Answer {
    let namespaced = ["--namespace", "mail-operator"];
    let older = older_chart();
    helm(plane, &[&["install", "mail-operator", &older.display().to_string()], &namespaced[..]].concat())
        .await?;
    established(plane).await;
    assert_eq!(schema_version(plane).await, "0");
    crate::kubectl_mail::older_and_not_running(plane).await;
    let refusal = plane.apply_yaml(&NOTIFICATION.replace("NAME", "new-field")).await.unwrap_err().to_string();
    assert!(refusal.contains("keepFor"), "{refusal}");
    let old = NOTIFICATION.replace("NAME", "old").replace("  delivery: {keepFor: forever}\n", "");
    plane.apply_yaml(&old).await.unwrap();
    let uid = ["get", "notification", "old", "-n", "mail-operator", "-o", "jsonpath={.metadata.uid}"];
    let before = ask(plane, &uid).await;

    helm(plane, &[&["upgrade", "mail-operator", &chart()], &namespaced[..]].concat()).await?;
    assert_eq!(schema_version(plane).await, "0", "Helm is known not to touch it");
    let log = start_operator(plane).await;
    assert_eq!(schema_version(plane).await, mail_operator::api::crds::CURRENT_SCHEMA.to_string());
    assert_eq!(log.matches("schema brought up to date").count(), 1, "the other two were not older: {log}");
    plane.apply_yaml(&NOTIFICATION.replace("NAME", "new-field")).await.unwrap();

    // One that is older than the cluster's CRDs leaves them alone.
    let newer = r#"{"metadata":{"annotations":{"mail-operator.dev/schema-version":"99"}}}"#;
    ask(plane, &["patch", "crd", "notifications.mail-operator.dev", "--type=merge", "-p", newer]).await;
    start_operator(plane).await;
    assert_eq!(schema_version(plane).await, "99");

    helm(plane, &[&["uninstall", "mail-operator"], &namespaced[..]].concat()).await?;
    assert_eq!(ask(plane, &["get", "deployment", "-A", "-o", "name"]).await, "");
    let crds = ask(plane, &["get", "crd", "-o", "name"]).await;
    assert_eq!(crds.lines().count(), 3, "{crds}");
    assert_eq!(ask(plane, &uid).await, before, "the object is the same one");
    Ok(before)
}

/// Runs the operator with exactly the rights of the chart's ServiceAccount until it is ready; returns its log.
async fn start_operator(plane: &ControlPlane) -> String {
    let kubeconfig = plane.kubeconfig_for_service_account("mail-operator", "mail-operator").await.unwrap();
    let options = OperatorOptions::new(env!("CARGO_BIN_EXE_mail-operator"), kubeconfig)
        .args(["--leader-election", "false"]);
    let operator = Operator::start(&options).unwrap();
    operator.until_ready(Duration::from_secs(30)).await.unwrap();
    operator.log()
}

async fn established(plane: &ControlPlane) {
    ask(plane, &["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]).await;
}

async fn schema_version(plane: &ControlPlane) -> String {
    let path = r"jsonpath={.metadata.annotations.mail-operator\.dev/schema-version}";
    ask(plane, &["get", "crd", "notifications.mail-operator.dev", "-o", path]).await
}

/// The chart as it might have been: schema 0, in which `delivery.keepFor` was not yet thought of.
fn older_chart() -> PathBuf {
    let older = Path::new(env!("CARGO_TARGET_TMPDIR")).join("older-chart");
    if older.exists() {
        std::fs::remove_dir_all(&older).unwrap();
    }
    copy(&in_repository("charts/mail-operator"), &older);
    let edit = |file: &str, edit: &dyn Fn(&mut serde_json::Value)| {
        let path = older.join(file);
        let mut content = serde_yaml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        edit(&mut content);
        std::fs::write(path, content.to_string()).unwrap(); // JSON is YAML
    };
    edit("Chart.yaml", &|chart| chart["version"] = "0.0.9".into());
    edit("crds/notifications.mail-operator.dev.yaml", &|crd| {
        crd["metadata"]["annotations"]["mail-operator.dev/schema-version"] = "0".into();
        let spec = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let delivery = &mut spec["properties"]["delivery"];
        for place in ["default", "properties"] {
            delivery[place].as_object_mut().unwrap().remove("keepFor").unwrap();
        }
    });
    older
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
