//! Chart, `deploy/` and examples against a real API server: what people install, and with which rights it then runs.

mod chart;
mod deploy;
mod empty_cluster;
mod examples;
mod pod_security;
mod rights;
mod schema;

use crate::cluster::in_repository;
use mail_operator_testbed::{ControlPlane, tools};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use tokio::io::AsyncWriteExt;

/// Helm's answer: standard output, or what it complained about.
type Answer = Result<String, String>;

/// Runs Helm without a cluster; `input` is its standard input.
async fn helm_offline(arguments: &[&str], input: &str) -> Answer {
    helm_with(None, arguments, input).await
}

/// Runs Helm as administrator of a control plane.
async fn helm(plane: &ControlPlane, arguments: &[&str]) -> Answer {
    helm_with(Some(plane.kubeconfig()), arguments, "").await
}

async fn helm_with(kubeconfig: Option<&Path>, arguments: &[&str], input: &str) -> Answer {
    let mut helm = tokio::process::Command::new(tools::helm().await.unwrap());
    // Nobody's own repositories, plugins and settings.
    for (variable, folder) in
        [("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data"), ("HELM_CACHE_HOME", "cache")]
    {
        helm.env(variable, Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm").join(folder));
    }
    helm.env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null"))).args(arguments);
    helm.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = helm.spawn().unwrap();
    // A Helm that does not read its input says by itself what is wrong.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let Output { status, stdout, stderr } = child.wait_with_output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if status.success() { Ok(text(stdout)) } else { Err(text(stderr)) }
}

fn chart() -> String {
    in_repository("charts/mail-operator").display().to_string()
}

/// The values files that the chart is tested with, besides its defaults.
fn values_files() -> Vec<PathBuf> {
    let folder = in_repository("charts/mail-operator/ci");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The chart rendered with a values file, or with its defaults, as `mail-operator` in namespace `mail-operator`.
async fn rendered(values: Option<&Path>) -> String {
    let (chart, values) = (chart(), values.map(|path| path.display().to_string()));
    let mut arguments = vec!["template", "mail-operator", &chart, "--namespace", "mail-operator"];
    arguments.extend(values.iter().flat_map(|path| ["--values", path.as_str()]));
    helm_offline(&arguments, "").await.unwrap()
}

/// The objects of a multi-document YAML text.
fn objects(yaml: &str) -> Vec<serde_json::Value> {
    use serde::Deserialize;
    let documents = serde_yaml::Deserializer::from_str(yaml);
    let values = documents.map(|document| serde_json::Value::deserialize(document).unwrap());
    values.filter(|value| !value.is_null()).collect()
}

/// kubectl's output for one question to a control plane, which must be answered.
async fn ask(plane: &ControlPlane, arguments: &[&str]) -> String {
    plane.kubectl(arguments).await.unwrap().success().unwrap()
}
