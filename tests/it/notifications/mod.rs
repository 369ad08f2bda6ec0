//! What becomes of Notifications, as their users see it: through a real API server, with servers in this
//! process that take mail, refuse it or break off. This file holds what the tests of all files write and
//! look at.
#![allow(clippy::needless_pass_by_value, reason = "calls read better without borrowing json!")]

mod access;
mod additions;
mod apart;
mod bulk;
mod echoes;
mod held;
mod hostile;
mod in_doubt;
mod life;
mod outcomes;
mod preparing;
mod sessions;
pub mod shared;
mod sources;
mod time;

use crate::objects::{Space, condition};
use kube::config::{KubeConfigOptions, Kubeconfig};
use mail_operator_testbed::scripted_smtp::{Received, ScriptedSmtp};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A MailServerConfig `default` without TLS and login for a server of the test, with further members of its spec.
pub fn server(address: SocketAddr, more: Value) -> Value {
    let mut server = json!({
        "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MailServerConfig",
        "metadata": { "name": "default" },
        "spec": {
            "host": "127.0.0.1", "port": address.port(), "tls": { "mode": "Disabled" },
            "sender": { "address": "it@corp.example", "displayName": "Corp IT" }
        }
    });
    merge(&mut server["spec"], more);
    server
}

/// A Notification with a short content, and further members of its spec.
pub fn notification(name: &str, to: &[&str], more: Value) -> Value {
    let to: Vec<_> = to.iter().map(|address| json!({ "address": address })).collect();
    let mut notification = json!({
        "apiVersion": "mail-operator.dev/v1alpha1", "kind": "Notification",
        "metadata": { "name": name },
        "spec": { "to": to, "message": { "content": { "subject": "Hello", "text": "Good morning." } } }
    });
    merge(&mut notification["spec"], more);
    notification
}

/// A MessageTemplate with this spec.
pub fn template(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MessageTemplate",
        "metadata": { "name": name }, "spec": spec
    })
}

/// A Notification that uses a template.
pub fn from_template(name: &str, template: &str, to: &str, more: Value) -> Value {
    let mut notification = notification(name, &[to], json!({}));
    notification["spec"]["message"] = json!({ "templateRef": { "name": template } });
    merge(&mut notification["spec"], more);
    notification
}

/// The same object in another state: members of `more` win, objects are merged.
pub fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

impl Space {
    /// Applies objects in one go.
    pub async fn put(&self, objects: &[Value]) {
        let all: Vec<_> = objects.iter().map(Value::to_string).collect();
        self.apply(&all.join("\n---\n")).await;
    }

    /// The resourceVersion that the namespace's Notifications are at now: where a [`history`](Self::history) starts.
    pub async fn version(&self) -> String {
        let path = format!("/apis/mail-operator.dev/v1alpha1/namespaces/{}/notifications?limit=1", self.name);
        let list: Value = serde_json::from_str(&self.plane.get(&path).await.unwrap()).unwrap();
        list["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    }

    /// Every version of a Notification since `version`, oldest first: the one it was created with and one for
    /// each write.
    pub async fn history(&self, name: &str, version: &str) -> Vec<Value> {
        let kind = "apis/mail-operator.dev/v1alpha1";
        let path = format!("/{kind}/namespaces/{}/notifications", self.name);
        let events = events(self, &path, version).await;
        let events = events.into_iter().filter(|event| event["object"]["metadata"]["name"] == name);
        events.map(|mut event| event["object"].take()).collect()
    }

    /// Reasons of the Events about an object.
    pub async fn events_of(&self, name: &str) -> Vec<String> {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.name);
        let list: Value = serde_json::from_str(&self.plane.get(&path).await.unwrap()).unwrap();
        let events = list["items"].as_array().unwrap().iter();
        let about = events.filter(|event| event["regarding"]["name"] == name);
        about.map(|event| format!("{} {}", event["type"], event["reason"]).replace('"', "")).collect()
    }

    /// A client of the API server, for what kubectl is too slow for.
    pub async fn client(&self) -> kube::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(self.plane.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        kube::Client::try_from(kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap())
            .unwrap()
    }
}

/// What a watch of `path` tells of the time since `version`.
pub async fn events(space: &Space, path: &str, version: &str) -> Vec<Value> {
    let query = format!("{path}?watch=true&resourceVersion={version}&timeoutSeconds=1");
    let text = space.plane.get(&query).await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The status of one recipient; null if there is none.
pub fn recipient(notification: &Value, address: &str) -> Value {
    let recipients = notification["status"]["recipients"].as_array();
    let found = recipients.into_iter().flatten().find(|recipient| recipient["address"] == address);
    found.cloned().unwrap_or_default()
}

/// Checks a condition's status and reason, and that its message holds these words.
#[track_caller]
pub fn says(object: &Value, type_: &str, status: &str, reason: &str, words: &[&str]) {
    let condition = condition(object, type_);
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&json!(status), &json!(reason)),
        "{condition:#}"
    );
    holds(condition["message"].as_str().unwrap_or_default(), words);
}

/// Checks that a text holds these words.
#[track_caller]
pub fn holds(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in: {text}");
    }
}

/// The messages that a server has taken for one address.
pub fn taken(server: &ScriptedSmtp, address: &str) -> Vec<Received> {
    let ledger = server.ledger().into_iter();
    ledger.filter(|message| message.recipients.iter().any(|to| to == address)).collect()
}

/// The only message that a server has taken for an address, parsed.
#[track_caller]
pub fn only(server: &ScriptedSmtp, address: &str) -> Vec<u8> {
    let taken = taken(server, address);
    assert_eq!(taken.len(), 1, "messages for {address}");
    taken.into_iter().next().unwrap().message
}
