//! What all figures about Kubernetes share: a control plane and a mail server of their own, the operator as users run it,
//! and ways to create many Notifications and to wait for them.

use crate::counters::Counters;
use crate::smtp::in_parallel;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use mail_operator::api::{MailServerConfig, Notification};
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::operator::OperatorOptions;
use mail_operator_testbed::sink::{Options, Sink};
use mail_operator_testbed::{ControlPlane, Operator};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Creates under way at once.
const CREATORS: usize = 16;
/// Longest wait for anything; far longer than anything takes.
const LIMIT: Duration = Duration::from_mins(5);
/// How often something is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// Control plane and mail server.
pub struct Stage {
    pub plane: ControlPlane,
    pub client: Client,
    /// Takes everything, over STARTTLS with login.
    pub sink: Sink,
    pub authority: CertificateAuthority,
}

impl Stage {
    /// Starts everything but an operator.
    pub async fn start(servers: &Runtime, authority: CertificateAuthority) -> Self {
        let plane = ControlPlane::start().await.unwrap();
        plane.install_crds(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")).await.unwrap();
        let kubeconfig = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let tls = authority.server("localhost", &["127.0.0.1"]).unwrap().server_config().unwrap();
        let options = Options { tls: Some(tls), auth: true, ..Options::default() };
        let sink = servers.spawn(Sink::start(options)).await.unwrap();
        let stage = Self { plane, client: Client::try_from(config).unwrap(), sink, authority };
        stage.apply("mail-operator", "").await;
        stage
    }

    /// Makes a namespace with a MailServerConfig `default` for the sink in it.
    pub async fn namespace(&self, name: &str, connections: usize) {
        let server = json!({
            "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MailServerConfig",
            "metadata": { "name": "default", "namespace": name },
            "spec": {
                "host": "127.0.0.1", "port": self.sink.address().port(),
                "tls": { "caRef": { "kind": "ConfigMap", "name": "ca" } },
                "sender": { "address": "it@corp.example" },
                "auth": { "basic": {
                    "username": "it@corp.example",
                    "passwordSecretRef": { "name": "login", "key": "password" }
                } },
                "limits": { "connections": connections }
            }
        });
        let ca = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ca", "namespace": name },
            "data": { "ca.crt": self.authority.pem() }
        });
        let login = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {
                "name": "login", "namespace": name,
                "annotations": {
                    // Every port: the server is moved to a dead one and back.
                    "mail-operator.dev/allowed-hosts": "127.0.0.1:*",
                    "mail-operator.dev/allowed-ca": mail_operator::domain::binding::digest(self.authority.pem()),
                }
            },
            "stringData": { "password": "canary-figures" }
        });
        self.apply(name, &format!("---\n{ca}\n---\n{login}\n---\n{server}\n")).await;
    }

    async fn apply(&self, namespace: &str, objects: &str) {
        let yaml = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {namespace} }}\n{objects}");
        self.plane.apply_yaml(&yaml).await.unwrap();
    }

    /// The operator as a process, for one namespace.
    pub async fn operator(&self, namespace: &str, writers: usize) -> Operator {
        let options = OperatorOptions::new(env!("CARGO_BIN_EXE_mail-operator"), self.plane.kubeconfig())
            .args([
                "--namespace",
                namespace,
                "--egress-allow",
                "127.0.0.0/8",
                "--workers",
                &writers.to_string(),
            ]);
        let operator = Operator::start(&options).unwrap();
        operator.until_ready(LIMIT).await.unwrap();
        operator
    }

    /// Ends an operator in good order.
    pub async fn stop(&self, operator: Operator) {
        operator.term().unwrap();
        operator.wait_exit(LIMIT).await.unwrap();
    }

    /// Notifications of a namespace.
    pub fn notifications(&self, namespace: &str) -> Api<Notification> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Creates Notifications `PREFIX-0` and on, of one recipient and 1 KiB each.
    pub async fn create(&self, namespace: &str, prefix: &str, count: usize) {
        in_parallel(CREATORS, |creator| {
            let (api, prefix) = (self.notifications(namespace), prefix.to_owned());
            async move {
                for number in (creator..count).step_by(CREATORS) {
                    let notification = notification(&format!("{prefix}-{number}"), 1);
                    api.create(&PostParams::default(), &notification).await.unwrap();
                }
            }
        })
        .await;
    }

    /// Changes the spec of a namespace's mail server.
    pub async fn change_server(&self, namespace: &str, spec: &Value) {
        let api: Api<MailServerConfig> = Api::namespaced(self.client.clone(), namespace);
        api.patch("default", &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await.unwrap();
    }

    /// Waits until a namespace's mail server says so at `Ready`, about the spec as it is now.
    pub async fn until_server(&self, namespace: &str, reason: &str) {
        let api: Api<MailServerConfig> = Api::namespaced(self.client.clone(), namespace);
        self.until(&format!("MailServerConfig {namespace}/default is {reason}"), async || {
            let server = serde_json::to_value(api.get("default").await.unwrap()).unwrap();
            let is_current = server["status"]["observedGeneration"] == server["metadata"]["generation"];
            let conditions = server["status"]["conditions"].as_array().cloned().unwrap_or_default();
            is_current && conditions.iter().any(|found| found["type"] == "Ready" && found["reason"] == reason)
        })
        .await;
    }

    /// Waits until the sink has `messages` more than `before`, and the operator has stored `stored` results since it
    /// started; asked is the operator, since asking the API server would slow it down.
    pub async fn until_sent(&self, operator: &Operator, messages: u64, stored: usize) {
        tokio::time::timeout(LIMIT, self.sink.taken(messages)).await.expect("all messages arrive");
        self.until("all results are stored", async || sent(&operator.metrics().await.unwrap()) >= stored)
            .await;
    }

    /// Makes sure that what the operator says is so: nothing in the namespace is anything but `Sent`, and no message
    /// arrived twice.
    pub async fn check_sent(&self, namespace: &str, messages: u64) {
        let others = ListParams::default().fields("status.phase!=Sent").limit(1);
        let others = self.notifications(namespace).list_metadata(&others).await.unwrap();
        assert!(others.items.is_empty(), "not sent: {:?}", others.items);
        assert_eq!(self.sink.messages(), messages, "messages at the sink");
    }

    /// The API server's counters.
    pub async fn counters(&self) -> Counters {
        Counters::parse(&self.plane.metrics().await.unwrap())
    }

    /// Waits until the API server has nothing to do: after many creates it is busy for seconds.
    pub async fn quiet(&self) {
        const SPAN: Duration = Duration::from_millis(500);
        const IDLE_MS: u64 = 50;
        self.until("the API server is idle", async || {
            let before = self.plane.api_server_cpu_ms();
            tokio::time::sleep(SPAN).await;
            self.plane.api_server_cpu_ms() - before <= IDLE_MS
        })
        .await;
    }

    /// Waits, but not for ever.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let start = Instant::now();
        while !holds().await {
            assert!(start.elapsed() < LIMIT, "waited in vain until {what}");
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// A Notification whose text makes its message about 1 KiB long.
pub fn notification(name: &str, recipients: usize) -> Notification {
    let to: Vec<_> =
        (0..recipients).map(|number| json!({ "address": format!("r{number}@corp.example") })).collect();
    let text = "The backup of last night is complete. ".repeat(18);
    let spec = json!({ "to": to, "message": { "content": { "subject": "Backup complete", "text": text } } });
    Notification::new(name, serde_json::from_value(spec).unwrap())
}

/// How many Notifications an operator has brought to `Sent` since it started, by its own metrics.
pub fn sent(metrics: &str) -> usize {
    metric(metrics, "mail_operator_notifications_total{phase=\"Sent\"}")
}

/// How many Notifications wait in an operator's queues, by its own metrics.
pub fn waiting(metrics: &str) -> usize {
    metric(metrics, "mail_operator_waiting{")
}

/// The sum of a metric's values.
fn metric(metrics: &str, name: &str) -> usize {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).sum()
}
