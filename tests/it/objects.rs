//! Objects of a test's namespace: written as YAML, read as JSON, waited for by what their status says.

use crate::cluster::namespace;
use crate::eventually;
use crate::operator::shared;
use mail_operator_testbed::ControlPlane;
use serde_json::Value;
use std::time::Duration;

/// Longest wait for something that ought to take less than a second.
pub const SOON: Duration = Duration::from_secs(30);

/// A namespace with the shared operator looking after it.
pub struct Space {
    pub plane: &'static ControlPlane,
    pub name: String,
}

impl Space {
    /// A new namespace of the shared control plane, with the shared operator at work.
    pub async fn new(name: &str) -> Self {
        let plane = namespace(name).await;
        shared().await;
        Self { plane, name: name.into() }
    }

    /// Applies manifests into the namespace.
    pub async fn apply(&self, yaml: &str) {
        let arguments = ["apply", "-n", &self.name, "-f", "-"];
        self.plane.kubectl_with_input(&arguments, yaml).await.unwrap().success().unwrap();
    }

    /// Applies what the API server must refuse; returns its words.
    pub async fn refused(&self, yaml: &str) -> String {
        let arguments = ["apply", "-n", &self.name, "-f", "-"];
        let output = self.plane.kubectl_with_input(&arguments, yaml).await.unwrap();
        assert!(!output.status.success(), "was accepted: {yaml}");
        output.stderr
    }

    /// Runs kubectl in the namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        let arguments = [&["-n", &self.name], arguments].concat();
        self.plane.kubectl(&arguments).await.unwrap().success().unwrap()
    }

    /// Types a command that begins with `kubectl`, as a message gives it, into a shell.
    pub async fn types(&self, command: &str) {
        let kubectl = self.plane.kubectl_path();
        let folder = kubectl.parent().unwrap().display();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        let mut shell = tokio::process::Command::new("sh");
        let shell = shell.env("KUBECONFIG", self.plane.kubeconfig()).env("PATH", path).args(["-c", command]);
        let ran = shell.output().await.unwrap();
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// Reads an object; null if there is none.
    pub async fn get(&self, kind: &str, name: &str) -> Value {
        let path = format!("/apis/mail-operator.dev/v1alpha1/namespaces/{}/{kind}/{name}", self.name);
        self.plane.get(&path).await.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Waits until an object is as wanted, and returns it; on failure shows what it was like.
    pub async fn until(&self, kind: &str, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let deadline = std::time::Instant::now() + SOON;
        loop {
            let object = self.get(kind, name).await;
            if wanted(&object) {
                return object;
            }
            last = if object.is_null() { last } else { object };
            let status = &last["status"];
            assert!(
                std::time::Instant::now() < deadline,
                "{kind}/{name} never was {what}; its status: {status:#}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a condition has a reason, and returns the condition.
    pub async fn until_reason(&self, kind: &str, name: &str, type_: &str, reason: &str) -> Value {
        let what = format!("{type_} with reason {reason}");
        let object =
            self.until(kind, name, &what, |object| condition(object, type_)["reason"] == reason).await;
        condition(&object, type_)
    }

    /// Waits until a Notification is in a phase.
    pub async fn until_phase(&self, name: &str, phase: &str) -> Value {
        self.until("notifications", name, phase, |object| object["status"]["phase"] == phase).await
    }

    /// Creates a Secret with a password for these hosts, whichever port, with the CAs of the namespace.
    pub async fn password(&self, name: &str, password: &str, hosts: &str) {
        let secret = serde_json::json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "annotations": self.consent(hosts).await },
            "stringData": { "password": password }
        });
        self.apply(&secret.to_string()).await;
    }

    /// Annotations by which a Secret permits these hosts at every port, and each CA that a ConfigMap of the namespace
    /// holds.
    pub async fn consent(&self, hosts: &str) -> Value {
        let maps: Value =
            serde_json::from_str(&self.kubectl(&["get", "configmaps", "-o", "json"]).await).unwrap();
        let bundles =
            maps["items"].as_array().unwrap().iter().filter_map(|map| map["data"]["ca.crt"].as_str());
        consent(hosts, &bundles.collect::<Vec<_>>())
    }

    /// Creates a ConfigMap with a CA.
    pub async fn ca(&self, name: &str, pem: &str) {
        let map = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "ca.crt": pem }
        });
        self.apply(&map.to_string()).await;
    }
}

/// Annotations by which a Secret permits these hosts at every port, and these CAs.
pub fn consent(hosts: &str, bundles: &[&str]) -> Value {
    let hosts: Vec<_> = hosts.split(',').map(|host| format!("{host}:*")).collect();
    let bundles: Vec<_> = bundles.iter().map(|pem| mail_operator::domain::binding::digest(pem)).collect();
    serde_json::json!({
        "mail-operator.dev/allowed-hosts": hosts.join(","), "mail-operator.dev/allowed-ca": bundles.join(",")
    })
}

/// A condition of an object; null if there is none.
pub fn condition(object: &Value, type_: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == type_);
    found.cloned().unwrap_or_default()
}

/// Waits for something outside the cluster.
pub async fn soon(what: &str, holds: impl AsyncFnMut() -> bool) {
    eventually(what, SOON, holds).await;
}
