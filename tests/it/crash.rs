//! The operator as the process it is: killed, frozen, cut off from the API server, twice at once, its journal
//! deleted. Whatever happens, the servers' ledgers show each recipient once, or once more where the status
//! says that it was in doubt.

mod api_server;
mod chunks;
mod day;
mod deleted;
mod frozen;
mod killed;
mod refused;
mod step;
mod two;

use crate::notifications::{merge, notification};
use crate::objects::Space;
use mail_operator_testbed::operator::OperatorOptions;
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use mail_operator_testbed::{ControlPlane, Operator};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A takeover takes 15 s of silence and a look or two; a busy machine adds to it.
pub const TAKEOVER: Duration = Duration::from_mins(1);

/// A namespace whose operators are processes of its own, with a namespace for their Lease and journals.
pub struct Scene {
    pub space: Space,
}

impl Scene {
    /// Makes both namespaces.
    pub async fn new(plane: &'static ControlPlane, name: &str) -> Self {
        for namespace in [name.to_owned(), format!("{name}-operator")] {
            plane.kubectl(&["create", "namespace", &namespace]).await.unwrap().success().unwrap();
        }
        Self { space: Space { plane, name: name.into() } }
    }

    /// Where Lease and journals are.
    pub fn operator_namespace(&self) -> String {
        format!("{}-operator", self.space.name)
    }

    /// Starts an operator that sees nothing but this scene; does not wait for it.
    pub fn operator(&self, arguments: &[&str]) -> Operator {
        self.operator_with(self.space.plane.kubeconfig(), arguments)
    }

    /// The same with another way to the API server.
    pub fn operator_with(&self, kubeconfig: &Path, arguments: &[&str]) -> Operator {
        Operator::start(&self.options(kubeconfig, arguments)).unwrap()
    }

    /// The same on a system that trusts these CAs and no others.
    pub fn operator_trusting(&self, roots: &Path, arguments: &[&str]) -> Operator {
        let options = self.options(self.space.plane.kubeconfig(), arguments);
        Operator::start(&options.env("SSL_CERT_FILE", &roots.display().to_string())).unwrap()
    }

    fn options(&self, kubeconfig: &Path, arguments: &[&str]) -> OperatorOptions {
        let own = self.operator_namespace();
        let ours = ["--namespace", &self.space.name, "--operator-namespace", &own];
        let always = ["--egress-allow", "127.0.0.0/8", "--manage-crds", "false"];
        let log = ["--log-level", "info,mail_operator=debug"];
        let options = OperatorOptions::new(env!("CARGO_BIN_EXE_mail-operator"), kubeconfig);
        options.args(ours).args(always).args(log).args(arguments.iter().copied())
    }

    /// A MailServerConfig for a server without TLS and login.
    pub async fn server(&self, name: &str, address: SocketAddr) {
        self.server_with(name, address, json!({})).await;
    }

    /// The same with further members of its spec.
    pub async fn server_with(&self, name: &str, address: SocketAddr, more: Value) {
        let mut server = json!({
            "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MailServerConfig",
            "metadata": { "name": name },
            "spec": { "host": "127.0.0.1", "port": address.port(), "tls": { "mode": "Disabled" },
                      "sender": { "address": "it@corp.example" } }
        });
        merge(&mut server["spec"], more);
        self.space.apply(&server.to_string()).await;
    }

    /// A Notification through the server of that name.
    pub async fn notify(&self, name: &str, server: &str, to: &[&str], policy: &str) {
        self.notify_with(name, server, to, json!({ "delivery": { "onInDoubt": policy } })).await;
    }

    /// The same with further members of its spec.
    pub async fn notify_with(&self, name: &str, server: &str, to: &[&str], mut more: Value) {
        merge(&mut more, json!({ "serverRef": { "name": server } }));
        self.space.apply(&notification(name, to, more).to_string()).await;
    }

    /// Waits, as long as a takeover may take, until a Notification is as wanted.
    pub async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let deadline = std::time::Instant::now() + TAKEOVER;
        while std::time::Instant::now() < deadline {
            last = self.space.get("notifications", name).await;
            if wanted(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{name} never was {what}; its status: {:#}", last["status"])
    }

    /// Waits until it is in a phase.
    pub async fn until_phase(&self, name: &str, phase: &str) -> Value {
        self.until(name, phase, |found| found["status"]["phase"] == phase).await
    }

    /// The journals as they are stored.
    pub async fn journals(&self) -> Vec<Value> {
        let path = format!(
            "/api/v1/namespaces/{}/configmaps?labelSelector=mail-operator.dev/journal",
            self.operator_namespace()
        );
        let list: Value = serde_json::from_str(&self.space.plane.get(&path).await.unwrap()).unwrap();
        let text = |item: &Value| item["data"]["journal.json"].as_str().unwrap().to_owned();
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| serde_json::from_str(&text(item)).unwrap()).collect()
    }

    /// Whether a stored journal names a recipient as claimed.
    pub async fn claims(&self, address: &str) -> bool {
        let names = |journal: &Value| journal["entries"].to_string().contains(&format!("\"{address}\""));
        self.journals().await.iter().any(names)
    }

    /// Whether a stored journal has an entry for a Notification.
    pub async fn names(&self, notification: &str) -> bool {
        let name = format!("\"name\":\"{notification}\"");
        self.journals().await.iter().any(|journal| journal["entries"].to_string().contains(&name))
    }

    /// Deletes all journals, as somebody who tidies up might.
    pub async fn delete_journals(&self) {
        let own = self.operator_namespace();
        let arguments = ["-n", &own, "delete", "configmap", "-l", "mail-operator.dev/journal"];
        self.space.plane.kubectl(&arguments).await.unwrap().success().unwrap();
    }
}

/// The status says of this recipient that it may have arrived twice, or nothing of the kind.
pub fn says_twice(notification: &Value, address: &str) -> bool {
    let recipients = notification["status"]["recipients"].as_array();
    let found = recipients.into_iter().flatten().find(|recipient| recipient["address"] == address);
    let found = found.unwrap_or_else(|| panic!("{address} is not in the status: {notification:#}"));
    let says = found["message"].as_str().is_some_and(|message| message.contains("may have arrived twice"));
    assert_eq!(says, found["reason"] == "AnswerLost", "{found:#}");
    says
}

/// Shows what operators logged if the test fails while it lives.
pub struct LogsOnFailure<'a>(pub Vec<&'a Operator>);

impl Drop for LogsOnFailure<'_> {
    fn drop(&mut self) {
        for (number, operator) in self.0.iter().enumerate().filter(|_| std::thread::panicking()) {
            println!("operator {} logged:\n{}", number + 1, operator.log());
        }
    }
}

/// A server that takes everything, to see that nobody else suffers.
pub async fn healthy() -> ScriptedSmtp {
    ScriptedSmtp::builder().start().await
}
