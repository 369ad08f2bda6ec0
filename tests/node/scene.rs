//! The cluster with the operator in it, as an administrator would install it.

use crate::{Failure, folder};
use mail_operator_testbed::{Node, node::IMAGE};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The release, its namespace and what it makes are all called so.
pub const OPERATOR: &str = "mail-operator";

/// A node with an inbox and the operator.
pub struct Scene {
    pub node: Node,
}

impl Scene {
    /// Starts the node and installs the chart under Pod Security `restricted`.
    pub async fn set() -> Result<Self, Failure> {
        let node = Node::start(&folder().join("logs")).await?;
        let scene = Self { node };
        let binary = Path::new(env!("CARGO_BIN_EXE_mail-operator"));
        for tag in ["one", "two"] {
            scene.node.import_operator(&in_repository("deploy/Dockerfile"), binary, tag).await?;
        }
        scene.node.apply_yaml(NAMESPACES).await?;
        scene.install("one", &[]).await?;
        scene.node.apply_yaml(SERVER).await?;
        Ok(scene)
    }

    /// Installs or upgrades the release to an image, and waits as Helm does.
    pub async fn install(&self, tag: &str, more: &[&str]) -> Result<(), Failure> {
        let chart = in_repository("charts/mail-operator").to_string_lossy().into_owned();
        let (repository, tag) = (format!("image.repository={IMAGE}"), format!("image.tag={tag}"));
        let mut arguments = vec!["upgrade", "--install", OPERATOR, &chart, "--namespace", OPERATOR];
        arguments.extend(["--wait", "--timeout", "120s", "--set", &repository, "--set", &tag]);
        arguments.extend(more);
        self.node.helm(&arguments).await?.success()?;
        Ok(())
    }

    /// What an object's field is, by its JSONPath.
    pub async fn field(&self, what: &[&str], path: &str) -> Result<String, Failure> {
        let output = format!("-o=jsonpath={path}");
        let arguments: Vec<_> = ["get"].into_iter().chain(what.iter().copied()).chain([&*output]).collect();
        Ok(self.node.kubectl(&arguments).await?.success()?)
    }

    /// Waits until a Notification is in a phase.
    pub async fn until_phase(
        &self,
        namespace: &str,
        name: &str,
        phase: &str,
        limit: Duration,
    ) -> Result<(), Failure> {
        let object = format!("notification/{name}");
        until(&format!("{name} is {phase}"), limit, async || {
            Ok(self.field(&[&object, "-n", namespace], "{.status.phase}").await? == phase)
        })
        .await
    }

    /// Suspends a MailServerConfig, or lets it go on.
    pub async fn suspend(&self, namespace: &str, name: &str, suspended: bool) -> Result<(), Failure> {
        let patch = format!(r#"{{"spec":{{"suspend":{suspended}}}}}"#);
        let arguments = ["patch", "msc", name, "-n", namespace, "--type=merge", "-p", &patch];
        self.node.kubectl(&arguments).await?.success()?;
        Ok(())
    }

    /// Prints what a person would look at first.
    pub async fn explain(&self) {
        let logs = [
            "logs",
            "-n",
            OPERATOR,
            "--selector=app.kubernetes.io/name=mail-operator",
            "--tail=30",
            "--prefix",
        ];
        let asked: [&[&str]; 5] = [
            &["get", "pods", "-A", "-o", "wide"],
            &["get", "events", "-A", "--sort-by=.lastTimestamp"],
            &["get", "msc", "-A"],
            &["get", "lease,configmap", "-n", OPERATOR],
            &logs,
        ];
        for arguments in asked {
            if let Ok(output) = self.node.kubectl(arguments).await {
                let lines: Vec<_> = output.stdout.lines().collect();
                let last = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
                println!("$ kubectl {}\n{}\n{}", arguments.join(" "), last.join("\n"), output.stderr);
            }
        }
    }
}

/// A path of the source tree.
pub fn in_repository(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Waits until something is so.
pub async fn until(
    what: &str,
    limit: Duration,
    mut holds: impl AsyncFnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let deadline = std::time::Instant::now() + limit;
    while !holds().await? {
        if std::time::Instant::now() > deadline {
            return Err(format!("waited {limit:?} in vain until {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

const NAMESPACES: &str = "
apiVersion: v1
kind: Namespace
metadata:
  name: mail-operator
  labels: {pod-security.kubernetes.io/enforce: restricted}
---
apiVersion: v1
kind: Namespace
metadata: {name: mail}
";

/// The inbox, for all Notifications of the namespace `mail`.
const SERVER: &str = "
apiVersion: mail-operator.dev/v1alpha1
kind: MailServerConfig
metadata: {name: default, namespace: mail}
spec:
  host: inbox.inbox.svc.cluster.local
  port: 25
  tls: {mode: Disabled}
  sender: {address: noreply@corp.example}
";
